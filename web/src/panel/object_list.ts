/**
 * Exported objects: those of the selected vat or of all vats, page by page, and every one that was seen.
 *
 * There may be a million: only the pages that were asked for are held, and renewed when the status changes.
 */

import { signal, type ReadonlySignal } from "@preact/signals";
import { RequestError, type KernelObject, type VatStatus } from "./api.ts";
import type { Selection } from "./model.ts";
import type { RpcClient } from "./rpc.ts";

const PAGE = 200;
/** Objects remembered for the target list. */
const KNOWN_MAX = 2_000;
const REFRESH_MS = 1_000;
/** A kernel with very many objects takes long to list them, and is asked less often. */
const REST_PER_ANSWER = 20;
const REST_MS_MAX = 60_000;

export class ObjectList {
  readonly #rpc: RpcClient;
  readonly #selection: ReadonlySignal<Selection>;
  readonly #vats: ReadonlySignal<ReadonlyMap<string, VatStatus>>;
  readonly #onError: (error: unknown) => void;
  readonly #objects = signal<readonly KernelObject[] | null>(null);
  readonly #total = signal(0);
  readonly #known = signal<ReadonlyMap<string, KernelObject>>(new Map());
  #pages = 1;
  /** Counts loads, so that an answer that was overtaken is told apart. */
  #asked = 0;
  #nextMs = 0;
  #timer: number | undefined;

  constructor(
    rpc: RpcClient,
    selection: ReadonlySignal<Selection>,
    vats: ReadonlySignal<ReadonlyMap<string, VatStatus>>,
    onError: (error: unknown) => void,
  ) {
    this.#rpc = rpc;
    this.#selection = selection;
    this.#vats = vats;
    this.#onError = onError;
    selection.subscribe(() => {
      this.#pages = 1;
      this.#objects.value = null;
      this.#total.value = 0;
      if (this.#vats.peek().size > 0) this.#loadNow();
    });
  }

  /** Those of the selected vat, or of all; null while they are not known. */
  get objects(): ReadonlySignal<readonly KernelObject[] | null> {
    return this.#objects;
  }

  get total(): ReadonlySignal<number> {
    return this.#total;
  }

  /** All that were seen, by kref. */
  get known(): ReadonlySignal<ReadonlyMap<string, KernelObject>> {
    return this.#known;
  }

  loadMore(): void {
    this.#pages++;
    this.#loadNow();
  }

  /** Loads anew, soon; not more often than is good for the kernel. */
  refresh(): void {
    this.#timer ??= setTimeout(
      () => {
        this.#loadNow();
      },
      Math.max(0, this.#nextMs - Date.now()),
    );
  }

  #loadNow(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#vats.peek().size === 0) {
      this.#objects.value = [];
      return;
    }
    void this.#load();
  }

  async #load(): Promise<void> {
    const asked = ++this.#asked;
    const askedMs = Date.now();
    this.#nextMs = askedMs + REFRESH_MS;
    const selection = this.#selection.peek();
    try {
      if (selection.kind === "vat" && this.#vats.peek().get(selection.vat)?.state === "terminated") {
        this.#objects.value = [];
        return;
      }
      const where = selection.kind === "vat" ? { vat: selection.vat } : {};
      const objects: KernelObject[] = [];
      let total = 0;
      for (let page = 0; page < this.#pages; page++) {
        const answer = await this.#rpc.call("objects", { ...where, offset: page * PAGE, limit: PAGE }).answer;
        objects.push(...answer.objects);
        total = answer.total;
        if (objects.length >= total) break;
      }
      if (asked !== this.#asked) return;
      const tookMs = Date.now() - askedMs;
      this.#nextMs = Date.now() + Math.min(REST_MS_MAX, Math.max(REFRESH_MS, tookMs * REST_PER_ANSWER));
      this.#objects.value = objects;
      this.#total.value = total;
      this.#remember(objects);
    } catch (error) {
      if (asked !== this.#asked) return;
      // The vat may have been terminated since the status was made; the next one says so.
      if (error instanceof RequestError && error.path === "params.vat") this.#objects.value = [];
      else this.#onError(error);
    }
  }

  #remember(objects: readonly KernelObject[]): void {
    const known = new Map(this.#known.value);
    for (const object of objects) known.set(object.kref, object);
    this.#known.value = new Map([...known].slice(-KNOWN_MAX));
  }
}
