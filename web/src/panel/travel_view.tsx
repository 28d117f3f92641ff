/** A vat's past: a delivery is chosen, and what was in the vat after it is looked at. */

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import type { Compared, Difference, Evaluated, HeapListing, VatStatus } from "./api.ts";
import { usePanel } from "./context.ts";
import { formatCount, formatTime, plural } from "./format.ts";
import { Empty, Spinner } from "./parts.tsx";
import { Problem } from "./problem.tsx";
import type { Journey } from "./travel.ts";

/** Rows of a list that are drawn. */
const ROWS_MAX = 300;
/** Kinds of vats in which there is no Python to look at. */
const OPAQUE_KINDS = ["wasm", "command"];

export function TimeTravel({ vat }: { readonly vat: VatStatus }): VNode | null {
  const { travel } = usePanel();
  const journey = travel.journey.value;
  if (OPAQUE_KINDS.includes(vat.kind) || vat.deliveries === 0) return null;
  if (journey?.vat !== vat.vat)
    return (
      <>
        <h3>Time travel</h3>
        <div class="actions">
          <button
            type="button"
            title="Look at the vat as it was after one of its deliveries; it goes on meanwhile, and knows nothing of it"
            onClick={() => void travel.go(vat.vat, vat.deliveries)}
          >
            Travel back in time
          </button>
        </div>
      </>
    );
  return (
    <section class="travel" aria-label="Time travel">
      <h3>
        Time travel {journey.isBusy && <Spinner />}
        <span class="spring" />
        <button
          type="button"
          class="small"
          onClick={() => {
            travel.end();
          }}
        >
          Back to the present
        </button>
      </h3>
      <Steps journey={journey} />
      {journey.error !== "" && <Problem title="It could not be looked at" text={journey.error} />}
      {journey.listing !== null && journey.listing.note !== "" && <Problem text={journey.listing.note} />}
      <Expression journey={journey} />
      <Comparison journey={journey} />
      {journey.listing !== null && <Listing listing={journey.listing} />}
    </section>
  );
}

function Steps({ journey }: { readonly journey: Journey }): VNode {
  const { travel } = usePanel();
  const { vat, delivery, total, record } = journey;
  const go = (number: number): void => {
    if (Number.isInteger(number)) void travel.go(vat, number);
  };
  return (
    <>
      <div class="travel-steps">
        <button
          type="button"
          disabled={delivery <= 1}
          onClick={() => {
            go(delivery - 1);
          }}
        >
          Step back
        </button>
        <input
          type="range"
          aria-label="Delivery on the time line"
          min={1}
          max={total}
          value={delivery}
          onChange={(event) => {
            go(Number(event.currentTarget.value));
          }}
        />
        <button
          type="button"
          disabled={delivery >= total}
          onClick={() => {
            go(delivery + 1);
          }}
        >
          Step forward
        </button>
        <input
          type="number"
          aria-label="Delivery"
          min={1}
          max={total}
          value={delivery}
          onChange={(event) => {
            go(Number(event.currentTarget.value));
          }}
        />
        <span class="muted">of {formatCount(total)}</span>
      </div>
      <p class="travel-record" role="status" aria-label="Delivery that is looked at">
        {record === null ? (
          "…"
        ) : (
          <>
            After <code>{record.method === "" ? record.what : record.method}</code>
            {record.target !== "" && (
              <>
                {" "}
                to <code>{record.target}</code>
              </>
            )}
            {`, ${formatTime(record.timeMs)}, ${plural(record.syscalls, "syscall")}`}
          </>
        )}
      </p>
    </>
  );
}

function Expression({ journey }: { readonly journey: Journey }): VNode {
  const { travel } = usePanel();
  const text = useSignal("");
  return (
    <>
      <form
        class="travel-form"
        onSubmit={(event) => {
          event.preventDefault();
          void travel.evaluate(text.value);
        }}
      >
        <input
          type="text"
          class="code"
          aria-label="Python expression"
          placeholder="Python, such as root, baggage, objects['o+0']"
          title="Evaluated in the heap of that moment. Nothing leaves it."
          spellcheck={false}
          value={text.value}
          onInput={(event) => {
            text.value = event.currentTarget.value;
          }}
        />
        <button type="submit">Evaluate</button>
      </form>
      {journey.evaluated.length > 0 && (
        <ul class="travel-values" aria-label="Values">
          {journey.evaluated.map(({ expression, found }, index) => (
            <li key={journey.evaluated.length - index}>
              <code class="muted">{expression}</code>
              <Value found={found} />
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function Value({ found }: { readonly found: Evaluated }): VNode {
  return (
    <>
      {found.console !== "" && <pre>{found.console}</pre>}
      {found.error === "" ? (
        <pre title={found.type}>{found.value}</pre>
      ) : (
        <Problem title="It raised an exception" text={found.error} />
      )}
    </>
  );
}

function Comparison({ journey }: { readonly journey: Journey }): VNode {
  const { travel } = usePanel();
  const { delivery, total, compared } = journey;
  const other = useSignal("");
  return (
    <>
      <form
        class="travel-form"
        onSubmit={(event) => {
          event.preventDefault();
          void travel.compare(other.value === "" ? undefined : Number(other.value));
        }}
      >
        <button type="button" disabled={delivery <= 1} onClick={() => void travel.compare(delivery - 1)}>
          Compare with the step before
        </button>
        <button type="button" onClick={() => void travel.compare()}>
          Compare with now
        </button>
        <input
          type="number"
          aria-label="Other delivery"
          placeholder="no."
          min={1}
          max={total}
          value={other.value}
          onInput={(event) => {
            other.value = event.currentTarget.value;
          }}
        />
        <button type="submit">Compare</button>
      </form>
      {compared !== null && <Differences compared={compared} />}
    </>
  );
}

function Differences({ compared }: { readonly compared: Compared }): VNode {
  const rows: Difference[] = [
    ...compared.objects,
    ...compared.store.map((row) => ({ ...row, name: `store ${row.name}` })),
  ];
  if (rows.length === 0) return <Empty>{`No difference to delivery ${compared.other}.`}</Empty>;
  return (
    <table class="rows travel-table" aria-label="Differences">
      <thead>
        <tr>
          <th scope="col">What</th>
          <th scope="col">After {formatCount(compared.delivery)}</th>
          <th scope="col">After {formatCount(compared.other)}</th>
        </tr>
      </thead>
      <tbody>
        {rows.slice(0, ROWS_MAX).map(({ change, name, before, after }) => (
          <tr key={name}>
            <td>
              {name} <span class="muted">{change}</span>
            </td>
            <td>
              <code>{before}</code>
            </td>
            <td>
              <code>{after}</code>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Listing({ listing }: { readonly listing: HeapListing }): VNode {
  const { objects, store } = listing;
  const rows = [...objects, ...store.map(([key, value]) => ["store", key, "text", value] as const)];
  return (
    <>
      <table class="rows travel-table" aria-label="What there was">
        <thead>
          <tr>
            <th scope="col">What there was</th>
            <th scope="col">Type</th>
            <th scope="col">Value</th>
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, ROWS_MAX).map(([group, name, type, value]) => (
            <tr key={`${group} ${name}`}>
              <td>
                <span class="muted">{group}</span> {name}
              </td>
              <td>{type}</td>
              <td>
                <code>{value}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {(rows.length > ROWS_MAX || listing.isCut) && <Empty>There is more: ask for it by an expression.</Empty>}
    </>
  );
}
