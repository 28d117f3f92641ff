/**
 * Starts Pyodide with the Python sources of kernel_py, from a memory image or cold.
 *
 * The same code starts the kernel, the realms of vats, and (in Node) the instances that images are
 * made of. Nothing here depends on which.
 *
 * Invariants: an image that does not fit leads to a cold start with a `problem`, never to a failure;
 * after it, both ways lead to the same Python state but for what lies where in memory.
 */

import { parseImage, restorePages, type Image } from "../shared/image.ts";
import type { Boot } from "../shared/messages.ts";
import { describeError } from "../shared/parse.ts";
import {
  checkModule,
  type CreateModule,
  type EmscriptenModule,
  type EmscriptenSettings,
  type LoadPyodide,
  type Pyodide,
  type PyodideConfig,
} from "./api.ts";

/** Where the sources lie in Python's file system, as a zip archive on `sys.path`. */
const SOURCES_PATH = "/lib/kernel_py.zip";

/** As in the pinned Pyodide's own pyodide-lock.json; it refuses to start with another. */
const ABI_VERSION = "2026_0";

export interface PyodideFiles {
  /** pyodide.asm.wasm, compiled. */
  readonly wasm: WebAssembly.Module;
  /** python_stdlib.zip. */
  readonly stdlib: ArrayBuffer;
}

/** A place that nothing serves: what Pyodide fetches from it comes from `PyodideFiles`. */
const NOWHERE = "https://pyodide.invalid/";

export interface BootOptions {
  readonly loadPyodide: LoadPyodide;
  readonly createModule: CreateModule;
  /** What Pyodide would fetch, or the folder where it is, in Node. */
  readonly files: PyodideFiles | string;
  /** A zip archive that has the package kernel_py at its top. */
  readonly sources: Uint8Array;
  /** A memory image file; null for a cold start. */
  readonly image: Uint8Array | null;
  /** What Python's module `js` is made of. */
  readonly jsGlobals: object;
  /** Receives what Python prints, line by line. */
  readonly print: (line: string) => void;
  /** Prepare an instance of which a memory image can be made. */
  readonly makeSnapshot?: boolean;
  /** Sees an instance before its memory is restored. */
  readonly onModule?: (module: EmscriptenModule) => void;
}

export interface Started {
  readonly pyodide: Pyodide;
  readonly boot: Boot;
  /** Why there was a cold start although there is an image; else "". */
  readonly problem: string;
}

export async function bootPyodide(options: BootOptions): Promise<Started> {
  if (options.image === null) return { pyodide: await startCold(options), boot: "cold", problem: "" };
  try {
    return { pyodide: await startFromImage(options, parseImage(options.image)), boot: "image", problem: "" };
  } catch (error) {
    return {
      pyodide: await startCold(options),
      boot: "cold",
      problem: `the memory image could not be used: ${describeError(error)}`,
    };
  }
}

export async function startCold(options: BootOptions): Promise<Pyodide> {
  const pyodide = await load(options, {
    ...makeConfig(options),
    createPyodideModule: (settings) => createModule(options, settings),
    _makeSnapshot: options.makeSnapshot ?? false,
  });
  pyodide.runPython(`import sys; sys.path.append(${JSON.stringify(SOURCES_PATH)})`);
  return pyodide;
}

async function startFromImage(options: BootOptions, image: Image): Promise<Pyodide> {
  return await load(options, {
    ...makeConfig(options),
    createPyodideModule: async (settings) => {
      const module = await createModule(options, settings);
      module.API.restoreSnapshot = () => {
        restoreImage(module, image);
        return image.header.config;
      };
      return module;
    },
    // Its presence makes Pyodide call restoreSnapshot instead of starting Python.
    _loadSnapshot: new Uint8Array(),
  });
}

/**
 * An instance with the memory of `image` and nothing else: no bridge between Python and JavaScript is
 * set up, so the image must be of an instance whose bridge had been cut.
 */
export async function instantiateImage(options: BootOptions, image: Image): Promise<EmscriptenModule> {
  const settings = await new Promise<EmscriptenSettings>((resolve, reject) => {
    const config: PyodideConfig = {
      ...makeConfig(options),
      // Pyodide prepares the settings; the rest of its start is not wanted, so it waits for ever.
      createPyodideModule: (prepared) => {
        resolve(prepared);
        return new Promise(() => undefined);
      },
      _loadSnapshot: new Uint8Array(),
    };
    load(options, config).catch(reject);
  });
  const module = await createModule(options, settings);
  module.API.initializeStreams(() => null, options.print, options.print);
  restoreImage(module, image);
  return module;
}

function restoreImage(module: EmscriptenModule, image: Image): void {
  const { build, memoryBytes } = image.header;
  if (build !== module.API.config.BUILD_ID) throw new Error(`the image was made by another build of Pyodide, ${build}`);
  if (module.HEAPU8.length < memoryBytes && module.growMemory(memoryBytes) !== 1)
    throw new Error(`no memory for an image of ${memoryBytes} bytes`);
  restorePages(module.HEAPU8, image);
}

async function createModule(options: BootOptions, settings: EmscriptenSettings): Promise<EmscriptenModule> {
  settings.preRun.push((module) => {
    module.FS.writeFile(SOURCES_PATH, options.sources);
  });
  const module = await options.createModule(settings);
  checkModule(module);
  options.onModule?.(module);
  return module;
}

/** `loadPyodide`, with what it fetches handed to it. Nothing else may fetch meanwhile. */
async function load(options: BootOptions, config: PyodideConfig): Promise<Pyodide> {
  const { files } = options;
  if (typeof files === "string") return await options.loadPyodide(config);
  const { fetch } = globalThis;
  const { instantiateStreaming } = WebAssembly;
  globalThis.fetch = (url) => Promise.resolve(serve(url instanceof Request ? url.url : String(url), files));
  WebAssembly.instantiateStreaming = async (_response, imports) => ({
    module: files.wasm,
    instance: await WebAssembly.instantiate(files.wasm, imports),
  });
  try {
    return await options.loadPyodide(config);
  } finally {
    globalThis.fetch = fetch;
    WebAssembly.instantiateStreaming = instantiateStreaming;
  }
}

function serve(url: string, files: PyodideFiles): Response {
  if (url === `${NOWHERE}python_stdlib.zip`) return new Response(files.stdlib);
  // Only looked at by what replaces WebAssembly.instantiateStreaming.
  if (url === `${NOWHERE}pyodide.asm.wasm`) return new Response();
  return new Response(null, { status: 404 });
}

function makeConfig(options: BootOptions): Omit<PyodideConfig, "createPyodideModule"> {
  return {
    indexURL: typeof options.files === "string" ? options.files : NOWHERE,
    // There are no packages to load; this spares fetching the list of them.
    lockFileContents: JSON.stringify({ info: { abi_version: ABI_VERSION }, packages: {} }),
    enableRunUntilComplete: false,
    env: { PYTHONHASHSEED: "0", PYTHONDONTWRITEBYTECODE: "1", TZ: "UTC", LANG: "C.UTF-8" },
    jsglobals: options.jsGlobals,
    stdin: () => null,
    stdout: options.print,
    stderr: options.print,
  };
}
