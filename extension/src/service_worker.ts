/**
 * The service worker of the extension: home of the kernel.
 *
 * Owns which kernel there is. The worker may be stopped at any instruction, so it holds nothing that the store
 * cannot rebuild. Whatever starts it starts the kernel: a panel's port, a message of the vat host, an alarm, or the browser.
 *
 * Invariants: listeners are registered synchronously; they await the one promise of a running kernel. A kernel
 * that could not be started answers clients with the reason, and is tried again when the next client comes.
 */

import createModule from "pyodide/pyodide.asm.mjs";
import { loadPyodide } from "pyodide/pyodide.mjs";

import { connectToFailure } from "../../web/src/kernel/failed_kernel.ts";
import { loadKernelAssets, RunningKernel, type KernelClient } from "../../web/src/kernel/kernel.ts";
import { becomeOnlyKernel } from "../../web/src/kernel/only_kernel.ts";
import { VatHostLink } from "../../web/src/kernel/vat_host_link.ts";
import { parseCreateModule, parseLoadPyodide } from "../../web/src/pyodide/api.ts";
import { parseHostMessage } from "../../web/src/shared/messages.ts";
import { IndexedDbStore } from "../../web/src/store/indexed_db.ts";
import { OffscreenFinder } from "./offscreen_finder.ts";

declare const self: ServiceWorkerGlobalScope;

const BASE = chrome.runtime.getURL("/");
const OFFSCREEN_URL = chrome.runtime.getURL("offscreen.html");
const PANEL_URL = chrome.runtime.getURL("panel.html");
const DATABASE = "kernel_py";
const ALARM = "timer";

interface Life {
  readonly link: Promise<VatHostLink>;
  readonly kernel: Promise<RunningKernel>;
}

let life = begin();

function begin(): Life {
  // Everything that takes time begins at once.
  const assets = loadKernelAssets(BASE);
  assets.catch(() => undefined);
  const opened = (async () => {
    let store: IndexedDbStore | null = null;
    await becomeOnlyKernel(() => store?.close());
    store = await IndexedDbStore.open(DATABASE);
    return { store, link: new VatHostLink(new OffscreenFinder(OFFSCREEN_URL), store.epoch) };
  })();
  const kernel = opened.then(({ store, link }) =>
    RunningKernel.start({
      assets,
      loadPyodide: parseLoadPyodide({ loadPyodide }),
      createModule: parseCreateModule({ default: createModule }),
      store,
      link,
      services: [],
      setAlarm,
    }),
  );
  kernel.catch((error: unknown) => {
    console.error("the kernel could not start", error);
  });
  return { link: opened.then(({ link }) => link), kernel };
}

/** A client of the present kernel, for one port. Texts that come while it starts are kept in order. */
async function connect(send: (text: string) => void): Promise<KernelClient> {
  const present = life;
  try {
    return (await present.kernel).connect(send);
  } catch (error) {
    if (life === present) life = begin();
    return connectToFailure(error, send);
  }
}

chrome.runtime.onConnect.addListener((port) => {
  // Only this extension's own pages connect, but say so rather than assume it.
  if (port.sender?.origin !== self.origin) {
    port.disconnect();
    return;
  }
  const client = connect((text) => {
    port.postMessage(text);
  });
  port.onMessage.addListener((text: unknown) => {
    void client.then((connected) => {
      connected.receive(typeof text === "string" ? text : "");
    });
  });
  port.onDisconnect.addListener(() => {
    void client.then((connected) => {
      connected.close();
    });
  });
});

self.addEventListener("message", (event) => {
  // The vat host is the only document that speaks by messages. The event is over when the kernel is there.
  if (!(event.source instanceof WindowClient) || event.source.url !== OFFSCREEN_URL) return;
  const message = parseHostMessage(event.data);
  event.waitUntil(
    Promise.all([
      life.kernel,
      life.link.then((link) => {
        link.receive(message, event.ports);
      }),
    ]).catch(() => undefined),
  );
});

/** The kernel's next timer. While this worker lives, the kernel keeps time itself. */
function setAlarm(dueMs: number | null): void {
  const done = dueMs === null ? chrome.alarms.clear(ALARM) : chrome.alarms.create(ALARM, { when: dueMs });
  done.catch(console.error);
}

// What is due is done by the kernel when it starts.
chrome.alarms.onAlarm.addListener(() => undefined);

// A browser that starts again goes on with what was in flight.
chrome.runtime.onStartup.addListener(() => undefined);

chrome.action.onClicked.addListener(() => {
  void openPanel();
});

async function openPanel(): Promise<void> {
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const panel = windows.find((client) => client.url === PANEL_URL);
  if (panel === undefined) await chrome.tabs.create({ url: PANEL_URL });
  else await panel.focus();
}
