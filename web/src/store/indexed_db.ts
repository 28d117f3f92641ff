/**
 * Kernel state in IndexedDB: what `kernel_py/hosts/browser/backend.py` needs, and nothing of what it means.
 *
 * Owns the database's layout:
 *
 *     kv           key -> text
 *     transcripts  [vat, number] -> text
 *     bundles      id -> text
 *     meta         "epoch" -> number of the present life of the kernel
 *
 * Invariants:
 * - A commit is one readwrite transaction with strict durability: it is all there or not at all, and survives
 *   a power cut once `commit` has resolved.
 * - A database of a newer layout, or one that cannot be opened, is an error, and is left as it is. There is no
 *   other place to keep state in.
 * - After `close`, or after the browser has closed the connection, every call fails.
 */

import { parseFields, parseList, parseText, ParseError, type Fields } from "../shared/parse.ts";

/** The layout above. IndexedDB keeps it as the database's version. */
export const LAYOUT_VERSION = 1;

const STORES = ["kv", "transcripts", "bundles"] as const;

export class StoreError extends Error {
  override name = "StoreError";
}

export class IndexedDbStore {
  readonly #database: IDBDatabase;
  /** Greater than that of every earlier opening. */
  readonly epoch: number;
  #closedBecause = "";

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
      return new IndexedDbStore(database, await raiseEpoch(database));
    } catch (error) {
      database.close();
      throw new StoreError(`the database ${name} cannot be written`, { cause: error });
    }
  }

  /** The key-value map, as a JSON object. */
  async load(): Promise<string> {
    const store = this.#begin("readonly").objectStore("kv");
    const [keys, values] = await Promise.all([settle(store.getAllKeys()), settle<unknown[]>(store.getAll())]);
    return JSON.stringify(Object.fromEntries(keys.map((key, index) => [parseKey(key), values[index]])));
  }

  /** Applies a delta, as JSON of `kernel_py.core.store.Delta`'s fields. */
  async commit(text: string): Promise<void> {
    const delta = parseFields(JSON.parse(text), "a delta");
    const transaction = this.#begin("readwrite");
    const completed = complete(transaction);
    try {
      apply(transaction, delta);
    } catch (error) {
      // Nothing of it may be stored.
      transaction.abort();
      completed.catch(() => undefined);
      throw error;
    }
    await completed;
  }

  /** Entries with numbers `first` to `last`, in order, as a JSON list; or the first number that is missing. */
  async readTranscript(vat: string, first: number, last: number): Promise<string> {
    const range = IDBKeyRange.bound([vat, first], [vat, last]);
    const store = this.#begin("readonly").objectStore("transcripts");
    const [keys, entries] = await Promise.all([
      settle(store.getAllKeys(range)),
      settle<unknown[]>(store.getAll(range)),
    ]);
    for (let number = first; number <= last; number++) {
      if (indexedDB.cmp(keys[number - first] ?? [], [vat, number]) !== 0) return String(number);
    }
    return JSON.stringify(entries);
  }

  /** The bundle's text; undefined if there is none. */
  async findBundle(id: string): Promise<string | undefined> {
    const text: unknown = await settle(this.#begin("readonly").objectStore("bundles").get(id));
    return typeof text === "string" ? text : undefined;
  }

  close(): void {
    this.#closedBecause ||= "the store was closed";
    this.#database.close();
  }

  #begin(mode: IDBTransactionMode): IDBTransaction {
    if (this.#closedBecause !== "") throw new StoreError(this.#closedBecause);
    return this.#database.transaction(STORES, mode, { durability: "strict" });
  }
}

function apply(transaction: IDBTransaction, delta: Fields): void {
  const kv = transaction.objectStore("kv");
  const transcripts = transaction.objectStore("transcripts");
  const bundles = transaction.objectStore("bundles");
  for (const [key, value] of Object.entries(parseFields(delta["puts"], "puts"))) kv.put(value, key);
  for (const key of parseList(delta, "deletes")) kv.delete(parseKey(key));
  for (const entry of parseList(delta, "transcript")) {
    const [vat, number, text] = parseEntry(entry);
    // Refuses a number that is there: nothing may rewrite a vat's past.
    transcripts.add(text, [vat, number]);
  }
  for (const vat of parseList(delta, "transcript_drops")) {
    // An array sorts after every number.
    transcripts.delete(IDBKeyRange.bound([vat], [vat, []]));
  }
  for (const id of parseList(delta, "bundle_drops")) bundles.delete(parseKey(id));
  for (const [id, text] of Object.entries(parseFields(delta["bundles"], "bundles"))) bundles.put(text, id);
}

function parseKey(value: unknown): string {
  return parseText({ key: value }, "key");
}

function parseEntry(value: unknown): [vat: string, number: number, text: string] {
  const [vat, number, text] = (Array.isArray(value) ? value : []) as unknown[];
  if (typeof vat !== "string" || typeof number !== "number" || typeof text !== "string")
    throw new ParseError("an entry must be [vat, number, text]");
  return [vat, number, text];
}

async function openDatabase(name: string): Promise<IDBDatabase> {
  const request = indexedDB.open(name, LAYOUT_VERSION);
  request.onupgradeneeded = () => {
    for (const store of [...STORES, "meta"]) request.result.createObjectStore(store);
  };
  try {
    return await settle(request);
  } catch (error) {
    throw new StoreError(await explain(name, error), { cause: error });
  }
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
