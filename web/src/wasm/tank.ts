/** What is left for one incarnation of a vat: as `kernel_py.wire.meters`, which says what for. */

import { parseFields, parseInteger, type Fields } from "../shared/parse.ts";

export interface Meter {
  readonly delivery: number;
  readonly tank: number | null;
  readonly refillPerSecond: number;
}

export function parseMeter(fields: Fields): Meter {
  return {
    delivery: parseInteger(fields, "delivery"),
    tank: "tank" in fields ? parseInteger(fields, "tank") : null,
    refillPerSecond: "refill_per_second" in fields ? parseInteger(fields, "refill_per_second") : 0,
  };
}

/** The meter of a vat, by its name, or else by its source file; null if it has none. `text`: the file with all meters. */
export function findMeter(text: string, name: string, main: string): Meter | null {
  const meters = parseFields(JSON.parse(text), "the meters");
  const found = name in meters ? meters[name] : meters[main];
  return found === null || found === undefined ? null : parseMeter(parseFields(found, "a meter"));
}

export class Tank {
  readonly #meter: Meter;
  /** Thousandths of a unit; a rate a second is as many of them a millisecond. */
  #milliunits: bigint;
  #timeMs: number | null = null;

  constructor(meter: Meter) {
    this.#meter = meter;
    this.#milliunits = BigInt(meter.tank ?? 0) * 1000n;
  }

  get left(): number | null {
    return this.#meter.tank === null ? null : Number(this.#milliunits / 1000n);
  }

  /** What the delivery that begins may use. An empty tank holds up messages only. */
  open(timeMs: number, isMessage: boolean): number {
    const { delivery, tank, refillPerSecond } = this.#meter;
    if (tank === null) return delivery;
    const passedMs = this.#timeMs === null ? 0 : Math.max(0, timeMs - this.#timeMs);
    this.#timeMs = timeMs;
    const filled = this.#milliunits + BigInt(passedMs) * BigInt(refillPerSecond);
    const full = BigInt(tank) * 1000n;
    this.#milliunits = filled < full ? filled : full;
    return isMessage ? Math.min(delivery, Number(this.#milliunits / 1000n)) : delivery;
  }

  /** The delivery is over, and has used so much. */
  close(used: number): void {
    const rest = this.#milliunits - BigInt(used) * 1000n;
    this.#milliunits = rest > 0n ? rest : 0n;
  }
}
