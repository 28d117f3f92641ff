/** Pyodide's scripts: files of their own in the build, typed where they are parsed (`web/src/pyodide/api.ts`). */

declare module "pyodide/pyodide.mjs" {
  export const loadPyodide: unknown;
}

declare module "pyodide/pyodide.asm.mjs" {
  const createModule: unknown;
  export default createModule;
}
