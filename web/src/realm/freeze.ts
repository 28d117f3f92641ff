/**
 * Makes a realm's JavaScript clocks and entropy constant, before Pyodide starts.
 *
 * Python under Pyodide reads time, time zone, locale and entropy through the globals replaced here. A
 * heap must be the same wherever and whenever it runs, so all of them are constants; a vat's time and
 * random numbers come from its deliveries (`kernel_py.vat.determinism`).
 *
 * Invariants: no reference to the real functions stays reachable from the globals; constants are
 * the same in Node, where memory images are made, and in browsers.
 */

/** 2000-01-01T00:00:00Z. */
export const FROZEN_TIME_MS = 946_684_800_000;

const FROZEN_UPTIME_MS = 1_000;

export function freezeClocksAndEntropy(): void {
  replaceGlobal("Date", makeFrozenDate());
  replaceGlobal("performance", {
    now: () => FROZEN_UPTIME_MS,
    timeOrigin: FROZEN_TIME_MS,
    mark: () => undefined,
    measure: () => undefined,
  });
  replaceGlobal("crypto", { getRandomValues: fillWithConstant });
  replaceGlobal("navigator", { userAgent: "Chrome", language: "C" });
  Object.defineProperty(Math, "random", { value: () => 0.5 });
  for (const name of ["Temporal", "Intl"]) Reflect.deleteProperty(globalThis, name);
}

/** What Python's module `js` is made of while a realm starts: nothing. */
export function makeJsGlobals(): object {
  return Object.freeze(Object.create(null) as object);
}

export function replaceGlobal(name: string, value: unknown): void {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
}

/** The same byte everywhere: a stream of them is the same wherever it is read. */
export function fillWithConstant<View extends ArrayBufferView>(view: View): View {
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength).fill(0x55);
  return view;
}

/** A Date constructor whose now is constant and whose local time is UTC. */
function makeFrozenDate(): object {
  const RealDate = Date;
  const prototype: object = RealDate.prototype;
  for (const unit of ["FullYear", "Month", "Date", "Day", "Hours", "Minutes", "Seconds", "Milliseconds"]) {
    for (const verb of ["get", "set"]) redefine(prototype, `${verb}UTC${unit}`, verb + unit);
  }
  for (const name of ["String", "DateString", "TimeString", "LocaleString", "LocaleDateString", "LocaleTimeString"]) {
    redefine(prototype, "toUTCString", `to${name}`);
  }
  Object.defineProperty(prototype, "getTimezoneOffset", { value: () => 0 });

  // A function, not a class: as the prototype of a class the real constructor could be had.
  function FrozenDate(this: unknown, ...parts: unknown[]): object | string {
    if (!(this instanceof FrozenDate)) return new RealDate(FROZEN_TIME_MS).toUTCString();
    if (parts.length > 1) return new RealDate(RealDate.UTC(...(parts as [number, number])));
    return Reflect.construct(RealDate, parts.length === 0 ? [FROZEN_TIME_MS] : parts) as object;
  }
  FrozenDate.prototype = prototype;
  FrozenDate.now = () => FROZEN_TIME_MS;
  FrozenDate.parse = RealDate.parse.bind(undefined);
  FrozenDate.UTC = RealDate.UTC.bind(undefined);
  // The real constructor tells the time: leave no way from a date to it.
  Object.defineProperty(prototype, "constructor", { value: FrozenDate });
  return FrozenDate;
}

function redefine(prototype: object, from: string, to: string): void {
  const property = Object.getOwnPropertyDescriptor(prototype, from);
  if (property !== undefined) Object.defineProperty(prototype, to, property);
}
