/** Clusters and their vats, as a tree of rows. Moving through it selects what the inspector shows. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { TargetedKeyboardEvent, VNode } from "preact";
import type { ClusterStatus, Status, VatStatus } from "./api.ts";
import { usePanel } from "./context.ts";
import { EXAMPLES } from "./examples.ts";
import { formatBytes, formatCount, formatDuration } from "./format.ts";
import type { PanelModel, Selection } from "./model.ts";
import { Chip, Spinner, type Tone } from "./parts.tsx";

/** Vats shown of one cluster until more are asked for. */
const VATS_SHOWN = 100;
/** A delivery that takes longer is pointed out. */
const LONG_DELIVERY_MS = 2_000;

type Row =
  | { readonly kind: "kernel"; readonly key: string }
  | { readonly kind: "cluster"; readonly key: string; readonly cluster: ClusterStatus; readonly isOpen: boolean }
  | { readonly kind: "vat"; readonly key: string; readonly vat: VatStatus }
  | { readonly kind: "more"; readonly key: string; readonly cluster: string; readonly count: number };

export function Overview(): VNode {
  const model = usePanel();
  const filter = useSignal("");
  const status = model.status.value;
  return (
    <section class="pane overview" aria-labelledby="clusters-title">
      <div class="pane-head">
        <h2 id="clusters-title">Clusters</h2>
        <span class="spring" />
        <input
          id="vat-filter"
          type="search"
          class="compact"
          aria-label="Filter vats"
          placeholder="Filter vats"
          value={filter.value}
          onInput={(event) => {
            filter.value = event.currentTarget.value;
          }}
        />
      </div>
      <div class="scroll">
        {status === null ? (
          <p class="empty">
            <Spinner /> Waiting for the kernel
          </p>
        ) : (
          <Grid status={status} filter={filter.value} />
        )}
        <Launching />
        {status?.clusters.length === 0 && model.launches.running.value.length === 0 && <Welcome />}
      </div>
    </section>
  );
}

function Grid({ status, filter }: { readonly status: Status; readonly filter: string }): VNode {
  const model = usePanel();
  /** Clusters that are shown otherwise than they are by default. */
  const toggled = useSignal<ReadonlySet<string>>(new Set());
  const unbounded = useSignal<ReadonlySet<string>>(new Set());
  const body = useRef<HTMLTableSectionElement>(null);
  const rows = makeRows(status, filter, toggled.value, unbounded.value);
  const selected = keyOf(model.selection.value);
  const current = rows.some(({ key }) => key === selected) ? selected : "kernel";

  const toggle = (cluster: string): void => {
    const next = new Set(toggled.value);
    if (!next.delete(cluster)) next.add(cluster);
    toggled.value = next;
  };
  const choose = (row: Row | undefined): void => {
    if (row === undefined) return;
    if (row.kind === "more") unbounded.value = new Set([...unbounded.value, row.cluster]);
    else select(model, row);
    requestAnimationFrame(() => {
      body.current?.querySelector<HTMLElement>('tr[tabindex="0"]')?.focus();
    });
  };
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLElement>): void => {
    const index = rows.findIndex(({ key }) => key === current);
    const row = rows[index];
    const target = targetOfKey(event.key, rows, index);
    if (target !== undefined) choose(target);
    else if (row?.kind === "cluster" && row.isOpen === (event.key === "ArrowLeft") && isSideways(event.key))
      toggle(row.cluster.cluster);
    else return;
    event.preventDefault();
  };

  return (
    <table role="treegrid" aria-label="Clusters and vats" class="rows">
      <thead>
        <tr>
          <th scope="col">Name</th>
          <th scope="col" class="kind">
            Kind
          </th>
          <th scope="col">State</th>
          <th scope="col" class="figure" title="Deliveries that the vat has completed">
            Deliv.
          </th>
          <th scope="col" class="figure queued" title="Deliveries that wait for the vat">
            Queue
          </th>
          <th scope="col" class="figure memory">
            Memory
          </th>
        </tr>
      </thead>
      <tbody ref={body} onKeyDown={onKeyDown}>
        {rows.map((row) => (
          <tr
            key={row.key}
            id={row.key === current ? "clusters-grid" : undefined}
            class={row.kind}
            tabIndex={row.key === current ? 0 : -1}
            aria-level={row.kind === "vat" || row.kind === "more" ? 2 : 1}
            aria-selected={row.key === current}
            aria-expanded={row.kind === "cluster" ? row.isOpen : undefined}
            onClick={() => {
              choose(row);
            }}
            onDblClick={() => {
              if (row.kind === "cluster") toggle(row.cluster.cluster);
            }}
          >
            <Cells row={row} onToggle={toggle} />
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Cells({ row, onToggle }: { readonly row: Row; readonly onToggle: (cluster: string) => void }): VNode {
  switch (row.kind) {
    case "kernel":
      return (
        <td role="gridcell" colSpan={6}>
          Kernel
        </td>
      );
    case "more":
      return (
        <td role="gridcell" colSpan={6}>
          Show {formatCount(row.count)} more
        </td>
      );
    case "cluster":
      return (
        <>
          <td role="gridcell" colSpan={2}>
            <span
              class={`twist ${row.isOpen ? "open" : ""}`}
              aria-hidden="true"
              onClick={(event) => {
                event.stopPropagation();
                onToggle(row.cluster.cluster);
              }}
            />
            {row.cluster.name} <span class="id">{row.cluster.cluster}</span>
          </td>
          <td role="gridcell" colSpan={4}>
            <Chip tone={toneOfState(row.cluster.state)}>{row.cluster.state}</Chip>
          </td>
        </>
      );
    case "vat":
      return <VatCells vat={row.vat} />;
  }
}

function VatCells({ vat }: { readonly vat: VatStatus }): VNode {
  return (
    <>
      <td role="gridcell" class="name">
        {vat.name} <span class="id">{vat.vat}</span>
      </td>
      <td role="gridcell" class="kind">
        {vat.kind}
      </td>
      <td role="gridcell">
        <VatCondition vat={vat} />
      </td>
      <td role="gridcell" class="figure">
        {formatCount(vat.deliveries)}
      </td>
      <td role="gridcell" class="figure queued">
        {vat.queued === 0 ? <span class="nil">0</span> : formatCount(vat.queued)}
      </td>
      <td role="gridcell" class="figure memory">
        {formatBytes(vat.memoryBytes)}
      </td>
    </>
  );
}

/** A vat's state; how long it has been in its delivery, if that is long; or that it cannot be brought back. */
export function VatCondition({ vat }: { readonly vat: VatStatus }): VNode {
  const busyMs = usePanel().busyForMs(vat.vat);
  if (vat.state === "terminated") return <Chip tone="quiet">terminated</Chip>;
  if (vat.realm === "broken" || vat.fault !== "") return <Chip tone="bad">broken</Chip>;
  if (busyMs !== null && busyMs >= LONG_DELIVERY_MS)
    return <Chip tone="busy">busy {formatDuration(Math.floor(busyMs / 1_000) * 1_000).replace(".0 s", " s")}</Chip>;
  return <Chip tone={toneOfState(vat.state)}>{vat.state}</Chip>;
}

export function toneOfState(state: string): Tone {
  switch (state) {
    case "running":
      return "good";
    case "starting":
    case "launching":
      return "busy";
    case "failed":
      return "bad";
    default:
      return "quiet";
  }
}

function Launching(): VNode | null {
  const model = usePanel();
  if (model.launches.running.value.length === 0) return null;
  return (
    <ul class="launching" aria-label="Launches under way">
      {model.launches.running.value.map((launch) => (
        <li key={launch.id}>
          <Spinner /> Launching {launch.name}:{" "}
          {launch.delivered.value ? "waiting for bootstrap" : "waiting for the kernel"}
          <span class="muted"> {formatDuration(Math.max(0, model.nowMs.value - launch.startedMs))}</span>
        </li>
      ))}
    </ul>
  );
}

/** What to do first. */
function Welcome(): VNode {
  const model = usePanel();
  return (
    <div class="welcome">
      <p>
        Nothing runs yet. Launch an example, or drop a folder with a cluster.json and its Python files anywhere here.
      </p>
      <ul>
        {EXAMPLES.map(({ name, summary, draft }) => (
          <li key={name}>
            <button
              type="button"
              onClick={() => {
                void model.launches.launch(draft).then((isUp) => {
                  if (!isUp) model.dialog.value = { kind: "launch", draft };
                });
              }}
            >
              Launch {name}
            </button>
            <span class="muted">{summary}</span>
          </li>
        ))}
      </ul>
      <button
        type="button"
        class="link"
        onClick={() => {
          model.dialog.value = { kind: "launch", draft: null };
        }}
      >
        Write or paste one
      </button>
    </div>
  );
}

function makeRows(
  status: Status,
  filter: string,
  toggled: ReadonlySet<string>,
  unbounded: ReadonlySet<string>,
): readonly Row[] {
  const wanted = filter.trim().toLowerCase();
  const byCluster = Map.groupBy(status.vats, ({ cluster }) => cluster);
  const isDead = ({ state }: ClusterStatus): boolean => state === "terminated";
  const clusters = [...status.clusters.filter((one) => !isDead(one)), ...status.clusters.filter(isDead)];
  const rows: Row[] = [{ kind: "kernel", key: "kernel" }];
  for (const cluster of clusters) {
    const id = cluster.cluster;
    const all = byCluster.get(id) ?? [];
    const found = all.filter(
      ({ name, vat, kind, state }) =>
        wanted === "" || `${cluster.name} ${name} ${vat} ${kind} ${state}`.toLowerCase().includes(wanted),
    );
    if (wanted !== "" && found.length === 0) continue;
    const isOpen = wanted !== "" || toggled.has(id) === isDead(cluster);
    rows.push({ kind: "cluster", key: `cluster ${id}`, cluster, isOpen });
    if (!isOpen) continue;
    const shown = unbounded.has(id) ? found : found.slice(0, VATS_SHOWN);
    for (const vat of shown) rows.push({ kind: "vat", key: `vat ${vat.vat}`, vat });
    if (shown.length < found.length)
      rows.push({ kind: "more", key: `more ${id}`, cluster: id, count: found.length - shown.length });
  }
  return rows;
}

function keyOf(selection: Selection): string {
  switch (selection.kind) {
    case "kernel":
      return "kernel";
    case "cluster":
      return `cluster ${selection.cluster}`;
    case "vat":
      return `vat ${selection.vat}`;
  }
}

function select(model: PanelModel, row: Exclude<Row, { kind: "more" }>): void {
  if (row.kind === "kernel") model.selection.value = { kind: "kernel" };
  else if (row.kind === "vat") model.selection.value = { kind: "vat", vat: row.vat.vat };
  else model.selection.value = { kind: "cluster", cluster: row.cluster.cluster };
}

function isSideways(key: string): boolean {
  return key === "ArrowLeft" || key === "ArrowRight";
}

/** The row that a key leads to from row `index`. */
function targetOfKey(key: string, rows: readonly Row[], index: number): Row | undefined {
  switch (key) {
    case "ArrowDown":
      return rows[index + 1];
    case "ArrowUp":
      return rows[index - 1];
    case "Home":
      return rows[0];
    case "End":
      return rows.at(-1);
    case "Enter":
      return rows[index]?.kind === "more" ? rows[index] : undefined;
    case "ArrowLeft":
      // From a vat to its cluster.
      return rows[index]?.kind === "vat" ? rows.slice(0, index).findLast(({ kind }) => kind === "cluster") : undefined;
    default:
      return undefined;
  }
}
