/**
 * A realm as a process of Node's, for kernels outside of browsers:
 *
 *     node realm.mjs <folder of the built extension>/
 *
 * One vat lives in it, in the very realm that a browser has: the same Python from the same image, with the same conversation. So
 * a heap is the same in both, to the last byte. Texts come as lines on standard input and go as lines to standard output,
 * and so do heaps, as `kernel_py/hosts/native/heap_lines.py` says.
 *
 * Invariants: no text of the kernel reaches Python before the globals are scrubbed; nothing but texts, and the heap, goes
 * out; it ends when its input does, and when Python breaks down.
 */

import { constants } from "node:fs";

import { bootRealm, type Heap } from "../realm/boot_realm.ts";
import { Conversation } from "../realm/conversation.ts";
import { freezeClocksAndEntropy } from "../realm/freeze.ts";
import { reportHeap, restoreHeap } from "../realm/heap.ts";
import { scrubGlobals } from "../realm/scrub.ts";
import type { Piece, SnapshotMode } from "../shared/heap_messages.ts";
import { describeError, ParseError } from "../shared/parse.ts";
import { fixEntropy, loadNodeBootOptions } from "./boot_options.ts";
import { decodeBase64, encodeBase64, Lines, writeLine } from "./pipes.ts";

// Not imported: that would look at its standard streams, which makes them ones that do not wait.
const { process } = globalThis;

const PIECE = '["piece",';
const RESTORE = '["restore",';

async function main(): Promise<void> {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) throw new Error("usage: realm.mjs <folder of the built extension>/");
  const options = await loadNodeBootOptions(folder, () => undefined);
  prepareProcess();
  freezeClocksAndEntropy();
  const { heap, problem } = await bootRealm(options);
  if (problem !== "") throw new Error(problem);
  scrubGlobals();
  new RealmProcess(heap, options.image).run();
}

/** What Pyodide expects of Node's `process`, and this one does not have or must keep for itself. */
function prepareProcess(): void {
  fixEntropy();
  // Where it looks up the flags of files: refused to a process that has no permissions.
  Reflect.set(process, "binding", () => ({ fs: constants }));
  Object.defineProperty(process, "stdin", { value: { fd: 0 } });
  Object.defineProperty(process, "stdout", { value: { fd: 1 } });
}

class RealmProcess {
  readonly #heap: Heap;
  readonly #image: Uint8Array<ArrayBuffer>;
  readonly #conversation: Conversation;
  /** What came of a heap that is to be restored. */
  #pieces: Piece[] = [];

  constructor(heap: Heap, image: Uint8Array<ArrayBuffer>) {
    this.#heap = heap;
    this.#image = image;
    this.#conversation = new Conversation((text) => heap.receive.call(text, heap.module.HEAPU8.length), heap.base);
  }

  /** Until the input ends. */
  run(): void {
    const lines = new Lines();
    writeLine(this.#conversation.hello());
    for (let line = lines.read(); line !== null; line = lines.read()) this.#take(line);
  }

  #take(line: string): void {
    if (line.startsWith(PIECE)) this.#takePiece(line);
    else if (line.startsWith(RESTORE)) this.#restore(line);
    else this.#deliver(line);
  }

  #deliver(text: string): void {
    const { texts, snapshot } = this.#conversation.receive(text);
    if (texts !== "") writeLine(texts);
    if (snapshot === null) return;
    this.#report(snapshot);
    this.#conversation.afterSnapshot();
  }

  #report(mode: SnapshotMode): void {
    const report = reportHeap(this.#heap, this.#conversation, this.#image.buffer, mode);
    if (report.kind === "unsnapshotable") {
      writeLine(JSON.stringify(["no heap", report.reason]));
      return;
    }
    let at = 0;
    for (const [place, size] of report.pieces) {
      writeLine(JSON.stringify(["piece", place, encodeBase64(new Uint8Array(report.bytes, at, size))]));
      at += size;
    }
    writeLine(JSON.stringify(["heap", mode, report.delivered, report.base, report.memoryBytes]));
  }

  #takePiece(line: string): void {
    const [, place, data] = JSON.parse(line) as unknown[];
    if (typeof place !== "string" || typeof data !== "string")
      throw new ParseError(`not a piece: ${line.slice(0, 200)}`);
    this.#pieces.push({ place, bytes: decodeBase64(data) });
  }

  #restore(line: string): void {
    const [, memoryBytes] = JSON.parse(line) as unknown[];
    if (typeof memoryBytes !== "number") throw new ParseError(`not a size: ${line.slice(0, 200)}`);
    const pieces = this.#pieces;
    this.#pieces = [];
    restoreHeap(this.#heap, this.#conversation, { kind: "restore", memoryBytes, pieces, start: "" });
    writeLine(this.#conversation.hello());
  }
}

try {
  await main();
} catch (error) {
  // Node would print the throwing line: all of Pyodide.
  process.stderr.write(`Python broke down: ${describeError(error)}\n`);
  process.exitCode = 1;
}
