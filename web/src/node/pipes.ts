/**
 * A process's standard input and output as lines of UTF-8, without an event loop: reading waits, and so does writing.
 *
 * It holds what it needs of Node, so it works in a process whose globals were scrubbed.
 */

import { Buffer } from "node:buffer";
import { readSync, writeSync } from "node:fs";

const READ_BYTES = 1 << 16;
const NEWLINE = 10;

/** The next line on standard input; null at its end. What follows the last line break is none. */
export class Lines {
  readonly #buffer = Buffer.alloc(READ_BYTES);
  /** Of the next line. */
  #parts: Buffer[] = [];
  #rest = Buffer.alloc(0);

  read(): string | null {
    for (;;) {
      const end = this.#rest.indexOf(NEWLINE);
      if (end >= 0) {
        const line = Buffer.concat([...this.#parts, this.#rest.subarray(0, end)]).toString();
        this.#parts = [];
        this.#rest = this.#rest.subarray(end + 1);
        return line;
      }
      if (this.#rest.length > 0) this.#parts.push(this.#rest);
      const size = readSync(0, this.#buffer);
      if (size === 0) return null;
      this.#rest = Buffer.from(this.#buffer.subarray(0, size));
    }
  }
}

export function writeLine(text: string): void {
  const bytes = Buffer.from(`${text}\n`);
  for (let at = 0; at < bytes.length;) at += writeSync(1, bytes, at);
}

export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}

/** The bytes in memory of their own. */
export function decodeBase64(text: string): ArrayBuffer {
  return new Uint8Array(Buffer.from(text, "base64")).buffer;
}
