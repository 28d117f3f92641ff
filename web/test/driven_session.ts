/** A wasm vat's session whose kernel is a test: bundled for Node and for a page, and told everything as JSON. */

import { WasmSession } from "../src/wasm/session.ts";
import type { Limits } from "../src/wasm/limits.ts";
import { parsePrepared, type Prepared } from "../src/wasm/prepared.ts";
import { describeError } from "../src/shared/parse.ts";

/** One text for the session, and the answer of the instrumentation if it will be asked. */
interface Input {
  readonly text: string;
  readonly prepared: { readonly code: string } | null;
}

export class DrivenSession {
  readonly #session: WasmSession;
  #prepared: Prepared | null = null;

  constructor(limits: string) {
    this.#session = new WasmSession(
      () => (this.#prepared === null ? Promise.reject(new Error("no module")) : Promise.resolve(this.#prepared)),
      JSON.parse(limits) as Limits,
    );
  }

  /** The answer, what the vat used, and a digest of all its memory. */
  async receive(line: string): Promise<string> {
    const { text, prepared } = JSON.parse(line) as Input;
    if (prepared !== null)
      this.#prepared = parsePrepared({
        ...prepared,
        code: Uint8Array.from(atob(prepared.code), (char) => char.charCodeAt(0)),
      });
    try {
      const answer = text === "" ? this.#session.hello() : await this.#session.receive(text);
      return JSON.stringify({ answer, gas: this.#session.vat?.gasUsed ?? 0, memory: await this.#digest() });
    } catch (error) {
      return JSON.stringify({ lost: describeError(error) });
    }
  }

  async #digest(): Promise<string> {
    const memory = this.#session.vat?.memory;
    if (memory === null || memory === undefined) return "";
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", memory.buffer.slice(0)));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
}

Object.assign(globalThis, { DrivenSession });
