/** Upgrading a vat: its new source, written or opened here. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { VNode } from "preact";
import type { RequestError } from "./api.ts";
import { usePanel } from "./context.ts";
import { Dialog } from "./dialogs.tsx";
import { Spinner } from "./parts.tsx";
import { Problem } from "./problem.tsx";

const FIRST_NAME = "vat.py";

export function UpgradeDialog({
  vat,
  name,
  onClose,
}: {
  readonly vat: string;
  readonly name: string;
  readonly onClose: () => void;
}): VNode {
  const model = usePanel();
  const input = useRef<HTMLInputElement>(null);
  const source = useSignal(FIRST_NAME);
  const files = useSignal<ReadonlyMap<string, string>>(new Map([[FIRST_NAME, ""]]));
  const isUnderWay = useSignal(false);
  const problem = useSignal<RequestError | null>(null);

  const open = async (chosen: readonly File[]): Promise<void> => {
    files.value = new Map(await Promise.all(chosen.map(async (file) => [file.name, await file.text()] as const)));
    source.value = chosen[0]?.name ?? FIRST_NAME;
  };
  const upgrade = async (): Promise<void> => {
    isUnderWay.value = true;
    problem.value = await model.actions.upgrade({
      vat,
      files: Object.fromEntries(files.value),
      source: source.value,
    });
    isUnderWay.value = false;
    if (problem.value === null) onClose();
  };
  return (
    <Dialog title={`Upgrade vat ${name}`} class="upgrade" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!isUnderWay.value) void upgrade();
        }}
      >
        <p class="muted">
          Its heap goes, and every await in it; durable objects and baggage stay. If the new code does not start, the
          old one goes on.
        </p>
        <div class="field">
          <label for="upgrade-source">File</label>
          <select
            id="upgrade-source"
            value={source.value}
            onChange={(event) => {
              source.value = event.currentTarget.value;
            }}
          >
            {[...files.value.keys()].map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
          <button
            type="button"
            onClick={() => {
              input.current?.click();
            }}
          >
            Open files
          </button>
          <input
            ref={input}
            type="file"
            class="visually-hidden"
            tabIndex={-1}
            aria-label="Files of the new code"
            multiple
            accept=".py"
            onChange={(event) => {
              void open([...(event.currentTarget.files ?? [])]);
              event.currentTarget.value = "";
            }}
          />
        </div>
        <textarea
          class="code"
          data-first
          aria-label={`Text of ${source.value}`}
          spellcheck={false}
          rows={14}
          value={files.value.get(source.value) ?? ""}
          onInput={(event) => {
            files.value = new Map(files.value).set(source.value, event.currentTarget.value);
          }}
        />
        {problem.value !== null && (
          <div role="alert">
            <Problem
              title="Not upgraded"
              text={problem.value.message}
              path={problem.value.path}
              kind={problem.value.kind}
            />
          </div>
        )}
        <div class="dialog-foot">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary" aria-disabled={isUnderWay.value}>
            {isUnderWay.value && <Spinner />}
            Upgrade
          </button>
        </div>
      </form>
    </Dialog>
  );
}
