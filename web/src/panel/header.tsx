/** The top line: connection, what the kernel holds, and the way to launch. */

import { useSignal, useSignalEffect } from "@preact/signals";
import type { VNode } from "preact";
import { usePanel } from "./context.ts";
import { plural } from "./format.ts";
import type { LaunchProblem } from "./launches.ts";
import { Spinner } from "./parts.tsx";
import { Problem } from "./problem.tsx";
import type { Connection } from "./rpc.ts";

/** A connection that is down for so long is worth a banner. */
const PATIENCE_MS = 3_000;

export function Header(): VNode {
  const model = usePanel();
  const status = model.status.value;
  const living = (status?.vats ?? []).filter(({ state }) => state !== "terminated").length;
  const clusters = (status?.clusters ?? []).filter(({ state }) => state !== "terminated").length;
  return (
    <header class="top">
      <h1>
        kernel<span class="under">_</span>py
      </h1>
      <ConnectionPill />
      {status !== null && (
        <span class="figures">
          {plural(clusters, "cluster")}, {plural(living, "vat")}
        </span>
      )}
      <span class="spring" />
      <button
        type="button"
        class="primary"
        aria-keyshortcuts="n"
        onClick={() => {
          model.dialog.value = { kind: "launch", draft: null };
        }}
      >
        Launch cluster
      </button>
      <button
        type="button"
        class="icon"
        aria-label="Keyboard shortcuts"
        aria-keyshortcuts="?"
        title="Keyboard shortcuts (?)"
        onClick={() => {
          model.dialog.value = { kind: "shortcuts" };
        }}
      >
        ?
      </button>
    </header>
  );
}

const CONNECTION_TEXTS: Readonly<Record<Connection["state"], string>> = {
  connecting: "Waiting for the kernel",
  live: "Connected",
  lost: "Reconnecting",
  asleep: "Asleep",
};

function ConnectionPill(): VNode {
  const { connection } = usePanel();
  const { state } = connection.value;
  return (
    <span class={`pill ${state}`} role="status" aria-label="Connection">
      {state === "live" || state === "asleep" ? <span class="mark" aria-hidden="true" /> : <Spinner />}
      {CONNECTION_TEXTS[state]}
    </span>
  );
}

/** Says what is going on when the kernel does not answer for a while. */
export function ConnectionBanner(): VNode | null {
  const model = usePanel();
  const sinceMs = useSignal(0);
  const reason = useSignal("");
  useSignalEffect(() => {
    const connection = model.connection.value;
    if (connection.state === "live") {
      sinceMs.value = 0;
      reason.value = "";
    } else if (sinceMs.peek() === 0) sinceMs.value = Date.now();
    if (connection.state === "lost") reason.value = connection.reason;
  });
  const { state } = model.connection.value;
  if (state === "live" || state === "asleep" || model.nowMs.value - sinceMs.value < PATIENCE_MS) return null;
  return (
    <div class="banner" role="status">
      <Spinner />
      <span>
        Waiting for the kernel. Nothing is lost: what has no answer is asked again as soon as there is a connection.
        {reason.value !== "" && <span class="muted"> ({reason.value})</span>}
      </span>
    </div>
  );
}

export function Notices(): VNode | null {
  const model = usePanel();
  const { problem } = model.launches;
  const isLaunchShown = model.dialog.value.kind === "launch";
  if (model.notices.value.length === 0 && (problem.value === null || isLaunchShown)) return null;
  return (
    <div class="notices" role="alert">
      {problem.value !== null && !isLaunchShown && <FailedLaunch problem={problem.value} />}
      {model.notices.value.map((notice) => (
        <div class="notice" key={notice.number}>
          <Problem title={notice.title} text={notice.text}>
            <Dismiss
              what={notice.title}
              onClick={() => {
                model.dismiss(notice);
              }}
            />
          </Problem>
        </div>
      ))}
    </div>
  );
}

/** A launch whose dialog was closed before it failed. */
function FailedLaunch({ problem }: { readonly problem: LaunchProblem }): VNode {
  const model = usePanel();
  const { draft, error } = problem;
  return (
    <div class="notice">
      <Problem title="Not launched" text={error.message} path={error.path} kind={error.kind}>
        <button
          type="button"
          class="small"
          onClick={() => {
            model.dialog.value = { kind: "launch", draft };
          }}
        >
          Show the cluster
        </button>
        <Dismiss
          what="Not launched"
          onClick={() => {
            model.launches.dismissProblem();
          }}
        />
      </Problem>
    </div>
  );
}

function Dismiss({ what, onClick }: { readonly what: string; readonly onClick: () => void }): VNode {
  return (
    <button type="button" class="small" aria-label={`Dismiss: ${what}`} onClick={onClick}>
      Dismiss
    </button>
  );
}
