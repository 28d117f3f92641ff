/** A realm's heap on its way to the kernel's store and back. What it consists of is said in `pieces.ts`. */

import { STATE, type HeapReport, type RestoreMessage, type SnapshotMode } from "../shared/heap_messages.ts";
import { parseImage } from "../shared/image.ts";
import { describeError } from "../shared/parse.ts";
import type { Heap } from "./boot_realm.ts";
import type { Conversation } from "./conversation.ts";
import { takePieces, writePiece } from "./pieces.ts";

/** `imageFile`: that which the realm started from. */
export function reportHeap(
  heap: Heap,
  conversation: Conversation,
  imageFile: ArrayBuffer | null,
  mode: SnapshotMode,
): HeapReport {
  try {
    return describeHeap(heap, conversation, imageFile, mode);
  } catch (error) {
    return { kind: "unsnapshotable", reason: describeError(error) };
  }
}

function describeHeap(
  heap: Heap,
  conversation: Conversation,
  imageFile: ArrayBuffer | null,
  mode: SnapshotMode,
): HeapReport {
  const change = heap.files.describeChange();
  if (change !== "") return refuse(`the vat's heap is not all there is of it: ${change}`);
  if (imageFile === null) return refuse("there is no memory image to compare with");
  const image = parseImage(new Uint8Array(imageFile));
  if (image.header.id !== heap.base) return refuse("the realm did not start from the memory image that there is now");
  const memory = heap.module.HEAPU8;
  const pieces = [...takePieces(memory, image)].map(([place, bytes]) => [String(place), bytes] as const);
  const all = [...pieces, [STATE, new TextEncoder().encode(conversation.dumpState())] as const];
  const bytes = new Uint8Array(all.reduce((sum, [, piece]) => sum + piece.length, 0));
  let at = 0;
  for (const [, piece] of all) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return {
    kind: "snapshot",
    mode,
    delivered: conversation.delivered,
    base: heap.base,
    memoryBytes: memory.length,
    pieces: all.map(([place, piece]) => [place, piece.length]),
    bytes: bytes.buffer,
  };
}

function refuse(reason: string): HeapReport {
  return { kind: "unsnapshotable", reason };
}

/**
 * Make a fresh heap what it was at a snapshot. If this throws the heap must not be used. Returns what is to be said if the
 * vat's store is not as it was then, or "".
 */
export function restoreHeap(heap: Heap, conversation: Conversation, { memoryBytes, pieces }: RestoreMessage): string {
  const { module } = heap;
  if (module.HEAPU8.length < memoryBytes && module.growMemory(memoryBytes) !== 1)
    throw new Error(`no memory for a heap of ${memoryBytes} bytes`);
  let state = "";
  for (const { place, bytes } of pieces) {
    if (place === STATE) state = new TextDecoder().decode(bytes);
    else writePiece(module.HEAPU8, Number(place), new Uint8Array(bytes));
  }
  if (module.HEAPU8.length !== memoryBytes) throw new Error(`the memory has ${module.HEAPU8.length} bytes`);
  return conversation.restore(state);
}
