/**
 * The message log in memory: bounded, filtered, and cheap while thousands of events arrive.
 *
 * Owns the lines. Events are taken in at once and shown in batches, at most one per frame.
 *
 * Invariants:
 * - At most `LINES_MAX` lines and about `CHARS_MAX` characters are kept; the oldest go first.
 * - `view.shown` holds exactly the lines that pass the filter; while paused, of those there were at the pause.
 * - A line's number never changes and is never used again; the lines are sorted by it.
 */

import { signal, type ReadonlySignal } from "@preact/signals";
import type { EventClass, KernelEvent } from "./api.ts";
import { firstLine } from "./format.ts";

export const LINES_MAX = 20_000;
const CHARS_MAX = 20_000_000;
/** Dropped at once when there are too many lines, so that dropping is rare. */
const LINES_DROPPED = LINES_MAX / 10;
/** Events that may wait for a frame; a page in the background gets none. */
const INCOMING_MAX = 1_000;
const BATCH_MS = 100;

export interface LogLine {
  readonly number: number;
  readonly event: KernelEvent;
  /** What happened, on one line. */
  readonly text: string;
}

export interface LogFilter {
  /** Words that must all be there; those with a leading "-" must not. Case is ignored. */
  readonly text: string;
  readonly hiddenClasses: ReadonlySet<EventClass>;
  /** A vat id; "" for all. */
  readonly vat: string;
}

export interface LogView {
  /** The lines that pass the filter. The same list may grow from one view to the next. */
  readonly shown: readonly LogLine[];
  /** Lines kept, whether shown or not. */
  readonly size: number;
  /** Lines that came since the pause and pass the filter. */
  readonly held: number;
  readonly isPaused: boolean;
}

export const NO_FILTER: LogFilter = { text: "", hiddenClasses: new Set(), vat: "" };

export class LogBuffer {
  readonly #vatName: (vat: string) => string;
  #lines: LogLine[] = [];
  #shown: LogLine[] = [];
  #chars = 0;
  #nextNumber = 1;
  #incoming: KernelEvent[] = [];
  #timer: number | undefined;
  #frame = 0;
  /** The lines there were at the pause; null while running. */
  #frozen: readonly LogLine[] | null = null;
  #held = 0;
  readonly #filter = signal<LogFilter>(NO_FILTER);
  readonly #view = signal<LogView>({ shown: [], size: 0, held: 0, isPaused: false });

  /** @param vatName what people call a vat; it can be searched for, too. */
  constructor(vatName: (vat: string) => string) {
    this.#vatName = vatName;
  }

  /** What there is to see, as of now. */
  get view(): ReadonlySignal<LogView> {
    return this.#view;
  }

  get filter(): ReadonlySignal<LogFilter> {
    return this.#filter;
  }

  add(event: KernelEvent): void {
    this.#incoming.push(event);
    if (this.#incoming.length >= INCOMING_MAX) this.#flush();
    else if (this.#timer === undefined) {
      this.#timer = setTimeout(this.#flush, BATCH_MS);
      this.#frame = requestAnimationFrame(this.#flush);
    }
  }

  setFilter(filter: LogFilter): void {
    this.#filter.value = filter;
    this.#refilter();
  }

  pause(): void {
    this.#flush();
    this.#frozen = [...this.#lines];
    this.#held = 0;
    this.#changed();
  }

  resume(): void {
    this.#flush();
    this.#frozen = null;
    this.#held = 0;
    this.#refilter();
  }

  clear(): void {
    this.#incoming = [];
    this.#lines = [];
    this.#chars = 0;
    this.#held = 0;
    if (this.#frozen !== null) this.#frozen = [];
    this.#refilter();
  }

  /** All that a vat printed in one delivery, filtered out or not: it arrives line by line. */
  printed(vat: string, number: number): string {
    return (this.#frozen ?? this.#lines)
      .map(({ event }) => event)
      .filter((event) => event.class === "Console" && event.vat === vat && event.number === number)
      .map(fullText)
      .join("\n");
  }

  /** The shown lines as JSON lines, for `jq`. */
  dump(): string {
    return this.#shown.map(({ event }) => `${JSON.stringify(toJson(event))}\n`).join("");
  }

  readonly #flush = (): void => {
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
    this.#timer = undefined;
    const events = this.#incoming;
    if (events.length === 0) return;
    this.#incoming = [];
    const passes = this.#predicate();
    for (const event of events) {
      const line = { number: this.#nextNumber++, event, text: summarize(event) };
      this.#lines.push(line);
      this.#chars += line.text.length;
      if (!passes(line)) continue;
      if (this.#frozen === null) this.#shown.push(line);
      else this.#held++;
    }
    this.#trim();
    this.#changed();
  };

  #trim(): void {
    let dropped = 0;
    if (this.#lines.length > LINES_MAX) dropped = this.#lines.length - LINES_MAX + LINES_DROPPED;
    for (const line of this.#lines.slice(0, dropped)) this.#chars -= line.text.length;
    while (this.#chars > CHARS_MAX && dropped < this.#lines.length - 1) {
      this.#chars -= this.#lines[dropped]?.text.length ?? 0;
      dropped++;
    }
    if (dropped === 0) return;
    this.#lines.splice(0, dropped);
    if (this.#frozen !== null) return;
    const first = this.#lines[0]?.number ?? Infinity;
    const kept = this.#shown.findIndex(({ number }) => number >= first);
    this.#shown.splice(0, kept < 0 ? this.#shown.length : kept);
  }

  #refilter(): void {
    this.#shown = (this.#frozen ?? this.#lines).filter(this.#predicate());
    this.#changed();
  }

  #changed(): void {
    this.#view.value = {
      shown: this.#shown,
      size: (this.#frozen ?? this.#lines).length,
      held: this.#held,
      isPaused: this.#frozen !== null,
    };
  }

  #predicate(): (line: LogLine) => boolean {
    const { text, hiddenClasses, vat } = this.#filter.peek();
    const words = text
      .toLowerCase()
      .split(/\s+/)
      .filter((word) => word !== "" && word !== "-");
    const wanted = words.filter((word) => !word.startsWith("-"));
    const unwanted = words.filter((word) => word.startsWith("-")).map((word) => word.slice(1));
    return (line) => {
      if (hiddenClasses.has(line.event.class)) return false;
      if (vat !== "" && line.event.vat !== vat) return false;
      if (words.length === 0) return true;
      const searched =
        `${line.event.class} ${line.event.vat} ${this.#vatName(line.event.vat)} ${fullText(line.event)}`.toLowerCase();
      return wanted.every((word) => searched.includes(word)) && !unwanted.some((word) => searched.includes(word));
    };
  }
}

/** An event on one line. */
function summarize(event: KernelEvent): string {
  const { line, more } = firstLine(fullText(event).trimEnd());
  // A traceback says at its end what happened.
  return more === 0 ? line : `${line} … ${fullText(event).trimEnd().split("\n").at(-1)?.trim() ?? ""}`;
}

/** All that an event says, apart from its time, class, vat and delivery number. */
export function fullText(event: KernelEvent): string {
  switch (event.class) {
    case "Sent":
    case "Got": {
      const call = `${event.target}${event.method === "()" ? "" : `.${event.method}`}(${event.args})`;
      return event.result === "" ? call : `${call} → ${event.result}`;
    }
    case "Fulfilled":
    case "Rejected":
      return `${event.promise} = ${event.value}`;
    case "Notified":
      return event.promises.join(", ");
    case "Console":
    case "Panel":
      return event.text;
    case "Logged":
      return join(": ", event.level, event.text);
    case "Vat":
      return join(": ", join(" ", event.name, event.state), event.reason);
    case "Cluster":
      return join(": ", join(" ", event.cluster, event.name, event.state), event.reason);
    case "Fault":
      return join(": ", event.fault, event.reason);
  }
}

function join(separator: string, ...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(separator);
}

/** An event as the kernel wrote it. */
export function toJson({ timeMs, vat, ...rest }: KernelEvent): Readonly<Record<string, unknown>> {
  return { time_ms: timeMs, ...(vat === "" ? {} : { vat }), ...rest };
}

/** The number of the delivery that an event belongs to, if it belongs to one. */
export function deliveryOf(event: KernelEvent): number | null {
  return "number" in event ? event.number : null;
}
