/** The files that realms are made from, read at once. */

import { fetchBytes, findBytes } from "../shared/assets.ts";
import type { RealmAssets } from "../shared/messages.ts";
import type { SandboxScripts } from "../sandbox/protocol.ts";

export type Files = Omit<RealmAssets, "wasm" | "store"> & {
  readonly wasm: ArrayBuffer;
  readonly module: WebAssembly.Module;
  readonly scripts: SandboxScripts;
};

export async function loadFiles(base: string): Promise<Files> {
  const load = async (name: "realm" | "pyodide" | "pyodideAsm"): Promise<Blob> =>
    new Blob([await fetchBytes(base, name)], { type: "text/javascript" });
  const [wasm, stdlib, sources, image, realm, pyodide, pyodideAsm] = await Promise.all([
    fetchBytes(base, "wasm"),
    fetchBytes(base, "stdlib"),
    fetchBytes(base, "sources"),
    findBytes(base, "realmImage"),
    load("realm"),
    load("pyodide"),
    load("pyodideAsm"),
  ]);
  const module = await WebAssembly.compile(wasm);
  return { wasm, module, stdlib, sources, image, scripts: { realm, pyodide, pyodideAsm } };
}
