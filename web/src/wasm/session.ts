/**
 * A wasm vat's end of the kernel-vat protocol: texts in, texts out; as `kernel_py.vat.session`, which says what its states
 * and invariants are. The protocol is in `kernel_py.wire.protocol`.
 *
 * Modules are instrumented elsewhere, so an answer may take a while. Texts are taken one after the other.
 */

import { parseFields, parseInteger, ParseError, parseList, parseText, describeError } from "../shared/parse.ts";
import { cutEnd, cutMiddle } from "./chars.ts";
import { dump, dumpSorted, load } from "./json.ts";
import { LIMITS, type Limits } from "./limits.ts";
import type { Prepared } from "./prepared.ts";
import { TextStore } from "./store.ts";
import { findMeter, type Meter } from "./tank.ts";
import { WasmVat, type Outcome } from "./wasm_vat.ts";

const PROTOCOL_VERSION = 1;

/** As in `kernel_py.wire.protocol`. */
const METERS_PATH = "<meters>";

/** Instruments a module, given in base64. Rejects if that could not be done, through no fault of the module. */
export type Prepare = (module: string) => Promise<Prepared>;

type Phase = "fresh" | "replaying" | "ready" | "failed";

interface Spec {
  readonly vat: string;
  readonly incarnation: number;
  readonly name: string;
  readonly main: string;
  readonly meter: Meter | null;
  /** The main file. */
  readonly module: string;
}

interface Entry {
  readonly number: number;
  readonly timeMs: number;
  readonly delivery: unknown;
  readonly syscalls: readonly unknown[];
}

/** The host, not the vat, cannot go on: the realm must end, and the kernel will try again in another. */
export class HostFailure extends Error {}

export class WasmSession {
  readonly #prepare: Prepare;
  readonly #limits: Limits;
  #phase: Phase = "fresh";
  #failure = "";
  #spec: Spec | null = null;
  #vat: WasmVat | null = null;
  #delivered = 0;
  /** What was delivered at the last "snapshot". */
  #marked = 0;
  /** By number, the deliveries whose answers the kernel may not have, and the answers. */
  readonly #answered = new Map<number, readonly [text: string, done: string]>();

  constructor(prepare: Prepare, limits: Limits = LIMITS) {
    this.#prepare = prepare;
    this.#limits = limits;
  }

  /** The vat, to look at; null before the start. */
  get vat(): WasmVat | null {
    return this.#vat;
  }

  /** The first text for a new port. */
  hello(): string {
    const { vat, incarnation } = this.#spec ?? { vat: null, incarnation: 0 };
    const marked = this.#marked === 0 ? {} : { marked: this.#marked };
    return dump(["hello", { protocol: PROTOCOL_VERSION, vat, incarnation, delivered: this.#delivered, ...marked }]);
  }

  /** Take one text from the kernel; the text to send back, or null. Rejects with a HostFailure only. */
  async receive(text: string): Promise<string | null> {
    if (this.#phase === "failed") {
      for (const [known, done] of this.#answered.values()) if (known === text) return done;
      return dump(["failed", this.#failure]);
    }
    let message;
    try {
      message = load(text);
      if (!Array.isArray(message)) throw new ParseError("not a message");
    } catch (error) {
      return this.#fail(`cannot take this text: ${describeError(error)}: ${cutEnd(text, 200)}`);
    }
    try {
      return await this.#take(message, text);
    } catch (error) {
      if (!(error instanceof ParseError)) throw new HostFailure(describeError(error), { cause: error });
      return this.#fail(`cannot take this text: ${describeError(error)}: ${cutEnd(text, 200)}`);
    }
  }

  async #take(message: readonly unknown[], text: string): Promise<string | null> {
    const [kind, ...rest] = message;
    switch (kind) {
      case "deliver":
        return this.#deliver(rest, text);
      case "start":
        return await this.#start(parseSpec(rest[0]));
      case "upgrade":
        return await this.#upgrade(parseSpec(rest[0]));
      case "replay":
        return this.#replay(parseList({ entries: rest[0] }, "entries"));
      case "snapshot":
        return this.#settle();
      case "go":
        return this.#go(parseInteger({ delivered: rest[0] }, "delivered"));
      default:
        return this.#fail(`unknown message from the kernel: ${cutEnd(text, 200)}`);
    }
  }

  async #start(spec: Spec): Promise<string | null> {
    if (this.#phase !== "fresh") return this.#fail("this realm is a vat already; a new vat needs a new realm");
    this.#spec = spec;
    this.#vat = new WasmVat(spec, await this.#prepare(spec.module), new TextStore(), this.#limits);
    this.#phase = "replaying";
    return null;
  }

  async #upgrade(spec: Spec): Promise<string | null> {
    if (this.#vat === null || this.#spec === null) return this.#fail("an upgrade came before start");
    const { vat, incarnation } = this.#spec;
    if (spec.vat !== vat || spec.incarnation !== incarnation + 1)
      return this.#fail(`incarnation ${spec.incarnation} of ${spec.vat} cannot follow ${incarnation}`);
    this.#spec = spec;
    this.#vat = this.#vat.succeed(spec, await this.#prepare(spec.module));
    return null;
  }

  #replay(entries: readonly unknown[]): string | null {
    if (this.#phase !== "replaying") return this.#fail("a replay comes after start and before go");
    for (const value of entries) {
      const entry = parseEntry(value);
      if (entry.number !== this.#delivered + 1)
        return this.#fail(`replay of delivery ${entry.number} after ${this.#delivered}: the transcript has a gap`);
      const outcome = this.#carryOut(entry.number, entry.timeMs, entry.delivery);
      if (outcome.poison !== null)
        return this.#fail(`replay of delivery ${entry.number} was stopped: ${outcome.poison}`);
      const difference = describeDifference(entry, outcome);
      if (difference !== null)
        return this.#fail(`replay of delivery ${entry.number} differs from the record. ${difference}`);
    }
    return null;
  }

  /** A guest is as small as it can be. The kernel has every answer that it can have: it need not be given again. */
  #settle(): string | null {
    if (this.#phase === "fresh") return this.#fail("a snapshot came before start");
    this.#phase = "replaying";
    this.#marked = this.#delivered;
    this.#answered.clear();
    return null;
  }

  #go(delivered: number): string {
    if (this.#phase === "fresh") return this.#fail("go came before start");
    if (delivered !== this.#delivered)
      return this.#fail(`the kernel counts ${delivered} deliveries, the replay had ${this.#delivered}`);
    this.#phase = "ready";
    return dump(["ready", delivered]);
  }

  #deliver(fields: readonly unknown[], text: string): string {
    const number = parseInteger({ number: fields[0] }, "number");
    const timeMs = parseInteger({ time_ms: fields[1] }, "time_ms");
    if (this.#phase !== "ready") return this.#fail("a delivery came before go");
    const answered = this.#answered.get(number);
    if (answered?.[0] === text) return answered[1];
    if (number <= this.#delivered)
      return this.#fail(
        `the vat is ahead of the kernel: it was given another delivery ${number} after ${this.#delivered}`,
      );
    if (number > this.#delivered + 1)
      return this.#fail(`the vat is behind the kernel: it was given delivery ${number} after ${this.#delivered}`);
    const outcome = this.#carryOut(number, timeMs, fields[2]);
    const done = dump(["done", number, describeStatus(outcome), outcome.syscalls, this.#describeUsage(outcome)]);
    if (outcome.poison !== null)
      this.#fail(`delivery ${number} was stopped in the middle; this realm is of no use any more`);
    this.#answered.set(number, [text, done]);
    this.#answered.delete(number - this.#limits.deliveries_inflight_max);
    return done;
  }

  #carryOut(number: number, timeMs: number, delivery: unknown): Outcome {
    if (this.#vat === null) throw new Error("there is no vat");
    this.#delivered = number;
    return this.#vat.deliver(number, timeMs, delivery);
  }

  #describeUsage({ console, meter }: Outcome): object {
    return { memory_bytes: this.#vat?.memory?.buffer.byteLength ?? null, console, meter };
  }

  #fail(reason: string): string {
    if (this.#phase !== "failed") {
      this.#phase = "failed";
      const name = this.#spec === null ? "a fresh realm" : `vat ${this.#spec.vat} (${this.#spec.name})`;
      this.#failure = cutMiddle(`${name}: ${reason}`, this.#limits.error_chars_max);
    }
    return dump(["failed", this.#failure]);
  }
}

function describeStatus({ error, poison }: Outcome): readonly [string, string | null] {
  if (poison !== null) return ["poison", poison];
  return error === null ? ["ok", null] : ["error", error];
}

function parseSpec(value: unknown): Spec {
  const fields = parseFields(value, "the specification of a vat");
  if (fields["protocol"] !== PROTOCOL_VERSION) throw new ParseError(`not of protocol ${PROTOCOL_VERSION}`);
  const main = parseText(fields, "main");
  const name = parseText(fields, "name");
  const files = parseFields(fields["files"], "files");
  return {
    vat: parseText(fields, "vat"),
    incarnation: parseInteger(fields, "incarnation"),
    name,
    main,
    meter: METERS_PATH in files ? findMeter(parseText(files, METERS_PATH), name, main) : null,
    module: parseText(files, main),
  };
}

function parseEntry(value: unknown): Entry {
  const fields = parseFields(value, "a transcript entry");
  return {
    number: parseInteger(fields, "n"),
    timeMs: parseInteger(fields, "t"),
    delivery: fields["d"],
    syscalls: parseList(fields, "sc"),
  };
}

/** Where a replayed delivery differs from its record, or null if its syscalls are the same. */
function describeDifference(entry: Entry, outcome: Outcome): string | null {
  const describe = (syscalls: readonly unknown[], index: number): string =>
    index < syscalls.length ? dumpSorted(syscalls[index]) : "no further syscall";
  const length = Math.max(entry.syscalls.length, outcome.syscalls.length);
  for (let index = 0; index < length; index++) {
    const want = describe(entry.syscalls, index);
    const have = describe(outcome.syscalls, index);
    if (want === have) continue;
    const error = outcome.error === null ? "" : ` The replay ended with: ${cutEnd(outcome.error, 2000)}`;
    return `Syscall ${index + 1}: expected ${want.slice(0, 1000)}, actual ${have.slice(0, 1000)}.${error}`;
  }
  return null;
}
