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
  // Compiling goes on in other threads while the scripts are read.
  const [wasm, pyodide, pyodideAsm] = await Promise.all([
    assets.wasm instanceof WebAssembly.Module ? Promise.resolve(assets.wasm) : WebAssembly.compile(assets.wasm),
    import(/* @vite-ignore */ urls.pyodide) as Promise<unknown>,
    import(/* @vite-ignore */ urls.pyodideAsm) as Promise<unknown>,
  ]);
  const print = console.log.bind(console);
  return {
    loadPyodide: parseLoadPyodide(pyodide),
    createModule: parseCreateModule(pyodideAsm),
    files: { wasm, stdlib: assets.stdlib },
    sources: new Uint8Array(assets.sources),
    image: assets.image === null ? null : new Uint8Array(assets.image),
    jsGlobals: makeJsGlobals(),
    print,
  };
}
