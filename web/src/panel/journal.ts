/**
 * Unanswered sends, kept over the end of the page.
 *
 * A promise may settle after the panel, or the browser, was closed. The next panel finds the request here and
 * asks for its answer under the same idempotency key: the kernel does not carry it out again.
 *
 * Invariants:
 * - An entry is there from before the request is first written until its answer is in, and is removed before
 *   the answer is acknowledged; so the kernel still knows the key of every entry.
 * - An entry is asked about by one page at a time: whoever holds its lock, which ends with the page.
 */

import { parseFields, parseInteger, parseText } from "../shared/parse.ts";

export interface JournalEntry {
  readonly id: string;
  readonly target: string;
  readonly method: string;
  readonly args: string;
  readonly timeMs: number;
}

const PREFIX = "kernel_py.panel.unanswered.";

export class Journal {
  readonly #releases = new Map<string, () => void>();

  /** Storage may be full or forbidden: then the send is merely not remembered. */
  add(entry: JournalEntry): void {
    try {
      localStorage.setItem(PREFIX + entry.id, JSON.stringify(entry));
    } catch (error) {
      console.warn("a send is not remembered over the end of this page:", error);
    }
    this.#claim(entry.id, () => undefined);
  }

  remove(id: string): void {
    localStorage.removeItem(PREFIX + id);
    this.#releases.get(id)?.();
    this.#releases.delete(id);
  }

  /** Calls `take` for each entry, the oldest first, as soon as no other living page looks after it. */
  adopt(take: (entry: JournalEntry) => void): void {
    const entries = Object.keys(localStorage)
      .filter((key) => key.startsWith(PREFIX))
      .map((key) => readEntry(key))
      .filter((entry) => entry !== null)
      .sort((a, b) => a.timeMs - b.timeMs);
    for (const entry of entries) {
      this.#claim(entry.id, () => {
        take(entry);
      });
    }
  }

  /** Calls back once this page holds the entry's lock, if the entry is still there then. */
  #claim(id: string, claimed: () => void): void {
    void navigator.locks.request(PREFIX + id, async () => {
      if (localStorage.getItem(PREFIX + id) === null) return;
      const released = new Promise<void>((resolve) => {
        this.#releases.set(id, resolve);
      });
      claimed();
      await released;
    });
  }
}

function readEntry(key: string): JournalEntry | null {
  try {
    const fields = parseFields(JSON.parse(localStorage.getItem(key) ?? ""), "the entry");
    return {
      id: key.slice(PREFIX.length),
      target: parseText(fields, "target"),
      method: parseText(fields, "method"),
      args: parseText(fields, "args"),
      timeMs: parseInteger(fields, "timeMs"),
    };
  } catch {
    localStorage.removeItem(key);
    return null;
  }
}
