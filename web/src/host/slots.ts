/** Limits how many realms start at the same time. */

/** Realms that start at the same time, at most: each takes a processor, and copies of all files. */
const STARTS_MAX = Math.max(2, navigator.hardwareConcurrency);

/** Lets so many realms start at a time, in the order in which they came. */
export class Slots {
  readonly #starting = new Set<object>();
  readonly #waiting = new Map<object, () => void>();

  /** Resolves when it is the realm's turn; never if it gives up before. */
  async take(realm: object): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiting.set(realm, resolve);
      this.#admit();
    });
  }

  /** The realm has started, or gives up. Idempotent. */
  give(realm: object): void {
    this.#waiting.delete(realm);
    this.#starting.delete(realm);
    this.#admit();
  }

  #admit(): void {
    for (const [realm, resolve] of this.#waiting) {
      if (this.#starting.size >= STARTS_MAX) break;
      this.#waiting.delete(realm);
      this.#starting.add(realm);
      resolve();
    }
  }
}
