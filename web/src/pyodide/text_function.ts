/**
 * Calls a Python function with a text and a number, for a text, through Python's C interface.
 *
 * It needs nothing of the bridge between Python and JavaScript, so it works in an instance that has had
 * its bridge cut, or never had one.
 *
 * Invariants: every reference taken is given back; nothing is kept from call to call but the function and where
 * arguments are put, which are addresses. So who has the instance's memory and these can go on with `resume`.
 */

import { parseInteger, type Fields } from "../shared/parse.ts";
import type { EmscriptenModule } from "./api.ts";

const POINTER_BYTES = 4;

export class TextFunction {
  readonly #module: EmscriptenModule;
  /** Address of the function. A reference to it is held for good. */
  readonly #function: number;
  /** Address of two pointers: the arguments of a call, then the size of its result. */
  readonly #scratch: number;

  private constructor(module: EmscriptenModule, callable: number, scratch: number) {
    this.#module = module;
    this.#function = callable;
    this.#scratch = scratch;
  }

  /** Imports `moduleName`, if it is not imported yet. Throws if there is no such function. */
  static find(module: EmscriptenModule, moduleName: string, functionName: string): TextFunction {
    const scratch = allocate(module, 2 * POINTER_BYTES);
    const pythonModule = withCString(module, moduleName, (address) => module._PyImport_ImportModule(address));
    const callable = withCString(module, functionName, (address) =>
      module._PyObject_GetAttrString(pythonModule, address),
    );
    module._Py_DecRef(pythonModule);
    return new TextFunction(module, callable, scratch);
  }

  /** A function that was found in the instance whose memory `module` has now; `addresses` are what it had told. */
  static resume(module: EmscriptenModule, addresses: Fields): TextFunction {
    return new TextFunction(module, parseInteger(addresses, "function"), parseInteger(addresses, "scratch"));
  }

  getAddresses(): Fields {
    return { function: this.#function, scratch: this.#scratch };
  }

  /** Throws if the Python function raises, or if the instance breaks down. */
  call(text: string, number: number): string {
    const module = this.#module;
    const argument = makeText(module, text);
    const second = check(module, module._PyLong_FromDouble(number), "making a number");
    module.HEAPU32[this.#scratch >>> 2] = argument;
    module.HEAPU32[(this.#scratch >>> 2) + 1] = second;
    const result = module._PyObject_Vectorcall(this.#function, this.#scratch, 2, 0);
    module._Py_DecRef(argument);
    module._Py_DecRef(second);
    return this.#takeText(check(module, result, "calling a function"));
  }

  #takeText(object: number): string {
    const module = this.#module;
    const address = check(module, module._PyUnicode_AsUTF8AndSize(object, this.#scratch), "reading a text");
    const size = module.HEAPU32[this.#scratch >>> 2] ?? 0;
    const text = new TextDecoder().decode(module.HEAPU8.subarray(address, address + size));
    module._Py_DecRef(object);
    return text;
  }
}

function makeText(module: EmscriptenModule, text: string): number {
  const bytes = new TextEncoder().encode(text);
  const address = allocate(module, bytes.length);
  module.HEAPU8.set(bytes, address);
  const result = module._PyUnicode_DecodeUTF8(address, bytes.length, 0);
  module._free(address);
  return check(module, result, "making a text");
}

function withCString(module: EmscriptenModule, text: string, use: (address: number) => number): number {
  const bytes = new TextEncoder().encode(text + "\0");
  const address = allocate(module, bytes.length);
  module.HEAPU8.set(bytes, address);
  const result = use(address);
  module._free(address);
  return check(module, result, text);
}

function allocate(module: EmscriptenModule, bytes: number): number {
  const address = module._malloc(Math.max(bytes, 1));
  if (address === 0) throw new Error(`no memory for ${bytes} bytes`);
  return address >>> 0;
}

function check(module: EmscriptenModule, object: number, what: string): number {
  if (object !== 0) return object >>> 0;
  module._PyErr_Print();
  throw new Error(`${what} raised an exception in Python`);
}
