/**
 * Time travel: one vat as it was after one of its deliveries.
 *
 * Owns where the journey is, and what was seen there. The living vat knows nothing of it: the kernel's host makes the
 * heap again in a realm of its own, one for each delivery that is looked at.
 *
 * Invariant: what is shown belongs to the delivery that is shown; an answer that was overtaken is dropped.
 */

import { signal, type ReadonlySignal } from "@preact/signals";
import type { Compared, DeliveryRecord, Evaluated, HeapListing } from "./api.ts";
import type { Surroundings } from "./actions.ts";
import type { RpcClient } from "./rpc.ts";
import { describeError } from "../shared/parse.ts";

export interface Journey {
  readonly vat: string;
  readonly delivery: number;
  /** Deliveries that the vat has had. */
  readonly total: number;
  /** What the delivery was; null while it is not known. */
  readonly record: DeliveryRecord | null;
  /** What there was after it; null while the heap is made again. */
  readonly listing: HeapListing | null;
  /** Expressions and what they gave, the newest first. */
  readonly evaluated: readonly { readonly expression: string; readonly found: Evaluated }[];
  readonly compared: Compared | null;
  readonly isBusy: boolean;
  readonly error: string;
}

export class Travel {
  readonly #rpc: RpcClient;
  readonly #around: Surroundings;
  readonly #journey = signal<Journey | null>(null);
  /** Counts moves, so that an answer that was overtaken is told apart. */
  #moves = 0;

  constructor(rpc: RpcClient, around: Surroundings) {
    this.#rpc = rpc;
    this.#around = around;
  }

  /** Null in the present. */
  get journey(): ReadonlySignal<Journey | null> {
    return this.#journey;
  }

  /** To a delivery of a vat; to the nearest that it has had. */
  async go(vat: string, delivery: number): Promise<void> {
    const move = ++this.#moves;
    const before = this.#journey.value;
    const total = before?.vat === vat ? before.total : delivery;
    const start = { vat, record: null, listing: null, evaluated: [], compared: null, isBusy: true, error: "" };
    this.#journey.value = { ...start, delivery: Math.max(1, Math.min(delivery, total)), total };
    await this.#update(move, async () => {
      const latest = await this.#rpc.call("deliveries", { vat, first: Math.max(1, delivery), limit: 1 }).answer;
      const target = Math.max(1, Math.min(delivery, latest.total));
      const [record] = latest.deliveries;
      this.#change(move, { delivery: target, total: latest.total, record: record ?? null });
      const listing = await this.#rpc.call("travel", { vat, delivery: target }).answer;
      this.#around.announce(`${vat} after delivery ${target}`);
      return "objects" in listing ? { listing, total: listing.total } : {};
    });
  }

  async evaluate(expression: string): Promise<void> {
    const at = this.#journey.value;
    if (at === null || expression.trim() === "") return;
    await this.#update(this.#moves, async () => {
      const found = await this.#rpc.call("travel", { vat: at.vat, delivery: at.delivery, expression }).answer;
      if ("objects" in found) return {};
      return { evaluated: [{ expression, found }, ...(this.#journey.value?.evaluated ?? [])] };
    });
  }

  /** What is different after another delivery; by default, after the last that there was. */
  async compare(other?: number): Promise<void> {
    const at = this.#journey.value;
    if (at === null) return;
    await this.#update(this.#moves, async () => {
      const { vat, delivery } = at;
      const last = other ?? (await this.#rpc.call("deliveries", { vat, limit: 1 }).answer).total;
      return { compared: await this.#rpc.call("compareTravels", { vat, delivery, other: last }).answer };
    });
  }

  /** Back to the present. */
  end(): void {
    const at = this.#journey.value;
    this.#moves++;
    this.#journey.value = null;
    // If the vat is gone by now, its past ends by itself.
    if (at !== null) this.#rpc.call("endTravel", { vat: at.vat }).answer.catch(() => undefined);
  }

  async #update(move: number, ask: () => Promise<Partial<Journey>>): Promise<void> {
    this.#change(move, { isBusy: true, error: "" });
    try {
      this.#change(move, { ...(await ask()), isBusy: false });
    } catch (error) {
      this.#change(move, { isBusy: false, error: describeError(error) });
    }
  }

  #change(move: number, change: Partial<Journey>): void {
    const at = this.#journey.value;
    if (move === this.#moves && at !== null) this.#journey.value = { ...at, ...change };
  }
}
