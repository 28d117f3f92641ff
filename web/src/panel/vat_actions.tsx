/** The buttons that do something to a vat. */

import type { VNode } from "preact";
import type { VatStatus } from "./api.ts";
import { usePanel } from "./context.ts";

export function VatActions({ vat }: { readonly vat: VatStatus }): VNode {
  const model = usePanel();
  const { actions } = model;
  const params = { vat: vat.vat };
  return (
    <div class="actions" role="group" aria-label={`Actions on vat ${vat.name}`}>
      {vat.state === "paused" ? (
        <button type="button" onClick={() => void actions.do("resumeVat", params, `vat ${vat.name} resumed`)}>
          Resume
        </button>
      ) : (
        <button
          type="button"
          title="Deliver nothing to it until it is resumed; messages wait"
          onClick={() => void actions.do("pauseVat", params, `vat ${vat.name} paused`)}
        >
          Pause
        </button>
      )}
      <button
        type="button"
        title="End its realm and bring it back from its record"
        onClick={() => void actions.do("restartVat", params, `vat ${vat.name} restarted`)}
      >
        Restart
      </button>
      <button
        type="button"
        title="Give it new code; what is durable stays"
        onClick={() => {
          model.dialog.value = { kind: "upgrade", vat: vat.vat, name: vat.name };
        }}
      >
        Upgrade
      </button>
      <button
        type="button"
        title="Have it bring out what nothing reaches any more"
        onClick={() => void actions.collect(vat.vat)}
      >
        Collect garbage
      </button>
    </div>
  );
}
