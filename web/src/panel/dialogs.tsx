/** Modal dialogs: confirming a termination, and the list of keyboard shortcuts. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { ComponentChildren, VNode } from "preact";
import { usePanel } from "./context.ts";
import { SHORTCUTS, type Shortcuts } from "./shortcuts.ts";

interface DialogProps {
  readonly title: string;
  readonly class?: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

/**
 * A modal dialog: Escape closes it, and the focus goes back to where it was.
 *
 * The element marked `data-first` gets the focus at first; without one, the browser chooses.
 */
export function Dialog({ title, class: name = "", onClose, children }: DialogProps): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current?.showModal();
    dialog.current?.querySelector<HTMLElement>("[data-first]")?.focus();
    return () => {
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={name}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <div class="dialog-head">
        <h2 id="dialog-title">{title}</h2>
        <button type="button" class="icon" aria-label="Close" onClick={onClose}>
          ×
        </button>
      </div>
      {children}
    </dialog>
  );
}

interface TerminateProps {
  readonly what: "vat" | "cluster";
  readonly id: string;
  readonly name: string;
  readonly onClose: () => void;
}

export function TerminateDialog({ what, id, name, onClose }: TerminateProps): VNode {
  const model = usePanel();
  const reason = useSignal("");
  return (
    <Dialog title={`Terminate ${what} ${name}?`} class="confirm" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void model.terminate(what, id, name, reason.value.trim());
          onClose();
        }}
      >
        <p>
          {what === "vat"
            ? "Its objects are gone for good, and every promise that it owes is rejected."
            : "All its vats end; their objects are gone for good, and every promise that they owe is rejected."}
        </p>
        <div class="field">
          <label for="terminate-reason">Reason (optional)</label>
          <input
            id="terminate-reason"
            autocomplete="off"
            value={reason.value}
            onInput={(event) => {
              reason.value = event.currentTarget.value;
            }}
          />
        </div>
        <div class="dialog-foot">
          {/* What is asked first must be harmless. */}
          <button type="button" data-first onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="danger">
            Terminate {what}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

export function ShortcutsDialog({
  shortcuts,
  onClose,
}: {
  readonly shortcuts: Shortcuts;
  readonly onClose: () => void;
}): VNode {
  return (
    <Dialog title="Keyboard shortcuts" class="shortcuts" onClose={onClose}>
      <table class="rows" aria-label="Keyboard shortcuts">
        <tbody>
          {SHORTCUTS.map(({ key, text }) => (
            <tr key={key}>
              <td>
                <kbd>{key}</kbd>
              </td>
              <td>{text}</td>
            </tr>
          ))}
          {FIXED_KEYS.map(([key, text]) => (
            <tr key={key}>
              <td>
                <kbd>{key}</kbd>
              </td>
              <td>{text}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <label class="check">
        <input
          type="checkbox"
          checked={shortcuts.isOn.value}
          onChange={(event) => {
            shortcuts.turn(event.currentTarget.checked);
          }}
        />
        Single-key shortcuts
      </label>
    </Dialog>
  );
}

const FIXED_KEYS: readonly (readonly [keys: string, text: string])[] = [
  ["↑ ↓ Home End", "move through vats, or through messages"],
  ["← →", "fold and unfold a cluster"],
  ["Enter", "in the composer: send"],
  ["Alt+↑ Alt+↓", "in the composer: recall what was sent"],
  ["Esc", "close what is open"],
];
