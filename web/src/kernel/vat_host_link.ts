/**
 * The kernel's end of the connection to its vat host.
 *
 * Owns the ports to all realms, and the knowledge of which vat host there is. What happens is told to a
 * `VatObserver`; messages of an earlier life of the kernel are ignored.
 *
 * Invariants:
 * - Commands reach the vat host in the order in which they were given.
 * - A vat has at most one realm that counts, the one asked for last; what comes from others is ignored.
 * - A vat host that is gone is replaced, and then every realm that it had is reported lost. It is looked for
 *   when the kernel becomes busy, and every `CHECK_MS` while it stays so: nothing else would tell.
 */

import { parseHeapReport, type HeapReport, type RestoreMessage } from "../shared/heap_messages.ts";
import type { Boot, HostMessage, KernelMessage, RealmId, RealmKind } from "../shared/messages.ts";
import { describeError } from "../shared/parse.ts";

const CHECK_MS = 10_000;

/** A vat host that has not said which realms live after so long is given up. */
const ANSWER_MS = 10_000;

/** How a text begins that asks for a heap. */
const SNAPSHOT = '["snapshot",';

/** Stands for what a realm may not send; the kernel takes offence at it. */
const NOT_A_TEXT = "not a text";

/** Realms made in one life of a kernel, at most. */
const REALMS_MAX = 2 ** 20;

/** A document that runs a vat host. */
export interface VatHostEndpoint {
  /** Tells documents apart. */
  readonly id: string;
  post(message: KernelMessage): void;
}

export interface VatHostFinder {
  /** The present document, or null. */
  find(): Promise<VatHostEndpoint | null>;
  /** Makes a document if there is none; resolves when messages to it will be heard. */
  open(): Promise<VatHostEndpoint>;
  /** Ends the present document, with all realms, if there is one. */
  close(): Promise<void>;
}

export interface VatObserver {
  onText(vat: string, text: string): void;
  /** The realm hands over its heap, or says why it does not. `isCurrent` tells whether it still is the vat's realm. */
  onHeap(vat: string, report: HeapReport, isCurrent: () => boolean): void;
  onBooted(vat: string, boot: Boot, problem: string): void;
  onLost(vat: string, reason: string): void;
}

interface RealmState {
  readonly realm: number;
  /** Null until the vat host has begun to make the realm. */
  readonly port: MessagePort | null;
}

export class VatHostLink {
  readonly #finder: VatHostFinder;
  readonly #epoch: number;
  readonly #realms = new Map<string, RealmState>();
  /** How many times the present realm of a vat has been asked for its heap, and has not answered yet. */
  readonly #asked = new Map<string, number>();
  #observer: VatObserver | null = null;
  /** The present vat host; replaced by a later one when it turns out to be gone. Null if none could be made. */
  #endpoint: Promise<VatHostEndpoint> | null = null;
  #onLiving: (realms: readonly RealmId[]) => void = () => undefined;
  #isBusy = false;
  #checkedAtMs = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #realmsMade = 0;

  constructor(finder: VatHostFinder, epoch: number) {
    this.#finder = finder;
    this.#epoch = epoch;
    void this.#use(finder.open());
  }

  /** Asks the vat host which realms there are. Nothing of them is heard before `observe`. */
  async reconnect(): Promise<readonly RealmId[]> {
    let timer;
    const living = new Promise<readonly RealmId[]>((resolve) => {
      this.#onLiving = resolve;
      timer = setTimeout(() => {
        console.error("the vat host does not answer, and is replaced");
        this.#replace(this.#finder.close());
        resolve([]);
      }, ANSWER_MS);
      // Without a vat host there are no realms.
      this.#endpoint?.catch(() => {
        resolve([]);
      });
    });
    this.#post({ kind: "reconnect", epoch: this.#epoch });
    const realms = await living;
    clearTimeout(timer);
    return realms;
  }

  /** Tells `observer` what comes from realms, from now on; what came before is told first. */
  observe(observer: VatObserver): void {
    this.#observer = observer;
    for (const [vat, { port }] of this.#realms) if (port !== null) this.#listen(vat, port, observer);
  }

  receive(message: HostMessage, ports: readonly MessagePort[]): void {
    if (message.epoch !== this.#epoch) return;
    switch (message.kind) {
      case "living":
        message.realms.forEach((id, index) => {
          this.#attach(id, ports[index]);
        });
        this.#onLiving(message.realms);
        break;
      case "created":
        if (this.#isCurrent(message)) this.#attach(message, ports[0]);
        break;
      case "booted":
        this.#observer?.onBooted(message.vat, message.boot, message.problem);
        break;
      case "lost":
        if (this.#isCurrent(message)) this.#lose(message.vat, message.reason);
        break;
      case "lease":
        // Being an event was all it was for.
        break;
    }
  }

  create(vat: string, incarnation: number, realmKind: RealmKind): void {
    this.#detach(vat);
    const realm = this.#epoch * REALMS_MAX + this.#realmsMade++;
    this.#realms.set(vat, { realm, port: null });
    const endpoint = this.#endpoint ?? this.#use(this.#finder.open());
    this.#post({ kind: "create", epoch: this.#epoch, vat, incarnation, realm, realmKind });
    endpoint.catch((error: unknown) => {
      if (this.#isCurrent({ vat, incarnation, realm })) this.#lose(vat, describeError(error));
    });
  }

  /** Sends a text to the vat's realm; vanishes if it is gone. */
  post(vat: string, text: string): void {
    if (text.startsWith(SNAPSHOT)) this.#asked.set(vat, (this.#asked.get(vat) ?? 0) + 1);
    this.#realms.get(vat)?.port?.postMessage(text);
  }

  /** Sends a heap to the vat's realm, which has just said hello. The bytes are given away. */
  restore(vat: string, message: RestoreMessage): void {
    this.#realms.get(vat)?.port?.postMessage(
      message,
      message.pieces.map(({ bytes }) => bytes),
    );
  }

  destroy(vat: string): void {
    this.#detach(vat);
    this.#post({ kind: "destroy", epoch: this.#epoch, vat });
  }

  /** The vats that there are: whatever others have left behind can go. */
  keepStores(vats: readonly string[]): void {
    this.#post({ kind: "stores", epoch: this.#epoch, vats });
  }

  setBusy(isBusy: boolean): void {
    this.#isBusy = isBusy;
    this.#post({ kind: "lease", epoch: this.#epoch, busy: isBusy });
    if (!isBusy) return;
    this.#timer ??= setInterval(this.#tick, CHECK_MS);
    // Work may come and go many times a second.
    if (Date.now() - this.#checkedAtMs > CHECK_MS / 10) this.#check();
  }

  readonly #tick = (): void => {
    if (this.#isBusy) {
      this.#check();
    } else {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  };

  #check(): void {
    this.#checkedAtMs = Date.now();
    this.#replaceIfGone().catch(console.error);
  }

  async #replaceIfGone(): Promise<void> {
    const endpoint = this.#endpoint;
    if (endpoint === null) return;
    const [present, found] = await Promise.all([endpoint, this.#finder.find()]);
    if (found?.id !== present.id && this.#endpoint === endpoint) this.#replace(Promise.resolve());
  }

  #replace(closed: Promise<void>): void {
    void this.#use(closed.then(() => this.#finder.open()));
    this.#post({ kind: "reconnect", epoch: this.#epoch });
    this.#post({ kind: "lease", epoch: this.#epoch, busy: this.#isBusy });
    for (const vat of [...this.#realms.keys()]) this.#lose(vat, "the document that held the vat's realm is gone");
  }

  #isCurrent({ vat, realm }: RealmId): boolean {
    return this.#realms.get(vat)?.realm === realm;
  }

  #attach({ vat, realm }: RealmId, port: MessagePort | undefined): void {
    if (port === undefined) return;
    this.#detach(vat);
    this.#realms.set(vat, { realm, port });
    if (this.#observer !== null) this.#listen(vat, port, this.#observer);
  }

  #listen(vat: string, port: MessagePort, observer: VatObserver): void {
    port.onmessage = ({ data }: MessageEvent<unknown>) => {
      // A heap is large: it is taken only from a realm that was asked for it, and as often.
      const report = typeof data !== "string" && this.#isAnswer(vat) ? findHeapReport(data) : null;
      if (report !== null) observer.onHeap(vat, report, () => this.#realms.get(vat)?.port === port);
      else observer.onText(vat, typeof data === "string" ? data : NOT_A_TEXT);
    };
  }

  #isAnswer(vat: string): boolean {
    const asked = this.#asked.get(vat) ?? 0;
    this.#asked.set(vat, Math.max(0, asked - 1));
    return asked > 0;
  }

  #lose(vat: string, reason: string): void {
    this.#detach(vat);
    this.#observer?.onLost(vat, reason);
  }

  #detach(vat: string): void {
    const port = this.#realms.get(vat)?.port;
    this.#realms.delete(vat);
    this.#asked.delete(vat);
    if (port === undefined || port === null) return;
    port.onmessage = null;
    port.close();
  }

  #use(endpoint: Promise<VatHostEndpoint>): Promise<VatHostEndpoint> {
    this.#endpoint = endpoint;
    endpoint.catch((error: unknown) => {
      console.error("there is no vat host:", error);
      // The reason may pass: the next realm asks for one again.
      if (this.#endpoint === endpoint) this.#endpoint = null;
    });
    return endpoint;
  }

  /** Those who wait for one promise are served in the order in which they came. */
  #post(message: KernelMessage): void {
    this.#endpoint?.then(
      (endpoint) => {
        endpoint.post(message);
      },
      () => undefined,
    );
  }
}

/** Starts the port: what has come meanwhile is heard now. */

function findHeapReport(data: unknown): HeapReport | null {
  try {
    return parseHeapReport(data);
  } catch {
    return null;
  }
}
