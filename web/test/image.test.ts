import assert from "node:assert/strict";
import { test } from "node:test";

import { encodeImage, findRuns, gatherPages, PAGE_BYTES, parseImage, restorePages } from "../src/shared/image.ts";

const PAGES = 6;

/** A memory in which some pages hold something. */
function makeMemory(pages: Readonly<Record<number, number>>): Uint8Array {
  const memory = new Uint8Array(PAGES * PAGE_BYTES);
  for (const [page, value] of Object.entries(pages)) memory[Number(page) * PAGE_BYTES + 100] = value;
  return memory;
}

function makeFile(memory: Uint8Array, clear: [number, number][] = []): Uint8Array {
  const runs = findRuns(memory);
  const header = { id: "i", build: "b", memoryBytes: memory.length, config: { hiwireKeys: [null] }, runs, clear };
  return encodeImage({ header, pages: gatherPages(memory, runs) });
}

test("only pages that are not zero are in an image", () => {
  assert.deepEqual(findRuns(makeMemory({ 0: 1, 2: 2, 3: 3, 5: 4 })), [
    [0, 1],
    [2, 2],
    [5, 1],
  ]);
  assert.deepEqual(findRuns(makeMemory({})), []);
});

test("a page of minus zeros and of NaNs is not zero", () => {
  const memory = makeMemory({});
  new Float64Array(memory.buffer)[0] = -0;
  new Float64Array(memory.buffer)[(2 * PAGE_BYTES) / 8] = NaN;
  assert.deepEqual(findRuns(memory), [
    [0, 1],
    [2, 1],
  ]);
});

test("what is restored is what was there", () => {
  const memory = makeMemory({ 0: 1, 2: 2, 3: 3, 5: 4 });
  const image = parseImage(makeFile(memory));
  assert.deepEqual(image.header.config, { hiwireKeys: [null] });
  const restored = new Uint8Array(memory.length);
  restorePages(restored, image);
  assert.deepEqual(restored, memory);
});

test("pages that a fresh instance has used, and the image has not, are cleared", () => {
  const memory = makeMemory({ 0: 1 });
  const restored = makeMemory({ 0: 9, 4: 9 });
  restorePages(restored, parseImage(makeFile(memory, [[4, 1]])));
  assert.deepEqual(restored, memory);
});

test("pages are aligned in the file, so that they can be copied as a whole", () => {
  const file = makeFile(makeMemory({ 1: 1 }));
  assert.equal(file.length % PAGE_BYTES, 0);
});

test("a file that is no image, or not whole, is refused", () => {
  const file = makeFile(makeMemory({ 0: 1, 2: 2 }));
  assert.throws(() => parseImage(new TextEncoder().encode("something else")), /not a memory image/);
  assert.throws(() => parseImage(file.subarray(0, file.length - 1)), /bytes of pages/);
});
