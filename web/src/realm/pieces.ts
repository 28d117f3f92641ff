/**
 * What differs between a realm's memory and the image that it started from, in pieces.
 *
 * A piece is the difference of `PIECE_PAGES` pages, whose place is their index. After some deliveries a third of all
 * pages differ, but in each a few bytes only, mostly reference counts: hence not pages, but
 *
 *     piece = (gap, length, bytes)...
 *
 * with `gap`, the bytes that do not differ since the last ones that do, and `length` as LEB128. Bytes differ if they are not
 * what the image has there; beyond the image, if they are not zero. A run ends before two bytes that do not differ, or at the
 * end of its page.
 *
 * Invariants: the same memory and the same image give the same pieces; memory with the image in it and the pieces written
 * over it is the same memory again.
 */

import { PAGE_BYTES, type Image, type Run } from "../shared/image.ts";
import { ParseError } from "../shared/parse.ts";

export const PIECE_PAGES = 64;
const PIECE_BYTES = PIECE_PAGES * PAGE_BYTES;
const PAGE_WORDS = PAGE_BYTES / 4;

/** By place, in order. */
export type Pieces = Map<number, Uint8Array<ArrayBuffer>>;

export function takePieces(memory: Uint8Array, image: Image): Pieces {
  const base = new BasePages(image);
  const words = new Int32Array(memory.buffer, memory.byteOffset, memory.length / 4);
  const pieces: Pieces = new Map();
  const pageCount = memory.length / PAGE_BYTES;
  for (let first = 0; first < pageCount; first += PIECE_PAGES) {
    const writer = new PieceWriter();
    for (let page = first; page < Math.min(first + PIECE_PAGES, pageCount); page++) {
      const basePage = base.get(page);
      if (!isEqual(words, page * PAGE_WORDS, basePage.words))
        writePage(writer, memory, page * PAGE_BYTES, (page - first) * PAGE_BYTES, basePage.bytes);
    }
    if (!writer.isEmpty) pieces.set(first / PIECE_PAGES, writer.finish());
  }
  return pieces;
}

/** Write a piece into memory that has the image in it. Throws a `ParseError` if it is none. */
export function writePiece(memory: Uint8Array, place: number, piece: Uint8Array): void {
  const start = place * PIECE_BYTES;
  const end = Math.min(start + PIECE_BYTES, memory.length);
  let at = start;
  let position = 0;
  const readNumber = (): number => {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = piece[position++];
      if (byte === undefined) break;
      value += (byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw new ParseError(`piece ${place} of a heap is malformed`);
  };
  while (position < piece.length) {
    at += readNumber();
    const length = readNumber();
    if (at + length > end || position + length > piece.length)
      throw new ParseError(`piece ${place} of a heap reaches beyond its end`);
    memory.set(piece.subarray(position, position + length), at);
    at += length;
    position += length;
  }
}

function writePage(writer: PieceWriter, memory: Uint8Array, at: number, offset: number, base: Uint8Array): void {
  for (let index = 0; index < PAGE_BYTES; index++) {
    if (memory[at + index] === base[index]) continue;
    let end = index + 1;
    while (
      end < PAGE_BYTES &&
      (memory[at + end] !== base[end] || (end + 1 < PAGE_BYTES && memory[at + end + 1] !== base[end + 1]))
    )
      end++;
    writer.write(offset + index, memory.subarray(at + index, at + end));
    index = end;
  }
}

function isEqual(words: Int32Array, at: number, base: Int32Array): boolean {
  for (let index = 0; index < PAGE_WORDS; index++) if (words[at + index] !== base[index]) return false;
  return true;
}

class PieceWriter {
  #bytes = new Uint8Array(1024);
  #size = 0;
  /** Where the last run ended. */
  #end = 0;

  get isEmpty(): boolean {
    return this.#size === 0;
  }

  write(at: number, run: Uint8Array): void {
    // Two numbers below 2^28 take eight bytes at most.
    this.#reserve(8 + run.length);
    this.#writeNumber(at - this.#end);
    this.#writeNumber(run.length);
    this.#bytes.set(run, this.#size);
    this.#size += run.length;
    this.#end = at + run.length;
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#size);
  }

  #writeNumber(value: number): void {
    let rest = value;
    while (rest > 127) {
      this.#bytes[this.#size++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.#bytes[this.#size++] = rest;
  }

  #reserve(bytes: number): void {
    if (this.#size + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * this.#bytes.length + bytes);
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

/** Finds the pages of an image; those that it does not have are zero. */
class BasePages {
  readonly #pages: Uint8Array;
  readonly #runs: readonly Run[];
  #run = 0;
  /** Pages of the image in runs before the present one. */
  #before = 0;
  readonly #zero = new Uint8Array(PAGE_BYTES);

  constructor({ header, pages }: Image) {
    this.#pages = pages;
    this.#runs = header.runs;
  }

  /** Call with ascending pages. */
  get(page: number): { readonly bytes: Uint8Array; readonly words: Int32Array } {
    const bytes = this.#find(page);
    return { bytes, words: new Int32Array(bytes.buffer, bytes.byteOffset, PAGE_WORDS) };
  }

  #find(page: number): Uint8Array {
    for (;;) {
      const run = this.#runs[this.#run];
      if (run === undefined || page < run[0]) return this.#zero;
      const [first, count] = run;
      if (page < first + count) {
        const at = (this.#before + page - first) * PAGE_BYTES;
        return this.#pages.subarray(at, at + PAGE_BYTES);
      }
      this.#before += count;
      this.#run++;
    }
  }
}
