/** Deltas: what one commit changes, and what several in a row amount to. */

import { parseFields, parseList, parseText, ParseError } from "../shared/parse.ts";

/** As `kernel_py.core.store.Delta`. */
export interface Delta {
  readonly puts: Readonly<Record<string, unknown>>;
  readonly inserts: readonly string[];
  readonly deletes: readonly string[];
  readonly transcript: readonly Entry[];
  readonly transcriptDrops: readonly string[];
  readonly bundleDrops: readonly string[];
  readonly bundles: Readonly<Record<string, unknown>>;
  readonly chunkDrops: readonly string[];
  /** Packed bytes in base64 by id; empty where they are held (`IndexedDbStore.hold`). */
  readonly chunks: Readonly<Record<string, string>>;
}

export type Entry = readonly [vat: string, number: number, text: string];

/** Consecutive entries of one vat's transcript. */
export interface Span {
  readonly vat: string;
  readonly first: number;
  readonly texts: string[];
}

export function parseDelta(text: string): Delta {
  const fields = parseFields(JSON.parse(text), "a delta");
  return {
    puts: parseFields(fields["puts"], "puts"),
    inserts: parseList(fields, "inserts").map(parseKey),
    deletes: parseList(fields, "deletes").map(parseKey),
    transcript: parseList(fields, "transcript").map(parseEntry),
    transcriptDrops: parseList(fields, "transcript_drops").map(parseKey),
    bundleDrops: parseList(fields, "bundle_drops").map(parseKey),
    bundles: parseFields(fields["bundles"], "bundles"),
    chunkDrops: parseList(fields, "chunk_drops").map(parseKey),
    chunks: parseChunks(fields["chunks"]),
  };
}

/** The sum of deltas, in the order of their commits. What came and went within them is not in it. */
export class Net {
  /** By key, the new value; null if there is none any more. */
  readonly texts = new Map<string, unknown>();
  /** Keys that were not there before: if they go again, nothing happened. */
  readonly #inserts = new Set<string>();
  readonly bundles = new Map<string, unknown>();
  readonly transcriptDrops = new Set<string>();
  spans: Span[] = [];

  add(delta: Delta): void {
    for (const key of delta.inserts) if (!this.texts.has(key)) this.#inserts.add(key);
    for (const [key, value] of Object.entries(delta.puts)) this.texts.set(key, value);
    for (const key of delta.deletes) {
      if (this.#inserts.delete(key)) this.texts.delete(key);
      else this.texts.set(key, null);
    }
    for (const vat of delta.transcriptDrops) this.transcriptDrops.add(vat);
    if (delta.transcriptDrops.length > 0)
      this.spans = this.spans.filter(({ vat }) => !delta.transcriptDrops.includes(vat));
    for (const [vat, number, text] of delta.transcript) this.#append(vat, number, text);
    for (const id of delta.bundleDrops) this.bundles.set(id, null);
    for (const [id, text] of Object.entries(delta.bundles)) this.bundles.set(id, text);
  }

  #append(vat: string, number: number, text: string): void {
    const last = this.spans.findLast((span) => span.vat === vat);
    if (last !== undefined && number === last.first + last.texts.length) last.texts.push(text);
    else this.spans.push({ vat, first: number, texts: [text] });
  }
}

function parseKey(value: unknown): string {
  return parseText({ key: value }, "key");
}

function parseChunks(value: unknown): Record<string, string> {
  const chunks = parseFields(value, "chunks");
  return Object.fromEntries(Object.keys(chunks).map((id) => [id, parseText(chunks, id)]));
}

function parseEntry(value: unknown): Entry {
  const [vat, number, text] = (Array.isArray(value) ? value : []) as unknown[];
  if (typeof vat !== "string" || typeof number !== "number" || typeof text !== "string")
    throw new ParseError("an entry must be [vat, number, text]");
  return [vat, number, text];
}
