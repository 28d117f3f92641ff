/**
 * The control interface as the panel sees it: `docs/reference/control.md`.
 *
 * Owns the types of what the kernel answers and announces, and their parsing. Everything that arrives is
 * parsed here once; fields that a newer kernel adds are ignored, events of a class that is not known are
 * kept as text, so that an older panel still shows them.
 */

import {
  parseBoolean,
  parseChoice,
  parseFields,
  parseInteger,
  parseList,
  parseText,
  type Fields,
} from "../shared/parse.ts";

/** What a method takes. */
export interface Params {
  launch: { readonly config: unknown; readonly files: Readonly<Record<string, string>> };
  send: { readonly target: string; readonly method: string; readonly args: string };
  terminateVat: { readonly vat: string; readonly reason?: string };
  terminateCluster: { readonly cluster: string; readonly reason?: string };
  upgradeVat: {
    readonly vat: string;
    readonly files: Readonly<Record<string, string>>;
    readonly source: string;
  };
  pauseVat: { readonly vat: string };
  resumeVat: { readonly vat: string };
  restartVat: { readonly vat: string };
  revoke: { readonly object: string };
  pin: { readonly object: string };
  unpin: { readonly object: string };
  collectGarbage: { readonly vat?: string };
  export: Readonly<Record<string, never>>;
  import: { readonly pieces: number };
  status: Readonly<Record<string, never>>;
  objects: { readonly vat?: string; readonly offset?: number; readonly limit?: number };
  promise: { readonly promise: string };
  deliveries: { readonly vat: string; readonly first?: number; readonly limit?: number };
  travel: { readonly vat: string; readonly delivery: number; readonly expression?: string };
  compareTravels: { readonly vat: string; readonly delivery: number; readonly other: number };
  endTravel: { readonly vat: string };
  subscribe: Readonly<Record<string, never>>;
}

export type Method = keyof Params;

/** What a method answers. */
export interface Results {
  launch: Launched;
  send: Settled;
  terminateVat: null;
  terminateCluster: null;
  upgradeVat: null;
  pauseVat: null;
  resumeVat: null;
  restartVat: null;
  revoke: null;
  pin: null;
  unpin: null;
  collectGarbage: null;
  export: { readonly pieces: number };
  import: null;
  status: Status;
  objects: ObjectsPage;
  promise: Settled | null;
  deliveries: { readonly deliveries: readonly DeliveryRecord[]; readonly total: number };
  travel: HeapListing | Evaluated;
  compareTravels: Compared;
  endTravel: null;
  subscribe: null;
}

/** A promise that is no longer pending. `value` is its value as Python would write it. */
export interface Settled {
  readonly status: "fulfilled" | "rejected";
  readonly value: string;
  readonly body: string;
  readonly slots: readonly string[];
}

export interface Launched {
  readonly cluster: string;
  /** Vat ids by name. */
  readonly vats: ReadonlyMap<string, string>;
  readonly root: string;
  readonly result: Settled;
}

export interface VatStatus {
  readonly vat: string;
  readonly name: string;
  readonly cluster: string;
  readonly kind: string;
  readonly state: string;
  readonly reason: string;
  readonly incarnation: number;
  readonly deliveries: number;
  readonly queued: number;
  readonly inflight: boolean;
  /** Null while the vat is not in memory, or has not said. */
  readonly memoryBytes: number | null;
  /** What its meter says, for people; "" if it has none. */
  readonly meter: string;
  /** How its realm is: "ready", "creating", ...; "" while it has none. */
  readonly realm: string;
  /** Why the vat cannot be brought back; or "". */
  readonly fault: string;
  /** Kref of the root object; "" if there is none. */
  readonly root: string;
}

export interface ClusterStatus {
  readonly cluster: string;
  readonly name: string;
  readonly state: string;
  readonly reason: string;
  readonly vats: ReadonlyMap<string, string>;
  /** Name of the bootstrap vat. */
  readonly bootstrap: string;
}

export interface Status {
  /** Figures about the kernel, in its order. */
  readonly kernel: readonly (readonly [name: string, value: string])[];
  readonly clusters: readonly ClusterStatus[];
  readonly vats: readonly VatStatus[];
}

export interface KernelObject {
  readonly kref: string;
  /** The vat that owns it; "" once that vat is terminated. */
  readonly vat: string;
  readonly iface: string;
  readonly reachable: string;
  readonly recognizable: string;
  readonly isPinned: boolean;
  readonly isRevoked: boolean;
}

/** A piece of the archive that an export gives, or an import takes. */
export interface Piece {
  /** Of the request. */
  readonly id: string;
  readonly index: number;
  readonly text: string;
}

export interface ObjectsPage {
  readonly objects: readonly KernelObject[];
  readonly total: number;
}

/** A delivery that a vat has had. */
export interface DeliveryRecord {
  readonly number: number;
  readonly timeMs: number;
  /** "message", "notify", "startVat", ... */
  readonly what: string;
  /** Of a message. */
  readonly method: string;
  readonly target: string;
  readonly syscalls: number;
}

/** What was in a vat after a delivery. */
export interface HeapListing {
  readonly total: number;
  readonly objects: readonly (readonly [group: string, name: string, type: string, value: string])[];
  readonly store: readonly (readonly [key: string, value: string])[];
  readonly isCut: boolean;
  /** What was wrong, such as a snapshot that could not be used; or "". */
  readonly note: string;
}

/** What an expression gave, after a delivery. */
export interface Evaluated {
  readonly value: string;
  readonly type: string;
  /** A traceback; or "". */
  readonly error: string;
  readonly console: string;
}

export interface Difference {
  readonly change: string;
  readonly name: string;
  readonly before: string;
  readonly after: string;
}

/** What is different in a vat between two deliveries. */
export interface Compared {
  readonly delivery: number;
  readonly other: number;
  readonly objects: readonly Difference[];
  readonly store: readonly Difference[];
}

/** Something that happened, in Causeway's vocabulary. `vat` is "" where no vat is concerned. */
export type KernelEvent = { readonly timeMs: number; readonly vat: string } & (
  | {
      readonly class: "Sent" | "Got";
      readonly number: number;
      readonly target: string;
      readonly method: string;
      readonly args: string;
      readonly result: string;
    }
  | {
      readonly class: "Fulfilled" | "Rejected";
      readonly number: number;
      readonly promise: string;
      readonly value: string;
    }
  | { readonly class: "Notified"; readonly number: number; readonly promises: readonly string[] }
  | { readonly class: "Console"; readonly number: number; readonly text: string }
  | { readonly class: "Logged"; readonly level: string; readonly text: string }
  | { readonly class: "Vat"; readonly name: string; readonly state: string; readonly reason: string }
  | {
      readonly class: "Cluster";
      readonly cluster: string;
      readonly name: string;
      readonly state: string;
      readonly reason: string;
    }
  | { readonly class: "Fault"; readonly fault: string; readonly reason: string }
  /** The panel's own remark: a gap in the log, an event that it does not know. */
  | { readonly class: "Panel"; readonly text: string }
);

export type EventClass = KernelEvent["class"];

export const EVENT_CLASSES = [
  "Sent",
  "Got",
  "Fulfilled",
  "Rejected",
  "Notified",
  "Console",
  "Logged",
  "Vat",
  "Cluster",
  "Fault",
  "Panel",
] as const satisfies readonly EventClass[];

/** A request that the kernel refused, or could not carry out. */
export class RequestError extends Error {
  override name = "RequestError";

  /**
   * @param kind the kernel's class of error, such as `RequestError` or `StoreError`.
   * @param path where in the request the fault lies, such as `config.vats.alice`; or "".
   */
  constructor(
    message: string,
    readonly kind: string,
    readonly path: string,
    readonly code: number,
  ) {
    super(message);
  }
}

/** What comes over the port. */
export type Incoming =
  | { readonly kind: "result"; readonly id: string; readonly result: unknown }
  /** `id` is null when the kernel could not tell which request it answers. */
  | { readonly kind: "error"; readonly id: string | null; readonly error: RequestError }
  | { readonly kind: "event"; readonly event: KernelEvent }
  | { readonly kind: "piece"; readonly piece: Piece };

/** Parses a message from the port: JSON text, or what it stands for. */
export function parseIncoming(message: unknown): Incoming {
  const value: unknown = typeof message === "string" ? JSON.parse(message) : message;
  const fields = parseFields(value, "the message");
  if (fields["method"] === "event") return { kind: "event", event: parseEvent(fields["params"]) };
  if (fields["method"] === "archive") return { kind: "piece", piece: parsePiece(fields["params"]) };
  if (fields["error"] !== undefined) {
    const id = fields["id"];
    return { kind: "error", id: typeof id === "string" ? id : null, error: parseError(fields["error"]) };
  }
  return { kind: "result", id: parseText(fields, "id"), result: fields["result"] };
}

function parsePiece(value: unknown): Piece {
  const fields = parseFields(value, "the piece");
  return { id: parseText(fields, "id"), index: parseInteger(fields, "index"), text: parseText(fields, "text") };
}

function parseError(value: unknown): RequestError {
  const fields = parseFields(value, "error");
  const data = fields["data"] === undefined || fields["data"] === null ? {} : parseFields(fields["data"], "error.data");
  return new RequestError(
    parseText(fields, "message"),
    optionalText(data, "kind"),
    optionalText(data, "path"),
    parseInteger(fields, "code"),
  );
}

/** Parses a result, given the method that was asked for. */
export const RESULT_PARSERS: { readonly [M in Method]: (value: unknown) => Results[M] } = {
  launch: parseLaunched,
  send: parseSettled,
  terminateVat: () => null,
  terminateCluster: () => null,
  upgradeVat: () => null,
  pauseVat: () => null,
  resumeVat: () => null,
  restartVat: () => null,
  revoke: () => null,
  pin: () => null,
  unpin: () => null,
  collectGarbage: () => null,
  export: (value) => ({ pieces: parseInteger(parseFields(value, "result"), "pieces") }),
  import: () => null,
  status: parseStatus,
  objects: parseObjectsPage,
  promise: (value) => (parseFields(value, "result")["status"] === "pending" ? null : parseSettled(value)),
  deliveries: (value) => {
    const fields = parseFields(value, "deliveries");
    return { deliveries: parseList(fields, "deliveries").map(parseDelivery), total: parseInteger(fields, "total") };
  },
  travel: parseSeen,
  compareTravels: parseCompared,
  endTravel: () => null,
  subscribe: () => null,
};

function parseSettled(value: unknown): Settled {
  const fields = parseFields(value, "settled");
  return {
    status: parseChoice(fields, "status", ["fulfilled", "rejected"]),
    value: parseText(fields, "value"),
    body: optionalText(fields, "body"),
    slots: fields["slots"] === undefined ? [] : parseList(fields, "slots").map(String),
  };
}

function parseLaunched(value: unknown): Launched {
  const fields = parseFields(value, "result");
  return {
    cluster: parseText(fields, "cluster"),
    vats: parseTextMap(fields, "vats"),
    root: optionalText(fields, "root"),
    result: parseSettled(fields["result"]),
  };
}

function parseStatus(value: unknown): Status {
  const fields = parseFields(value, "status");
  return {
    kernel: Object.entries(parseFields(fields["kernel"], "kernel")).flatMap(([name, figure]) =>
      listFigures(name, figure),
    ),
    clusters: parseList(fields, "clusters").map(parseCluster),
    vats: parseList(fields, "vats").map(parseVat),
  };
}

function parseCluster(value: unknown): ClusterStatus {
  const fields = parseFields(value, "cluster");
  return {
    cluster: parseText(fields, "cluster"),
    name: optionalText(fields, "name"),
    state: parseText(fields, "state"),
    reason: optionalText(fields, "reason"),
    vats: parseTextMap(fields, "vats"),
    bootstrap: optionalText(fields, "bootstrap"),
  };
}

function parseVat(value: unknown): VatStatus {
  const fields = parseFields(value, "vat");
  const memory = fields["memory_bytes"];
  return {
    vat: parseText(fields, "vat"),
    name: optionalText(fields, "name"),
    cluster: optionalText(fields, "cluster"),
    kind: parseText(fields, "kind"),
    state: parseText(fields, "state"),
    reason: optionalText(fields, "reason"),
    incarnation: parseInteger(fields, "incarnation"),
    deliveries: parseInteger(fields, "deliveries"),
    queued: parseInteger(fields, "queued"),
    inflight: parseBoolean(fields, "inflight"),
    memoryBytes: typeof memory === "number" ? memory : null,
    meter: Array.isArray(fields["meter"]) ? describeMeter(fields["meter"]) : "",
    realm: optionalText(fields, "realm"),
    fault: optionalText(fields, "fault"),
    root: optionalText(fields, "root"),
  };
}

/** What the last delivery has used, and what is left in the tank. */
function describeMeter([used, left]: readonly unknown[]): string {
  const tank = typeof left === "number" ? `, ${left.toLocaleString("en")} left` : "";
  return typeof used === "number" ? `${used.toLocaleString("en")} units${tank}` : "";
}

function parseDelivery(value: unknown): DeliveryRecord {
  const fields = parseFields(value, "delivery");
  return {
    number: parseInteger(fields, "number"),
    timeMs: parseInteger(fields, "time_ms"),
    what: parseText(fields, "what"),
    method: optionalText(fields, "method"),
    target: optionalText(fields, "target"),
    syscalls: parseInteger(fields, "syscalls"),
  };
}

function parseSeen(value: unknown): HeapListing | Evaluated {
  const fields = parseFields(value, "what was seen");
  if (fields["objects"] === undefined)
    return {
      value: parseText(fields, "value"),
      type: parseText(fields, "type"),
      error: optionalText(fields, "error"),
      console: optionalText(fields, "console"),
    };
  return {
    total: parseInteger(fields, "total"),
    objects: parseList(fields, "objects").map((row) => {
      const [group, name, type, text] = parseRow(row);
      return [textOf(group), textOf(name), textOf(type), textOf(text)];
    }),
    store: parseList(fields, "store").map((row) => {
      const [key, text] = parseRow(row);
      return [textOf(key), textOf(text)];
    }),
    isCut: fields["is_cut"] === true,
    note: optionalText(fields, "note"),
  };
}

function parseRow(value: unknown): readonly unknown[] {
  return parseList({ row: value }, "row");
}

function parseCompared(value: unknown): Compared {
  const fields = parseFields(value, "the comparison");
  return {
    delivery: parseInteger(fields, "delivery"),
    other: parseInteger(fields, "other"),
    objects: parseList(fields, "objects").map(parseDifference),
    store: parseList(fields, "store").map(parseDifference),
  };
}

function parseDifference(value: unknown): Difference {
  const fields = parseFields(value, "a difference");
  return {
    change: parseText(fields, "change"),
    name: parseText(fields, "name"),
    before: parseText(fields, "before"),
    after: parseText(fields, "after"),
  };
}

function parseObjectsPage(value: unknown): ObjectsPage {
  const fields = parseFields(value, "objects");
  return { objects: parseList(fields, "objects").map(parseObject), total: parseInteger(fields, "total") };
}

function parseObject(value: unknown): KernelObject {
  const fields = parseFields(value, "object");
  return {
    kref: parseText(fields, "kref"),
    vat: optionalText(fields, "vat"),
    iface: optionalText(fields, "iface").replace(/^Alleged: /, ""),
    reachable: textOf(fields["reachable"]),
    recognizable: textOf(fields["recognizable"]),
    isPinned: fields["pinned"] === true,
    isRevoked: fields["revoked"] === true,
  };
}

export function parseEvent(value: unknown): KernelEvent {
  const fields = parseFields(value, "event");
  const common = { timeMs: parseInteger(fields, "time_ms"), vat: optionalText(fields, "vat") };
  const name = parseText(fields, "class");
  switch (name) {
    case "Sent":
    case "Got":
      return {
        ...common,
        class: name,
        number: parseInteger(fields, "number"),
        target: parseText(fields, "target"),
        method: textOf(fields["method"]),
        args: textOf(fields["args"]),
        result: optionalText(fields, "result"),
      };
    case "Fulfilled":
    case "Rejected":
      return {
        ...common,
        class: name,
        number: parseInteger(fields, "number"),
        promise: parseText(fields, "promise"),
        value: textOf(fields["value"]),
      };
    case "Notified":
      return {
        ...common,
        class: name,
        number: parseInteger(fields, "number"),
        promises: parseList(fields, "promises").map(textOf),
      };
    case "Console":
      return { ...common, class: name, number: parseInteger(fields, "number"), text: textOf(fields["text"]) };
    case "Logged":
      return { ...common, class: name, level: parseText(fields, "level"), text: textOf(fields["text"]) };
    case "Vat":
      return {
        ...common,
        class: name,
        name: optionalText(fields, "name"),
        state: parseText(fields, "state"),
        reason: optionalText(fields, "reason"),
      };
    case "Cluster":
      return {
        ...common,
        class: name,
        cluster: parseText(fields, "cluster"),
        name: optionalText(fields, "name"),
        state: parseText(fields, "state"),
        reason: optionalText(fields, "reason"),
      };
    case "Fault":
      return { ...common, class: name, fault: optionalText(fields, "fault"), reason: optionalText(fields, "reason") };
    default:
      return { ...common, class: "Panel", text: `event of an unknown class: ${JSON.stringify(value)}` };
  }
}

function parseTextMap(fields: Fields, name: string): ReadonlyMap<string, string> {
  return new Map(Object.entries(parseFields(fields[name], name)).map(([key, value]) => [key, textOf(value)]));
}

/** The text of a field that may be absent or null: then "". */
function optionalText(fields: Fields, name: string): string {
  const value = fields[name];
  return value === undefined || value === null ? "" : parseText(fields, name);
}

/** A figure by its name; those of a group are named after it, too. */
function listFigures(name: string, figure: unknown): [string, string][] {
  if (typeof figure !== "object" || figure === null || Array.isArray(figure)) return [[name, textOf(figure)]];
  return Object.entries(figure).map(([inner, value]) => [`${name}_${inner}`, textOf(value)]);
}

/** Something shown but not understood: text as it is, all else as JSON. */
function textOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}
