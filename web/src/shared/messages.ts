/**
 * The protocol between the kernel (service worker) and the vat host (offscreen document, or page), and
 * between the vat host and its realms.
 *
 * Kernel to vat host travels by `Client.postMessage`; vat host to kernel by `ServiceWorker.postMessage`,
 * an extendable event that wakes the worker and keeps it alive. MessagePorts travel beside a message,
 * in the order that the message's description gives.
 *
 * Invariants:
 * - An *epoch* numbers the lives of the kernel, and grows. Whoever receives a message of another epoch
 *   than its current one ignores it; only `reconnect` raises the vat host's epoch.
 * - The vat host has at most one realm per vat. Realms have numbers, which kernels of all epochs never use twice.
 */

import type { Prepared } from "../wasm/prepared.ts";
import { parseBoolean, parseChoice, parseFields, parseInteger, parseList, parseText, type Fields } from "./parse.ts";

export const REALM_KINDS = ["iframe", "worker", "wasm"] as const;
export type RealmKind = (typeof REALM_KINDS)[number];

export interface RealmId {
  readonly vat: string;
  readonly incarnation: number;
  /** The realm's number. */
  readonly realm: number;
}

/** Kernel to vat host. */
export type KernelMessage =
  /** A new kernel asks which realms there are. Answered with `living`. Counts as busy until a `lease` says otherwise. */
  | { readonly kind: "reconnect"; readonly epoch: number }
  /** Make a realm; one that the vat still has is destroyed first. Answered with `created`. */
  | ({ readonly kind: "create"; readonly epoch: number; readonly realmKind: RealmKind } & RealmId)
  /** Destroy the vat's realm, whatever it is doing. Idempotent, not answered. */
  | { readonly kind: "destroy"; readonly epoch: number; readonly vat: string }
  /** Delete the store files of all vats but these: the others are gone for good. Not answered. */
  | { readonly kind: "stores"; readonly epoch: number; readonly vats: readonly string[] }
  /** Whether the kernel has work in flight, so that the vat host must keep it alive. */
  | { readonly kind: "lease"; readonly epoch: number; readonly busy: boolean };

/** How a realm came up. */
export const BOOTS = ["image", "cold"] as const;
export type Boot = (typeof BOOTS)[number];

export interface Start {
  readonly boot: Boot;
  /** Why there was a cold start although there is a memory image; else "". */
  readonly problem: string;
  /** Milliseconds from the start of the realm's worker. */
  readonly ms: number;
}

/** Vat host to kernel. */
export type HostMessage =
  /** All realms, with one port each. */
  | { readonly kind: "living"; readonly epoch: number; readonly realms: readonly RealmId[] }
  /** A realm is being made; its port comes along at once, and its hello when it is ready. */
  | ({ readonly kind: "created"; readonly epoch: number } & RealmId)
  /** A realm runs; its hello comes on its port. */
  | ({ readonly kind: "booted"; readonly epoch: number } & RealmId & Start)
  /** A realm is gone, or could not be made. */
  | ({ readonly kind: "lost"; readonly epoch: number; readonly reason: string } & RealmId)
  /** Nothing but an event: the kernel is to stay alive, or to wake. */
  | { readonly kind: "lease"; readonly epoch: number };

/** Vat host to realm, on the realm's control port. */
export type RealmCommand =
  /** Become a realm. Sent once. */
  | { readonly kind: "boot"; readonly assets: RealmAssets }
  /** Talk to the kernel on the port that comes along, from now on. */
  | { readonly kind: "connect" }
  /** The answer to `prepare`. */
  | { readonly kind: "prepared"; readonly prepared: Prepared }
  /** The answer to `needImage`: the image that realms start from; null if there is none. */
  | { readonly kind: "image"; readonly image: ArrayBuffer | null }
  /** Answer with `alive`. */
  | { readonly kind: "ping" };

/** Realm to vat host, on the realm's control port. */
export type RealmReport =
  /** The realm runs, scrubbed. */
  | ({ readonly kind: "booted" } & Start)
  /** The realm cannot go on. */
  | { readonly kind: "failed"; readonly reason: string }
  /** Have a module, in base64, instrumented. Only realms of kind wasm ask, one at a time. Answered with `prepared`. */
  | { readonly kind: "prepare"; readonly module: string }
  /** The realm wants to compare its memory with the image that it started from. */
  | { readonly kind: "needImage" }
  /** The realm does something else than what it did last; also the answer to a ping. */
  | { readonly kind: "alive" };

/** What a realm is made from, apart from scripts; see `assets.ts`. */
export interface RealmAssets {
  /** Pyodide's wasm: compiled where a module can be sent, else its bytes. */
  readonly wasm: WebAssembly.Module | ArrayBuffer;
  readonly stdlib: ArrayBuffer;
  readonly sources: ArrayBuffer;
  /** A memory image to start from; null for a cold start. */
  readonly image: ArrayBuffer | null;
  /** Name of the vat's store in the origin private file system; "" if it has none there. */
  readonly store: string;
}

/** Vat host to the worker that instruments a module, once: what Python is started from, and a module in base64. */
export interface PreparerJob {
  readonly assets: RealmAssets;
  readonly module: string;
}

export function parseKernelMessage(value: unknown): KernelMessage {
  const fields = parseFields(value, "a message from the kernel");
  const kind = parseChoice(fields, "kind", ["reconnect", "create", "destroy", "stores", "lease"]);
  const epoch = parseInteger(fields, "epoch");
  switch (kind) {
    case "reconnect":
      return { kind, epoch };
    case "create":
      return { kind, epoch, ...parseRealmId(fields), realmKind: parseChoice(fields, "realmKind", REALM_KINDS) };
    case "destroy":
      return { kind, epoch, vat: parseText(fields, "vat") };
    case "stores":
      return { kind, epoch, vats: parseList(fields, "vats").map((vat) => parseText({ vat }, "vat")) };
    case "lease":
      return { kind, epoch, busy: parseBoolean(fields, "busy") };
  }
}

export function parseHostMessage(value: unknown): HostMessage {
  const fields = parseFields(value, "a message from the vat host");
  const kind = parseChoice(fields, "kind", ["living", "created", "booted", "lost", "lease"]);
  const epoch = parseInteger(fields, "epoch");
  switch (kind) {
    case "living":
      return {
        kind,
        epoch,
        realms: parseList(fields, "realms").map((realm) => parseRealmId(parseFields(realm, "a realm"))),
      };
    case "created":
      return { kind, epoch, ...parseRealmId(fields) };
    case "booted":
      return { kind, epoch, ...parseRealmId(fields), ...parseStart(fields) };
    case "lost":
      return { kind, epoch, ...parseRealmId(fields), reason: parseText(fields, "reason") };
    case "lease":
      return { kind, epoch };
  }
}

/** What a realm reports. The realm may be under a vat's control: nothing in it is trusted. */
export function parseRealmReport(value: unknown): RealmReport {
  const fields = parseFields(value, "a realm's report");
  const kind = parseChoice(fields, "kind", ["booted", "failed", "prepare", "needImage", "alive"]);
  switch (kind) {
    case "booted":
      return { kind, ...parseStart(fields) };
    case "failed":
      return { kind, reason: parseText(fields, "reason") };
    case "prepare":
      return { kind, module: parseText(fields, "module") };
    case "needImage":
    case "alive":
      return { kind };
  }
}

function parseStart(fields: Fields): Start {
  return {
    boot: parseChoice(fields, "boot", BOOTS),
    problem: parseText(fields, "problem"),
    ms: parseInteger(fields, "ms"),
  };
}

function parseRealmId(fields: Fields): RealmId {
  return {
    vat: parseText(fields, "vat"),
    incarnation: parseInteger(fields, "incarnation"),
    realm: parseInteger(fields, "realm"),
  };
}
