/** The objects that a vat, or all vats, have exported; and what can be done to one. */

import type { VNode } from "preact";
import type { KernelObject } from "./api.ts";
import { usePanel } from "./context.ts";
import { Dialog } from "./dialogs.tsx";
import { formatCount } from "./format.ts";
import { Empty, RefButton } from "./parts.tsx";

export function Objects({ withVat = false }: { readonly withVat?: boolean }): VNode {
  const model = usePanel();
  const objects = model.objects.objects.value;
  const total = model.objects.total.value;
  return (
    <>
      <h3>Exported objects {objects !== null && <span class="count">{formatCount(total)}</span>}</h3>
      {objects === null && <Empty>Waiting for the kernel</Empty>}
      {objects?.length === 0 && <Empty>None.</Empty>}
      {objects !== null && objects.length > 0 && (
        <table class="rows" aria-label="Exported objects" id="object-table" tabIndex={-1}>
          <thead>
            <tr>
              <th scope="col">Object</th>
              <th scope="col">Interface</th>
              {withVat && <th scope="col">Of</th>}
              <th scope="col" class="figure" title="Holders that can reach it / that can recognise it">
                Held by
              </th>
              <th scope="col">
                <span class="visually-hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {objects.map((object) => (
              <ObjectRow key={object.kref} object={object} withVat={withVat} />
            ))}
          </tbody>
        </table>
      )}
      {objects !== null && objects.length < total && (
        <button
          type="button"
          class="more"
          onClick={() => {
            model.objects.loadMore();
          }}
        >
          Show more of {formatCount(total)}
        </button>
      )}
    </>
  );
}

function ObjectRow({ object, withVat }: { readonly object: KernelObject; readonly withVat: boolean }): VNode {
  const model = usePanel();
  const { kref, iface, reachable, recognizable, isPinned, isRevoked } = object;
  return (
    <tr>
      <td>
        <RefButton kref={kref} />
      </td>
      <td>
        {iface === "" ? <span class="nil">–</span> : iface}
        {isPinned && <span class="mark-text"> pinned</span>}
        {isRevoked && <span class="mark-text"> revoked</span>}
      </td>
      {withVat && <td>{model.nameOwner(object)}</td>}
      <td class="figure" title={`reachable for ${reachable}, recognizable for ${recognizable}`}>
        {reachable}
        <span class="nil"> / {recognizable}</span>
      </td>
      <td class="object-actions">
        <button
          type="button"
          class="link"
          aria-label={`${isPinned ? "Unpin" : "Pin"} ${kref}`}
          title={isPinned ? "Let it go when nobody holds it" : "Keep it, whether somebody holds it or not"}
          onClick={() =>
            void model.actions.do(
              isPinned ? "unpin" : "pin",
              { object: kref },
              `${kref} ${isPinned ? "unpinned" : "pinned"}`,
            )
          }
        >
          {isPinned ? "Unpin" : "Pin"}
        </button>
        {!isRevoked && (
          <button
            type="button"
            class="link danger"
            aria-label={`Revoke ${kref}`}
            title="Nobody can send to it any more"
            onClick={() => {
              model.dialog.value = { kind: "revoke", kref, iface };
            }}
          >
            Revoke
          </button>
        )}
      </td>
    </tr>
  );
}

export function RevokeDialog({
  kref,
  iface,
  onClose,
}: {
  readonly kref: string;
  readonly iface: string;
  readonly onClose: () => void;
}): VNode {
  const model = usePanel();
  return (
    <Dialog title={`Revoke ${iface} ${kref}?`} class="confirm" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void model.actions.do("revoke", { object: kref }, `${kref} revoked`);
          onClose();
        }}
      >
        <p>Every message to it is rejected from now on, whoever sends it. That cannot be undone.</p>
        <div class="dialog-foot">
          {/* What is asked first must be harmless. */}
          <button type="button" data-first onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="danger">
            Revoke
          </button>
        </div>
      </form>
    </Dialog>
  );
}
