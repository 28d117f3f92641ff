/** Entry of a dedicated worker of this origin that becomes a realm of kind "worker". */

import { ASSETS } from "../shared/assets.ts";
import { startRealm } from "./realm.ts";

self.onmessage = (event: MessageEvent<unknown>) => {
  const [control] = event.ports;
  if (control === undefined) return;
  self.onmessage = null;
  const base = new URL(".", self.location.href);
  startRealm(control, {
    pyodide: new URL(ASSETS.pyodide, base).href,
    pyodideAsm: new URL(ASSETS.pyodideAsm, base).href,
  });
};
