/**
 * What vats printed about errors that left them: tracebacks, by the error's id.
 *
 * An error crosses vats as its name, its message and an id; its traceback stays behind, in the console of the vat
 * that raised it, after that id. Here the two are brought together again.
 *
 * Invariant: a report holds the lines that its vat printed in one delivery, from the one with its id to the next id.
 */

import { signal } from "@preact/signals";
import type { KernelEvent, Settled } from "./api.ts";

const REPORTS_MAX = 500;
const REPORT_CHARS_MAX = 50_000;
/** As liveslots writes them: the id, and the first line of the traceback. */
const FIRST_LINE = /^(error:\S+#\d+): (.*)$/;

export interface ErrorReport {
  readonly vat: string;
  /** Number of the delivery in which it was printed. */
  readonly number: number;
  readonly text: string;
}

export class ErrorReports {
  /** By error id, the oldest first. */
  readonly #reports = new Map<string, ErrorReport>();
  /** Ids of the reports that may go on, by vat. */
  readonly #open = new Map<string, string>();
  readonly #version = signal(0);

  take(event: KernelEvent): void {
    if (event.class !== "Console") return;
    const { vat, number, text } = event;
    const [, id, first = ""] = FIRST_LINE.exec(text) ?? [];
    if (id !== undefined) {
      this.#open.set(vat, id);
      this.#set(id, { vat, number, text: first });
      return;
    }
    const open = this.#open.get(vat) ?? "";
    const report = this.#reports.get(open);
    if (report?.number === number && report.text.length < REPORT_CHARS_MAX)
      this.#set(open, { vat, number, text: `${report.text}\n${text}` });
    else this.#open.delete(vat);
  }

  /** The report of an error; undefined if it was not seen. Subscribes whoever calls it within a view. */
  find(id: string): ErrorReport | undefined {
    return this.#version.value >= 0 ? this.#reports.get(id) : undefined;
  }

  #set(id: string, report: ErrorReport): void {
    this.#reports.set(id, report);
    for (const oldest of this.#reports.keys()) {
      if (this.#reports.size <= REPORTS_MAX) break;
      this.#reports.delete(oldest);
    }
    this.#version.value++;
  }
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
