/**
 * What is done to vats and objects by a button: pause, upgrade, revoke, pin, collect garbage.
 *
 * Owns what a collection of garbage has found. What the kernel refuses is told as a notice; an upgrade's failure stays
 * with the dialog that has its sources.
 */

import { signal, type ReadonlySignal } from "@preact/signals";
import { RequestError, type Method, type Params, type Status } from "./api.ts";
import type { RpcClient } from "./rpc.ts";
import { describeError } from "../shared/parse.ts";

/** Between looks at vats that are still at it. */
const LOOK_MS = 200;
/** A vat that is not through after so long hangs, or has other things to do. */
const LOOKS_MAX = 50;

/** Counts before and after a collection. */
export interface Collected {
  readonly isDone: boolean;
  /** By what is counted, such as "objects" or the name of a vat. */
  readonly rows: readonly (readonly [name: string, before: number, after: number | null])[];
}

export interface Upgrade {
  readonly vat: string;
  readonly files: Readonly<Record<string, string>>;
  /** The main file among them. */
  readonly source: string;
}

export interface Surroundings {
  notify(title: string, text: string): void;
  announce(text: string): void;
  refresh(): void;
}

type Simple = "pauseVat" | "resumeVat" | "restartVat" | "revoke" | "pin" | "unpin";

export class Actions {
  readonly #rpc: RpcClient;
  readonly #around: Surroundings;
  readonly #collected = signal<Collected | null>(null);

  constructor(rpc: RpcClient, around: Surroundings) {
    this.#rpc = rpc;
    this.#around = around;
  }

  /** What the last collection has found, or finds; null before the first. */
  get collected(): ReadonlySignal<Collected | null> {
    return this.#collected;
  }

  /** `what` is said afterwards, such as "vat bob paused". */
  async do<M extends Simple>(method: M, params: Params[M], what: string): Promise<void> {
    await this.#try(method, params, what);
  }

  /** Null if it is done, or why it is not. */
  async upgrade({ vat, files, source }: Upgrade): Promise<RequestError | null> {
    try {
      await this.#rpc.call("upgradeVat", { vat, files, source }).answer;
      this.#around.announce(`vat ${vat} upgraded`);
      return null;
    } catch (error) {
      return error instanceof RequestError ? error : new RequestError(describeError(error), "", "", 0);
    } finally {
      this.#around.refresh();
    }
  }

  /** Collects in one vat, or in all, and counts what there was before and after. */
  async collect(vat?: string): Promise<void> {
    try {
      const before = count(await this.#rpc.call("status", {}).answer);
      const report = (after: ReadonlyMap<string, number> | null): void => {
        const rows = [...before].map(([name, number]) => [name, number, after?.get(name) ?? null] as const);
        this.#collected.value = { isDone: after !== null, rows };
      };
      report(null);
      await this.#rpc.call("collectGarbage", vat === undefined ? {} : { vat }).answer;
      report(count(await this.#settled()));
      this.#around.announce("garbage collected");
    } catch (error) {
      this.#collected.value = null;
      this.#around.notify("Garbage was not collected", describeError(error));
    }
    this.#around.refresh();
  }

  forget(): void {
    this.#collected.value = null;
  }

  /** The status once no vat has anything to do; what one brings out may be news for another. */
  async #settled(): Promise<Status> {
    for (let look = 1; ; look++) {
      const status = await this.#rpc.call("status", {}).answer;
      const isIdle = status.vats.every(({ queued, inflight }) => queued === 0 && !inflight);
      if (isIdle || look === LOOKS_MAX) return status;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  async #try<M extends Method>(method: M, params: Params[M], what: string): Promise<void> {
    try {
      await this.#rpc.call(method, params).answer;
      this.#around.announce(what);
    } catch (error) {
      this.#around.notify(`Not done: ${what}`, describeError(error));
    }
    this.#around.refresh();
  }
}

/** What the kernel counts, by name. */
function count(status: Status): ReadonlyMap<string, number> {
  return new Map(
    status.kernel
      .filter(([name]) => name === "objects" || name === "promises")
      .map(([name, value]) => [name, Number(value)]),
  );
}
