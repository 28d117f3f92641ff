/**
 * The functions that a guest may call, over one instance's memory and one vat's store.
 *
 * As `kernel_py.wasm.calls`: each takes the guest's numbers and gives a size or a code. None throws: what fails on
 * the host's side is recorded, the gas is taken away, and the guest is stopped before long.
 */

import { countChars, cutEnd, isLonger } from "./chars.ts";
import { load, TooDeep } from "./json.ts";
import type { Limits } from "./limits.ts";
import type { TextStore } from "./store.ts";
import { isWithinLimits, parseSyscall } from "./syscalls.ts";

/** As `kernel_py.wasm.interface.Call`. */
const OK = 0;
const ABSENT = -1;
const MALFORMED = -2;
const TOO_MUCH = -3;
const OUT_OF_BOUNDS = -4;
const FAILED = -5;

export const MODULE = "kernel";

/** Where the numbers of a guest point to. */
export interface Guest {
  readonly memory: WebAssembly.Memory;
  readonly gas: WebAssembly.Global<"i64">;
}

type HostFunction = (...args: number[]) => number;

export class HostCalls {
  /** By name, as an instance imports them. */
  readonly functions: Readonly<Record<string, (...args: number[]) => bigint>>;
  /** What one of them could not do, or null if all went well since `begin`. */
  failure: Error | null = null;

  readonly #store: TextStore;
  readonly #limits: Limits;
  // A mark at the beginning of a text belongs to it.
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  readonly #encoder = new TextEncoder();
  #guest: Guest | null = null;
  #syscalls: unknown[] = [];
  #syscallChars = 0;
  #waiting: Uint8Array = new Uint8Array();
  #lines: string[] = [];
  #lineChars = 0;
  #failureText = "";

  constructor(store: TextStore, limits: Limits) {
    this.#store = store;
    this.#limits = limits;
    const made: Record<string, HostFunction> = {
      syscall: (pointer, size) => this.#syscall(pointer, size),
      store_get: (pointer, size) => this.#wait(store.get(this.#read(pointer, size))),
      store_set: (key, keySize, value, size) => this.#storeSet(key, keySize, value, size),
      store_delete: (pointer, size) => this.#storeDelete(pointer, size),
      store_next_key: (pointer, size) => this.#wait(store.getNextKey(this.#read(pointer, size))),
      take: (pointer, size) => this.#take(pointer, size),
      print: (pointer, size) => this.#print(pointer, size),
      fail: (pointer, size) => this.#fail(pointer, size),
    };
    this.functions = Object.fromEntries(
      Object.entries(made).map(([name, function_]) => [name, this.#guard(name, function_)]),
    );
  }

  /** From now on the numbers are addresses in this guest's memory. */
  attach(guest: Guest): void {
    this.#guest = guest;
  }

  /** Forget the last delivery. */
  begin(): void {
    this.failure = null;
    this.#syscalls = [];
    this.#syscallChars = 0;
    this.#waiting = new Uint8Array();
    this.#lines = [];
    this.#lineChars = 0;
    this.#failureText = "";
  }

  get batch(): readonly unknown[] {
    return this.#syscalls;
  }

  get console(): readonly string[] {
    return this.#lines;
  }

  /** Why the guest could not carry out the delivery, in its own words. */
  describeFailure(status: number): string {
    return this.#failureText === "" ? `deliver returned ${status}` : this.#failureText;
  }

  #guard(name: string, function_: HostFunction): (...args: number[]) => bigint {
    return (...args) => {
      if (this.failure !== null) return BigInt(FAILED);
      try {
        return BigInt(function_(...args.map((value) => value >>> 0)));
      } catch (error) {
        if (error instanceof Refusal) return BigInt(error.code);
        this.failure = new Error(`the host failed in ${name}`, { cause: error });
        if (this.#guest !== null) this.#guest.gas.value = -1n;
        return BigInt(FAILED);
      }
    };
  }

  #bytes(pointer: number, size: number): Uint8Array {
    const memory = this.#guest?.memory.buffer;
    if (memory === undefined || pointer + size > memory.byteLength) throw new Refusal(OUT_OF_BOUNDS);
    return new Uint8Array(memory, pointer, size);
  }

  #read(pointer: number, size: number): string {
    const bytes = this.#bytes(pointer, size);
    try {
      return this.#decoder.decode(bytes);
    } catch (error) {
      if (error instanceof TypeError) throw new Refusal(MALFORMED);
      throw error;
    }
  }

  /** Keep a text for `take`. */
  #wait(text: string | null): number {
    this.#waiting = text === null ? new Uint8Array() : this.#encoder.encode(text);
    return text === null ? ABSENT : this.#waiting.length;
  }

  #syscall(pointer: number, size: number): number {
    const text = this.#read(pointer, size);
    if (this.#syscallChars + size > this.#limits.batch_chars_max) return TOO_MUCH;
    if (this.#syscalls.length >= this.#limits.batch_syscalls_max) return TOO_MUCH;
    const syscall = parseSyscallText(text);
    if (syscall === null) return MALFORMED;
    if (!isWithinLimits(syscall, this.#limits)) return TOO_MUCH;
    this.#syscallChars += size;
    this.#syscalls.push(syscall.json);
    return OK;
  }

  #storeSet(key: number, keySize: number, value: number, size: number): number {
    this.#store.set(this.#read(key, keySize), this.#read(value, size));
    return OK;
  }

  #storeDelete(pointer: number, size: number): number {
    this.#store.delete(this.#read(pointer, size));
    return OK;
  }

  #take(pointer: number, size: number): number {
    const data = this.#waiting.subarray(0, size);
    this.#bytes(pointer, data.length).set(data);
    return data.length;
  }

  #print(pointer: number, size: number): number {
    const text = this.#read(pointer, size);
    const charsMax = this.#limits.console_chars_max;
    const room = charsMax - this.#lineChars;
    if (room > 0) {
      this.#lines.push(cutEnd(text, room));
      if (isLonger(text, room))
        this.#lines.push(
          `... what follows was cut: one delivery may print ${charsMax.toLocaleString("en")} characters`,
        );
      this.#lineChars += countChars(text);
    }
    return OK;
  }

  #fail(pointer: number, size: number): number {
    this.#failureText = cutEnd(this.#read(pointer, size), this.#limits.error_chars_max);
    return OK;
  }
}

function parseSyscallText(text: string): ReturnType<typeof parseSyscall> {
  try {
    return parseSyscall(load(text));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TooDeep) return null;
    throw error;
  }
}

/** The guest's own mistake; it gets a code. */
class Refusal extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`refused with ${code}`);
    this.code = code;
  }
}
