/**
 * Removes every power from a realm's JavaScript globals: what is not on the list goes.
 *
 * This is what confines a worker vat, which shares the extension's origin; iframe vats have an opaque
 * origin and a policy besides. It assumes the worst: that a vat can reach any object that is reachable
 * from the globals, and call it. It cannot evaluate source text: the policy of all realms forbids that.
 *
 * Invariants: afterwards, the globals and their prototypes hold the names below and unchangeable numbers, nothing
 * else; no clock, no entropy, no message port, no event target is among them. Throws if one cannot be removed.
 */

import { replaceGlobal } from "./freeze.ts";

/** The language itself, without what evaluates source text, shares memory, or shows the work of the collector. */
const LANGUAGE = [
  "AggregateError",
  "Array",
  "ArrayBuffer",
  "AsyncDisposableStack",
  "BigInt",
  "BigInt64Array",
  "BigUint64Array",
  "Boolean",
  "DataView",
  "DisposableStack",
  "Error",
  "EvalError",
  "Float16Array",
  "Float32Array",
  "Float64Array",
  "Function",
  "Infinity",
  "Int16Array",
  "Int32Array",
  "Int8Array",
  "Iterator",
  "JSON",
  "Map",
  "Math",
  "NaN",
  "Number",
  "Object",
  "Promise",
  "Proxy",
  "RangeError",
  "ReferenceError",
  "Reflect",
  "RegExp",
  "Set",
  "String",
  "SuppressedError",
  "Symbol",
  "SyntaxError",
  "TypeError",
  "URIError",
  "Uint16Array",
  "Uint32Array",
  "Uint8Array",
  "Uint8ClampedArray",
  "WeakMap",
  "WeakSet",
  "decodeURI",
  "decodeURIComponent",
  "encodeURI",
  "encodeURIComponent",
  "globalThis",
  "isFinite",
  "isNaN",
  "parseFloat",
  "parseInt",
  "undefined",
];

/** What Pyodide goes on using, harmless or replaced. */
const PYODIDE = [
  "Date",
  "TextDecoder",
  "TextEncoder",
  "WebAssembly",
  "clearTimeout",
  "console",
  "crypto",
  "performance",
  "setTimeout",
];

/** Of `WebAssembly`, what handles errors; not what makes new modules, which could import anything of Pyodide's. */
const WEBASSEMBLY = ["CompileError", "Exception", "LinkError", "RuntimeError", "Tag"] as const;

export const ALLOWED_GLOBALS: ReadonlySet<string> = new Set([...LANGUAGE, ...PYODIDE]);

export function scrubGlobals(): void {
  replaceGlobal("console", makeSilentConsole());
  // Alarm signals would come from timers; without the function, asking for one would break Python down.
  replaceGlobal("setTimeout", () => 0);
  replaceGlobal("clearTimeout", () => undefined);
  replaceGlobal("WebAssembly", pickWebAssembly());
  scrub(globalThis, (name) => typeof name === "string" && ALLOWED_GLOBALS.has(name));
  for (
    let prototype = getPrototype(globalThis);
    prototype !== null && prototype !== Object.prototype;
    prototype = getPrototype(prototype)
  ) {
    scrub(prototype, (name) => name === Symbol.toStringTag);
  }
}

function scrub(object: object, isAllowed: (name: string | symbol) => boolean): void {
  for (const name of Reflect.ownKeys(object)) {
    if (isAllowed(name) || Reflect.deleteProperty(object, name)) continue;
    // Some constants cannot be removed; they give no power.
    if (!isConstant(Reflect.getOwnPropertyDescriptor(object, name)))
      throw new Error(`the global ${String(name)} cannot be removed`);
  }
}

function isConstant(property: PropertyDescriptor | undefined): boolean {
  const value: unknown = property?.value;
  return (
    property?.writable === false &&
    (typeof value === "number" || typeof value === "string" || typeof value === "boolean")
  );
}

function makeSilentConsole(): object {
  const ignore = (): void => undefined;
  return Object.freeze({ debug: ignore, error: ignore, info: ignore, log: ignore, trace: ignore, warn: ignore });
}

function pickWebAssembly(): object {
  const real: Readonly<Record<string, unknown>> = { ...Object.getOwnPropertyDescriptors(WebAssembly) };
  const picked = Object.create(null) as object;
  for (const name of WEBASSEMBLY) Object.defineProperty(picked, name, real[name] as PropertyDescriptor);
  return Object.freeze(picked);
}

function getPrototype(object: object): object | null {
  return Object.getPrototypeOf(object) as object | null;
}
