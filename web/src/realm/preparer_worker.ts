/**
 * Entry of a dedicated worker that instruments one module, in Python (`kernel_py.hosts.browser.modules`), and is then ended.
 *
 * The module is only read here, never run.
 */

import { ASSETS } from "../shared/assets.ts";
import type { PreparerJob } from "../shared/messages.ts";
import { describeError, parseFields, parseText } from "../shared/parse.ts";
import { bootFor } from "./boot_realm.ts";
import { loadBootOptions } from "./boot_options.ts";
import { freezeClocksAndEntropy } from "./freeze.ts";

async function instrument({ assets, module }: PreparerJob): Promise<object> {
  const base = new URL(".", self.location.href);
  const urls = { pyodide: new URL(ASSETS.pyodide, base).href, pyodideAsm: new URL(ASSETS.pyodideAsm, base).href };
  const options = await loadBootOptions(urls, assets);
  freezeClocksAndEntropy();
  const entry = { module: "kernel_py.hosts.browser.modules", function: "instrument" };
  const fields = parseFields(JSON.parse((await bootFor(entry, options)).call(module, 0)), "an instrumented module");
  return { ...fields, code: Uint8Array.from(atob(parseText(fields, "code")), (char) => char.charCodeAt(0)) };
}

self.onmessage = (event: MessageEvent<PreparerJob>) => {
  instrument(event.data).then(
    (prepared) => {
      self.postMessage({ prepared });
    },
    (error: unknown) => {
      self.postMessage({ failure: describeError(error) });
    },
  );
};
