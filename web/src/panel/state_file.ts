/**
 * The whole state of the kernel as a file: saved from it, and put in the place of what it has.
 *
 * The file is an archive as `kernel-py export` writes and `kernel-py import` reads it. It travels in pieces beside the
 * requests (`kernel_py/hosts/transfers.py`); pieces that were lost with a port make the whole fail, and nothing is changed.
 */

import { signal, type ReadonlySignal } from "@preact/signals";
import type { Surroundings } from "./actions.ts";
import type { Piece } from "./api.ts";
import type { RpcClient } from "./rpc.ts";
import { describeError } from "../shared/parse.ts";

const PIECE_CHARS = 500_000;
export const FILE_NAME = "kernel_py.archive";

export class StateFile {
  readonly #rpc: RpcClient;
  readonly #around: Surroundings;
  readonly #busy = signal<"" | "export" | "import">("");
  /** Of the export under way. */
  #id = "";
  #pieces: string[] = [];

  constructor(rpc: RpcClient, around: Surroundings) {
    this.#rpc = rpc;
    this.#around = around;
  }

  /** What is under way. */
  get busy(): ReadonlySignal<"" | "export" | "import"> {
    return this.#busy;
  }

  /** A piece of the export has come. Asked again on another port, the kernel begins anew. */
  take({ id, index, text }: Piece): void {
    if (id !== this.#id) return;
    if (index === 0) this.#pieces = [];
    if (index === this.#pieces.length) this.#pieces.push(text);
  }

  async export(): Promise<void> {
    await this.#run("export", "The state was not exported", async () => {
      this.#id = crypto.randomUUID();
      const { pieces } = await this.#rpc.call("export", {}, { id: this.#id }).answer;
      if (pieces !== this.#pieces.length) throw new Error("a part of it was lost on the way; try again");
      download(new Blob(this.#pieces, { type: "application/x-ndjson" }));
      this.#around.announce("state exported");
    });
    this.#id = "";
    this.#pieces = [];
  }

  async import(file: File): Promise<void> {
    await this.#run("import", `${file.name} was not imported`, async () => {
      const text = await file.text();
      const id = crypto.randomUUID();
      const pieces = cut(text);
      pieces.forEach((piece, index) => {
        this.#rpc.tell("archive", { id, index, text: piece });
      });
      await this.#rpc.call("import", { pieces: pieces.length }, { id }).answer;
      this.#around.announce("state imported");
    });
  }

  async #run(what: "export" | "import", failure: string, run: () => Promise<void>): Promise<void> {
    if (this.#busy.value !== "") return;
    this.#busy.value = what;
    try {
      await run();
    } catch (error) {
      this.#around.notify(failure, describeError(error));
    } finally {
      this.#busy.value = "";
      this.#around.refresh();
    }
  }
}

/** Pieces of whole characters: none ends within a pair of surrogates. */
function cut(text: string): string[] {
  const pieces: string[] = [];
  for (let start = 0; start < text.length;) {
    const wanted = start + PIECE_CHARS;
    const end = isLowSurrogate(text.charCodeAt(wanted)) ? wanted + 1 : wanted;
    pieces.push(text.slice(start, end));
    start = end;
  }
  return pieces;
}

function isLowSurrogate(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff;
}

function download(blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = FILE_NAME;
  link.click();
  // The download has begun by then.
  setTimeout(() => {
    URL.revokeObjectURL(link.href);
  }, 60_000);
}
