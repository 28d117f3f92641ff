/** The message log: a filter, a window on the lines that draws only those in sight, and one line in full. */

import { useSignal, type Signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { TargetedKeyboardEvent, VNode } from "preact";
import { EVENT_CLASSES, type EventClass, type KernelEvent } from "./api.ts";
import { usePanel } from "./context.ts";
import { formatCount, formatTime } from "./format.ts";
import { deliveryOf, fullText, NO_FILTER, toJson, type LogBuffer, type LogLine } from "./log_buffer.ts";
import { CopyButton, Empty, Fact, RefText } from "./parts.tsx";
import { Problem } from "./problem.tsx";

const ROW_PX = 22;
/** Lines drawn beyond the window's edges. */
const OVERSCAN = 12;

export function LogPane(): VNode {
  const { log } = usePanel();
  /** The number of the line that is shown in full; 0 for none. */
  const selected = useSignal(0);
  const line = findLine(log.view.value.shown, selected.value);
  return (
    <section class="pane log" aria-labelledby="log-title">
      <LogHead />
      <div class="log-body">
        <LogGrid selected={selected} />
        {line !== null && <LineView line={line} selected={selected} />}
      </div>
    </section>
  );
}

function LogHead(): VNode {
  const model = usePanel();
  const { log } = model;
  const { shown, size, held, isPaused } = log.view.value;
  const filter = log.filter.value;
  const isFiltered = filter.text !== "" || filter.vat !== "" || filter.hiddenClasses.size > 0;
  return (
    <div class="pane-head log-head">
      <h2 id="log-title">Messages</h2>
      <span class="count" aria-label="Lines shown">
        {isFiltered ? `${formatCount(shown.length)} of ${formatCount(size)}` : formatCount(size)}
      </span>
      <input
        id="log-filter"
        type="search"
        class="compact"
        aria-label="Filter messages"
        aria-keyshortcuts="/"
        placeholder="Filter: words, -not"
        value={filter.text}
        onInput={(event) => {
          log.setFilter({ ...filter, text: event.currentTarget.value });
        }}
      />
      <VatSelect />
      <ClassToggles />
      {isFiltered && (
        <button
          type="button"
          class="small"
          onClick={() => {
            log.setFilter(NO_FILTER);
          }}
        >
          Show all
        </button>
      )}
      <span class="spring" />
      <button
        type="button"
        aria-pressed={isPaused}
        aria-keyshortcuts="p"
        class="toggle"
        onClick={() => {
          if (isPaused) log.resume();
          else log.pause();
        }}
      >
        {isPaused ? "Resume" : "Pause"}
        {held > 0 && <span class="held"> {formatCount(held)} new</span>}
      </button>
      <button
        type="button"
        onClick={() => {
          log.clear();
        }}
      >
        Clear
      </button>
      <button
        type="button"
        title="Save the lines that are shown as JSON lines"
        onClick={() => {
          save("messages.jsonl", log.dump());
        }}
      >
        Save
      </button>
    </div>
  );
}

function VatSelect(): VNode {
  const model = usePanel();
  const filter = model.log.filter.value;
  const vats = [...model.vats.value.values()];
  // A vat that is gone can still be filtered by.
  const isGone = filter.vat !== "" && !model.vats.value.has(filter.vat);
  return (
    <select
      aria-label="Vat"
      class="compact"
      value={filter.vat}
      onChange={(event) => {
        model.log.setFilter({ ...filter, vat: event.currentTarget.value });
      }}
    >
      <option value="">All vats</option>
      {isGone && <option value={filter.vat}>{filter.vat}</option>}
      {vats.map(({ vat, name }) => (
        <option key={vat} value={vat}>
          {name} {vat}
        </option>
      ))}
    </select>
  );
}

function ClassToggles(): VNode {
  const { log } = usePanel();
  const filter = log.filter.value;
  const toggle = (name: EventClass): void => {
    const hiddenClasses = new Set(filter.hiddenClasses);
    if (!hiddenClasses.delete(name)) hiddenClasses.add(name);
    log.setFilter({ ...filter, hiddenClasses });
  };
  const only = (name: EventClass): void => {
    log.setFilter({ ...filter, hiddenClasses: new Set(EVENT_CLASSES.filter((other) => other !== name)) });
  };
  return (
    <div class="classes" role="group" aria-label="Classes shown">
      {EVENT_CLASSES.map((name) => (
        <button
          key={name}
          type="button"
          class={`class ${name}`}
          aria-pressed={!filter.hiddenClasses.has(name)}
          title={`${name}: click to show or hide, Alt+click to show nothing else`}
          onClick={(event) => {
            if (event.altKey) only(name);
            else toggle(name);
          }}
        >
          {name}
        </button>
      ))}
    </div>
  );
}

function LogGrid({ selected }: { readonly selected: Signal<number> }): VNode {
  const model = usePanel();
  const { log } = model;
  const { shown: lines, size } = log.view.value;
  const { grid, first, last, scrollTo } = useWindow(log);

  const select = (index: number): void => {
    const line = lines[Math.max(0, Math.min(index, lines.length - 1))];
    if (line === undefined) return;
    selected.value = line.number;
    scrollTo(lines.indexOf(line));
  };
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLElement>): void => {
    const page = Math.max(1, last - first - 2 * OVERSCAN);
    const at = selected.value === 0 ? null : lowerBound(lines, selected.value);
    const moves: Readonly<Partial<Record<string, number>>> = {
      ArrowDown: at === null ? lines.length - 1 : at + 1,
      ArrowUp: at === null ? lines.length - 1 : at - 1,
      PageDown: (at ?? lines.length) + page,
      PageUp: (at ?? lines.length) - page,
      Home: 0,
      End: lines.length - 1,
    };
    const move = moves[event.key];
    if (move !== undefined) select(move);
    else if (event.key === "Escape" && selected.value !== 0) selected.value = 0;
    else return;
    event.preventDefault();
  };

  return (
    <div
      id="log-grid"
      ref={grid}
      class="log-grid"
      role="grid"
      aria-label="Message log"
      aria-rowcount={lines.length + 1}
      aria-colcount={5}
      aria-activedescendant={selected.value === 0 ? undefined : `line-${String(selected.value)}`}
      tabIndex={0}
      onKeyDown={onKeyDown}
    >
      <div class="line line-head" role="row" aria-rowindex={1}>
        <span role="columnheader" class="time">
          Time
        </span>
        <span role="columnheader">Class</span>
        <span role="columnheader">Vat</span>
        <span role="columnheader" class="figure" title="The number of the delivery in its vat">
          No.
        </span>
        <span role="columnheader">What</span>
      </div>
      {lines.length === 0 && (
        <Empty>{size === 0 ? "Messages appear here as vats exchange them." : "Nothing passes the filter."}</Empty>
      )}
      <div class="lines" role="rowgroup" style={{ height: `${String(lines.length * ROW_PX)}px` }}>
        {lines.slice(first, last).map((line, index) => (
          <LogRow
            key={line.number}
            line={line}
            index={first + index}
            vatName={model.findVat(line.event.vat)?.name ?? ""}
            isSelected={line.number === selected.value}
            onSelect={() => {
              selected.value = line.number === selected.value ? 0 : line.number;
            }}
          />
        ))}
      </div>
    </div>
  );
}

interface LogRowProps {
  readonly line: LogLine;
  readonly index: number;
  readonly vatName: string;
  readonly isSelected: boolean;
  readonly onSelect: () => void;
}

function LogRow({ line, index, vatName, isSelected, onSelect }: LogRowProps): VNode {
  const { event } = line;
  const number = deliveryOf(event);
  return (
    <div
      id={`line-${String(line.number)}`}
      class={`line ${event.class}`}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isSelected}
      style={{ transform: `translateY(${String(index * ROW_PX)}px)` }}
      onClick={onSelect}
    >
      <span role="gridcell" class="time">
        {formatTime(event.timeMs)}
      </span>
      <span role="gridcell" class="event-class">
        {event.class}
      </span>
      <span role="gridcell" class="vat">
        {vatName === "" ? event.vat : vatName} {vatName !== "" && <span class="id">{event.vat}</span>}
      </span>
      <span role="gridcell" class="figure">
        {number === null ? "" : formatCount(number)}
      </span>
      <span role="gridcell" class="what">
        {line.text}
      </span>
    </div>
  );
}

interface Window {
  readonly grid: { current: HTMLDivElement | null };
  /** The lines to draw. */
  readonly first: number;
  readonly last: number;
  /** Brings a line into sight. */
  readonly scrollTo: (index: number) => void;
}

/**
 * Which lines are in sight. At the end of the log it follows what comes; elsewhere the line at the upper edge
 * stays where it is, whatever is dropped or filtered out before it.
 */
function useWindow(log: LogBuffer): Window {
  const view = log.view.value;
  const grid = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const height = useSignal(400);
  const isFollowing = useRef(true);
  /** The line at the upper edge, and how much of it is out of sight. */
  const anchor = useRef({ number: 0, px: 0 });

  useEffect(() => {
    const element = grid.current;
    if (element === null) return undefined;
    const look = (): void => {
      top.value = element.scrollTop;
      height.value = element.clientHeight;
      isFollowing.current = element.scrollTop + element.clientHeight >= element.scrollHeight - ROW_PX;
      const index = Math.floor(element.scrollTop / ROW_PX);
      anchor.current = { number: log.view.peek().shown[index]?.number ?? 0, px: element.scrollTop - index * ROW_PX };
    };
    const resized = new ResizeObserver(() => {
      if (isFollowing.current) element.scrollTop = element.scrollHeight;
      look();
    });
    resized.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      resized.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, [log, top, height]);

  useLayoutEffect(() => {
    const element = grid.current;
    if (element === null) return;
    if (isFollowing.current) element.scrollTop = element.scrollHeight;
    else element.scrollTop = lowerBound(view.shown, anchor.current.number) * ROW_PX + anchor.current.px;
    top.value = element.scrollTop;
  }, [view, top]);

  const first = Math.max(0, Math.floor(top.value / ROW_PX) - OVERSCAN);
  const last = Math.ceil((top.value + height.value) / ROW_PX) + OVERSCAN;
  const scrollTo = (index: number): void => {
    const element = grid.current;
    if (element === null) return;
    // The head of the table covers the first row's height.
    const above = index * ROW_PX;
    const below = above + 2 * ROW_PX - element.clientHeight;
    element.scrollTop = Math.min(above, Math.max(below, element.scrollTop));
  };
  return { grid, first, last, scrollTo };
}

/** One line, with all that there is about it. */
function LineView({ line, selected }: { readonly line: LogLine; readonly selected: Signal<number> }): VNode {
  const model = usePanel();
  const { event } = line;
  const vat = model.findVat(event.vat);
  const number = deliveryOf(event);
  return (
    <aside class="line-view" aria-label="Selected message">
      <div class="line-view-head">
        <strong class={`event-class ${event.class}`}>{event.class}</strong>
        <span class="spring" />
        <CopyButton text={JSON.stringify(toJson(event), null, 2)} label="Copy JSON" />
        <button
          type="button"
          class="icon small"
          aria-label="Close the selected message"
          onClick={() => {
            selected.value = 0;
            model.focus("log-grid");
          }}
        >
          ×
        </button>
      </div>
      <dl class="facts">
        <Fact name="Time">{formatTime(event.timeMs)}</Fact>
        {event.vat !== "" && (
          <Fact name="Vat">
            <button
              type="button"
              class="link"
              disabled={vat === undefined}
              onClick={() => {
                model.selection.value = { kind: "vat", vat: event.vat };
                model.focus("clusters-grid");
              }}
            >
              {vat === undefined ? event.vat : `${vat.name} ${event.vat}`}
            </button>
          </Fact>
        )}
        {number !== null && <Fact name="Delivery">{formatCount(number)}</Fact>}
        {promisesOf(event).length > 0 && (
          <Fact name="Follow">
            {promisesOf(event).map((promise) => (
              <button
                key={promise}
                type="button"
                class="link mono"
                aria-label={`Show only messages about ${promise}`}
                onClick={() => {
                  model.log.setFilter({ ...NO_FILTER, text: promise });
                }}
              >
                {promise}
              </button>
            ))}
          </Fact>
        )}
      </dl>
      <LineText event={event} />
    </aside>
  );
}

function LineText({ event }: { readonly event: KernelEvent }): VNode {
  const { log } = usePanel();
  const text = event.class === "Console" ? log.printed(event.vat, event.number) : fullText(event);
  if (event.class === "Fault" || text.includes("Traceback (most recent call last):")) return <Problem text={text} />;
  return (
    <pre class="value">
      <RefText text={text} />
    </pre>
  );
}

function promisesOf(event: KernelEvent): readonly string[] {
  switch (event.class) {
    case "Sent":
    case "Got":
      return event.result === "" ? [] : [event.result];
    case "Fulfilled":
    case "Rejected":
      return [event.promise];
    case "Notified":
      return event.promises.slice(0, 20);
    default:
      return [];
  }
}

/** The index of the first line whose number is not below `number`. */
function lowerBound(lines: readonly LogLine[], number: number): number {
  let low = 0;
  let high = lines.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((lines[middle]?.number ?? Infinity) < number) low = middle + 1;
    else high = middle;
  }
  return low;
}

function findLine(lines: readonly LogLine[], number: number): LogLine | null {
  const line = lines[lowerBound(lines, number)];
  return line?.number === number ? line : null;
}

function save(name: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/jsonl" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
