/** What is selected, in full: the kernel, a cluster or a vat, and the objects it exports. */

import type { ComponentChildren, VNode } from "preact";
import type { ClusterStatus, VatStatus } from "./api.ts";
import { usePanel } from "./context.ts";
import { formatBytes, formatCount, formatDuration } from "./format.ts";
import { Collected } from "./garbage.tsx";
import { KernelActions } from "./kernel_actions.tsx";
import { Objects } from "./objects.tsx";
import { Chip, Fact, RefButton, RefText } from "./parts.tsx";
import { toneOfState, VatCondition } from "./overview.tsx";
import { Problem } from "./problem.tsx";
import { TimeTravel } from "./travel_view.tsx";
import { VatActions } from "./vat_actions.tsx";

export function Inspector(): VNode {
  const model = usePanel();
  const selection = model.selection.value;
  const vat = selection.kind === "vat" ? model.findVat(selection.vat) : undefined;
  const cluster = selection.kind === "cluster" ? model.findCluster(selection.cluster) : undefined;
  if (vat !== undefined) return <VatView vat={vat} />;
  if (cluster !== undefined) return <ClusterView cluster={cluster} />;
  return <KernelView />;
}

interface FrameProps {
  readonly title: string;
  readonly id?: string;
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
}

function Frame({ title, id = "", actions, children }: FrameProps): VNode {
  return (
    <section class="pane inspector" aria-label={`Inspector: ${title}`}>
      <div class="pane-head">
        <h2>
          {title} {id !== "" && <span class="id">{id}</span>}
        </h2>
        <span class="spring" />
        {actions}
      </div>
      <div class="scroll">{children}</div>
    </section>
  );
}

function KernelView(): VNode {
  const model = usePanel();
  const status = model.status.value;
  return (
    <Frame title="Kernel">
      <dl class="facts">
        {/* A problem that there is not is no fact. */}
        {status?.kernel
          .filter(([, value]) => value !== "")
          .map(([name, value]) => (
            <Fact key={name} name={capitalize(name.replaceAll("_", " "))}>
              {/^\d+$/.test(value) ? formatCount(Number(value)) : value}
            </Fact>
          ))}
      </dl>
      <KernelActions />
      <Collected />
      <Objects withVat />
    </Frame>
  );
}

function ClusterView({ cluster }: { readonly cluster: ClusterStatus }): VNode {
  const model = usePanel();
  const result = model.results.value.get(cluster.cluster);
  const isAlive = cluster.state !== "terminated";
  return (
    <Frame
      title={cluster.name}
      id={cluster.cluster}
      actions={
        isAlive && (
          <button
            type="button"
            class="danger"
            onClick={() => {
              model.dialog.value = { kind: "terminate", what: "cluster", id: cluster.cluster, name: cluster.name };
            }}
          >
            Terminate cluster
          </button>
        )
      }
    >
      <dl class="facts">
        <Fact name="State">
          <Chip tone={toneOfState(cluster.state)}>{cluster.state}</Chip>
        </Fact>
        <Fact name="Bootstrap vat">{cluster.bootstrap}</Fact>
        <Fact name="Vats">{formatCount(cluster.vats.size)}</Fact>
        {result?.status === "fulfilled" && (
          <Fact name="Bootstrap answered">
            <code class="value">
              <RefText text={result.value} />
            </code>
          </Fact>
        )}
      </dl>
      {result?.status === "rejected" && <Problem title="Bootstrap was rejected" text={result.value} />}
      {cluster.reason !== "" && <Problem title={`Why it is ${cluster.state}`} text={cluster.reason} />}
      <h3>Vats</h3>
      <table class="rows" aria-label="Vats of the cluster">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">State</th>
            <th scope="col">Root</th>
          </tr>
        </thead>
        <tbody>
          {[...cluster.vats].map(([name, id]) => {
            const vat = model.findVat(id);
            return (
              <tr key={id}>
                <td>
                  <button
                    type="button"
                    class="link"
                    onClick={() => {
                      model.selection.value = { kind: "vat", vat: id };
                    }}
                  >
                    {name}
                  </button>{" "}
                  <span class="id">{id}</span>
                </td>
                <td>{vat === undefined ? "–" : <VatCondition vat={vat} />}</td>
                <td>
                  {vat === undefined || vat.root === "" || vat.state === "terminated" ? (
                    "–"
                  ) : (
                    <RefButton kref={vat.root} />
                  )}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Frame>
  );
}

function VatView({ vat }: { readonly vat: VatStatus }): VNode {
  const model = usePanel();
  const cluster = model.findCluster(vat.cluster);
  const isAlive = vat.state !== "terminated";
  const busyMs = model.busyForMs(vat.vat);
  return (
    <Frame
      title={vat.name}
      id={vat.vat}
      actions={
        <>
          <button
            type="button"
            onClick={() => {
              model.log.setFilter({ ...model.log.filter.value, vat: vat.vat });
              model.focus("log-grid");
            }}
          >
            Show its messages
          </button>
          {isAlive && (
            <button
              type="button"
              class="danger"
              onClick={() => {
                model.dialog.value = { kind: "terminate", what: "vat", id: vat.vat, name: vat.name };
              }}
            >
              Terminate vat
            </button>
          )}
        </>
      }
    >
      <dl class="facts">
        <Fact name="State">
          <VatCondition vat={vat} />
        </Fact>
        <Fact name="Kind">{vat.kind}</Fact>
        <Fact name="Cluster">
          <button
            type="button"
            class="link"
            onClick={() => {
              model.selection.value = { kind: "cluster", cluster: vat.cluster };
            }}
          >
            {cluster?.name ?? vat.cluster}
          </button>
        </Fact>
        {isAlive && vat.root !== "" && (
          <Fact name="Root">
            <RefButton kref={vat.root} />
          </Fact>
        )}
        <Fact name="Deliveries">{formatCount(vat.deliveries)}</Fact>
        <Fact name="Queued">{formatCount(vat.queued)}</Fact>
        <Fact name="In flight">
          {vat.inflight ? `yes${busyMs === null ? "" : `, for ${formatDuration(busyMs)}`}` : "no"}
        </Fact>
        <Fact name="Memory">{formatBytes(vat.memoryBytes)}</Fact>
        {vat.meter !== "" && <Fact name="Last delivery">{vat.meter}</Fact>}
        <Fact name="Incarnation">{formatCount(vat.incarnation)}</Fact>
        {vat.realm !== "" && <Fact name="Realm">{vat.realm}</Fact>}
      </dl>
      {vat.fault !== "" && <Problem title="The vat cannot be brought back" text={vat.fault} />}
      {vat.reason !== "" && <Problem title={`Why it is ${vat.state}`} text={vat.reason} />}
      {isAlive && (
        <>
          <VatActions vat={vat} />
          <Collected />
          <TimeTravel vat={vat} />
          <Objects />
        </>
      )}
    </Frame>
  );
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
