/** The buttons that do something to the whole kernel: collect garbage, export and import its state. */

import { useRef } from "preact/hooks";
import type { VNode } from "preact";
import { usePanel } from "./context.ts";
import { Dialog } from "./dialogs.tsx";
import { formatBytes } from "./format.ts";
import { Spinner } from "./parts.tsx";

export function KernelActions(): VNode {
  const model = usePanel();
  const input = useRef<HTMLInputElement>(null);
  const { busy } = model.stateFile;
  const isBusy = busy.value !== "";
  return (
    <div class="actions" role="group" aria-label="Actions on the kernel">
      <button type="button" onClick={() => void model.actions.collect()}>
        Collect garbage
      </button>
      <button
        type="button"
        disabled={isBusy}
        title="Save the whole state as a file, which kernel-py import reads as well"
        onClick={() => void model.stateFile.export()}
      >
        {busy.value === "export" && <Spinner />}
        Export state
      </button>
      <button
        type="button"
        disabled={isBusy}
        title="Replace the whole state by that of a file"
        onClick={() => {
          input.current?.click();
        }}
      >
        {busy.value === "import" && <Spinner />}
        Import state
      </button>
      <input
        ref={input}
        type="file"
        class="visually-hidden"
        tabIndex={-1}
        aria-label="Archive to import"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          if (file !== undefined) model.dialog.value = { kind: "import", file };
          event.currentTarget.value = "";
        }}
      />
    </div>
  );
}

export function ImportDialog({ file, onClose }: { readonly file: File; readonly onClose: () => void }): VNode {
  const model = usePanel();
  return (
    <Dialog title={`Import ${file.name}?`} class="confirm" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void model.stateFile.import(file);
          onClose();
        }}
      >
        <p>
          Everything that the kernel has now, all clusters and all that waits, is replaced by what is in the file (
          {formatBytes(file.size)}). Export it before if you want it back.
        </p>
        <div class="dialog-foot">
          {/* What is asked first must be harmless. */}
          <button type="button" data-first onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="danger">
            Replace everything
          </button>
        </div>
      </form>
    </Dialog>
  );
}
