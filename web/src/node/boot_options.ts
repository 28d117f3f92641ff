/** What a realm in Node starts Python from: the files of the built extension, and a process in which every life is the same. */

import crypto from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { parseCreateModule, parseLoadPyodide } from "../pyodide/api.ts";
import type { BootOptions } from "../pyodide/boot.ts";
import { fillWithConstant, makeJsGlobals } from "../realm/freeze.ts";
import { ASSETS } from "../shared/assets.ts";

export type NodeBootOptions = BootOptions & { readonly image: Uint8Array<ArrayBuffer> };

/** `print`: receives what Python prints. */
export async function loadNodeBootOptions(folder: string, print: (line: string) => void): Promise<NodeBootOptions> {
  const read = async (name: string): Promise<Uint8Array<ArrayBuffer>> =>
    new Uint8Array(await readFile(join(folder, name)));
  const load = async (name: string): Promise<unknown> => await import(pathToFileURL(join(folder, name)).href);
  return {
    loadPyodide: parseLoadPyodide(await load(ASSETS.pyodide)),
    createModule: parseCreateModule(await load(ASSETS.pyodideAsm)),
    files: join(folder, "pyodide/"),
    sources: await read(ASSETS.sources),
    image: await read(ASSETS.realmImage),
    jsGlobals: makeJsGlobals(),
    print,
  };
}

/** Where Pyodide takes entropy from in Node; in a browser that is a global. */
export function fixEntropy(): void {
  Reflect.set(crypto, "randomFillSync", fillWithConstant);
}
