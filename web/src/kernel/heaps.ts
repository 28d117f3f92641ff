/**
 * Heaps between the realms of vats and the kernel's store.
 *
 * The bytes never pass through Python: it is told which chunks there are, and JavaScript holds them until the commit that
 * names them. What a realm says is only data here: a chunk is named by the hash that is computed here, since chunks are
 * shared between vats, and what is read back is compared with its name.
 *
 * Source: `kernel_py/wire/snapshots.py`, which says what a heap's digest is and how chunks are packed.
 */

import type { HeapReport, Piece, RestoreMessage } from "../shared/heap_messages.ts";
import { parseFields, parseInteger, parseText } from "../shared/parse.ts";

export interface ChunkStore {
  /** Those of `ids` that neither are in the store nor held. */
  findMissingChunks(ids: readonly string[]): Promise<readonly string[]>;
  findChunks(ids: readonly string[]): Promise<readonly (Uint8Array<ArrayBuffer> | undefined)[]>;
  /** Keeps a chunk's packed bytes until a commit names it. */
  hold(id: string, packed: Uint8Array<ArrayBuffer>): void;
}

export type Snapshot = Extract<HeapReport, { kind: "snapshot" }>;

/** A snapshot cannot be restored. */
export class RestoreError extends Error {
  override name = "RestoreError";

  /** `chunk`: the id of that which is missing or damaged; "" if it is not that. */
  constructor(
    message: string,
    readonly chunk: string,
  ) {
    super(message);
  }
}

/** The digest of a heap, as two machines compare it. */
export async function digestHeap(snapshot: Snapshot): Promise<string> {
  return await digest(snapshot.base, snapshot.memoryBytes, dumpPages(await nameChunks(snapshot)));
}

export interface HeapImage {
  /** What `BrowserKernel.heap_imaged` takes. */
  readonly text: string;
  /** The ids of the chunks that are held for it. */
  readonly held: readonly string[];
}

/** Holds what the store does not have of a heap. */
export async function keepHeap(store: ChunkStore, snapshot: Snapshot): Promise<HeapImage> {
  const chunks = await nameChunks(snapshot);
  const byId = new Map(chunks.map(({ id, bytes }) => [id, bytes]));
  const missing = await store.findMissingChunks([...byId.keys()]);
  await Promise.all(
    missing.map(async (id) => {
      store.hold(id, await transform(new CompressionStream("deflate"), byId.get(id) ?? new Uint8Array()));
    }),
  );
  const { base, memoryBytes } = snapshot;
  const text = JSON.stringify({ base, memory_bytes: memoryBytes, pages: dumpPages(chunks), chunks: missing });
  return { text, held: missing };
}

/** What restores a heap. `text`: JSON of `kernel_py.core.schema.Snapshot`. Throws a `RestoreError`. */
export async function readHeap(store: ChunkStore, text: string, start: string): Promise<RestoreMessage> {
  const fields = parseFields(JSON.parse(text), "a snapshot");
  const memoryBytes = parseInteger(fields, "memory_bytes");
  const pages = parseText(fields, "pages");
  if ((await digest(parseText(fields, "base"), memoryBytes, pages)) !== parseText(fields, "digest"))
    throw new RestoreError("its record is damaged", "");
  const named = pages.split(",").map((page) => page.split(":"));
  const found = await store.findChunks(named.map(([, id = ""]) => id));
  const pieces = await Promise.all(
    named.map(async ([place = "", id = ""], index): Promise<Piece> => {
      return { place, bytes: await unpackChunk(id, found[index]) };
    }),
  );
  return { kind: "restore", memoryBytes, pieces, start };
}

async function unpackChunk(id: string, packed: Uint8Array<ArrayBuffer> | undefined): Promise<ArrayBuffer> {
  if (packed === undefined) throw new RestoreError(`the chunk ${id} is missing in the store`, id);
  let bytes;
  try {
    bytes = await transform(new DecompressionStream("deflate"), packed);
  } catch {
    // As bad as other bytes.
  }
  if (bytes === undefined || (await hash(bytes)) !== id)
    throw new RestoreError(`the chunk ${id} is damaged in the store`, id);
  return bytes.buffer;
}

interface Chunk {
  readonly place: string;
  readonly id: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

async function nameChunks({ pieces, bytes }: Snapshot): Promise<readonly Chunk[]> {
  let at = 0;
  return await Promise.all(
    pieces.map(async ([place, size]) => {
      const piece = new Uint8Array(bytes, at, size);
      at += size;
      return { place, id: await hash(piece), bytes: piece };
    }),
  );
}

function dumpPages(chunks: readonly Chunk[]): string {
  return chunks.map(({ place, id }) => `${place}:${id}`).join(",");
}

async function digest(base: string, memoryBytes: number, pages: string): Promise<string> {
  return await hash(new TextEncoder().encode(`${base}\n${memoryBytes}\n${pages}`));
}

async function hash(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digested = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digested, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function transform(
  stream: CompressionStream | DecompressionStream,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}
