import assert from "node:assert/strict";
import { test } from "node:test";

import { PIECE_PAGES, takePieces, writePiece } from "../src/realm/pieces.ts";
import { findRuns, gatherPages, PAGE_BYTES, restorePages, type Image } from "../src/shared/image.ts";

const PIECE_BYTES = PIECE_PAGES * PAGE_BYTES;
const MEMORY_BYTES = 3 * PIECE_BYTES;

function makeImage(memory: Uint8Array): Image {
  const runs = findRuns(memory);
  const header = { id: "i", build: "b", memoryBytes: memory.length, config: {}, runs, clear: [] };
  return { header, pages: gatherPages(memory, runs) };
}

function makeMemory(bytes: Readonly<Record<number, number>>, size = MEMORY_BYTES): Uint8Array {
  const memory = new Uint8Array(size);
  for (const [at, value] of Object.entries(bytes)) memory[Number(at)] = value;
  return memory;
}

/** Memory with the image of `base` in it and the pieces of `memory` written over it. */
function restore(base: Uint8Array, memory: Uint8Array): Uint8Array {
  const image = makeImage(base);
  const restored = new Uint8Array(memory.length);
  restorePages(restored, image);
  for (const [place, piece] of takePieces(memory, image)) writePiece(restored, place, piece);
  return restored;
}

test("memory that is its image has no pieces", () => {
  const base = makeMemory({ 5: 1, [PIECE_BYTES + 7]: 2 });
  assert.deepEqual([...takePieces(base, makeImage(base))], []);
});

test("a piece has what differs, and what lies between only if it is a single byte", () => {
  const base = makeMemory({ 100: 9 });
  const memory = makeMemory({ 100: 9, 200: 1, 202: 2, 205: 3 });
  const pieces = takePieces(memory, makeImage(base));
  assert.deepEqual([...pieces.keys()], [0]);
  assert.deepEqual([...(pieces.get(0) ?? [])], [(200 & 127) | 128, 1, 3, 1, 0, 2, 2, 1, 3]);
});

test("what the image has and the memory has not is in a piece too", () => {
  const base = makeMemory({ [PIECE_BYTES]: 9 });
  assert.deepEqual([...(takePieces(makeMemory({}), makeImage(base)).get(1) ?? [])], [0, 1, 0]);
});

test("memory is the same again, whatever it was and however it has grown", () => {
  // A generator that is the same in every run.
  let state = 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let round = 0; round < 20; round++) {
    const base = makeMemory({});
    const memory = new Uint8Array(MEMORY_BYTES + random(3) * 16 * PAGE_BYTES);
    for (let write = 0; write < 50; write++) base.fill(random(256), random(MEMORY_BYTES), random(MEMORY_BYTES));
    memory.set(base);
    for (let write = 0; write < 100; write++) {
      const start = random(memory.length);
      memory.fill(random(256), start, start + random(3 * PAGE_BYTES));
    }
    for (const size of [PAGE_BYTES, PIECE_BYTES, memory.length]) memory[size - 1] = (memory[size - 1] ?? 0) ^ 1;
    assert.ok(Buffer.from(restore(base, memory)).equals(memory), `round ${round}`);
  }
});

test("a piece that reaches beyond its end is refused", () => {
  const memory = makeMemory({});
  assert.throws(() => {
    writePiece(memory, 2, new Uint8Array([0x80, 0x80, 0x10, 1, 7]));
  }, /piece 2 of a heap reaches beyond its end/);
  assert.throws(() => {
    writePiece(memory, 0, new Uint8Array([0, 2, 7]));
  }, /reaches beyond/);
  assert.throws(() => {
    writePiece(memory, 0, new Uint8Array([0x80]));
  }, /malformed/);
});
