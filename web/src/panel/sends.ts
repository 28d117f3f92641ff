/**
 * Messages sent from the panel, and what became of them.
 *
 * Owns the history: newest first, bounded; a record that is unanswered is never dropped.
 */

import { signal, type ReadonlySignal } from "@preact/signals";
import { RequestError, type Settled } from "./api.ts";
import { Journal, type JournalEntry } from "./journal.ts";
import type { Call, RpcClient } from "./rpc.ts";
import { describeError } from "../shared/parse.ts";

const RECORDS_MAX = 200;

export type SendOutcome =
  | { readonly kind: "unanswered" }
  | { readonly kind: "settled"; readonly settled: Settled; readonly tookMs: number }
  /** The kernel refused the request; nothing was sent. */
  | { readonly kind: "refused"; readonly error: RequestError };

export interface SendRecord extends JournalEntry {
  /** Whether the kernel is known to have the request. */
  readonly delivered: ReadonlySignal<boolean>;
  readonly outcome: ReadonlySignal<SendOutcome>;
}

export class Sends {
  readonly #rpc: RpcClient;
  readonly #announce: (text: string) => void;
  readonly #journal = new Journal();
  readonly #records = signal<readonly SendRecord[]>([]);

  /** @param announce says to people who do not see it what happened. */
  constructor(rpc: RpcClient, announce: (text: string) => void) {
    this.#rpc = rpc;
    this.#announce = announce;
  }

  get records(): ReadonlySignal<readonly SendRecord[]> {
    return this.#records;
  }

  /** Takes up what earlier pages left unanswered. */
  start(): void {
    this.#journal.adopt((entry) => {
      this.#follow(entry);
    });
  }

  send(target: string, method: string, args: string): void {
    const entry = { id: crypto.randomUUID(), target, method, args, timeMs: Date.now() };
    this.#journal.add(entry);
    this.#follow(entry);
  }

  /** Forgets what is answered. */
  clear(): void {
    this.#records.value = this.#records.value.filter(({ outcome }) => outcome.value.kind === "unanswered");
  }

  #follow(entry: JournalEntry): void {
    const { id, target, method, args } = entry;
    const call = this.#rpc.call(
      "send",
      { target, method, args },
      {
        id,
        onAnswer: () => {
          this.#journal.remove(id);
        },
      },
    );
    const outcome = signal<SendOutcome>({ kind: "unanswered" });
    this.#add({ ...entry, delivered: call.delivered, outcome });
    void this.#settle(entry, call).then((settled) => {
      outcome.value = settled;
      this.#announce(`${target}.${method}: ${describeOutcome(settled)}`);
    });
  }

  async #settle(entry: JournalEntry, call: Call<"send">): Promise<SendOutcome> {
    try {
      return { kind: "settled", settled: await call.answer, tookMs: Date.now() - entry.timeMs };
    } catch (error) {
      const refusal = error instanceof RequestError ? error : new RequestError(describeError(error), "", "", 0);
      return { kind: "refused", error: refusal };
    }
  }

  #add(record: SendRecord): void {
    const records = [record, ...this.#records.value].sort((a, b) => b.timeMs - a.timeMs);
    this.#records.value = records.filter(
      ({ outcome }, index) => index < RECORDS_MAX || outcome.value.kind === "unanswered",
    );
  }
}

function describeOutcome(outcome: SendOutcome): string {
  switch (outcome.kind) {
    case "unanswered":
      return "pending";
    case "settled":
      return `${outcome.settled.status}: ${outcome.settled.value}`;
    case "refused":
      return `refused: ${outcome.error.message}`;
  }
}

/** The send as a line of Python. */
export function formatCall(target: string, method: string, args: string): string {
  return `E(${target}).${method}(${args})`;
}
