/**
 * A realm of a WebAssembly vat: no Python, and nothing that a guest could reach but the functions that it imports.
 *
 * Owns the realm's life: it carries texts between the kernel's port and the vat's session, and asks the vat host to
 * instrument modules.
 *
 * Invariants:
 * - Texts are answered one after the other, on the port that they came on; a `hello` is the first text on each port.
 * - What fails through no fault of the vat ends the realm: the kernel tries again in another.
 */

import type { RealmCommand, RealmReport } from "../shared/messages.ts";
import { describeError } from "../shared/parse.ts";
import type { Prepared } from "../wasm/prepared.ts";
import { WasmSession } from "../wasm/session.ts";

/** After so long, what has been answered is sent, though more texts are at hand. */
const ANSWER_MS = 4;

export function startRealm(control: MessagePort): void {
  const realm = new WasmRealm((report) => {
    control.postMessage(report);
  });
  control.onmessage = (event: MessageEvent<RealmCommand>) => {
    realm.obey(event.data, event.ports[0]);
  };
}

class WasmRealm {
  readonly #report: (report: RealmReport) => void;
  readonly #session: WasmSession;
  #port: MessagePort | null = null;
  /** Settled when all texts so far are answered. */
  #answered = Promise.resolve();
  #onPrepared: (prepared: Prepared) => void = () => undefined;

  constructor(report: (report: RealmReport) => void) {
    this.#report = report;
    this.#session = new WasmSession((module) => this.#prepare(module));
  }

  obey(command: RealmCommand, port: MessagePort | undefined): void {
    switch (command.kind) {
      case "connect":
        if (port !== undefined) this.#connect(port);
        break;
      case "prepared":
        this.#onPrepared(command.prepared);
        break;
      case "ping":
        this.#report({ kind: "alive" });
        break;
      case "boot":
      case "image":
        // There is nothing to start, and no image.
        break;
    }
  }

  async #prepare(module: string): Promise<Prepared> {
    return await new Promise((resolve) => {
      this.#onPrepared = resolve;
      this.#report({ kind: "prepare", module });
    });
  }

  #connect(port: MessagePort): void {
    if (this.#port !== null) this.#port.onmessage = null;
    this.#port = port;
    this.#enqueue(() => {
      port.postMessage(this.#session.hello());
      return Promise.resolve();
    });
    port.onmessage = (event: MessageEvent<unknown>) => {
      const texts = event.data;
      if (typeof texts === "string") this.#enqueue(() => this.#answer(port, texts.split("\n")));
    };
  }

  #enqueue(action: () => Promise<void>): void {
    this.#answered = this.#answered.then(action).catch((error: unknown) => {
      this.#report({ kind: "failed", reason: describeError(error) });
      self.close();
    });
  }

  async #answer(port: MessagePort, texts: readonly string[]): Promise<void> {
    let answers: string[] = [];
    const send = (): void => {
      if (answers.length > 0) port.postMessage(answers.join("\n"));
      answers = [];
    };
    let sentAtMs = performance.now();
    for (const text of texts) {
      const answer = await this.#session.receive(text);
      if (answer !== null) answers.push(answer);
      if (performance.now() - sentAtMs > ANSWER_MS) {
        send();
        this.#report({ kind: "alive" });
        sentAtMs = performance.now();
      }
    }
    send();
  }
}
