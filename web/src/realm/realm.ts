/**
 * A realm: the worker in which one vat runs. The same for both kinds of realms.
 *
 * Owns the realm's life: it waits on its control port for `boot`, freezes the clocks, starts Python, scrubs
 * the globals, and then only carries texts between the kernel's port and the vat.
 *
 * Invariants:
 * - No text of the kernel reaches Python before the globals are scrubbed.
 * - The vat talks on the newest port; a `hello` is the first text on each. Ports may come before the realm is ready.
 * - A realm whose Python broke down answers nothing any more, says so on the control port, and ends.
 * - What is answered waits at most `ANSWER_MS`, and the texts that were at hand are answered in as few messages as that
 *   allows: a message costs as much as a small delivery.
 */

import type { TextFunction } from "../pyodide/text_function.ts";
import type { RealmAssets, RealmCommand, RealmReport } from "../shared/messages.ts";
import { describeError } from "../shared/parse.ts";
import { loadBootOptions, type ScriptUrls } from "./boot_options.ts";
import { bootRealm } from "./boot_realm.ts";
import { freezeClocksAndEntropy } from "./freeze.ts";
import { scrubGlobals } from "./scrub.ts";

/** After so long, what has been answered is sent, though more texts are at hand. */
const ANSWER_MS = 4;

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
  #receive: TextFunction | null = null;
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
      case "prepared":
        // No module was asked for.
        break;
    }
  }

  async #boot(assets: RealmAssets): Promise<void> {
    const options = await loadBootOptions(this.#urls, assets);
    freezeClocksAndEntropy();
    const { receive, boot, problem } = await bootRealm(options);
    scrubGlobals();
    releaseBuffers(assets);
    this.#receive = receive;
    // Counted from the start of the worker.
    this.#report({ kind: "booted", boot, problem, ms: Math.round(this.#now()) });
    if (this.#port !== null) this.#greet(this.#port);
  }

  #connect(port: MessagePort): void {
    if (this.#port !== null) this.#port.onmessage = null;
    this.#port = port;
    port.onmessage = (event: MessageEvent<unknown>) => {
      if (typeof event.data === "string") this.#deliver(port, event.data);
    };
    if (this.#receive !== null) this.#greet(port);
  }

  #greet(port: MessagePort): void {
    this.#deliver(port, "");
  }

  /** `texts` is one text a line, and so is what is answered. */
  #deliver(port: MessagePort, texts: string): void {
    let answers: string[] = [];
    const send = (): void => {
      if (answers.length > 0) port.postMessage(answers.join("\n"));
      answers = [];
    };
    let sentAtMs = this.#now();
    for (const text of texts.split("\n")) {
      const answer = this.#answer(text);
      if (answer !== "") answers.push(answer);
      if (this.#now() - sentAtMs > ANSWER_MS) {
        send();
        this.#report({ kind: "alive" });
        sentAtMs = this.#now();
      }
    }
    send();
  }

  #answer(text: string): string {
    // Before the realm is ready there was no hello, so nothing is expected to come.
    if (this.#receive === null) return "";
    try {
      return this.#receive.call(text, this.#receive.getMemoryBytes());
    } catch (error) {
      this.#fail(`Python broke down: ${describeError(error)}`);
      return "";
    }
  }

  #fail(reason: string): void {
    this.#receive = null;
    this.#report({ kind: "failed", reason });
    this.#close();
  }
}

/** Give back the memory of what was needed only to start, which the collector might leave for long. */
function releaseBuffers(assets: RealmAssets): void {
  for (const value of Object.values(assets)) if (value instanceof ArrayBuffer) value.transfer(0);
}
