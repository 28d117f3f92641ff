/**
 * A realm: the worker in which one vat runs. The same for both kinds of realms.
 *
 * Owns the realm's life: it waits on its control port for `boot`, freezes the clocks, starts Python, scrubs
 * the globals, and then only carries texts between the kernel's port and the vat, and the vat's heap to the kernel's store
 * and back.
 *
 * Invariants:
 * - No text of the kernel reaches Python before the globals are scrubbed.
 * - The vat talks on the newest port; a `hello` is the first text on each. Ports may come before the realm is ready.
 * - While a snapshot is taken nothing reaches Python: what comes meanwhile waits.
 * - A realm whose Python broke down answers nothing any more, says so on the control port, and ends.
 * - What is answered waits at most `ANSWER_MS`, and the texts that were at hand are answered in as few messages as that
 *   allows: a message costs as much as a small delivery.
 */

import type { HeapReport, RestoreMessage, SnapshotMode } from "../shared/heap_messages.ts";
import type { RealmAssets, RealmCommand, RealmReport } from "../shared/messages.ts";
import { describeError } from "../shared/parse.ts";
import { loadBootOptions, type ScriptUrls } from "./boot_options.ts";
import { bootRealm, type Heap } from "./boot_realm.ts";
import { Conversation, type Answer } from "./conversation.ts";
import { freezeClocksAndEntropy } from "./freeze.ts";
import { reportHeap, restoreHeap } from "./heap.ts";
import { scrubGlobals } from "./scrub.ts";
import { StoreFiles } from "./store_files.ts";

/** After so long, what has been answered is sent, though more texts are at hand. */
const ANSWER_MS = 4;

const NO_ANSWER: Answer = { texts: "", snapshot: null };

export function startRealm(control: MessagePort, urls: ScriptUrls): void {
  const realm = new Realm(control, urls);
  control.onmessage = (event: MessageEvent<RealmCommand>) => {
    realm.obey(event.data, event.ports[0]);
  };
}

class Realm {
  readonly #urls: ScriptUrls;
  readonly #report: (report: RealmReport) => void;
  readonly #close: () => void;
  readonly #now: () => number;
  /** The vat, once the realm is ready. */
  #heap: Heap | null = null;
  #conversation: Conversation | null = null;
  /** What came while a snapshot is taken; null if none is. */
  #held: (() => void)[] | null = null;
  #onImage: (image: ArrayBuffer | null) => void = () => undefined;
  /** The newest port; the vat's hello has been sent on it if the realm is ready. */
  #port: MessagePort | null = null;

  constructor(control: MessagePort, urls: ScriptUrls) {
    this.#urls = urls;
    // Taken now: the globals will be scrubbed.
    this.#report = (report) => {
      control.postMessage(report);
    };
    this.#close = self.close.bind(self);
    this.#now = performance.now.bind(performance);
  }

  obey(command: RealmCommand, port: MessagePort | undefined): void {
    switch (command.kind) {
      case "boot":
        this.#boot(command.assets).catch((error: unknown) => {
          this.#fail(`the realm could not start: ${describeError(error)}`);
        });
        break;
      case "connect":
        if (port !== undefined) this.#connect(port);
        break;
      case "ping":
        this.#report({ kind: "alive" });
        break;
      case "image":
        this.#onImage(command.image);
        break;
      case "prepared":
        // No module was asked for.
        break;
    }
  }

  async #boot(assets: RealmAssets): Promise<void> {
    const [options, files] = await Promise.all([
      loadBootOptions(this.#urls, assets),
      assets.store === "" ? null : StoreFiles.open(assets.store),
    ]);
    freezeClocksAndEntropy();
    const { heap, boot, problem } = await bootRealm({ ...options, onModule: (module) => files?.mount(module) });
    scrubGlobals();
    releaseBuffers(assets);
    this.#heap = heap;
    this.#conversation = new Conversation(
      (text) => heap.receive.call(text, heap.module.HEAPU8.length),
      heap.base,
      files,
    );
    // Counted from the start of the worker.
    this.#report({ kind: "booted", boot, problem, ms: Math.round(this.#now()) });
    if (this.#port !== null) this.#greet(this.#port);
  }

  #connect(port: MessagePort): void {
    if (this.#port !== null) this.#port.onmessage = null;
    this.#port = port;
    port.onmessage = (event: MessageEvent<string | RestoreMessage>) => {
      this.#take(port, event.data);
    };
    if (this.#conversation !== null) this.#greet(port);
  }

  #greet(port: MessagePort): void {
    if (this.#conversation !== null) port.postMessage(this.#conversation.hello());
  }

  #take(port: MessagePort, data: string | RestoreMessage): void {
    if (this.#held !== null) {
      this.#held.push(() => {
        this.#take(port, data);
      });
    } else if (typeof data === "string") {
      this.#deliver(port, data.split("\n"));
    } else {
      this.#restore(port, data);
    }
  }

  /** What is answered is one text a line. */
  #deliver(port: MessagePort, texts: readonly string[]): void {
    let answers: string[] = [];
    const send = (): void => {
      if (answers.length > 0) port.postMessage(answers.join("\n"));
      answers = [];
    };
    let sentAtMs = this.#now();
    for (const [index, text] of texts.entries()) {
      const { texts: answer, snapshot } = this.#answer(text);
      if (answer !== "") answers.push(answer);
      if (snapshot !== null) {
        send();
        this.#takeSnapshot(port, snapshot, texts.slice(index + 1));
        return;
      }
      if (this.#now() - sentAtMs > ANSWER_MS) {
        send();
        this.#report({ kind: "alive" });
        sentAtMs = this.#now();
      }
    }
    send();
  }

  #answer(text: string): Answer {
    // Before the realm is ready there was no hello, so nothing is expected to come.
    if (this.#conversation === null) return NO_ANSWER;
    try {
      return this.#conversation.receive(text);
    } catch (error) {
      this.#fail(`Python broke down: ${describeError(error)}`);
      return NO_ANSWER;
    }
  }

  /** `rest`: texts that came with the one that asks for the snapshot. */
  #takeSnapshot(port: MessagePort, mode: SnapshotMode, rest: readonly string[]): void {
    this.#held = [];
    if (rest.length > 0) this.#take(port, rest.join("\n"));
    this.#lookAtHeap(mode)
      .then((report) => {
        port.postMessage(report, report.kind === "snapshot" ? [report.bytes] : []);
        this.#conversation?.afterSnapshot();
        const held = this.#held ?? [];
        this.#held = null;
        for (const take of held) take();
      })
      .catch((error: unknown) => {
        this.#fail(`Python broke down: ${describeError(error)}`);
      });
  }

  async #lookAtHeap(mode: SnapshotMode): Promise<HeapReport> {
    const image = await this.#fetchImage();
    if (this.#heap === null || this.#conversation === null) throw new Error("there is no heap");
    const report = reportHeap(this.#heap, this.#conversation, image, mode);
    // The collector might leave it for long.
    image?.transfer(0);
    return report;
  }

  #fetchImage(): Promise<ArrayBuffer | null> {
    return new Promise((resolve) => {
      this.#onImage = resolve;
      this.#report({ kind: "needImage" });
    });
  }

  #restore(port: MessagePort, message: RestoreMessage): void {
    if (this.#heap === null || this.#conversation === null) return;
    let failure;
    try {
      failure = restoreHeap(this.#heap, this.#conversation, message);
    } catch (error) {
      // Some of it may be written: this heap is nobody's.
      this.#fail(`the snapshot could not be restored: ${describeError(error)}`);
      return;
    }
    if (failure === "") this.#greet(port);
    else port.postMessage(failure);
  }

  #fail(reason: string): void {
    this.#heap = null;
    this.#conversation = null;
    this.#report({ kind: "failed", reason });
    this.#close();
  }
}

/** Give back the memory of what was needed only to start, which the collector might leave for long. */
function releaseBuffers(assets: RealmAssets): void {
  for (const value of Object.values(assets)) if (value instanceof ArrayBuffer) value.transfer(0);
}
