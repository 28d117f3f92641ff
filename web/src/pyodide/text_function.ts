/**
 * Calls a Python function with a text and a number, for a text, through Python's C interface.
 *
 * It needs nothing of the bridge between Python and JavaScript, so it works in an instance that has had
 * its bridge cut, or never had one.
 *
 * Invariants: every reference taken is given back; nothing is kept from call to call but the function.
 */

import type { EmscriptenModule } from "./api.ts";

const POINTER_BYTES = 4;

export class TextFunction {
  readonly #module: EmscriptenModule;
  /** Address of the function. A reference to it is held for good. */
  readonly #function: number;
  /** Address of two pointers: the arguments of a call, then the size of its result. */
  readonly #scratch: number;

  /** Imports `moduleName`, if it is not imported yet. Throws if there is no such function. */
  constructor(module: EmscriptenModule, moduleName: string, functionName: string) {
    this.#module = module;
    this.#scratch = this.#allocate(2 * POINTER_BYTES);
    const pythonModule = this.#withCString(moduleName, (address) => module._PyImport_ImportModule(address));
    this.#function = this.#withCString(functionName, (address) =>
      module._PyObject_GetAttrString(pythonModule, address),
    );
    module._Py_DecRef(pythonModule);
  }

  /** Throws if the Python function raises, or if the instance breaks down. */
  call(text: string, number: number): string {
    const module = this.#module;
    const argument = this.#makeText(text);
    const second = this.#check(module._PyLong_FromDouble(number), "making a number");
    module.HEAPU32[this.#scratch >>> 2] = argument;
    module.HEAPU32[(this.#scratch >>> 2) + 1] = second;
    const result = module._PyObject_Vectorcall(this.#function, this.#scratch, 2, 0);
    module._Py_DecRef(argument);
    module._Py_DecRef(second);
    return this.#takeText(this.#check(result, "calling a function"));
  }

  /** Size of the instance's memory; it never shrinks. */
  getMemoryBytes(): number {
    return this.#module.HEAPU8.length;
  }

  #makeText(text: string): number {
    const module = this.#module;
    const bytes = new TextEncoder().encode(text);
    const address = this.#allocate(bytes.length);
    module.HEAPU8.set(bytes, address);
    const result = module._PyUnicode_DecodeUTF8(address, bytes.length, 0);
    module._free(address);
    return this.#check(result, "making a text");
  }

  #takeText(object: number): string {
    const module = this.#module;
    const address = this.#check(module._PyUnicode_AsUTF8AndSize(object, this.#scratch), "reading a text");
    const size = module.HEAPU32[this.#scratch >>> 2] ?? 0;
    const text = new TextDecoder().decode(module.HEAPU8.subarray(address, address + size));
    module._Py_DecRef(object);
    return text;
  }

  #withCString(text: string, use: (address: number) => number): number {
    const module = this.#module;
    const bytes = new TextEncoder().encode(text + "\0");
    const address = this.#allocate(bytes.length);
    module.HEAPU8.set(bytes, address);
    const result = use(address);
    module._free(address);
    return this.#check(result, text);
  }

  #allocate(bytes: number): number {
    const address = this.#module._malloc(Math.max(bytes, 1));
    if (address === 0) throw new Error(`no memory for ${bytes} bytes`);
    return address >>> 0;
  }

  #check(object: number, what: string): number {
    if (object !== 0) return object >>> 0;
    this.#module._PyErr_Print();
    throw new Error(`${what} raised an exception in Python`);
  }
}
