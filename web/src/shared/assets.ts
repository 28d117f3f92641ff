/**
 * The files of a build, by name, relative to the folder that the build wrote.
 *
 * `scripts/build_web.mjs` writes them; everything else finds them through here.
 */

export const ASSETS = {
  pyodide: "pyodide/pyodide.mjs",
  pyodideAsm: "pyodide/pyodide.asm.mjs",
  wasm: "pyodide/pyodide.asm.wasm",
  stdlib: "pyodide/python_stdlib.zip",
  sources: "kernel_py.zip",
  kernelImage: "kernel.image",
  realmImage: "realm.image",
  realm: "realm.js",
  realmWorker: "realm_worker.js",
  wasmRealm: "wasm_realm.js",
  preparerWorker: "preparer_worker.js",
  sandbox: "sandbox.html",
} as const;

export type AssetName = keyof typeof ASSETS;

/** The bytes of a file. Throws an error that names it if it cannot be read. */
export async function fetchBytes(base: string, name: AssetName): Promise<ArrayBuffer> {
  return await (await fetchAsset(base, name)).arrayBuffer();
}

/** The same, or null if there is no such file. */
export async function findBytes(base: string, name: AssetName): Promise<ArrayBuffer | null> {
  try {
    return await fetchBytes(base, name);
  } catch {
    return null;
  }
}

export async function fetchAsset(base: string, name: AssetName): Promise<Response> {
  const url = new URL(ASSETS[name], base);
  let response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new Error(`${ASSETS[name]} could not be read: the build is incomplete`, { cause: error });
  }
  if (!response.ok) throw new Error(`${ASSETS[name]} could not be read: status ${response.status}`);
  return response;
}

/** The folder of all vats' stores, in the origin private file system. */
export const STORES_FOLDER = "vat-stores";
