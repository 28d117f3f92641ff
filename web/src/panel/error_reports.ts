/**
 * What vats printed about errors that left them: tracebacks, by the error's id.
 *
 * An error crosses vats as its name, its message and an id; its traceback stays behind, in the console of the vat
 * that raised it, after that id. A vat that passes it on prints its own part of the way after the same id; one that raises
 * another error because of it names the id in the traceback of that one. Here all of these are brought together again.
 *
 * Invariant: a report holds the lines that its vat printed in one delivery, from the one with its id to the next id.
 */

import { signal } from "@preact/signals";
import type { KernelEvent, Settled } from "./api.ts";

const REPORTS_MAX = 500;
const REPORT_CHARS_MAX = 50_000;
/** As liveslots writes them: the id, and the first line of the traceback. */
const FIRST_LINE = /^(error:\S+#\d+): (.*)$/;
/** As tracebacks of vats name a remote error. */
const MENTION = /reported as (error:\S+#\d+)/g;

export interface ErrorReport {
  readonly id: string;
  readonly vat: string;
  /** Number of the delivery in which it was printed. */
  readonly number: number;
  readonly text: string;
}

export class ErrorReports {
  /** By error id and vat, the oldest first. */
  readonly #reports = new Map<string, ErrorReport>();
  /** Keys of the reports that may go on, by vat. */
  readonly #open = new Map<string, string>();
  readonly #version = signal(0);

  take(event: KernelEvent): void {
    if (event.class !== "Console") return;
    const { vat, number, text } = event;
    const [, id, first = ""] = FIRST_LINE.exec(text) ?? [];
    if (id !== undefined) {
      const key = `${id} ${vat}`;
      this.#open.set(vat, key);
      this.#set(key, { id, vat, number, text: first });
      return;
    }
    const open = this.#open.get(vat) ?? "";
    const report = this.#reports.get(open);
    if (report?.number === number && report.text.length < REPORT_CHARS_MAX)
      this.#set(open, { ...report, text: `${report.text}\n${text}` });
    else this.#open.delete(vat);
  }

  /**
   * The reports of an error, from the vat that raised it on, and then those of the errors that it came of. Empty if none
   * were seen. Subscribes whoever calls it within a view.
   */
  find(id: string): readonly ErrorReport[] {
    const found: ErrorReport[] = [];
    const ids = new Set(this.#version.value >= 0 ? [id] : []);
    // What is added to a set meanwhile is visited too.
    for (const next of ids) {
      const reports = [...this.#reports.values()].filter((report) => report.id === next);
      found.push(...reports.sort((a, b) => Number(isRaiser(b)) - Number(isRaiser(a))));
      for (const { text } of reports) for (const [, mentioned = ""] of text.matchAll(MENTION)) ids.add(mentioned);
    }
    return found;
  }

  #set(key: string, report: ErrorReport): void {
    this.#reports.set(key, report);
    for (const oldest of this.#reports.keys()) {
      if (this.#reports.size <= REPORTS_MAX) break;
      this.#reports.delete(oldest);
    }
    this.#version.value++;
  }
}

/** Whether the vat that printed it is the one that raised the error: ids name that one. */
export function isRaiser({ id, vat }: ErrorReport): boolean {
  return id.includes(`:${vat}#`);
}

/** The id of the error that a promise was rejected with; "" if it has none. */
export function errorIdOf({ body }: Settled): string {
  try {
    const value: unknown = JSON.parse(body.slice(1));
    const isError = typeof value === "object" && value !== null && "#error" in value && "errorId" in value;
    return isError && typeof value.errorId === "string" ? value.errorId : "";
  } catch {
    return "";
  }
}
