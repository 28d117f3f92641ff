/** Small parts that every view uses: references, chips, empty states, copying. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { ComponentChildren, VNode } from "preact";
import { usePanel } from "./context.ts";

/** A reference as a button that makes it the target of the next message. */
export function RefButton({ kref }: { readonly kref: string }): VNode {
  const model = usePanel();
  const what = model.describeRef(kref);
  return (
    <button
      type="button"
      class="ref"
      aria-label={`Send a message to ${kref}`}
      title={what === "" ? kref : `${kref}: ${what}`}
      onClick={() => {
        model.compose(kref);
      }}
    >
      {kref}
    </button>
  );
}

/** Text in which references to objects and promises are buttons: messages can be sent to either. */
export function RefText({ text }: { readonly text: string }): VNode {
  const parts = text.split(/\b(k[op]\d+)\b/);
  return <>{parts.map((part, index) => (index % 2 === 1 ? <RefButton key={index} kref={part} /> : part))}</>;
}

export type Tone = "good" | "busy" | "bad" | "quiet";

/** A state in words, with a mark whose shape and colour say the same. */
export function Chip({ tone, children }: { readonly tone: Tone; readonly children: ComponentChildren }): VNode {
  return (
    <span class={`chip ${tone}`}>
      <span class="mark" aria-hidden="true" />
      {children}
    </span>
  );
}

/** Copies text. Where the clipboard is not to be had (DevTools may refuse it), selects it for Ctrl+C. */
export function CopyButton({ text, label = "Copy" }: { readonly text: string; readonly label?: string }): VNode {
  const done = useSignal("");
  const hidden = useRef<HTMLTextAreaElement>(null);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      done.value = "Copied";
      setTimeout(() => {
        done.value = "";
      }, 2_000);
    } catch {
      done.value = "Press Ctrl+C";
      requestAnimationFrame(() => {
        hidden.current?.select();
      });
    }
  };
  return (
    <span class="copy">
      <button type="button" class="small" onClick={() => void copy()}>
        {done.value === "Copied" ? "Copied" : label}
      </button>
      {done.value === "Press Ctrl+C" && (
        <>
          <span role="status">Press Ctrl+C</span>
          <textarea
            ref={hidden}
            class="visually-hidden"
            aria-label="Text to copy"
            readOnly
            value={text}
            onBlur={() => {
              done.value = "";
            }}
          />
        </>
      )}
    </span>
  );
}

export function Empty({ children }: { readonly children: ComponentChildren }): VNode {
  return <p class="empty">{children}</p>;
}

export function Spinner(): VNode {
  return <span class="spinner" aria-hidden="true" />;
}

/** A name and a value in a list of facts. */
export function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }): VNode {
  return (
    <div class="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
