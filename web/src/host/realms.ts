/**
 * How a document makes and ends realms: an iframe with a worker in it, or a worker of its own.
 *
 * Invariants of every realm:
 * - `destroy` ends it at once, whatever it is doing, and nothing is reported afterwards.
 * - `onLost` is called at most once, and never after `destroy`.
 * - Ports given to `connect` before the realm is ready are kept for it.
 */

import { ASSETS } from "../shared/assets.ts";
import {
  parseRealmReport,
  type Start,
  type RealmAssets,
  type RealmCommand,
  type RealmKind,
} from "../shared/messages.ts";
import { describeError } from "../shared/parse.ts";
import { parseSandboxReport, type SandboxCommand, type SandboxScripts } from "../sandbox/protocol.ts";
import { loadFiles, type Files } from "./files.ts";
import { Slots } from "./slots.ts";

export interface Realm {
  /** Let the vat talk to the kernel on `port`, from now on. */
  connect(port: MessagePort): void;
  /** Ask for a sign of life, where that is possible; a realm that gave none since the last call is lost. */
  check(): void;
  destroy(): void;
}

export interface RealmObserver {
  /** The realm runs. */
  onBooted(start: Start): void;
  /** The realm is gone; it needs no `destroy`. */
  onLost(reason: string): void;
}

/** Files are kept so long after the last realm was made of them; reading them takes longer than copying them. */
const KEEP_FILES_MS = 30_000;

/** Makes realms from the files under `base`. */
export class RealmFactory {
  readonly #base: string;
  #files: Promise<Files> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #slots = new Slots();

  constructor(base: string) {
    this.#base = base;
  }

  make(kind: RealmKind, observer: RealmObserver): Realm {
    const files = this.#getFiles();
    switch (kind) {
      case "iframe":
        return new IframeRealm(this.#base, observer, files, this.#slots);
      case "worker":
        return new WorkerRealm(this.#base, observer, files, this.#slots);
    }
  }

  #getFiles(): Promise<Files> {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#files = null;
    }, KEEP_FILES_MS);
    this.#files ??= loadFiles(this.#base);
    // A failure may pass: the next realm reads them again.
    this.#files.catch(() => {
      this.#files = null;
    });
    return this.#files;
  }
}

/** What both kinds have in common: the control port. */
abstract class ControlledRealm implements Realm {
  readonly #observer: RealmObserver;
  readonly #slots: Slots;
  readonly #control: MessagePort;
  /** The other end of the control port, until it is handed to the realm. */
  protected readonly remote: MessagePort;
  #ended = false;

  /** `pickWasm`: what of Pyodide's wasm can be sent to the realm. */
  protected constructor(
    observer: RealmObserver,
    files: Promise<Files>,
    slots: Slots,
    pickWasm: (files: Files) => RealmAssets["wasm"],
  ) {
    const { port1, port2 } = new MessageChannel();
    this.#observer = observer;
    this.#slots = slots;
    this.#control = port1;
    this.remote = port2;
    port1.onmessage = (event) => {
      this.#hear(event.data);
    };
    this.#boot(files, pickWasm).catch((error: unknown) => {
      this.lose(describeError(error));
    });
  }

  connect(port: MessagePort): void {
    this.#command({ kind: "connect" }, [port]);
  }

  abstract check(): void;

  destroy(): void {
    this.#ended = true;
    this.#slots.give(this);
    this.#control.close();
    this.end();
  }

  /** Stop whatever runs in the realm. */
  protected abstract end(): void;

  protected lose(reason: string): void {
    if (this.#ended) return;
    this.destroy();
    this.#observer.onLost(reason);
  }

  async #boot(files: Promise<Files>, pickWasm: (files: Files) => RealmAssets["wasm"]): Promise<void> {
    const loaded = await files;
    await this.#slots.take(this);
    const { stdlib, sources, image } = loaded;
    this.#command({ kind: "boot", assets: { wasm: pickWasm(loaded), stdlib, sources, image } });
  }

  #command(command: RealmCommand, transfer: Transferable[] = []): void {
    if (!this.#ended) this.#control.postMessage(command, transfer);
  }

  #hear(value: unknown): void {
    let report;
    try {
      report = parseRealmReport(value);
    } catch (error) {
      this.lose(`the realm broke the protocol: ${describeError(error)}`);
      return;
    }
    switch (report.kind) {
      case "booted":
        this.#slots.give(this);
        this.#observer.onBooted({ boot: report.boot, problem: report.problem, ms: report.ms });
        break;
      case "failed":
        this.lose(report.reason);
        break;
    }
  }
}

class WorkerRealm extends ControlledRealm {
  readonly #worker: Worker;

  constructor(base: string, observer: RealmObserver, files: Promise<Files>, slots: Slots) {
    super(observer, files, slots, ({ module }) => module);
    this.#worker = new Worker(new URL(ASSETS.realmWorker, base), { type: "module" });
    this.#worker.onerror = (event) => {
      this.lose(`the realm's worker failed: ${event.message}`);
    };
    this.#worker.postMessage(null, [this.remote]);
  }

  /** A worker of this process does not die alone, except with an error event. */
  override check(): void {
    // Nothing to ask.
  }

  protected override end(): void {
    this.#worker.terminate();
  }
}

class IframeRealm extends ControlledRealm {
  readonly #frame: HTMLIFrameElement;
  readonly #scripts: Promise<SandboxScripts>;
  readonly #onMessage = (event: MessageEvent<unknown>): void => {
    if (event.source === this.#frame.contentWindow) this.#hearPage(event.data);
  };
  #started = false;
  /** Whether the page, whose process may die without a sign, was heard of since the last check. */
  #heard = true;

  constructor(base: string, observer: RealmObserver, files: Promise<Files>, slots: Slots) {
    // A compiled module cannot be sent to another origin.
    super(observer, files, slots, ({ wasm }) => wasm);
    this.#scripts = files.then(({ scripts }) => scripts);
    // What is wrong with the files is told once.
    this.#scripts.catch(() => undefined);
    this.#frame = document.createElement("iframe");
    this.#frame.src = new URL(ASSETS.sandbox, base).href;
    this.#frame.setAttribute("sandbox", "allow-scripts");
    addEventListener("message", this.#onMessage);
    document.body.append(this.#frame);
  }

  override check(): void {
    if (!this.#heard) {
      this.lose("the realm's page does not answer");
      return;
    }
    this.#heard = false;
    this.#post({ kind: "ping" });
  }

  protected override end(): void {
    removeEventListener("message", this.#onMessage);
    this.#frame.remove();
  }

  #hearPage(value: unknown): void {
    const report = parseSandboxReport(value);
    switch (report.kind) {
      case "alive":
        this.#heard = true;
        if (!this.#started) this.#start();
        break;
      case "failed":
        this.lose(report.reason);
        break;
    }
  }

  #start(): void {
    this.#started = true;
    this.#scripts.then(
      (scripts) => {
        this.#post({ kind: "start", scripts }, [this.remote]);
      },
      () => undefined,
    );
  }

  #post(command: SandboxCommand, transfer: Transferable[] = []): void {
    // Its origin is opaque, so no other target origin names it.
    this.#frame.contentWindow?.postMessage(command, "*", transfer);
  }
}
