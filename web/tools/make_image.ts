/**
 * Makes a memory image, in Node, while building:
 *
 *     node make_image.mjs kernel|realm <pyodide folder>/ <sources.zip> <image file>
 *
 * The image holds a Python that has imported everything that a kernel, or a realm, imports at its start.
 * A realm's is made under the frozen clocks of a realm, so that it is the same wherever it is made.
 */

import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { parseCreateModule, parseLoadPyodide, type EmscriptenModule } from "../src/pyodide/api.ts";
import { bootPyodide, type BootOptions } from "../src/pyodide/boot.ts";
import { bootRealm, startRealmCold } from "../src/realm/boot_realm.ts";
import { fillWithConstant, freezeClocksAndEntropy, makeJsGlobals } from "../src/realm/freeze.ts";
import {
  encodeImage,
  findRuns,
  findRunsWhere,
  gatherPages,
  PAGE_BYTES,
  type Image,
  type Run,
} from "../src/shared/image.ts";
import { describeError, parseFields, type Fields } from "../src/shared/parse.ts";

async function main(): Promise<void> {
  const [what, pyodideFolder, sourcesPath, imagePath] = process.argv.slice(2);
  if (
    (what !== "kernel" && what !== "realm") ||
    pyodideFolder === undefined ||
    sourcesPath === undefined ||
    imagePath === undefined
  ) {
    throw new Error("usage: make_image.mjs kernel|realm <pyodide folder>/ <sources.zip> <image file>");
  }
  const options: BootOptions = {
    loadPyodide: parseLoadPyodide(await importFile(join(pyodideFolder, "pyodide.mjs"))),
    createModule: parseCreateModule(await importFile(join(pyodideFolder, "pyodide.asm.mjs"))),
    files: pyodideFolder,
    sources: await readFile(sourcesPath),
    image: null,
    jsGlobals: what === "kernel" ? globalThis : makeJsGlobals(),
    print: (line) => {
      console.log(line);
    },
  };
  // An image is to be the same whenever it is made: Pyodide seeds Python's generators from Node's entropy.
  Reflect.set(createRequire(import.meta.url)("node:crypto") as object, "randomFillSync", fillWithConstant);
  const image = what === "kernel" ? await takeKernelImage(options) : await takeRealmImage(options);
  await writeFile(imagePath, encodeImage(addId(await addClear(what, options, image))));
}

async function takeKernelImage(options: BootOptions): Promise<Image> {
  const { pyodide } = await bootPyodide({ ...options, makeSnapshot: true });
  pyodide.runPython("import gc, kernel_py.hosts.browser.boot; gc.collect(); None");
  // Only its config is of use: the memory is taken without zero pages.
  const snapshot = pyodide.makeMemorySnapshot();
  return captureMemory(pyodide._module, readConfig(snapshot));
}

async function takeRealmImage(options: BootOptions): Promise<Image> {
  freezeClocksAndEntropy();
  const { module, receive } = await startRealmCold(options);
  return captureMemory(module, receive.getAddresses());
}

function captureMemory(module: EmscriptenModule, config: Fields): Image {
  const memory = module.HEAPU8;
  const runs = findRuns(memory);
  return {
    header: { id: "", build: module.API.config.BUILD_ID, memoryBytes: memory.length, config, runs, clear: [] },
    pages: gatherPages(memory, runs),
  };
}

/** The JSON in the header of a snapshot: its size is word 2, and it follows 12 words. */
function readConfig(snapshot: Uint8Array): Fields {
  const bytes = new DataView(snapshot.buffer, snapshot.byteOffset).getUint32(8, true);
  return parseFields(JSON.parse(new TextDecoder().decode(snapshot.subarray(48, 48 + bytes))), "a snapshot's config");
}

/** The image with the list of pages that are zero in it, but not in an instance that waits for it. */
async function addClear(what: "kernel" | "realm", options: BootOptions, image: Image): Promise<Image> {
  const kept = listPages(image.header.runs);
  let header = image.header;
  const restoring: BootOptions = {
    ...options,
    image: encodeImage(image),
    onModule: (module) => {
      const used = listPages(findRuns(module.HEAPU8));
      header = {
        ...header,
        clear: findRunsWhere(module.HEAPU8.length / PAGE_BYTES, (page) => used.has(page) && !kept.has(page)),
      };
    },
  };
  const { problem } = what === "kernel" ? await bootPyodide(restoring) : await bootRealm(restoring);
  if (problem !== "") throw new Error(problem);
  return { ...image, header };
}

function addId({ header, pages }: Image): Image {
  const id = createHash("sha256").update(encodeImage({ header, pages })).digest("hex");
  return { header: { ...header, id }, pages };
}

function listPages(runs: readonly Run[]): Set<number> {
  return new Set(runs.flatMap(([first, count]) => Array.from({ length: count }, (_, index) => first + index)));
}

async function importFile(path: string): Promise<unknown> {
  return await import(pathToFileURL(path).href);
}

try {
  await main();
} catch (error) {
  // Node would print the throwing line: all of Pyodide.
  console.error(describeError(error));
  process.exit(1);
}
