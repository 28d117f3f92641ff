/**
 * A wasm vat: one module's instance, from its bytes to the outcome of each delivery.
 *
 * As `kernel_py.wasm.supervisor`, over the engine of whoever runs this. Gas and depth are set, the delivery's text is put
 * where the guest wants it, the guest runs, and what it did is taken.
 *
 * Invariants:
 * - The guest sees the texts of its deliveries and the answers of its own calls, and nothing else.
 * - What is thrown is the host's own failure: the delivery is neither carried out nor the vat's fault.
 */

import { explainTrap, keepFrames, Stop } from "./faults.ts";
import { HostCalls, MODULE, type Guest } from "./host_calls.ts";
import { dump } from "./json.ts";
import type { Limits } from "./limits.ts";
import type { Prepared } from "./prepared.ts";
import type { TextStore } from "./store.ts";
import { Tank, type Meter } from "./tank.ts";

/** Names of what the instrumentation exports, as in `kernel_py.wasm.metering`. */
const GAS = "kernel:gas";
const STACK = "kernel:stack";
const START = "kernel:start";
const MEMORY = "kernel:memory";

export interface Outcome {
  /** Why the vat could not carry it out at all, or null. */
  readonly error: string | null;
  /** Why the delivery was stopped in the middle, or null. */
  readonly poison: string | null;
  readonly syscalls: readonly unknown[];
  readonly console: readonly string[];
  /** Gas that the delivery has used, and what is left in the tank, if there is one. */
  readonly meter: readonly [used: number, left: number | null];
}

interface Instance extends Guest {
  readonly stack: WebAssembly.Global<"i32">;
  readonly exports: WebAssembly.Exports;
}

/** What is known of a vat's module besides itself. `main`: its name, for errors. */
export interface Code {
  readonly main: string;
  readonly meter: Meter | null;
}

/** One incarnation of one wasm vat. */
export class WasmVat {
  readonly #main: string;
  readonly #prepared: Prepared;
  readonly #store: TextStore;
  readonly #limits: Limits;
  readonly #calls: HostCalls;
  readonly #tank: Tank | null;
  /** Gas of the present delivery. */
  #gas = 0;
  #instance: Instance | null = null;

  constructor({ main, meter }: Code, prepared: Prepared, store: TextStore, limits: Limits) {
    this.#main = main;
    this.#tank = meter === null ? null : new Tank(meter);
    this.#prepared = prepared;
    this.#store = store;
    this.#limits = limits;
    this.#calls = new HostCalls(store, limits);
    keepFrames();
  }

  /** The next incarnation: its module, with a fresh memory and the store that there is. */
  succeed(code: Code, prepared: Prepared): WasmVat {
    return new WasmVat(code, prepared, this.#store, this.#limits);
  }

  /** What the last delivery has used. */
  get gasUsed(): number {
    return this.#instance === null ? 0 : this.#gas - Number(this.#instance.gas.value);
  }

  /** The guest's memory, or null before the start. */
  get memory(): WebAssembly.Memory | null {
    return this.#instance?.memory ?? null;
  }

  deliver(number: number, timeMs: number, delivery: unknown): Outcome {
    const isMessage = Array.isArray(delivery) && delivery[0] === "message";
    this.#gas = Math.min(this.#limits.gas_delivery, this.#tank?.open(timeMs, isMessage) ?? Infinity);
    const outcome = this.#carryOut(number, timeMs, delivery);
    this.#tank?.close(this.gasUsed);
    return { ...outcome, meter: [this.gasUsed, this.#tank?.left ?? null] };
  }

  #carryOut(number: number, timeMs: number, delivery: unknown): Omit<Outcome, "meter"> {
    const isStart = this.#instance === null;
    this.#calls.begin();
    try {
      const status = this.#run(new TextEncoder().encode(dump([number, timeMs, delivery])));
      const { batch, console } = this.#calls;
      if (status !== 0) return { error: this.#calls.describeFailure(status), poison: null, syscalls: [], console };
      return { error: null, poison: null, syscalls: batch, console };
    } catch (error) {
      if (error instanceof InvalidModule)
        return { error: `${this.#main}: ${error.message}`, poison: null, syscalls: [], console: [] };
      if (!(error instanceof Stop)) throw error;
      const console = [...this.#calls.console, ...error.describe()];
      const [failure, poison] = isStart ? [error.message, null] : [null, error.message];
      return { error: failure, poison, syscalls: [], console };
    }
  }

  /** The guest's status of one delivery. */
  #run(text: Uint8Array): number {
    let instance = this.#instance;
    if (instance === null) {
      instance = this.#instance = this.#instantiate();
      if (this.#prepared.hasStart) this.#call(this.#refill(instance), START);
    }
    this.#refill(instance);
    const pointer = this.#call(instance, "alloc", text.length) >>> 0;
    const gave = `alloc(${text.length}) gave 0x${pointer.toString(16)}, which is not room for it`;
    if (pointer + text.length > instance.memory.buffer.byteLength) throw new Stop(gave);
    new Uint8Array(instance.memory.buffer, pointer, text.length).set(text);
    if (pointer === 0) throw new Stop(`alloc(${text.length}) has no room`);
    return this.#call(instance, "deliver", pointer, text.length);
  }

  #refill(instance: Instance): Instance {
    instance.gas.value = BigInt(this.#gas);
    instance.stack.value = this.#limits.stack_slots_max;
    return instance;
  }

  #instantiate(): Instance {
    const { code, imports, problem } = this.#prepared;
    if (problem !== null) throw new InvalidModule(problem);
    const known = this.#calls.functions;
    const functions: WebAssembly.ModuleImports = {};
    for (const [module, name] of imports) {
      const function_ = module === MODULE ? known[name] : undefined;
      if (function_ === undefined) throw new InvalidModule(`the import ${module}.${name} is unknown`);
      functions[name] = function_;
    }
    const { exports } = instantiate(code, { [MODULE]: functions });
    const instance = {
      exports,
      memory: exports[MEMORY] as WebAssembly.Memory,
      gas: exports[GAS] as WebAssembly.Global<"i64">,
      stack: exports[STACK] as WebAssembly.Global<"i32">,
    };
    this.#calls.attach(instance);
    return instance;
  }

  /** Call the guest; a trap is told apart by what is left of gas and depth. */
  #call(instance: Instance, name: string, ...args: number[]): number {
    let status = 0;
    let thrown: unknown = null;
    try {
      status = (instance.exports[name] as (...args: number[]) => number | undefined)(...args) ?? 0;
    } catch (error) {
      thrown = error;
    }
    if (this.#calls.failure !== null) throw this.#calls.failure;
    if (thrown !== null) throw this.#explain(instance, thrown);
    return status;
  }

  #explain(instance: Instance, thrown: unknown): Stop {
    const trap = explainTrap(thrown);
    const { stack_slots_max } = this.#limits;
    if (instance.gas.value < 0n)
      return new Stop(`out of gas: a delivery has ${this.#gas.toLocaleString("en")}`, trap.frames);
    if (instance.stack.value < 0)
      return new Stop(
        `calls nest too deeply: there is room for ${stack_slots_max.toLocaleString("en")} slots`,
        trap.frames,
      );
    return trap;
  }
}

/** The module, not the host, is why there is no instance. */
class InvalidModule extends Error {}

function instantiate(code: BufferSource, imports: WebAssembly.Imports): WebAssembly.Instance {
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(code), imports);
  } catch (error) {
    if (error instanceof WebAssembly.CompileError || error instanceof WebAssembly.LinkError)
      throw new InvalidModule(`the engine does not take it: ${error.message}`);
    if (error instanceof WebAssembly.RuntimeError)
      throw new InvalidModule(`it cannot be instantiated: ${error.message}`);
    throw error;
  }
}
