/** Sizes that the user chose, kept over the end of the page. */

import { effect, signal, type Signal } from "@preact/signals";

/** A number that is remembered under `name`. */
export function rememberedSize(name: string, initial: number): Signal<number> {
  const key = `kernel_py.panel.${name}`;
  const stored = Number(localStorage.getItem(key) ?? NaN);
  const size = signal(Number.isFinite(stored) ? stored : initial);
  effect(() => {
    localStorage.setItem(key, String(size.value));
  });
  return size;
}
