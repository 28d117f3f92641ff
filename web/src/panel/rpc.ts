/**
 * JSON-RPC 2.0 over a port that may die at any moment.
 *
 * Owns the port, the requests that have no answer yet, and the acknowledgements that the kernel may not have
 * seen. A request's id is its idempotency key: it is the same on every port that the request is written to,
 * so the kernel carries it out once. When a port is lost, the next one is opened at once, then after growing
 * pauses; on it everything unanswered is sent again, in the order in which it was first asked.
 *
 * A port can be lost without a word (docs/platform.md, 9). While anything is unanswered the kernel is
 * pinged, and a port on which nothing comes back for `SILENCE_MS` is given up.
 *
 * The kernel reads a port in order, so the answer to a ping shows that all written before it has arrived.
 * That is what `Call.delivered` says, and what lets acknowledgements be forgotten. A query is answered only after
 * everything before it is durable (docs/theory.md, Durability), so its answer shows that the commands
 * written before it are the kernel's for good, and that nobody need stay awake for them.
 *
 * Invariants:
 * - A request is in `#calls` from `call` until its answer is handed over; it is never dropped because a port was lost.
 * - `#port` is null exactly in the states `lost` and `asleep`.
 * - Messages and disconnects of a port other than `#port` are ignored.
 */

import { signal, type ReadonlySignal, type Signal } from "@preact/signals";
import {
  parseIncoming,
  RESULT_PARSERS,
  type Incoming,
  type KernelEvent,
  type Method,
  type Params,
  type Piece,
  type RequestError,
  type Results,
} from "./api.ts";
import { describeError } from "../shared/parse.ts";

/** One connection to the kernel. Both listeners are set before anything else happens on the port. */
export interface Port {
  /** @throws if the port is closed. */
  postMessage(text: string): void;
  onMessage(listener: (message: unknown) => void): void;
  /** Called once when the other end goes away; not after `disconnect`. */
  onDisconnect(listener: (reason: string) => void): void;
  /** Idempotent. */
  disconnect(): void;
}

/** Opens a port. @throws if none can be opened at present; it is tried again. */
export type Connect = () => Port;

export type Connection =
  /** A port is open, and nothing has been heard on it: the kernel is booting. */
  | { readonly state: "connecting" }
  | { readonly state: "live" }
  /** There is no port; the next attempt follows by itself. */
  | { readonly state: "lost"; readonly reason: string }
  /** There is no port, since nobody looks and the kernel has all that it was asked: it may sleep. */
  | { readonly state: "asleep" };

/** A request on its way. */
export interface Call<M extends Method> {
  readonly id: string;
  /** Rejects with a `RequestError` if the kernel refused, with a `ParseError` if its answer made no sense. */
  readonly answer: Promise<Results[M]>;
  /** Whether the kernel is known to have it. Falls back to false when the port is lost. */
  readonly delivered: ReadonlySignal<boolean>;
}

export interface CallOptions {
  /** The idempotency key. Default: a new one. */
  readonly id?: string;
  /** Called when the answer is in, before it is acknowledged: the last moment at which it could be had again. */
  readonly onAnswer?: () => void;
}

export interface Listener {
  onEvent(event: KernelEvent): void;
  /** A piece of an archive, before the answer to the request that it belongs to. */
  onPiece(piece: Piece): void;
  /** Events were missed: there was no port from then until now. */
  onGap(fromMs: number, toMs: number): void;
  /** Something arrived that is not of this protocol, or that answers nothing. */
  onProblem(text: string): void;
}

/** A ping unanswered for so long, with nothing else heard, means a dead port. */
export const SILENCE_MS = 5_000;
/** The same while nothing was heard on a new port: Pyodide may be starting cold. Doubled per failed attempt. */
const BOOT_SILENCE_MS = 20_000;
/** Time from something unanswered to the next ping. */
const PING_MS = 2_000;
/** Pauses before another attempt, after the first, which follows at once. */
const RETRY_MS = [0, 100, 200, 400, 800, 1_600, 2_000] as const;

/** Methods that change something; the kernel keeps their answers until they are acknowledged. */
const COMMANDS: ReadonlySet<Method> = new Set<Method>([
  "launch",
  "send",
  "terminateVat",
  "terminateCluster",
  "upgradeVat",
  "pauseVat",
  "resumeVat",
  "restartVat",
  "revoke",
  "pin",
  "unpin",
  "collectGarbage",
]);

interface Outstanding {
  readonly method: Method;
  readonly params: unknown;
  readonly delivered: Signal<boolean>;
  /** Its place in the order of what was written on the current port; 0 if it was not. */
  written: number;
  /** Whether it is a command that the kernel is known to have written down. */
  isDurable: boolean;
  succeed(result: unknown): void;
  fail(error: Error): void;
}

export class RpcClient {
  readonly #connect: Connect;
  readonly #listener: Listener;
  readonly #connection = signal<Connection>({ state: "connecting" });
  /** By id, in the order in which they were asked. */
  readonly #calls = new Map<string, Outstanding>();
  /** Ids of answered commands by the place at which their acknowledgement was written on the current port. */
  #acks = new Map<string, number>();
  #port: Port | null = null;
  /** Messages written on the current port. */
  #written = 0;
  /** Ports that were lost without a word from the kernel, in a row. */
  #failures = 0;
  /** When the last port was lost; null if events have not been missed. */
  #lostAtMs: number | null = null;
  /** What the kernel answers as soon as it reads it: the subscription at first, then pings. Null if answered. */
  #probe: { readonly id: string; readonly isSubscription: boolean; readonly written: number } | null = null;
  #retryTimer: number | undefined;
  #silenceTimer: number | undefined;
  #pingTimer: number | undefined;
  #pingDueMs = Infinity;
  #attentive = true;

  constructor(connect: Connect, listener: Listener) {
    this.#connect = connect;
    this.#listener = listener;
  }

  get connection(): ReadonlySignal<Connection> {
    return this.#connection;
  }

  /** Opens the first port. */
  start(): void {
    this.#open();
  }

  /** Closes the port for good. Requests without an answer stay so. */
  close(): void {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#silenceTimer);
    clearTimeout(this.#pingTimer);
    this.#port?.disconnect();
    this.#port = null;
    this.#connection.value = { state: "asleep" };
  }

  /**
   * Says whether somebody looks. If nobody does, a port that is lost is replaced only while the kernel may not
   * have all that it was asked: else the panel alone would keep it awake, for hours if a promise stays pending.
   */
  attend(attentive: boolean): void {
    this.#attentive = attentive;
    if (attentive && this.#connection.value.state === "asleep") this.#open();
    if (attentive) this.#pingIn(0);
    else this.#makeSure();
  }

  /** Asks the kernel. The request survives the loss of any number of ports. */
  call<M extends Method>(method: M, params: Params[M], options: CallOptions = {}): Call<M> {
    const id = options.id ?? crypto.randomUUID();
    const delivered = signal(false);
    const answer = new Promise<Results[M]>((resolve, reject) => {
      this.#calls.set(id, {
        method,
        params,
        delivered,
        written: 0,
        isDurable: false,
        succeed: (result) => {
          options.onAnswer?.();
          try {
            resolve(RESULT_PARSERS[method](result));
          } catch (error) {
            reject(new Error(`the kernel's answer to ${method} was not understood`, { cause: error }));
          }
        },
        fail: (error) => {
          options.onAnswer?.();
          reject(error);
        },
      });
    });
    if (this.#connection.value.state === "asleep") this.#open();
    else this.#write(id);
    this.#makeSure();
    return { id, answer, delivered };
  }

  /** Writes a piece of an archive on the present port, on which the request that it belongs to follows. */
  tell(method: "archive", params: Piece): void {
    this.#post({ jsonrpc: "2.0", method, params });
  }

  /** Where nobody looks nobody asks for the status, which would show that commands are durable. */
  #makeSure(): void {
    const calls = [...this.#calls.values()];
    if (this.#attentive || !this.#isNeeded() || calls.some(({ method }) => method === "status")) return;
    // What it says does not matter; that it cannot be had is shown where it is asked for.
    this.call("status", {}).answer.catch(() => undefined);
  }

  /** Whether the kernel may lack something that it was asked or told. */
  #isNeeded(): boolean {
    const calls = [...this.#calls.values()];
    return this.#acks.size > 0 || calls.some(({ method, isDurable }) => COMMANDS.has(method) && !isDurable);
  }

  #open(): void {
    clearTimeout(this.#retryTimer);
    let port: Port;
    try {
      port = this.#connect();
    } catch (error) {
      this.#lose(describeError(error));
      return;
    }
    this.#port = port;
    this.#written = 0;
    port.onMessage((message) => {
      if (port === this.#port) this.#receive(message);
    });
    port.onDisconnect((reason) => {
      if (port === this.#port) this.#lose(reason);
    });
    this.#connection.value = { state: "connecting" };
    this.#ask("subscribe");
    for (const id of this.#calls.keys()) this.#write(id);
    for (const id of this.#acks.keys()) this.#acknowledge(id);
    this.#makeSure();
  }

  /** The port is gone: `reason` is for people. */
  #lose(reason: string): void {
    clearTimeout(this.#silenceTimer);
    clearTimeout(this.#pingTimer);
    this.#pingDueMs = Infinity;
    this.#failures = this.#connection.value.state === "live" ? 0 : this.#failures + 1;
    const port = this.#port;
    this.#port = null;
    port?.disconnect();
    this.#probe = null;
    this.#lostAtMs ??= Date.now();
    for (const call of this.#calls.values()) {
      call.written = 0;
      call.delivered.value = false;
    }
    for (const id of this.#acks.keys()) this.#acks.set(id, 0);
    if (!this.#attentive && !this.#isNeeded()) {
      this.#connection.value = { state: "asleep" };
      return;
    }
    this.#connection.value = { state: "lost", reason };
    const pauseMs = RETRY_MS[Math.min(this.#failures, RETRY_MS.length - 1)] ?? 0;
    this.#retryTimer = setTimeout(() => {
      this.#open();
    }, pauseMs);
  }

  #write(id: string): void {
    const call = this.#calls.get(id);
    if (call === undefined || this.#port === null) return;
    call.written = this.#post({ jsonrpc: "2.0", id, method: call.method, params: call.params });
    this.#pingIn(COMMANDS.has(call.method) ? 0 : PING_MS);
  }

  #acknowledge(id: string): void {
    this.#acks.set(id, this.#post({ jsonrpc: "2.0", method: "ack", params: { id } }));
    this.#pingIn(PING_MS);
  }

  /** Writes something that a living kernel answers at once. */
  #ask(method: "subscribe" | "ping"): void {
    const id = crypto.randomUUID();
    const written = this.#post({ jsonrpc: "2.0", id, method, params: {} });
    if (written === 0) return;
    this.#probe = { id, isSubscription: method === "subscribe", written };
    this.#expect();
  }

  /** Pings after a while, or earlier if that was asked for, if there is then still something to find out. */
  #pingIn(pauseMs: number): void {
    const dueMs = Date.now() + pauseMs;
    if (this.#pingDueMs <= dueMs) return;
    this.#pingDueMs = dueMs;
    clearTimeout(this.#pingTimer);
    this.#pingTimer = setTimeout(() => {
      this.#pingDueMs = Infinity;
      const isOfInterest = this.#isNeeded() || (this.#attentive && this.#calls.size > 0);
      if (this.#probe === null && isOfInterest) this.#ask("ping");
    }, pauseMs);
  }

  /** Returns the message's place on the port, from 1; 0 if it was not written. */
  #post(message: unknown): number {
    if (this.#port === null) return 0;
    try {
      this.#port.postMessage(JSON.stringify(message));
    } catch (error) {
      this.#lose(describeError(error));
      return 0;
    }
    return ++this.#written;
  }

  /** Gives the kernel time to say something, from now. */
  #expect(): void {
    clearTimeout(this.#silenceTimer);
    const patienceMs =
      this.#connection.value.state === "live" ? SILENCE_MS : BOOT_SILENCE_MS * 2 ** Math.min(this.#failures, 3);
    this.#silenceTimer = setTimeout(() => {
      this.#lose(`the kernel said nothing for ${String(patienceMs / 1000)} s`);
    }, patienceMs);
  }

  #receive(message: unknown): void {
    if (this.#connection.value.state !== "live") this.#connection.value = { state: "live" };
    this.#failures = 0;
    try {
      this.#handle(parseIncoming(message));
    } catch (error) {
      this.#listener.onProblem(`not understood: ${describeError(error)}: ${String(message).slice(0, 2_000)}`);
    }
    if (this.#probe === null) clearTimeout(this.#silenceTimer);
    else this.#expect();
  }

  #handle(incoming: Incoming): void {
    switch (incoming.kind) {
      case "event":
        this.#listener.onEvent(incoming.event);
        return;
      case "piece":
        this.#listener.onPiece(incoming.piece);
        return;
      case "result":
        this.#answer(incoming.id, (call) => {
          call.succeed(incoming.result);
        });
        return;
      case "error":
        if (incoming.id === null) this.#listener.onProblem(describeRefusal(incoming.error));
        else
          this.#answer(incoming.id, (call) => {
            call.fail(incoming.error);
          });
        return;
    }
  }

  #answer(id: string, finish: (call: Outstanding) => void): void {
    if (id === this.#probe?.id) {
      this.#takeProbe(this.#probe);
      return;
    }
    const call = this.#calls.get(id);
    if (call === undefined) return;
    this.#calls.delete(id);
    finish(call);
    if (COMMANDS.has(call.method)) this.#acknowledge(id);
    else this.#takeDurable(call.written);
  }

  /** All commands that were written on this port before `written` are durable. */
  #takeDurable(written: number): void {
    for (const call of this.#calls.values()) {
      if (call.written > 0 && call.written < written) call.isDurable = true;
    }
  }

  /** All that was written on this port before the probe has reached the kernel. */
  #takeProbe({ isSubscription, written }: { readonly isSubscription: boolean; readonly written: number }): void {
    this.#probe = null;
    for (const call of this.#calls.values()) {
      if (call.written > 0 && call.written < written) call.delivered.value = true;
    }
    this.#acks = new Map([...this.#acks].filter(([, place]) => place === 0 || place > written));
    if (isSubscription) {
      if (this.#lostAtMs !== null) this.#listener.onGap(this.#lostAtMs, Date.now());
      this.#lostAtMs = null;
    }
    const isAllDelivered = [...this.#calls.values()].every(({ delivered }) => delivered.peek());
    if (this.#calls.size > 0 || this.#acks.size > 0) this.#pingIn(isAllDelivered ? PING_MS : 0);
  }
}

function describeRefusal(error: RequestError): string {
  return error.kind === "" ? error.message : `${error.kind}: ${error.message}`;
}
