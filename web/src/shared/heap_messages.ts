/**
 * What crosses a vat's port besides texts: heaps, on their way to the kernel's store and back.
 *
 * The realm may be under a vat's control: the kernel trusts nothing of what comes from it but its form.
 */

import { ParseError, parseChoice, parseFields, parseInteger, parseList, parseText } from "./parse.ts";

/** Kernel to realm, in answer to a hello that names no vat: be as you were at a snapshot. Answered with a hello. */
export interface RestoreMessage {
  readonly kind: "restore";
  readonly memoryBytes: number;
  readonly pieces: readonly Piece[];
  /** The "start" of the vat's present incarnation, for realms whose memory does not hold the vat's source. */
  readonly start: string;
}

export interface Piece {
  /** The index of a piece of memory, or `STATE`. */
  readonly place: string;
  readonly bytes: ArrayBuffer;
}

/** The place of what a realm must know besides its memory. */
export const STATE = "state";

/** Realm to kernel, in answer to ["snapshot", mode]. */
export type HeapReport =
  | {
      readonly kind: "snapshot";
      /** "check": only the digest is of interest. */
      readonly mode: SnapshotMode;
      readonly delivered: number;
      readonly base: string;
      readonly memoryBytes: number;
      /** Where the pieces are in `bytes`, one after the other; by index, then those with names. */
      readonly pieces: readonly (readonly [place: string, size: number])[];
      readonly bytes: ArrayBuffer;
    }
  /** The realm goes on, but there will be no snapshot. */
  | { readonly kind: "unsnapshotable"; readonly reason: string };

export const SNAPSHOT_MODES = ["take", "check"] as const;
export type SnapshotMode = (typeof SNAPSHOT_MODES)[number];

export function parseHeapReport(value: unknown): HeapReport {
  const fields = parseFields(value, "what a realm sends");
  const kind = parseChoice(fields, "kind", ["snapshot", "unsnapshotable"]);
  if (kind === "unsnapshotable") return { kind, reason: parseText(fields, "reason") };
  const bytes = fields["bytes"];
  if (!(bytes instanceof ArrayBuffer)) throw new ParseError("a snapshot has no bytes");
  const pieces = parseList(fields, "pieces").map((piece) => parsePiece(piece));
  if (pieces.reduce((sum, [, size]) => sum + size, 0) !== bytes.byteLength)
    throw new ParseError("the pieces of a snapshot are not its bytes");
  return {
    kind,
    mode: parseChoice(fields, "mode", SNAPSHOT_MODES),
    delivered: parseInteger(fields, "delivered"),
    base: parseText(fields, "base"),
    memoryBytes: parseInteger(fields, "memoryBytes"),
    pieces,
    bytes,
  };
}

function parsePiece(value: unknown): readonly [string, number] {
  const [place, size] = (Array.isArray(value) ? value : []) as unknown[];
  if (typeof place !== "string" || typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
    throw new ParseError("a piece must be [place, size]");
  return [place, size];
}
