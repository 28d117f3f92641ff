/** Finds and makes the extension's offscreen document, in which its vat host runs. */

import type { KernelMessage } from "../../web/src/shared/messages.ts";
import type { VatHostEndpoint, VatHostFinder } from "../../web/src/kernel/vat_host_link.ts";

declare const self: ServiceWorkerGlobalScope;

export class OffscreenFinder implements VatHostFinder {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async find(): Promise<VatHostEndpoint | null> {
    const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const client = windows.find(({ url }) => url === this.#url);
    if (client === undefined) return null;
    return {
      id: client.id,
      post: (message: KernelMessage) => {
        client.postMessage(message);
      },
    };
  }

  async open(): Promise<VatHostEndpoint> {
    const found = await this.find();
    if (found !== null) return found;
    if (!(await chrome.offscreen.hasDocument())) {
      await chrome.offscreen.createDocument({
        url: this.#url,
        reasons: [chrome.offscreen.Reason.WORKERS],
        justification: "Runs the extension's confined programs in workers and sandboxed frames.",
      });
    }
    const made = await this.find();
    if (made === null) throw new Error("the offscreen document was made, but is not there");
    return made;
  }

  async close(): Promise<void> {
    if (await chrome.offscreen.hasDocument()) await chrome.offscreen.closeDocument();
  }
}
