/**
 * Instruments the modules of wasm vats: each once, however many ask, one at a time, and never in the kernel's thread.
 *
 * It takes a worker with a Python of its own, which is ended afterwards: a module that takes too long takes no more than
 * that. What was made is kept (`ModuleCache`).
 */

import { ASSETS, fetchBytes } from "../shared/assets.ts";
import { parseFields } from "../shared/parse.ts";
import type { PreparerJob, RealmAssets } from "../shared/messages.ts";
import { parsePrepared, type Prepared } from "../wasm/prepared.ts";
import { digest, ModuleCache } from "./module_cache.ts";

/** A module of 14 MB takes a sixth of it. */
const PREPARE_MS_MAX = 60_000;

export class ModulePreparer {
  readonly #base: string;
  readonly #getAssets: () => Promise<RealmAssets>;
  readonly #cache: ModuleCache;
  /** By digest, what is under way. */
  readonly #pending = new Map<string, Promise<Prepared>>();
  /** Settled when all jobs so far are done. */
  #done: Promise<unknown> = Promise.resolve();

  /** `getAssets`: what the worker's Python is started from. */
  constructor(base: string, getAssets: () => Promise<RealmAssets>) {
    this.#base = base;
    this.#getAssets = getAssets;
    this.#cache = new ModuleCache(fetchBytes(base, "sources").then(digest));
  }

  /** `module`: in base64. Rejects if it could not be done, through no fault of the module. */
  async prepare(module: string): Promise<Prepared> {
    const key = await digest(new TextEncoder().encode(module));
    let pending = this.#pending.get(key);
    if (pending === undefined) {
      pending = this.#findOrMake(key, module).finally(() => this.#pending.delete(key));
      this.#pending.set(key, pending);
    }
    return await pending;
  }

  async #findOrMake(key: string, module: string): Promise<Prepared> {
    const found = await this.#cache.find(key);
    if (found !== null) return found;
    const made = this.#done.then(() => this.#make(module));
    this.#done = made.catch(() => undefined);
    const prepared = await made;
    if (prepared.problem === null) await this.#cache.keep(key, prepared);
    return prepared;
  }

  async #make(module: string): Promise<Prepared> {
    const assets = await this.#getAssets();
    const worker = new Worker(new URL(ASSETS.preparerWorker, this.#base), { type: "module" });
    let timer;
    try {
      const answer = await new Promise<unknown>((resolve, reject) => {
        worker.onmessage = (event: MessageEvent<unknown>) => {
          resolve(event.data);
        };
        worker.onerror = (event) => {
          reject(new Error(event.message));
        };
        timer = setTimeout(() => {
          reject(new Error(`it took longer than ${PREPARE_MS_MAX / 1000} s`));
        }, PREPARE_MS_MAX);
        const job: PreparerJob = { assets, module };
        worker.postMessage(job);
      });
      const fields = parseFields(answer, "the answer of the instrumentation");
      if ("failure" in fields) throw new Error(String(fields["failure"]));
      return parsePrepared(fields["prepared"]);
    } catch (error) {
      throw new Error("the module could not be instrumented", { cause: error });
    } finally {
      clearTimeout(timer);
      worker.terminate();
    }
  }
}
