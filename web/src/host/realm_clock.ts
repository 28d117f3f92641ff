/**
 * How long a realm has given no sign of life: the backstop behind the meters.
 *
 * Only time during which this document itself was running counts: what passes between two looks counts for at most
 * `STEP_MS_MAX`, so a machine that slept ends no vat.
 */

/** One delivery may take so long: thirty seconds of work, on a machine that has three other things to do. */
export const REALM_MS_MAX = 120_000;

/** Twice the time between looks. */
export const STEP_MS_MAX = 20_000;

export class RealmClock {
  #silentMs = 0;
  #lookedAtMs: number | null = null;

  /** The realm has just given a sign of life, or has none to give yet. */
  reset(): void {
    this.#silentMs = 0;
    this.#lookedAtMs = null;
  }

  /** Look at a realm that owes a sign. Whether it has been silent for too long. */
  look(nowMs: number): boolean {
    if (this.#lookedAtMs !== null) this.#silentMs += Math.min(Math.max(0, nowMs - this.#lookedAtMs), STEP_MS_MAX);
    this.#lookedAtMs = nowMs;
    return this.#silentMs > REALM_MS_MAX;
  }
}
