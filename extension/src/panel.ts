/** The panel's page in the extension, in a tab or in DevTools: gives the panel its ports to the kernel, and a theme. */

import { mountPanel } from "../../web/src/panel/main.tsx";
import type { Port } from "../../web/src/panel/rpc.ts";

/** Wakes the service worker if it sleeps. Throws once the extension was replaced under the page. */
function connect(): Port {
  const port = chrome.runtime.connect();
  return {
    postMessage: (text) => {
      port.postMessage(text);
    },
    onMessage: (listener) => {
      port.onMessage.addListener(listener);
    },
    onDisconnect: (listener) => {
      port.onDisconnect.addListener(() => {
        listener(chrome.runtime.lastError?.message ?? "the service worker ended");
      });
    },
    disconnect: () => {
      port.disconnect();
    },
  };
}

/** The theme of the DevTools that the page is in; undefined in a tab. */
function findDevToolsTheme(): "light" | "dark" | undefined {
  // The API is there in DevTools only, whatever its types say.
  const devtools = chrome.devtools as typeof chrome.devtools | undefined;
  if (devtools === undefined) return undefined;
  return devtools.panels.themeName === "dark" ? "dark" : "light";
}

const theme = findDevToolsTheme();
const element = document.getElementById("panel");
if (element === null) throw new Error("panel.html lacks the panel's element");
mountPanel(element, { connect, ...(theme === undefined ? {} : { theme }) });
