/**
 * A realm's conversation with the kernel (`kernel_py/wire/protocol.py`), apart from what the vat has to do with it.
 *
 * A vat's heap is to be the same after a delivery wherever and however it came there, down to the last byte: in the
 * realm that lived through it, in one that replayed it, in one that was restored in between. So Python sees a life and
 * nothing else, each text of it once:
 *
 *     start, go, (deliver | upgrade | snapshot, go)*, look*
 *
 * Everything that depends on connections and on comebacks is done here: hello, deliveries that come again, replays, which are
 * the same deliveries with their outcome compared instead of sent, and the go after them.
 *
 * Invariants:
 * - `receive` never throws unless Python breaks down.
 * - After a look nothing but looks is carried out: this heap can never be the living vat's.
 * - After a failure, ours or Python's, everything new is answered with it, and nothing more is carried out.
 * - `dumpState` is all that a restored realm must know besides the heap.
 */

import { sliceItems, sliceValue } from "../shared/json_slices.ts";
import { describeError, parseFields, parseInteger, parseText } from "../shared/parse.ts";

/** As `kernel_py.wire.limits`: deliveries whose answers the kernel may not have. */
const DELIVERIES_INFLIGHT_MAX = 32;
/** Length of a syscall that is quoted in an error. */
const QUOTE_CHARS_MAX = 1000;

const DELIVER = /^\["deliver",([0-9]+),/;
const REPLAY = '["replay",[';
const ENTRY = /^\{"n":([0-9]+),"t":([0-9]+),"d":/;
/** Both kinds of snapshots leave the same heap. */
const SNAPSHOT = '["snapshot","take"]';

export interface Answer {
  /** To be sent, one text a line; "" if nothing is. */
  readonly texts: string;
  /** What is to be done with the heap now, before anything else; then `afterSnapshot` is called. */
  readonly snapshot: "take" | "check" | null;
}

/** What goes and comes back with the heap; `StoreFiles` is meant. */
export interface Checkpoints {
  wipe(): void;
  mark(delivered: number): void;
  rewind(delivered: number): void;
}

export class Conversation {
  /** Hands Python a text; its answers, one a line. */
  readonly #call: (text: string) => string;
  readonly #base: string;
  readonly #files: Checkpoints | null;
  #vat: string | null = null;
  #name = "";
  #incarnation = 0;
  #delivered = 0;
  /** Number of deliveries at the last snapshot. */
  #marked = 0;
  /** Whether the vat is as far as the kernel's record: deliveries pass. */
  #isReady = false;
  /** Whether it was looked at. */
  #isDetached = false;
  #failure = "";
  /** By number, the last deliveries and their answers. */
  readonly #answered = new Map<number, { readonly text: string; readonly answer: string }>();

  /**
   * `base`: id of the image that the realm started from; "" if there is none, and so can be no snapshots.
   * `files`: what the vat has outside its heap; null if it has nothing.
   */
  constructor(call: (text: string) => string, base: string, files: Checkpoints | null = null) {
    this.#call = call;
    this.#base = base;
    this.#files = files;
  }

  get delivered(): number {
    return this.#delivered;
  }

  /** The first text on a new port. */
  hello(): string {
    return JSON.stringify([
      "hello",
      {
        protocol: 1,
        vat: this.#vat,
        incarnation: this.#incarnation,
        delivered: this.#delivered,
        ...(this.#marked > 0 && { marked: this.#marked }),
        ...(this.#base !== "" && { base: this.#base }),
      },
    ]);
  }

  /** Takes one text of the kernel's. */
  receive(text: string): Answer {
    const delivery = DELIVER.exec(text);
    if (delivery !== null) return say(this.#deliver(Number(delivery[1]), text));
    if (this.#failure !== "") return say(this.#failure);
    if (this.#isDetached && text.startsWith(REPLAY)) return say(this.#refuse("replay"));
    if (text.startsWith(REPLAY)) return say(this.#replay(sliceItems(text, REPLAY.length - 1)));
    let message;
    try {
      message = JSON.parse(text) as unknown;
    } catch {
      return say(this.#fail(`not a message of the kernel: ${text.slice(0, 200)}`));
    }
    const [kind, value] = (Array.isArray(message) ? message : []) as unknown[];
    if (kind === "look") return say(this.#look(text));
    if (this.#isDetached) return say(this.#refuse(String(kind)));
    if (kind === "snapshot") return this.#snapshot(value === "take" ? "take" : "check");
    if (kind === "go") return say(this.#go(value));
    if (kind === "start") this.#files?.wipe();
    // A start or an upgrade; if it is neither, Python says so.
    const answer = this.#pass(text);
    if (!isFailure(answer)) this.#become(parseFields(value, "a specification"), kind === "start");
    return say(answer);
  }

  /** The heap is as it was at a snapshot. Returns what is to be said if what the vat has besides is not, or "". */
  restore(state: string): string {
    const fields = parseFields(JSON.parse(state), "a realm's state");
    this.#vat = parseText(fields, "vat");
    this.#name = parseText(fields, "name");
    this.#incarnation = parseInteger(fields, "incarnation");
    this.#delivered = this.#marked = parseInteger(fields, "delivered");
    this.#files?.rewind(this.#delivered);
    this.afterSnapshot();
    return this.#failure;
  }

  /** For `restore`, at a snapshot. */
  dumpState(): string {
    return JSON.stringify({
      vat: this.#vat,
      name: this.#name,
      incarnation: this.#incarnation,
      delivered: this.#delivered,
    });
  }

  /** The heap has been looked at, or restored; it may go on. */
  afterSnapshot(): void {
    this.#pass(dumpGo(this.#delivered));
  }

  #become(spec: Readonly<Record<string, unknown>>, isNew: boolean): void {
    this.#vat = parseText(spec, "vat");
    this.#name = parseText(spec, "name");
    this.#incarnation = parseInteger(spec, "incarnation");
    if (isNew) this.#pass(dumpGo(0));
  }

  #go(delivered: unknown): string {
    if (this.#vat === null) return this.#fail("go came before start");
    if (delivered !== this.#delivered)
      return this.#fail(`the kernel counts ${String(delivered)} deliveries, the replay had ${this.#delivered}`);
    this.#isReady = true;
    return JSON.stringify(["ready", delivered]);
  }

  #snapshot(mode: "take" | "check"): Answer {
    if (this.#vat === null) return say(this.#fail("there is no vat yet to take a snapshot of"));
    this.#files?.mark(this.#delivered);
    const answer = this.#pass(SNAPSHOT);
    if (isFailure(answer)) return say(answer);
    this.#isReady = false;
    this.#marked = this.#delivered;
    return { texts: "", snapshot: mode };
  }

  #look(text: string): string {
    if (this.#vat === null) return this.#fail("there is no vat yet to look at");
    this.#isDetached = true;
    return this.#pass(text);
  }

  #refuse(kind: string): string {
    return this.#fail(`this realm was looked at, and can never be the living vat: it takes no ${kind}`);
  }

  #deliver(number: number, text: string): string {
    if (this.#isDetached) return this.#refuse("deliver");
    const answered = this.#answered.get(number);
    if (answered?.text === text) return answered.answer;
    if (this.#failure !== "") return this.#failure;
    if (!this.#isReady) return this.#fail("a delivery came before go");
    return this.#carryOut(number, text);
  }

  #carryOut(number: number, text: string): string {
    const answer = this.#pass(text);
    if (!isFailure(answer)) {
      this.#delivered = number;
      this.#answered.set(number, { text, answer });
      this.#answered.delete(number - DELIVERIES_INFLIGHT_MAX);
    }
    return answer;
  }

  #replay(entries: readonly string[]): string {
    if (this.#vat === null || this.#isReady) return this.#fail("a replay comes after start and before go");
    for (const entry of entries) {
      const difference = this.#replayEntry(entry);
      if (difference !== "") return isFailure(difference) ? difference : this.#fail(difference);
    }
    return "";
  }

  /** Returns what is wrong, or "". */
  #replayEntry(text: string): string {
    const head = ENTRY.exec(text);
    if (head === null) return `after delivery ${this.#delivered}: not a transcript entry: ${text.slice(0, 200)}`;
    const number = Number(head[1]);
    if (number !== this.#delivered + 1)
      return `replay of delivery ${number} after ${this.#delivered}: the transcript has a gap`;
    const delivery = sliceValue(text, head[0].length);
    const answer = this.#carryOut(number, `["deliver",${head[1]},${head[2]},${delivery}]`);
    return isFailure(answer) ? answer : describeDifference(number, text, answer);
  }

  /** Hands Python a text. */
  #pass(text: string): string {
    const answer = this.#call(text);
    if (isFailure(answer)) this.#failure = answer;
    return answer;
  }

  #fail(reason: string): string {
    const who = this.#vat === null ? "a fresh realm" : `vat ${this.#vat} (${this.#name})`;
    this.#failure = JSON.stringify(["failed", `${who}: ${reason}`]);
    return this.#failure;
  }
}

function isFailure(answer: string): boolean {
  return answer.startsWith('["failed",');
}

function say(texts: string): Answer {
  return { texts, snapshot: null };
}

function dumpGo(delivered: number): string {
  return JSON.stringify(["go", delivered]);
}

/** Where a delivery's outcome differs from its record, or "". As `kernel_py.vat.session` says it. */
function describeDifference(number: number, entry: string, answer: string): string {
  let expected, actual, status;
  try {
    expected = parseRows(parseFields(JSON.parse(entry), "an entry")["sc"]);
    const done = parseRows(JSON.parse(answer));
    status = parseRows(done[2]);
    actual = parseRows(done[3]);
  } catch (error) {
    return `replay of delivery ${number}: ${describeError(error)}`;
  }
  if (status[0] === "poison") return `replay of delivery ${number} was stopped: ${String(status[1])}`;
  for (let index = 0; index < Math.max(expected.length, actual.length); index++) {
    const want = index < expected.length ? dumpSorted(expected[index]) : "no further syscall";
    const have = index < actual.length ? dumpSorted(actual[index]) : "no further syscall";
    if (want === have) continue;
    const error = typeof status[1] === "string" ? ` The replay ended with: ${status[1].slice(0, 2000)}` : "";
    return (
      `replay of delivery ${number} differs from the record. Syscall ${index + 1}: ` +
      `expected ${want.slice(0, QUOTE_CHARS_MAX)}, actual ${have.slice(0, QUOTE_CHARS_MAX)}.${error}`
    );
  }
  return "";
}

function parseRows(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

/** JSON in which the order of fields does not matter. */
function dumpSorted(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
