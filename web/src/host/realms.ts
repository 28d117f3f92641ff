/**
 * How a document makes and ends realms: an iframe with a worker in it, or a worker of its own. What runs there is Python,
 * or, in an iframe, a WebAssembly module.
 *
 * Invariants of every realm:
 * - `destroy` ends it at once, whatever it is doing, and nothing is reported afterwards.
 * - `onLost` is called at most once, and never after `destroy`.
 * - Once it runs, a realm that shows no sign of life for too long is lost (`RealmClock`).
 * - Ports given to `connect` before the realm is ready are kept for it.
 */

import { ASSETS, fetchBytes } from "../shared/assets.ts";
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
import { ModulePreparer } from "./modules.ts";
import { REALM_MS_MAX, RealmClock } from "./realm_clock.ts";
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
  readonly #preparer: ModulePreparer;
  #wasmRealm: Promise<SandboxScripts> | null = null;
  /** What realms with Python start from. Kept for their snapshots, for which they need it again for a moment. */
  #image: Promise<ArrayBuffer | null> | null = null;

  constructor(base: string) {
    this.#base = base;
    this.#preparer = new ModulePreparer(base, async () => toAssets(await this.#getFiles(), ({ module }) => module, ""));
  }

  make(vat: string, kind: RealmKind, observer: RealmObserver): Realm {
    switch (kind) {
      case "iframe": {
        // A compiled module cannot be sent to another origin.
        const boot = this.#makeBoot(({ wasm }) => wasm, "");
        const scripts = boot.files.then((files) => files.scripts);
        return new IframeRealm(this.#base, observer, scripts, boot);
      }
      case "worker":
        return new WorkerRealm(
          this.#base,
          observer,
          this.#makeBoot(({ module }) => module, vat),
        );
      case "wasm":
        return new WasmRealm(this.#base, observer, this.#getWasmRealm(), this.#preparer);
    }
  }

  #makeBoot(pickWasm: Boot["pickWasm"], store: string): Boot {
    return { files: this.#getFiles(), slots: this.#slots, pickWasm, getImage: () => this.#getImage(), store };
  }

  #getImage(): Promise<ArrayBuffer | null> {
    this.#image ??= this.#getFiles().then(({ image }) => image);
    this.#image.catch(() => {
      this.#image = null;
    });
    return this.#image;
  }

  #getWasmRealm(): Promise<SandboxScripts> {
    this.#wasmRealm ??= fetchBytes(this.#base, "wasmRealm").then((bytes) => ({
      realm: new Blob([bytes], { type: "text/javascript" }),
    }));
    this.#wasmRealm.catch(() => {
      this.#wasmRealm = null;
    });
    return this.#wasmRealm;
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

/** How a realm that has Python in it starts. */
interface Boot {
  readonly files: Promise<Files>;
  readonly slots: Slots;
  /** What of Pyodide's wasm can be sent to the realm. */
  readonly pickWasm: (files: Files) => RealmAssets["wasm"];
  readonly getImage: () => Promise<ArrayBuffer | null>;
  readonly store: string;
}

/** What all kinds have in common: the control port. */
abstract class ControlledRealm implements Realm {
  readonly #observer: RealmObserver;
  readonly #control: MessagePort;
  readonly #boot: Boot | null;
  readonly #clock = new RealmClock();
  /** The other end of the control port, until it is handed to the realm. */
  protected readonly remote: MessagePort;
  #ended = false;
  /** Whether the realm answers. */
  #runs = false;

  /** `boot`: null if there is nothing to start in the realm. */
  protected constructor(observer: RealmObserver, boot: Boot | null) {
    const { port1, port2 } = new MessageChannel();
    this.#observer = observer;
    this.#control = port1;
    this.#boot = boot;
    this.remote = port2;
    port1.onmessage = (event) => {
      this.#hear(event.data);
    };
    if (boot === null) {
      // Its script is all that there is to wait for.
      this.command({ kind: "ping" });
      return;
    }
    this.#start(boot).catch((error: unknown) => {
      this.lose(describeError(error));
    });
  }

  connect(port: MessagePort): void {
    this.command({ kind: "connect" }, [port]);
  }

  check(): void {
    if (!this.#runs) return;
    if (this.#clock.look(performance.now())) this.lose(`the realm did nothing else for ${REALM_MS_MAX / 1000} s`);
    else this.command({ kind: "ping" });
  }

  destroy(): void {
    this.#ended = true;
    this.#boot?.slots.give(this);
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

  protected command(command: RealmCommand, transfer: Transferable[] = []): void {
    if (!this.#ended) this.#control.postMessage(command, transfer);
  }

  /** The realm has a module, in base64, and wants it instrumented. */
  protected prepare(module: string): void {
    this.lose(`the realm broke the protocol: it has no use for a module (${module.length} characters)`);
  }

  async #start({ files, slots, pickWasm, store }: Boot): Promise<void> {
    const loaded = await files;
    await slots.take(this);
    this.command({ kind: "boot", assets: toAssets(loaded, pickWasm, store) });
  }

  async #sendImage(): Promise<void> {
    this.command({ kind: "image", image: (await this.#boot?.getImage()) ?? null });
  }

  #hear(value: unknown): void {
    let report;
    try {
      report = parseRealmReport(value);
    } catch (error) {
      this.lose(`the realm broke the protocol: ${describeError(error)}`);
      return;
    }
    this.#clock.reset();
    switch (report.kind) {
      case "booted":
        this.#runs = true;
        this.#boot?.slots.give(this);
        this.#observer.onBooted({ boot: report.boot, problem: report.problem, ms: report.ms });
        break;
      case "failed":
        this.lose(report.reason);
        break;
      case "prepare":
        this.prepare(report.module);
        break;
      case "needImage":
        this.#sendImage().catch((error: unknown) => {
          this.lose(describeError(error));
        });
        break;
      case "alive":
        this.#runs = true;
        break;
    }
  }
}

class WorkerRealm extends ControlledRealm {
  readonly #worker: Worker;

  constructor(base: string, observer: RealmObserver, boot: Boot) {
    super(observer, boot);
    this.#worker = new Worker(new URL(ASSETS.realmWorker, base), { type: "module" });
    this.#worker.onerror = (event) => {
      this.lose(`the realm's worker failed: ${event.message}`);
    };
    this.#worker.postMessage(null, [this.remote]);
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

  constructor(base: string, observer: RealmObserver, scripts: Promise<SandboxScripts>, boot: Boot | null) {
    super(observer, boot);
    this.#scripts = scripts;
    scripts.catch((error: unknown) => {
      this.lose(describeError(error));
    });
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
    super.check();
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

/** No Python, and a page's process of its own: an engine that a guest breaks out of is in no better place. */
class WasmRealm extends IframeRealm {
  readonly #preparer: ModulePreparer;

  constructor(base: string, observer: RealmObserver, scripts: Promise<SandboxScripts>, preparer: ModulePreparer) {
    super(base, observer, scripts, null);
    this.#preparer = preparer;
  }

  protected override prepare(module: string): void {
    this.#preparer.prepare(module).then(
      (prepared) => {
        this.command({ kind: "prepared", prepared });
      },
      (error: unknown) => {
        this.lose(describeError(error));
      },
    );
  }
}

function toAssets(files: Files, pickWasm: Boot["pickWasm"], store: string): RealmAssets {
  const { stdlib, sources, image } = files;
  return { wasm: pickWasm(files), stdlib, sources, image, store };
}
