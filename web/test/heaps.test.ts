import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { deflateSync, inflateSync } from "node:zlib";

import { digestHeap, keepHeap, readHeap, RestoreError, type ChunkStore, type Snapshot } from "../src/kernel/heaps.ts";

class FakeStore implements ChunkStore {
  readonly chunks = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly held = new Map<string, Uint8Array<ArrayBuffer>>();

  findMissingChunks(ids: readonly string[]): Promise<readonly string[]> {
    return Promise.resolve(ids.filter((id) => !this.chunks.has(id) && !this.held.has(id)));
  }

  findChunks(ids: readonly string[]): Promise<readonly (Uint8Array<ArrayBuffer> | undefined)[]> {
    return Promise.resolve(ids.map((id) => this.chunks.get(id)));
  }

  hold(id: string, packed: Uint8Array<ArrayBuffer>): void {
    this.held.set(id, packed);
  }

  /** The commit that names what is held. */
  commit(): void {
    for (const [id, packed] of this.held) this.chunks.set(id, packed);
    this.held.clear();
  }
}

const sha = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");

const PIECES = { "0": "first", "7": "second".repeat(100), state: "first" };

function makeSnapshot(pieces: Readonly<Record<string, string>> = PIECES): Snapshot {
  const bytes = new TextEncoder().encode(Object.values(pieces).join(""));
  return {
    kind: "snapshot",
    mode: "take",
    delivered: 3,
    base: "b",
    memoryBytes: 1000,
    pieces: Object.entries(pieces).map(([place, text]) => [place, text.length]),
    bytes: bytes.buffer,
  };
}

const PAGES = Object.entries(PIECES)
  .map(([place, text]) => `${place}:${sha(text)}`)
  .join(",");
const RECORD = { base: "b", memory_bytes: 1000, pages: PAGES, digest: sha(`b\n1000\n${PAGES}`), delivered: 3 };

test("a heap is kept as chunks by their hashes, packed, each once", async () => {
  const store = new FakeStore();
  const image = JSON.parse((await keepHeap(store, makeSnapshot())).text) as unknown;
  const ids = [sha(PIECES["0"]), sha(PIECES["7"])];
  assert.deepEqual(image, { base: "b", memory_bytes: 1000, pages: PAGES, chunks: ids });
  assert.deepEqual([...store.held.keys()].sort(), ids.sort());
  assert.equal(String(inflateSync(store.held.get(sha(PIECES["7"])) ?? "")), PIECES["7"]);
});

test("what the store has is not held again", async () => {
  const store = new FakeStore();
  await keepHeap(store, makeSnapshot());
  store.commit();
  const { held } = await keepHeap(store, makeSnapshot({ ...PIECES, state: "other" }));
  assert.deepEqual(held, [sha("other")]);
});

test("a heap's digest is that of its base, size and chunks", async () => {
  assert.equal(await digestHeap(makeSnapshot()), RECORD.digest);
});

test("what was kept is read again", async () => {
  const store = new FakeStore();
  await keepHeap(store, makeSnapshot());
  store.commit();
  const { pieces, memoryBytes, start } = await readHeap(store, JSON.stringify(RECORD), "source");
  assert.equal(memoryBytes, 1000);
  assert.equal(start, "source");
  assert.deepEqual(
    pieces.map(({ place, bytes }) => [place, new TextDecoder().decode(bytes)]),
    Object.entries(PIECES),
  );
});

test("a missing chunk, a damaged one and a damaged record are named, not restored", async () => {
  const store = new FakeStore();
  await keepHeap(store, makeSnapshot());
  store.commit();
  const chunk = sha(PIECES["7"]);
  const restore = (record: object = RECORD): Promise<unknown> => readHeap(store, JSON.stringify(record), "");
  const isAbout = (pattern: RegExp, id: string) => (error: unknown) =>
    error instanceof RestoreError && error.chunk === id && pattern.test(error.message);
  const packed = store.chunks.get(chunk) ?? new Uint8Array();
  for (const wrong of [
    deflateSync("third"),
    packed.slice(0, 5),
    new Uint8Array([1, 2, 3]),
    packed.map((byte) => byte ^ 1),
  ]) {
    store.chunks.set(chunk, new Uint8Array(wrong));
    await assert.rejects(restore(), isAbout(/is damaged in the store/, chunk));
  }
  store.chunks.delete(chunk);
  await assert.rejects(restore(), isAbout(/is missing in the store/, chunk));
  await assert.rejects(restore({ ...RECORD, memory_bytes: 1001 }), isAbout(/its record is damaged/, ""));
});
