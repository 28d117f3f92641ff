/**
 * JSON exactly as `kernel_py.wire.canonical` reads and writes it: a guest must see the same bytes on every host.
 *
 * Numbers are integers that a float holds exactly, as in everything that a kernel and a vat say to each other.
 */

import { DEPTH_MAX } from "./limits.ts";

/** Compact JSON, keys in their order. What has no UTF-8 makes the whole text ASCII. */
export function dump(value: unknown): string {
  const text = JSON.stringify(value);
  return text.includes("\\ud") && hasLoneSurrogate(value) ? escapeAll(text) : text;
}

/** Compact ASCII JSON with the keys of every object in order: for comparing. */
export function dumpSorted(value: unknown): string {
  return escapeAll(
    JSON.stringify(value, (_key, each: unknown) =>
      typeof each === "object" && each !== null && !Array.isArray(each)
        ? Object.fromEntries(Object.entries(each).sort(([first], [second]) => (first < second ? -1 : 1)))
        : each,
    ),
  );
}

export class TooDeep extends Error {}

/** Throws a SyntaxError, or TooDeep if it nests too deeply. */
export function load(text: string): unknown {
  if (measureDepth(text) > DEPTH_MAX) throw new TooDeep(`JSON nested more than ${DEPTH_MAX} deep`);
  return JSON.parse(text) as unknown;
}

function hasLoneSurrogate(value: unknown): boolean {
  let found = false;
  JSON.stringify(value, (key, each: unknown) => {
    found ||= !key.isWellFormed() || (typeof each === "string" && !each.isWellFormed());
    return each;
  });
  return found;
}

function escapeAll(text: string): string {
  return text.replace(/[\x7f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** How deep the brackets outside of strings nest, be it JSON or not. */
function measureDepth(text: string): number {
  let depth = 0;
  let deepest = 0;
  let isInString = false;
  for (let index = 0; index < text.length; index++) {
    const char = text[index];
    if (isInString) {
      if (char === "\\") index++;
      else if (char === '"') isInString = false;
    } else if (char === '"') {
      isInString = true;
    } else if (char === "[" || char === "{") {
      deepest = Math.max(deepest, ++depth);
    } else if (char === "]" || char === "}") {
      depth--;
    }
  }
  return deepest;
}
