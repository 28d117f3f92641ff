/**
 * The kernel's JavaScript side: starts Python in this worker and connects it to store, vat host and clients.
 *
 * Owns the Python instance. Everything that crosses to Python (`kernel_py/hosts/browser/boot.py`) is text or numbers, except
 * the one object through which Python calls back.
 *
 * Invariants: `start` fails only if Python itself cannot run; what is wrong with the store is told to clients by the
 * kernel. Clients have numbers that are not used twice.
 */

import { bootPyodide, type PyodideFiles } from "../pyodide/boot.ts";
import type { CreateModule, LoadPyodide } from "../pyodide/api.ts";
import { fetchAsset, fetchBytes, findBytes } from "../shared/assets.ts";
import type { HeapReport } from "../shared/heap_messages.ts";
import { describeError, parseChoice, parseFields, ParseError } from "../shared/parse.ts";
import { REALM_KINDS } from "../shared/messages.ts";
import { encodeBase64, type IndexedDbStore } from "../store/indexed_db.ts";
import { fetchUrl } from "./fetch_url.ts";
import { digestHeap, keepHeap, readHeap, RestoreError } from "./heaps.ts";
import { callService, declareServices, type Service } from "./services.ts";
import type { VatHostLink } from "./vat_host_link.ts";

export interface KernelOptions {
  readonly assets: Promise<KernelAssets>;
  readonly loadPyodide: LoadPyodide;
  readonly createModule: CreateModule;
  readonly store: IndexedDbStore;
  readonly link: VatHostLink;
  /** Services that cluster files may ask for, besides the kernel's own. */
  readonly services: readonly Service[];
  /** Has the kernel started again at a time, if it is not there by then; null if that is not wanted any more. */
  readonly setAlarm: (dueMs: number | null) => void;
}

export interface KernelAssets {
  readonly files: PyodideFiles;
  readonly sources: ArrayBuffer;
  /** A memory image to start from; null for a cold start. */
  readonly image: ArrayBuffer | null;
}

/** Read what a kernel is made of. `base`: URL of the folder of `ASSETS`. */
export async function loadKernelAssets(base: string): Promise<KernelAssets> {
  const [wasm, stdlib, sources, image] = await Promise.all([
    WebAssembly.compileStreaming(fetchAsset(base, "wasm")),
    fetchBytes(base, "stdlib"),
    fetchBytes(base, "sources"),
    findBytes(base, "kernelImage"),
  ]);
  return { files: { wasm, stdlib }, sources, image };
}

/** One connection of a panel. */
export interface KernelClient {
  receive(text: string): void;
  close(): void;
}

/** What Python calls. */
interface Bridge {
  create(vat: string, incarnation: number, kind: string): void;
  post(vat: string, text: string): void;
  destroy(vat: string): void;
  restore(vat: string, snapshot: string, start: string): void;
  setBusy(isBusy: boolean): void;
  keepStores(vats: string): void;
  setAlarm(dueMs: number | undefined): void;
  fetchUrl(text: string): Promise<string>;
  callService(name: string, text: string): Promise<string>;
  send(client: number, text: string): void;
  load(): Promise<string>;
  commit(text: string): Promise<void>;
  readTranscript(vat: string, first: number, last: number): Promise<string>;
  findBundle(id: string): Promise<string | undefined>;
  /** Packed bytes in base64. */
  findChunk(id: string): Promise<string | undefined>;
  listTranscripts(): Promise<string>;
  listBundles(): Promise<string>;
  listChunks(): Promise<string>;
  closeStore(): void;
  estimateStorage(): Promise<string>;
}

/** What JavaScript calls: functions of `kernel_py.hosts.browser.boot.BrowserKernel`. */
interface PythonKernel {
  readonly vat_text: (vat: string, text: string) => void;
  readonly vat_booted: (vat: string, boot: string, problem: string) => void;
  readonly vat_lost: (vat: string, reason: string) => void;
  readonly heap_imaged: (vat: string, image: string) => void;
  readonly heap_not_imaged: (vat: string, reason: string) => void;
  readonly restore_failed: (vat: string, reason: string, chunk: string) => void;
  readonly connect: (client: number) => void;
  readonly receive: (client: number, text: string) => void;
  readonly disconnect: (client: number) => void;
}

export class RunningKernel {
  readonly #python: PythonKernel;
  readonly #senders: Map<number, (text: string) => void>;
  #clients = 0;

  private constructor(python: PythonKernel, senders: Map<number, (text: string) => void>) {
    this.#python = python;
    this.#senders = senders;
  }

  static async start(options: KernelOptions): Promise<RunningKernel> {
    // The vat host is asked meanwhile: if it must be made, that takes longer than starting Python.
    const living = options.link.reconnect();
    const { files, sources, image } = await options.assets;
    const { pyodide, boot, problem } = await bootPyodide({
      loadPyodide: options.loadPyodide,
      createModule: options.createModule,
      files,
      sources: new Uint8Array(sources),
      image: image === null ? null : new Uint8Array(image),
      jsGlobals: globalThis,
      print: (line) => {
        console.log(line);
      },
    });
    // Copied by now; the collector might leave it for long.
    image?.transfer(0);
    if (problem !== "") console.warn(`the kernel took a cold start: ${problem}`);
    const senders = new Map<number, (text: string) => void>();
    const realms = (await living).map(({ vat, incarnation }) => [vat, incarnation]);
    const start = pyodide.runPython("import kernel_py.hosts.browser.boot as boot; boot.BrowserKernel");
    if (typeof start !== "function") throw new ParseError("kernel_py.hosts.browser.boot does not fit");
    // Python calls the bridge only when JavaScript has its methods.
    const restore = (vat: string, snapshot: string, source: string): void => {
      restoreHeap(options, python, vat, snapshot, source).catch(console.error);
    };
    const kernel: unknown = Reflect.apply(start, undefined, [
      makeBridge(options, senders, restore),
      JSON.stringify(realms),
      JSON.stringify({ boot, problem }),
      declareServices(options.services),
    ]);
    const python = parseKernel(kernel);
    options.link.observe({
      onText: python.vat_text,
      onHeap: (vat, report, isCurrent) => {
        takeHeap(options.store, python, vat, report, isCurrent).catch(console.error);
      },
      onBooted: python.vat_booted,
      onLost: python.vat_lost,
    });
    return new RunningKernel(python, senders);
  }

  connect(send: (text: string) => void): KernelClient {
    const python = this.#python;
    const client = ++this.#clients;
    this.#senders.set(client, send);
    python.connect(client);
    return {
      receive: (text) => {
        python.receive(client, text);
      },
      close: () => {
        this.#senders.delete(client);
        python.disconnect(client);
      },
    };
  }
}

/** A realm has handed over its heap, as it was asked to. */
async function takeHeap(
  store: IndexedDbStore,
  python: PythonKernel,
  vat: string,
  report: HeapReport,
  isCurrent: () => boolean,
): Promise<void> {
  if (report.kind === "unsnapshotable") {
    python.heap_not_imaged(vat, report.reason);
  } else if (report.mode === "check") {
    const digest = await digestHeap(report);
    if (isCurrent()) python.vat_text(vat, JSON.stringify(["digest", report.delivered, digest]));
  } else {
    try {
      const image = await keepHeap(store, report);
      if (isCurrent()) python.heap_imaged(vat, image.text);
      else for (const id of image.held) store.release(id);
    } catch (error) {
      if (isCurrent()) python.heap_not_imaged(vat, describeError(error));
    }
  }
}

async function restoreHeap(
  { store, link }: KernelOptions,
  python: PythonKernel,
  vat: string,
  snapshot: string,
  start: string,
): Promise<void> {
  try {
    link.restore(vat, await readHeap(store, snapshot, start));
  } catch (error) {
    python.restore_failed(vat, describeError(error), error instanceof RestoreError ? error.chunk : "");
  }
}

function makeBridge(
  options: KernelOptions,
  senders: Map<number, (text: string) => void>,
  restore: Bridge["restore"],
): Bridge {
  const { store, link } = options;
  return {
    create: (vat, incarnation, kind) => {
      link.create(vat, incarnation, parseChoice({ kind }, "kind", REALM_KINDS));
    },
    post: (vat, text) => {
      link.post(vat, text);
    },
    destroy: (vat) => {
      link.destroy(vat);
    },
    restore,
    keepStores: (vats) => {
      link.keepStores(JSON.parse(vats) as string[]);
    },
    setBusy: (isBusy) => {
      link.setBusy(isBusy);
    },
    // Python's None is undefined here.
    setAlarm: (dueMs) => {
      options.setAlarm(dueMs ?? null);
    },
    fetchUrl,
    callService: (name, text) => callService(options.services, name, text),
    send: (client, text) => {
      senders.get(client)?.(text);
    },
    load: () => store.load(),
    commit: (text) => store.commit(text),
    readTranscript: (vat, first, last) => store.readTranscript(vat, first, last),
    findBundle: (id) => store.findBundle(id),
    findChunk: async (id) => {
      const packed = await store.findChunk(id);
      return packed === undefined ? undefined : encodeBase64(packed);
    },
    listTranscripts: () => store.listTranscripts(),
    listBundles: () => store.listBundles(),
    listChunks: () => store.listChunks(),
    closeStore: () => {
      store.close();
    },
    estimateStorage,
  };
}

/** How full the browser's storage is, as JSON (`kernel_py.hosts.browser.storage_health`). */
async function estimateStorage(): Promise<string> {
  const [{ usage, quota }, isPersistent] = await Promise.all([
    navigator.storage.estimate(),
    navigator.storage.persisted(),
  ]);
  return JSON.stringify({ used_bytes: usage ?? 0, quota_bytes: quota ?? 0, is_persistent: isPersistent });
}

/** The methods of a Python object, held for good. */
function parseKernel(value: unknown): PythonKernel {
  const fields = parseFields(value, "the kernel");
  const get = <Method extends keyof PythonKernel>(name: Method): PythonKernel[Method] => {
    const method = fields[name];
    if (typeof method !== "function") throw new ParseError(`the kernel has no method ${name}`);
    return method as PythonKernel[Method];
  };
  return {
    vat_text: get("vat_text"),
    vat_booted: get("vat_booted"),
    vat_lost: get("vat_lost"),
    heap_imaged: get("heap_imaged"),
    heap_not_imaged: get("heap_not_imaged"),
    restore_failed: get("restore_failed"),
    connect: get("connect"),
    receive: get("receive"),
    disconnect: get("disconnect"),
  };
}
