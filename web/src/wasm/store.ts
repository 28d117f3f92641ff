/** The vat's map from text to text, in memory. Keys are in the order of their UTF-8, as in `kernel_py.vat.store`. */

import { compareChars } from "./chars.ts";

export class TextStore {
  readonly #values = new Map<string, string>();
  /** All keys, in order. */
  readonly #keys: string[] = [];

  get(key: string): string | null {
    return this.#values.get(key) ?? null;
  }

  set(key: string, value: string): void {
    if (!this.#values.has(key)) this.#keys.splice(this.#find(key), 0, key);
    this.#values.set(key, value);
  }

  delete(key: string): void {
    if (this.#values.delete(key)) this.#keys.splice(this.#find(key), 1);
  }

  /** The least key greater than `prior`, or null. */
  getNextKey(prior: string): string | null {
    return this.#keys[this.#find(prior) + (this.#values.has(prior) ? 1 : 0)] ?? null;
  }

  /** The index of the least key that is not less. */
  #find(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareChars(this.#keys[middle] ?? "", key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
