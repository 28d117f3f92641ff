/**
 * Completes, from JavaScript's side, what `kernel_py/hosts/browser/lockdown.py` does in Python: makes built-in
 * modules impossible to import, and Pyodide's JavaScript objects impossible to reach from wasm.
 *
 * Python cannot be kept from its own interpreter's internals, so names are removed from the
 * interpreter's memory itself. Must run after the last use of `runPython`; calls to existing proxies
 * of Python functions go on working.
 */

import type { EmscriptenModule } from "../pyodide/api.ts";

/** `struct _inittab { const char *name; PyObject *(*initfunc)(void); }` */
const ENTRY_WORDS = 2;

/** Indices at which Pyodide keeps its own objects for use from wasm: the globals, its API, ... */
const OWN_REFERENCES = [1, 2, 3, 4, 5, 6];

export function cutBridge(module: EmscriptenModule, builtins: readonly string[]): void {
  removeBuiltins(module, builtins);
  const nothing = Object.freeze(Object.create(null) as object);
  for (const index of OWN_REFERENCES) module.__hiwire_set(index, nothing);
}

/**
 * Take modules out of the interpreter's table of built-in modules, which exists in several copies:
 * all are found by the first entries of the one whose address is known.
 */
function removeBuiltins(module: EmscriptenModule, builtins: readonly string[]): void {
  const words = module.HEAPU32;
  const table = getWord(words, module._PyImport_Inittab >>> 2) >>> 2;
  const length = countEntries(words, table);
  const cut: number[] = [];
  for (let entry = 0; entry < length; entry++) {
    if (builtins.includes(readName(module.HEAPU8, getWord(words, table + entry * ENTRY_WORDS)))) cut.push(entry);
  }
  const missing = builtins.length - cut.length;
  if (missing > 0) throw new Error(`${missing} of the built-in modules to cut are not in this Pyodide`);
  for (const copy of findCopies(words, table)) {
    for (const entry of cut) {
      // An empty name is that of no module: point at the end of the present one.
      const name = getWord(words, copy + entry * ENTRY_WORDS);
      words[copy + entry * ENTRY_WORDS] = name + readName(module.HEAPU8, name).length;
    }
  }
}

function findCopies(words: Uint32Array, table: number): number[] {
  const first = words.slice(table, table + 2 * ENTRY_WORDS);
  const copies: number[] = [];
  for (let at = words.indexOf(getWord(first, 0)); at >= 0; at = words.indexOf(getWord(first, 0), at + 1)) {
    if (first.every((word, index) => words[at + index] === word)) copies.push(at);
  }
  return copies;
}

function countEntries(words: Uint32Array, table: number): number {
  let length = 0;
  while (getWord(words, table + length * ENTRY_WORDS) !== 0) length++;
  return length;
}

function readName(bytes: Uint8Array, address: number): string {
  const end = bytes.indexOf(0, address);
  return String.fromCharCode(...bytes.subarray(address, end));
}

function getWord(words: Uint32Array, index: number): number {
  const word = words[index];
  if (word === undefined) throw new Error(`address ${index * 4} lies outside the memory`);
  return word;
}
