/**
 * Memory images: the wasm memory of a started Pyodide, without its zero pages, as one binary file.
 *
 * Owns the file format. All numbers are little-endian:
 *
 *     magic        8 bytes, "KPYIMG1\n"
 *     header size  4 bytes, u32
 *     header       UTF-8 JSON, `ImageHeader`; padded with spaces so that the pages are aligned
 *     pages        the bytes of every run in the header, in order
 *
 * Invariants: runs are ascending, disjoint and within `memory_bytes`; every page that is in no run is
 * zero, and those of them that a fresh instance does not have as zero are listed in `clear`.
 */

import { ParseError, parseFields, parseInteger, parseList, parseText, type Fields } from "./parse.ts";

export const PAGE_BYTES = 4096;

const MAGIC = "KPYIMG1\n";
const PREFIX_BYTES = MAGIC.length + 4;

/** First page and number of pages. */
export type Run = readonly [first: number, count: number];

export interface ImageHeader {
  /** SHA-256 of all the rest, in hexadecimal: what a heap snapshot names as its base. */
  readonly id: string;
  /** Pyodide's own build id: an image fits no other build. */
  readonly build: string;
  readonly memoryBytes: number;
  /** What must be known on JavaScript's side: by Pyodide (a kernel's image), or by `TextFunction` (a realm's). */
  readonly config: Fields;
  readonly runs: readonly Run[];
  readonly clear: readonly Run[];
}

export interface Image {
  readonly header: ImageHeader;
  readonly pages: Uint8Array;
}

export function encodeImage(image: Image): Uint8Array<ArrayBuffer> {
  const { id, build, memoryBytes, config, runs, clear } = image.header;
  let header = JSON.stringify({ id, build, memory_bytes: memoryBytes, config, runs, clear });
  const headerBytes = new TextEncoder().encode(header).length;
  header += " ".repeat((PAGE_BYTES - ((PREFIX_BYTES + headerBytes) % PAGE_BYTES)) % PAGE_BYTES);
  const encoded = new TextEncoder().encode(MAGIC + "\0\0\0\0" + header);
  const file = new Uint8Array(encoded.length + image.pages.length);
  file.set(encoded);
  new DataView(file.buffer).setUint32(MAGIC.length, encoded.length - PREFIX_BYTES, true);
  file.set(image.pages, encoded.length);
  return file;
}

/** The image in `file`; its pages are a view of the same memory. Throws a `ParseError`. */
export function parseImage(file: Uint8Array): Image {
  const magic = new TextDecoder().decode(file.subarray(0, MAGIC.length));
  if (magic !== MAGIC) throw new ParseError("not a memory image of this version");
  const headerBytes = new DataView(file.buffer, file.byteOffset).getUint32(MAGIC.length, true);
  const pagesStart = PREFIX_BYTES + headerBytes;
  const fields = parseFields(
    JSON.parse(new TextDecoder().decode(file.subarray(PREFIX_BYTES, pagesStart))),
    "an image's header",
  );
  const header = {
    id: parseText(fields, "id"),
    build: parseText(fields, "build"),
    memoryBytes: parseInteger(fields, "memory_bytes"),
    config: parseFields(fields["config"], "an image's config"),
    runs: parseRuns(fields, "runs"),
    clear: parseRuns(fields, "clear"),
  };
  const pages = file.subarray(pagesStart);
  const pageCount = header.runs.reduce((sum, [, count]) => sum + count, 0);
  if (pages.length !== pageCount * PAGE_BYTES)
    throw new ParseError(`the image has ${pages.length} bytes of pages instead of ${pageCount * PAGE_BYTES}`);
  return { header, pages };
}

/** The pages of `memory` that are not zero. */
export function findRuns(memory: Uint8Array): Run[] {
  return findRunsWhere(memory.length / PAGE_BYTES, (page) => !isZero(memory, page));
}

export function findRunsWhere(pageCount: number, isIncluded: (page: number) => boolean): Run[] {
  const runs: Run[] = [];
  let first = -1;
  for (let page = 0; page <= pageCount; page++) {
    const included = page < pageCount && isIncluded(page);
    if (included && first < 0) first = page;
    if (!included && first >= 0) {
      runs.push([first, page - first]);
      first = -1;
    }
  }
  return runs;
}

/** The bytes of `runs` in `memory`, one after the other. */
export function gatherPages(memory: Uint8Array, runs: readonly Run[]): Uint8Array<ArrayBuffer> {
  const pages = new Uint8Array(runs.reduce((sum, [, count]) => sum + count, 0) * PAGE_BYTES);
  let position = 0;
  for (const [first, count] of runs) {
    pages.set(memory.subarray(first * PAGE_BYTES, (first + count) * PAGE_BYTES), position);
    position += count * PAGE_BYTES;
  }
  return pages;
}

/** Write an image into the memory of a fresh instance, touching no page that stays zero. */
export function restorePages(memory: Uint8Array, image: Image): void {
  for (const [first, count] of image.header.clear) memory.fill(0, first * PAGE_BYTES, (first + count) * PAGE_BYTES);
  let position = 0;
  for (const [first, count] of image.header.runs) {
    memory.set(image.pages.subarray(position, position + count * PAGE_BYTES), first * PAGE_BYTES);
    position += count * PAGE_BYTES;
  }
}

function isZero(memory: Uint8Array, page: number): boolean {
  const words = new Float64Array(memory.buffer, memory.byteOffset + page * PAGE_BYTES, PAGE_BYTES / 8);
  // NaN patterns are not equal to zero; minus zero is, so look at the bits of what looks like zero.
  if (words.some((word) => word !== 0)) return false;
  return !new Int32Array(words.buffer, words.byteOffset, PAGE_BYTES / 4).some((word) => word !== 0);
}

function parseRuns(fields: Fields, name: string): Run[] {
  return parseList(fields, name).map((run) => {
    const values: readonly unknown[] = Array.isArray(run) ? run : [];
    const [first, count] = values;
    if (typeof first !== "number" || typeof count !== "number")
      throw new ParseError(`${name} must be a list of pairs of numbers`);
    return [first, count];
  });
}
