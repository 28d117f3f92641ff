/**
 * Kernel state in IndexedDB: what `kernel_py/hosts/browser/backend.py` needs, and nothing of what it means.
 *
 * Owns the database's layout:
 *
 *     kv           key -> text
 *     transcripts  [vat, number of the first] -> texts of consecutive entries
 *     bundles      id -> text
 *     chunks       id -> packed bytes
 *     log          deltas that are not in the stores above yet, in order
 *     meta         "epoch" -> number of the present life of the kernel
 *
 * A commit appends its delta to the log: one request, however much it changes. A checkpoint carries the sum of the
 * log over to the other stores; most of what a delta changes is changed again by the next ones, and costs nothing
 * there. Chunks are large and seldom: they are put where they belong by the commit itself.
 *
 * Invariants:
 * - A commit is one readwrite transaction with strict durability: it is all there or not at all, and survives
 *   a power cut once `commit` has resolved. So is a checkpoint, which changes nothing that can be read.
 * - Calls are carried out one after the other.
 * - `#pending` is the sum of what is in the log.
 * - A database of a newer layout, or one that cannot be opened, is an error, and is left as it is. There is no
 *   other place to keep state in.
 * - After `close`, or after the browser has closed the connection, every call fails.
 */

import { parseText } from "../shared/parse.ts";
import { Net, parseDelta, type Delta } from "./delta.ts";

/** The layout above. IndexedDB keeps it as the database's version. */
export const LAYOUT_VERSION = 3;

/** A log that is longer than this is carried over: at a start it is read, and in the meantime it is in memory. */
const LOG_CHARS_MAX = 1_000_000;

const STORES = ["kv", "transcripts", "bundles", "log"] as const;
const FIRST_STORES = ["kv", "transcripts", "bundles", "meta"] as const;

export class StoreError extends Error {
  override name = "StoreError";
}

export class IndexedDbStore {
  readonly #database: IDBDatabase;
  /** Greater than that of every earlier opening. */
  readonly epoch: number;
  #closedBecause = "";
  /** The last call; the next one begins when it is over. */
  #last: Promise<unknown> = Promise.resolve();
  #pending = new Net();
  #logChars = 0;
  /** Bytes of chunks that a later commit will name. */
  readonly #held = new Map<string, Uint8Array>();
  /** By vat, number of the last entry of its transcript that was committed since the opening. */
  readonly #written = new Map<string, number>();

  private constructor(database: IDBDatabase, epoch: number) {
    this.#database = database;
    this.epoch = epoch;
    database.onclose = () => {
      this.#closedBecause = "the browser has closed the database: its data was cleared, or its disk failed";
    };
    // Another version of this program wants to upgrade the database: give way, and stop.
    database.onversionchange = () => {
      this.#closedBecause = "another version of this program has taken over the database";
      database.close();
    };
  }

  /** Opens the database, making it if there is none. Throws a `StoreError`. */
  static async open(name: string): Promise<IndexedDbStore> {
    const database = await openDatabase(name);
    try {
      const store = new IndexedDbStore(database, await raiseEpoch(database));
      await store.#readLog();
      return store;
    } catch (error) {
      database.close();
      throw new StoreError(`the database ${name} cannot be written`, { cause: error });
    }
  }

  /** The key-value map, as a JSON object. */
  load(): Promise<string> {
    return this.#run(async () => {
      const store = this.#begin(["kv"], "readonly").objectStore("kv");
      const [keys, values] = await Promise.all([settle(store.getAllKeys()), settle<unknown[]>(store.getAll())]);
      const texts = new Map(keys.map((key, index) => [parseKey(key), values[index]]));
      for (const [key, value] of this.#pending.texts) {
        if (value === null) texts.delete(key);
        else texts.set(key, value);
      }
      return JSON.stringify(Object.fromEntries(texts));
    });
  }

  /** Keeps a chunk's packed bytes until a commit names it. */
  hold(id: string, packed: Uint8Array): void {
    this.#held.set(id, packed);
  }

  /** Forgets a chunk that no commit will name. */
  release(id: string): void {
    this.#held.delete(id);
  }

  /** Applies a delta, as JSON of `kernel_py.core.store.Delta`'s fields; chunks without bytes are held. */
  commit(text: string): Promise<void> {
    return this.#run(async () => {
      const delta = parseDelta(text);
      this.#checkTranscript(delta);
      const chunks = this.#unpack(delta);
      const transaction = this.#begin(["log", "chunks"], "readwrite");
      const completed = complete(transaction);
      transaction.objectStore("log").add(text);
      const store = transaction.objectStore("chunks");
      for (const id of delta.chunkDrops) store.delete(id);
      for (const [id, packed] of chunks) store.put(packed, id);
      await completed;
      for (const [id] of chunks) this.#held.delete(id);
      this.#take(delta, text);
      if (this.#logChars > LOG_CHARS_MAX) await this.#checkpoint();
    });
  }

  /** Entries with numbers `first` to `last`, in order, as a JSON list; or the first number that is missing. */
  readTranscript(vat: string, first: number, last: number): Promise<string> {
    return this.#run(async () => {
      await this.#checkpoint();
      const store = this.#begin(["transcripts"], "readonly").objectStore("transcripts");
      const keys = await settle(store.getAllKeys(IDBKeyRange.bound([vat], [vat, last])));
      const starts = keys.map(parseNumber);
      const start = starts.findLast((number) => number <= first) ?? first;
      const spans = await settle<unknown[]>(store.getAll(IDBKeyRange.bound([vat, start], [vat, last])));
      const entries = new Map<number, unknown>();
      spans.forEach((span, index) => {
        const number = starts[starts.length - spans.length + index] ?? 0;
        if (Array.isArray(span)) span.forEach((entry, place) => entries.set(number + place, entry));
      });
      const found: unknown[] = [];
      for (let number = first; number <= last; number++) {
        if (!entries.has(number)) return String(number);
        found.push(entries.get(number));
      }
      return JSON.stringify(found);
    });
  }

  /** The bundle's text; undefined if there is none. */
  findBundle(id: string): Promise<string | undefined> {
    return this.#run(async () => {
      await this.#checkpoint();
      const text: unknown = await settle(this.#begin(["bundles"], "readonly").objectStore("bundles").get(id));
      return typeof text === "string" ? text : undefined;
    });
  }

  /** The chunk's packed bytes; undefined if there is none. */
  async findChunk(id: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return (await this.findChunks([id]))[0];
  }

  /** The same for several. */
  findChunks(ids: readonly string[]): Promise<readonly (Uint8Array<ArrayBuffer> | undefined)[]> {
    return this.#run(async () => {
      const store = this.#begin(["chunks"], "readonly").objectStore("chunks");
      const found = await Promise.all(ids.map((id) => settle<unknown>(store.get(id))));
      return found.map((packed) => (isChunk(packed) ? packed : undefined));
    });
  }

  /** Those of `ids` that are neither stored nor held. What is held although it is stored is let go of. */
  findMissingChunks(ids: readonly string[]): Promise<readonly string[]> {
    return this.#run(async () => {
      const store = this.#begin(["chunks"], "readonly").objectStore("chunks");
      const counts = await Promise.all(ids.map((id) => settle(store.count(id))));
      for (const [index, id] of ids.entries()) if (counts[index] !== 0) this.#held.delete(id);
      return ids.filter((id, index) => counts[index] === 0 && !this.#held.has(id));
    });
  }

  /** The id of every chunk, as a JSON list, sorted. */
  listChunks(): Promise<string> {
    return this.#run(async () => {
      const keys = await settle(this.#begin(["chunks"], "readonly").objectStore("chunks").getAllKeys());
      return JSON.stringify(keys.map(parseKey));
    });
  }

  /** Every transcript, as a JSON list of [vat, first number, last number], sorted by vat. */
  listTranscripts(): Promise<string> {
    return this.#run(async () => {
      await this.#checkpoint();
      const store = this.#begin(["transcripts"], "readonly").objectStore("transcripts");
      const ranges: (readonly [string, number, number])[] = [];
      for (;;) {
        // An array sorts after every number: the first key after this vat's is the next one's.
        const before = ranges.at(-1)?.[0];
        const rest = before === undefined ? null : IDBKeyRange.lowerBound([before, []], true);
        const head = await settle(store.openKeyCursor(rest));
        if (head === null) return JSON.stringify(ranges);
        const vat = parseVat(head.key);
        const tail = await settle(store.openCursor(IDBKeyRange.bound([vat], [vat, []]), "prev"));
        const span: unknown = tail?.value;
        const last = tail === null || !Array.isArray(span) ? NaN : parseNumber(tail.key) + span.length - 1;
        ranges.push([vat, parseNumber(head.key), last]);
      }
    });
  }

  /** The id of every bundle, as a JSON list, sorted. */
  listBundles(): Promise<string> {
    return this.#run(async () => {
      await this.#checkpoint();
      const keys = await settle(this.#begin(["bundles"], "readonly").objectStore("bundles").getAllKeys());
      return JSON.stringify(keys.map(parseKey));
    });
  }

  close(): void {
    this.#closedBecause ||= "the store was closed";
    this.#database.close();
  }

  #run<Value>(call: () => Promise<Value>): Promise<Value> {
    const result = this.#last.then(call);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Refuses a number that is there: nothing may rewrite a vat's past. */
  #checkTranscript(delta: Delta): void {
    const written = new Map(this.#written);
    for (const vat of delta.transcriptDrops) written.delete(vat);
    for (const [vat, number] of delta.transcript) {
      if (number <= (written.get(vat) ?? -1))
        throw new StoreError(`entry ${number} of ${vat} is in the transcript already; nothing of it was stored`);
      written.set(vat, number);
    }
  }

  /** The bytes of a delta's chunks. */
  #unpack(delta: Delta): (readonly [string, Uint8Array])[] {
    return Object.entries(delta.chunks).map(([id, text]) => {
      const packed = text === "" ? this.#held.get(id) : decodeBase64(text);
      if (packed === undefined) throw new StoreError(`the chunk ${id} is not at hand; nothing was stored`);
      return [id, packed];
    });
  }

  #take(delta: Delta, text: string): void {
    this.#pending.add(delta);
    this.#logChars += text.length;
    for (const vat of delta.transcriptDrops) this.#written.delete(vat);
    for (const [vat, number] of delta.transcript) this.#written.set(vat, number);
  }

  async #readLog(): Promise<void> {
    const texts = await settle<unknown[]>(this.#begin(["log"], "readonly").objectStore("log").getAll());
    for (const text of texts.map(parseKey)) this.#take(parseDelta(text), text);
  }

  async #checkpoint(): Promise<void> {
    if (this.#logChars === 0) return;
    const transaction = this.#begin(STORES, "readwrite");
    const completed = complete(transaction);
    apply(transaction, this.#pending);
    transaction.objectStore("log").clear();
    await completed;
    this.#pending = new Net();
    this.#logChars = 0;
  }

  #begin(stores: readonly string[], mode: IDBTransactionMode): IDBTransaction {
    if (this.#closedBecause !== "") throw new StoreError(this.#closedBecause);
    return this.#database.transaction(stores, mode, { durability: "strict" });
  }
}

function apply(transaction: IDBTransaction, net: Net): void {
  const kv = transaction.objectStore("kv");
  const transcripts = transaction.objectStore("transcripts");
  const bundles = transaction.objectStore("bundles");
  for (const [key, value] of net.texts) {
    if (value === null) kv.delete(key);
    else kv.put(value, key);
  }
  // An array sorts after every number.
  for (const vat of net.transcriptDrops) transcripts.delete(IDBKeyRange.bound([vat], [vat, []]));
  for (const { vat, first, texts } of net.spans) transcripts.add(texts, [vat, first]);
  for (const [id, text] of net.bundles) {
    if (text === null) bundles.delete(id);
    else bundles.put(text, id);
  }
}

function isChunk(value: unknown): value is Uint8Array<ArrayBuffer> {
  return value instanceof Uint8Array && value.buffer instanceof ArrayBuffer;
}

export function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

export function encodeBase64(bytes: Uint8Array): string {
  let text = "";
  // Not all at once: a call takes so many arguments only.
  for (let start = 0; start < bytes.length; start += 8192)
    text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  return btoa(text);
}

function parseKey(value: unknown): string {
  return parseText({ key: value }, "key");
}

/** The vat in a key of a transcript. */
function parseVat(key: IDBValidKey): string {
  return parseKey(Array.isArray(key) ? key[0] : undefined);
}

/** The number in a key of a transcript. */
function parseNumber(key: IDBValidKey): number {
  const number: unknown = Array.isArray(key) ? key[1] : undefined;
  if (typeof number !== "number") throw new StoreError("the transcripts have a key that is none");
  return number;
}

async function openDatabase(name: string): Promise<IDBDatabase> {
  const request = indexedDB.open(name, LAYOUT_VERSION);
  request.onupgradeneeded = ({ oldVersion }) => {
    if (oldVersion === 0) for (const store of FIRST_STORES) request.result.createObjectStore(store);
    if (oldVersion === 1 && request.transaction !== null) wrapEntries(request.transaction.objectStore("transcripts"));
    if (oldVersion < 2) request.result.createObjectStore("log", { autoIncrement: true });
    request.result.createObjectStore("chunks");
  };
  try {
    return await settle(request);
  } catch (error) {
    throw new StoreError(await explain(name, error), { cause: error });
  }
}

/** In layout 1, which had no log, each entry of a transcript was a record. */
function wrapEntries(transcripts: IDBObjectStore): void {
  const request = transcripts.openCursor();
  request.onsuccess = () => {
    const cursor = request.result;
    if (cursor === null) return;
    cursor.update([cursor.value]);
    cursor.continue();
  };
}

async function explain(name: string, error: unknown): Promise<string> {
  if (!(error instanceof DOMException) || error.name !== "VersionError") return `the database ${name} cannot be opened`;
  const found = (await indexedDB.databases()).find((database) => database.name === name)?.version;
  return `the database ${name} has layout ${found ?? "unknown"}, and this version reads up to ${LAYOUT_VERSION}: install the newer version again; nothing was changed`;
}

async function raiseEpoch(database: IDBDatabase): Promise<number> {
  const transaction = database.transaction("meta", "readwrite");
  const completed = complete(transaction);
  const store = transaction.objectStore("meta");
  const last: unknown = await settle(store.get("epoch"));
  const epoch = (typeof last === "number" ? last : 0) + 1;
  store.put(epoch, "epoch");
  await completed;
  return epoch;
}

function settle<Value>(request: IDBRequest<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => {
      resolve(request.result);
    };
    request.onerror = () => {
      reject(request.error ?? new StoreError("a request to the database failed"));
    };
  });
}

function complete(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => {
      resolve();
    };
    transaction.onabort = () => {
      reject(
        new StoreError("the database refused a commit; nothing of it was stored", {
          cause: transaction.error ?? undefined,
        }),
      );
    };
  });
}
