/**
 * What can go wrong while a guest runs: as `kernel_py.wasm.faults` says it, whatever the engine's words are.
 *
 * A `Stop` is deterministic: it would happen again, anywhere. Everything else that is thrown is the host's own.
 */

const FRAMES_SHOWN_MAX = 20;

/** By what V8 says. */
const TRAPS: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/^unreachable/, "unreachable"],
  [/^memory access out of bounds/, "memory out of bounds"],
  [/^(data segment|offset).* out of bounds/, "memory out of bounds"],
  [/^(divide|remainder) by zero/, "integer division by zero"],
  [/^divide result unrepresentable/, "integer overflow"],
  [/^float unrepresentable/, "bad conversion to integer"],
  [/^null function or function signature/, "indirect call of nothing, or of another type"],
  [/^(table|element).* out of bounds/, "table out of bounds"],
];

export class Stop extends Error {
  override name = "Stop";
  /** One line for each of the guest's calls at that time, innermost first. */
  readonly frames: readonly string[];

  constructor(reason: string, frames: readonly string[] = [], options?: ErrorOptions) {
    super(reason, options);
    this.frames = frames;
  }

  /** The reason, and the guest's frames: lines for a log. */
  describe(): string[] {
    return [`deterministic: ${this.message}`, ...this.frames.map((frame) => `    ${frame}`)];
  }
}

/** What an engine's trap is called here. Throws what is not a trap. */
export function explainTrap(error: unknown): Stop {
  if (!(error instanceof WebAssembly.RuntimeError)) throw error;
  const [, reason = "unknown"] = TRAPS.find(([pattern]) => pattern.test(error.message)) ?? [];
  return new Stop(`trap: ${reason}`, parseFrames(error.stack ?? ""), { cause: error });
}

/** Lets the engine keep as many frames as are shown. */
export function keepFrames(): void {
  Object.defineProperty(Error, "stackTraceLimit", { value: FRAMES_SHOWN_MAX, writable: true, configurable: true });
}

function parseFrames(stack: string): string[] {
  return [...stack.matchAll(/at (?:(\S+) \()?wasm:\/\/\S+wasm-function\[(\d+)\]:(0x[0-9a-f]+)/g)].map(
    ([, name, number = "", offset = ""]) => `at ${name ?? `function ${number}`} (function ${number}, offset ${offset})`,
  );
}
