/** What a worker starts Python from: the scripts that it imports, and the files that it was sent. */

import { parseCreateModule, parseLoadPyodide } from "../pyodide/api.ts";
import type { BootOptions } from "../pyodide/boot.ts";
import type { RealmAssets } from "../shared/messages.ts";
import { makeJsGlobals } from "./freeze.ts";

/** URLs of Pyodide's two scripts, which the worker may import. */
export interface ScriptUrls {
  readonly pyodide: string;
  readonly pyodideAsm: string;
}

export async function loadBootOptions(urls: ScriptUrls, assets: RealmAssets): Promise<BootOptions> {
  const loadPyodide = parseLoadPyodide(await import(/* @vite-ignore */ urls.pyodide));
  const createModule = parseCreateModule(await import(/* @vite-ignore */ urls.pyodideAsm));
  const wasm = assets.wasm instanceof WebAssembly.Module ? assets.wasm : await WebAssembly.compile(assets.wasm);
  const print = console.log.bind(console);
  return {
    loadPyodide,
    createModule,
    files: { wasm, stdlib: assets.stdlib },
    sources: new Uint8Array(assets.sources),
    image: assets.image === null ? null : new Uint8Array(assets.image),
    jsGlobals: makeJsGlobals(),
    print,
  };
}
