/**
 * Python's file system in a realm: Pyodide's, which lives in JavaScript and not in the heap.
 *
 * What a vat wrote there would be lost when its heap is restored, and numbers of files would differ from those of a
 * replay. So it is read-only once the realm has started; what else can be changed about it is looked at before a
 * snapshot is taken.
 */

import type { EmscriptenModule, FileStream } from "../pyodide/api.ts";

/** Emscripten's number of "read-only file system". */
const EROFS = 69;

/** What changes a folder, a file or a link, by the names that Emscripten's in-memory file system has for it. */
const CHANGES = ["setattr", "mknod", "rename", "unlink", "rmdir", "symlink", "write", "allocate"];

/** Some file that is always there: all files of a file system share their operations. */
const ANY_FILE = "/lib/kernel_py.zip";

export class FileSystem {
  readonly #fs: EmscriptenModule["FS"];
  readonly #streams: readonly (FileStream | null | undefined)[];
  readonly #nextInode: number;
  readonly #folder: string;

  /** Makes the file system of `module` read-only. */
  constructor(module: EmscriptenModule) {
    const fs = module.FS;
    const refuse = (): never => {
      throw new fs.ErrnoError(EROFS);
    };
    const { node } = fs.lookupPath(ANY_FILE, {});
    for (const operations of [fs.root.node_ops, node.node_ops, node.stream_ops]) {
      for (const name of CHANGES) if (name in operations) operations[name] = refuse;
    }
    this.#fs = fs;
    this.#streams = [...fs.streams];
    this.#nextInode = fs.nextInode;
    this.#folder = fs.cwd();
  }

  /** What a snapshot of the heap would lose, in words; "" if nothing. */
  describeChange(): string {
    const { streams, nextInode } = this.#fs;
    const opened = streams.find((stream, number) => stream && stream !== this.#streams[number]);
    if (opened) return `it has ${opened.path ?? "a pipe"} open`;
    if (this.#streams.some((stream, number) => stream !== streams[number])) return "it has closed a standard stream";
    if (nextInode !== this.#nextInode) return "it has made a pipe or a socket";
    if (this.#fs.cwd() !== this.#folder) return `it has gone to the folder ${this.#fs.cwd()}`;
    return "";
  }
}
