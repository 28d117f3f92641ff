/** The offscreen document: the vat host of the extension. */

import { RealmFactory } from "../../web/src/host/realms.ts";
import { deleteOtherStores } from "../../web/src/host/stores.ts";
import { VatHost } from "../../web/src/host/vat_host.ts";
import type { HostMessage } from "../../web/src/shared/messages.ts";
import { parseKernelMessage } from "../../web/src/shared/messages.ts";

const registration = navigator.serviceWorker.getRegistration();

/** An event for the service worker: wakes it if it is dead. */
async function send(message: HostMessage, ports: MessagePort[]): Promise<void> {
  const worker = (await registration)?.active;
  if (worker === null || worker === undefined) throw new Error("the extension has no active service worker");
  worker.postMessage(message, ports);
}

const factory = new RealmFactory(chrome.runtime.getURL("/"));
const host = new VatHost({
  send: (message, ports) => {
    send(message, ports).catch(console.error);
  },
  deleteOtherStores: (vats) => {
    deleteOtherStores(vats).catch(console.error);
  },
  makeRealm: (vat, kind, observer) => factory.make(vat, kind, observer),
});

// In Chromium "unlimitedStorage" keeps the data when the disk fills up. Elsewhere it has to be asked for, by a document.
navigator.storage.persist().catch(console.error);

navigator.serviceWorker.onmessage = (event: MessageEvent<unknown>) => {
  host.receive(parseKernelMessage(event.data));
};
