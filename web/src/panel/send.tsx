/** Sending messages, and what became of those that were sent. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { TargetedKeyboardEvent, TargetedSubmitEvent, VNode } from "preact";
import type { Settled } from "./api.ts";
import { usePanel } from "./context.ts";
import { errorIdOf, isRaiser } from "./error_reports.ts";
import { formatDuration, formatTime } from "./format.ts";
import { Chip, CopyButton, Empty, RefText, Spinner } from "./parts.tsx";
import { Problem } from "./problem.tsx";
import { formatCall, type SendRecord } from "./sends.ts";
import { TargetPicker } from "./target_picker.tsx";

export function SendPane(): VNode {
  return (
    <section class="pane send" aria-labelledby="send-title">
      <div class="pane-head">
        <h2 id="send-title">Send</h2>
      </div>
      <Composer />
      <History />
    </section>
  );
}

function Composer(): VNode {
  const model = usePanel();
  const { target, method, args } = model.composer;
  const argsField = useRef<HTMLInputElement>(null);
  /** How far back in the history the fields were filled from; -1 for what was typed. */
  const recalled = useSignal(-1);
  const onSubmit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    model.send(target.value.trim(), method.value.trim(), args.value.trim());
    recalled.value = -1;
    argsField.current?.focus();
    argsField.current?.select();
  };
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLElement>): void => {
    if (!event.altKey || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
    event.preventDefault();
    const index = recalled.value + (event.key === "ArrowUp" ? 1 : -1);
    const record = model.sends.records.value[index];
    if (record === undefined) return;
    recalled.value = index;
    target.value = record.target;
    method.value = record.method;
    args.value = record.args;
  };
  return (
    <form class="composer" aria-label="Send a message" onSubmit={onSubmit} onKeyDown={onKeyDown}>
      <div class="call">
        <TargetPicker value={target} />
        <div class="field method">
          <label for="send-method">Method</label>
          <input
            id="send-method"
            class="mono"
            autocomplete="off"
            spellcheck={false}
            required
            placeholder="method"
            value={method.value}
            onInput={(event) => {
              method.value = event.currentTarget.value;
            }}
          />
        </div>
        <div class="field args">
          <label for="send-args">Arguments</label>
          <input
            id="send-args"
            ref={argsField}
            class="mono"
            autocomplete="off"
            spellcheck={false}
            placeholder="3, 'x', ko23, amount=5"
            aria-describedby="send-args-hint"
            value={args.value}
            onInput={(event) => {
              args.value = event.currentTarget.value;
            }}
          />
        </div>
        <span id="send-args-hint" class="hint">
          Python literals; Alt+↑ recalls
        </span>
        <button type="submit" class="primary">
          Send
        </button>
      </div>
    </form>
  );
}

function History(): VNode {
  const model = usePanel();
  const records = model.sends.records.value;
  return (
    <div class="history scroll" id="history" role="region" aria-labelledby="history-title" tabIndex={-1}>
      <div class="history-head">
        <h3 id="history-title">Sent from here</h3>
        <span class="spring" />
        {records.length > 0 && (
          <button
            type="button"
            class="small"
            onClick={() => {
              model.sends.clear();
            }}
          >
            Clear answered
          </button>
        )}
      </div>
      {records.length === 0 ? (
        <Empty>Pick an object, name a method, and send. The answer appears here.</Empty>
      ) : (
        <ol aria-label="Sent messages">
          {records.map((record) => (
            <HistoryItem key={record.id} record={record} />
          ))}
        </ol>
      )}
    </div>
  );
}

function HistoryItem({ record }: { readonly record: SendRecord }): VNode {
  const model = usePanel();
  const { target, method, args, timeMs } = record;
  const outcome = record.outcome.value;
  return (
    <li class={`sent ${outcome.kind}`}>
      <div class="sent-head">
        <code class="sent-call">
          <RefText text={formatCall(target, method, args)} />
        </code>
        <SendState record={record} />
      </div>
      {outcome.kind === "settled" && outcome.settled.status === "fulfilled" && (
        <pre class="value">
          <RefText text={outcome.settled.value} />
        </pre>
      )}
      {outcome.kind === "settled" && outcome.settled.status === "rejected" && <Rejection settled={outcome.settled} />}
      {outcome.kind === "refused" && (
        <Problem
          title="The kernel did not send it"
          text={outcome.error.message}
          path={outcome.error.path}
          kind={outcome.error.kind}
        />
      )}
      {outcome.kind === "settled" && outcome.settled.body !== "" && (
        <details>
          <summary>Capdata</summary>
          <pre>{outcome.settled.body}</pre>
          {outcome.settled.slots.length > 0 && (
            <pre>
              slots: <RefText text={outcome.settled.slots.join(", ")} />
            </pre>
          )}
        </details>
      )}
      <div class="sent-foot">
        <time dateTime={new Date(timeMs).toISOString()}>{formatTime(timeMs)}</time>
        {outcome.kind === "settled" && <span>took {formatDuration(outcome.tookMs)}</span>}
        <span class="spring" />
        {outcome.kind === "settled" && outcome.settled.status === "fulfilled" && (
          <CopyButton text={outcome.settled.value} label="Copy value" />
        )}
        <button
          type="button"
          class="small"
          aria-label={`Use again: ${formatCall(target, method, args)}`}
          onClick={() => {
            model.compose(target, method, args);
          }}
        >
          Use again
        </button>
      </div>
    </li>
  );
}

/** The error, and what vats printed about it and about what it came of, if that was seen here. */
function Rejection({ settled }: { readonly settled: Settled }): VNode {
  const model = usePanel();
  const id = errorIdOf(settled);
  const reports = model.errors.find(id).map((report) => {
    const vat = model.findVat(report.vat);
    const what = isRaiser(report) ? (report.id === id ? "raised" : "which came of what was raised") : "passed on";
    const name = vat === undefined ? report.vat : `${vat.name} (${report.vat})`;
    return { where: `${what} in vat ${name}, delivery ${report.number}`, text: report.text };
  });
  return <Problem text={settled.value} reports={reports} />;
}

function SendState({ record }: { readonly record: SendRecord }): VNode {
  const model = usePanel();
  const outcome = record.outcome.value;
  switch (outcome.kind) {
    case "unanswered": {
      const waited = Math.max(0, model.nowMs.value - record.timeMs);
      return (
        <span class="chip busy">
          <Spinner />
          {record.delivered.value ? "pending" : "waiting for the kernel"}
          {waited >= 1_000 && (
            <span class="muted">{formatDuration(Math.floor(waited / 1_000) * 1_000).replace(".0 s", " s")}</span>
          )}
        </span>
      );
    }
    case "settled":
      return <Chip tone={outcome.settled.status === "fulfilled" ? "good" : "bad"}>{outcome.settled.status}</Chip>;
    case "refused":
      return <Chip tone="bad">refused</Chip>;
  }
}
