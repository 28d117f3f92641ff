/**
 * The file system of a worker vat's store: one SQLite database in the origin private file system.
 *
 * Owns the synchronous handles of the database's files. They are all opened before the realm is confined, since opening is
 * asynchronous and needs a power that the realm is about to lose; nothing but these files can be reached by them. How they
 * and snapshots of the heap belong together is said in `kernel_py/vat/file_store.py`.
 *
 * Invariants:
 * - A file of no bytes is there and empty, but for one that was deleted, or never made: SQLite tells the two apart.
 * - What Python can see of a file is its bytes: inode numbers are constant, and times are those of the epoch, since a heap is
 *   to be the same wherever it comes to be.
 * - A handle is held by one realm at a time. That of a realm that was ended may take a moment to be given back.
 */

import type { EmscriptenModule, FileNode, FileStream } from "../pyodide/api.ts";
import { STORES_FOLDER } from "../shared/assets.ts";

/** Where Python finds the store. */
export const STORE_FOLDER = "/store";

const DATABASE = "vat.sqlite";

const LOG = `${DATABASE}-wal`;

/** The database, its journal while it is made, and its write-ahead log. */
const FILES = [DATABASE, `${DATABASE}-journal`, LOG] as const;

/** A predecessor's handles are given back by then. */
const RELEASE_MS_MAX = 10_000;
const RELEASE_CHECK_MS = 5;

const PAGE_BYTES = 4096;
const FOLDER_MODE = 0o040700;
const FILE_MODE = 0o100600;
/** Far from the numbers that Emscripten gives out. */
const FIRST_INODE = 1_000_000;

const ENOENT = 44;
const EPERM = 63;
const EINVAL = 28;
const ENOSPC = 51;

/** Beside the database: the delivery after which what is in the log was committed. */
const MARK = "checkpoint";
const MARK_BYTES = 8;

type Handles = ReadonlyMap<string, FileSystemSyncAccessHandle>;

/** The files of one store, which this realm holds. */
export class StoreFiles {
  readonly #handles: Handles;
  /** Names of the files that Python sees: an empty one may be there, or not be there. */
  readonly #present: Set<string>;

  private constructor(handles: Handles) {
    this.#handles = handles;
    this.#present = new Set([...handles].filter(([, handle]) => handle.getSize() > 0).map(([name]) => name));
  }

  /** Opens the files of the store `name`, making them if they are not there. */
  static async open(name: string): Promise<StoreFiles> {
    const root = await navigator.storage.getDirectory();
    const stores = await root.getDirectoryHandle(STORES_FOLDER, { create: true });
    const folder = await stores.getDirectoryHandle(name, { create: true });
    const deadlineMs = performance.now() + RELEASE_MS_MAX;
    const handles = new Map<string, FileSystemSyncAccessHandle>();
    for (const file of [...FILES, MARK])
      handles.set(file, await openWhenFree(await folder.getFileHandle(file, { create: true }), deadlineMs));
    return new StoreFiles(handles);
  }

  /** Lets Python see the database in `STORE_FOLDER`. */
  mount(module: EmscriptenModule): void {
    const handles = new Map([...this.#handles].filter(([name]) => name !== MARK));
    module.FS.mkdir(STORE_FOLDER);
    module.FS.mount({ mount: () => new StoreFolder(module, handles, this.#present).root }, {}, STORE_FOLDER);
  }

  /** A vat's life begins: there is nothing. Python has no connection. */
  wipe(): void {
    for (const handle of this.#handles.values()) {
      handle.truncate(0);
      handle.flush();
    }
    this.#present.clear();
  }

  /** What is in the log from now on is as of delivery `delivered`, once it is committed. */
  mark(delivered: number): void {
    const bytes = new Uint8Array(MARK_BYTES);
    new DataView(bytes.buffer).setFloat64(0, delivered);
    const handle = this.#get(MARK);
    handle.write(bytes, { at: 0 });
    handle.flush();
  }

  /** The heap is as after delivery `delivered`: empty a log that is of a later one. Python has no connection. */
  rewind(delivered: number): void {
    const bytes = new Uint8Array(MARK_BYTES);
    this.#get(MARK).read(bytes, { at: 0 });
    if (new DataView(bytes.buffer).getFloat64(0) === delivered) return;
    const log = this.#get(LOG);
    log.truncate(0);
    log.flush();
  }

  #get(name: string): FileSystemSyncAccessHandle {
    const handle = this.#handles.get(name);
    if (handle === undefined) throw new Error(`the store has no file ${name}`);
    return handle;
  }
}

async function openWhenFree(file: FileSystemFileHandle, deadlineMs: number): Promise<FileSystemSyncAccessHandle> {
  for (;;) {
    try {
      return await file.createSyncAccessHandle();
    } catch (error) {
      const isHeld = error instanceof DOMException && error.name === "NoModificationAllowedError";
      if (!isHeld || performance.now() > deadlineMs) throw error;
      // Nothing tells when the last realm's handles are free.
      await new Promise((resolve) => setTimeout(resolve, RELEASE_CHECK_MS));
    }
  }
}

class StoreFolder {
  readonly root: FileNode;
  readonly #fs: EmscriptenModule["FS"];
  readonly #handles: Handles;
  readonly #present: Set<string>;

  constructor(module: EmscriptenModule, handles: Handles, present: Set<string>) {
    this.#fs = module.FS;
    this.#handles = handles;
    this.#present = present;
    this.root = module.FS.createNode(null, "/", FOLDER_MODE, 0);
    this.root.node_ops = {
      getattr: () => describe(FIRST_INODE, FOLDER_MODE, PAGE_BYTES),
      setattr: () => undefined,
      lookup: (parent: FileNode, name: string) => this.#lookup(parent, name),
      mknod: (parent: FileNode, name: string) => this.#make(parent, name),
      unlink: (_parent: FileNode, name: string) => {
        this.#remove(name);
      },
    };
    this.root.stream_ops = {};
  }

  #lookup(parent: FileNode, name: string): FileNode {
    if (!this.#present.has(name)) throw new this.#fs.ErrnoError(ENOENT);
    return this.#node(parent, name);
  }

  #make(parent: FileNode, name: string): FileNode {
    const node = this.#node(parent, name);
    this.#present.add(name);
    return node;
  }

  #remove(name: string): void {
    this.#handles.get(name)?.truncate(0);
    this.#present.delete(name);
  }

  #node(parent: FileNode, name: string): FileNode {
    const handle = this.#handles.get(name);
    if (handle === undefined) throw new this.#fs.ErrnoError(EPERM);
    const next = this.#fs.nextInode;
    const node = this.#fs.createNode(parent, name, FILE_MODE, 0);
    this.#fs.nextInode = next;
    const inode = FIRST_INODE + 1 + [...this.#handles.keys()].indexOf(name);
    node.node_ops = {
      getattr: () => describe(inode, FILE_MODE, handle.getSize()),
      setattr: (_node: FileNode, { size }: { size?: number }) => {
        if (size === undefined) return;
        this.#write(() => {
          handle.truncate(size);
        });
      },
    };
    node.stream_ops = {
      open: () => undefined,
      close: () => undefined,
      read: (_stream: FileStream, buffer: Uint8Array, offset: number, length: number, position: number) =>
        handle.read(buffer.subarray(offset, offset + length), { at: position }),
      write: (_stream: FileStream, buffer: Uint8Array, offset: number, length: number, position: number) =>
        this.#write(() => handle.write(buffer.subarray(offset, offset + length), { at: position })),
      llseek: (stream: FileStream, offset: number, whence: number) => {
        const position = offset + ([0, stream.position, handle.getSize()][whence] ?? 0);
        if (position < 0) throw new this.#fs.ErrnoError(EINVAL);
        return position;
      },
      fsync: () => {
        this.#write(() => {
          handle.flush();
        });
        return 0;
      },
    };
    return node;
  }

  /** What fails is taken to be for want of space, which is the one thing that can be: the handle is open, and ours. */
  #write<Result>(write: () => Result): Result {
    try {
      return write();
    } catch {
      throw new this.#fs.ErrnoError(ENOSPC);
    }
  }
}

function describe(ino: number, mode: number, size: number): object {
  const time = new Date(0);
  return {
    dev: 1,
    ino,
    mode,
    nlink: 1,
    uid: 0,
    gid: 0,
    rdev: 0,
    size,
    atime: time,
    mtime: time,
    ctime: time,
    blksize: PAGE_BYTES,
    blocks: Math.ceil(size / PAGE_BYTES),
  };
}
