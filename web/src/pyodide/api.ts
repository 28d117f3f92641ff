/**
 * The parts of Pyodide that this project uses, as types, and the checks that they are there.
 *
 * Some of them are internal to Pyodide: its version is pinned, and `checkModule` names what a new version
 * no longer has, so that an update fails with a sentence.
 */

import { ParseError, parseFields } from "../shared/parse.ts";

/** Emscripten's module object. The views are replaced when the memory grows: read them anew each time. */
export interface EmscriptenModule {
  readonly HEAPU8: Uint8Array;
  readonly HEAPU32: Uint32Array;
  readonly FS: FileSystemApi;
  readonly API: {
    readonly config: { readonly BUILD_ID: string };
    restoreSnapshot(snapshot: Uint8Array): object;
    initializeStreams(stdin: () => null, stdout: (text: string) => void, stderr: (text: string) => void): void;
  };
  readonly _PyImport_Inittab: number;
  /** Returns 1 if the memory now has at least so many bytes. */
  growMemory(bytes: number): 1 | undefined;
  __hiwire_get(index: number): unknown;
  __hiwire_set(index: number, value: unknown): number;
  // Python's C interface. Addresses are numbers; 0 is failure.
  _malloc(bytes: number): number;
  _free(address: number): void;
  _PyImport_ImportModule(name: number): number;
  _PyObject_GetAttrString(object: number, name: number): number;
  _PyObject_Vectorcall(callable: number, args: number, count: number, names: number): number;
  _PyUnicode_DecodeUTF8(address: number, bytes: number, errors: number): number;
  _PyUnicode_AsUTF8AndSize(object: number, sizeAddress: number): number;
  _PyLong_FromDouble(value: number): number;
  _Py_DecRef(object: number): void;
  _PyErr_Print(): void;
}

export interface FileSystemApi {
  writeFile(path: string, data: Uint8Array): void;
  cwd(): string;
  lookupPath(path: string, options: object): { readonly node: FileNode };
  readonly root: FileNode;
  /** By file descriptor. */
  readonly streams: readonly (FileStream | null | undefined)[];
  /** Grows with everything that is made, be it a file, a pipe or a socket. */
  nextInode: number;
  mkdir(path: string): void;
  mount(type: { mount(): FileNode }, options: object, path: string): void;
  createNode(parent: FileNode | null, name: string, mode: number, device: number): FileNode;
  readonly ErrnoError: new (errno: number) => Error;
}

/** The operations are shared by all nodes of a kind in a file system. */
export interface FileNode {
  node_ops: Record<string, unknown>;
  stream_ops: Record<string, unknown>;
}

export interface FileStream {
  readonly position: number;
  readonly path?: string;
}

export interface EmscriptenSettings {
  noInitialRun?: boolean;
  preRun: ((module: EmscriptenModule) => void)[];
  instantiateWasm: (
    imports: WebAssembly.Imports,
    receive: (instance: WebAssembly.Instance, module: WebAssembly.Module) => void,
  ) => object;
}

export type CreateModule = (settings: EmscriptenSettings) => Promise<EmscriptenModule>;

export interface PyodideConfig {
  readonly indexURL: string;
  readonly lockFileContents: string;
  readonly createPyodideModule: CreateModule;
  readonly enableRunUntilComplete: boolean;
  readonly env: Readonly<Record<string, string>>;
  readonly jsglobals: object;
  readonly stdin: () => null;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly _makeSnapshot?: boolean;
  readonly _loadSnapshot?: Uint8Array;
}

export interface Pyodide {
  readonly _module: EmscriptenModule;
  /** The value of the last expression; what is not a plain value is a proxy, and belongs to the caller. */
  runPython(code: string): unknown;
  readonly globals: { get(name: string): unknown };
  makeMemorySnapshot(): Uint8Array;
}

export type LoadPyodide = (config: PyodideConfig) => Promise<Pyodide>;

const USED_OF_MODULE = [
  "HEAPU8",
  "HEAPU32",
  "FS",
  "API",
  "growMemory",
  "__hiwire_get",
  "__hiwire_set",
  "_PyImport_Inittab",
  "_PyImport_ImportModule",
  "_PyObject_GetAttrString",
  "_PyObject_Vectorcall",
  "_PyUnicode_DecodeUTF8",
  "_PyUnicode_AsUTF8AndSize",
  "_PyLong_FromDouble",
  "_Py_DecRef",
  "_PyErr_Print",
  "_malloc",
  "_free",
];

/** `loadPyodide` of a module namespace of pyodide.mjs. */
export function parseLoadPyodide(namespace: unknown): LoadPyodide {
  const { loadPyodide } = parseFields(namespace, "pyodide.mjs");
  if (typeof loadPyodide !== "function") throw new ParseError("pyodide.mjs does not export loadPyodide");
  return loadPyodide as LoadPyodide;
}

/** The default export of a module namespace of pyodide.asm.mjs. */
export function parseCreateModule(namespace: unknown): CreateModule {
  const { default: create } = parseFields(namespace, "pyodide.asm.mjs");
  if (typeof create !== "function") throw new ParseError("pyodide.asm.mjs has no default export");
  return create as CreateModule;
}

export function checkModule(module: EmscriptenModule): void {
  const missing = USED_OF_MODULE.filter((name) => !(name in module));
  if (missing.length > 0) throw new ParseError(`this Pyodide has no ${missing.join(", ")}`);
}
