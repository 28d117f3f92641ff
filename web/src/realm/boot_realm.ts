/**
 * Starts the Python of a realm: confined, and ready to be a vat.
 *
 * Clocks and entropy must have been frozen before. Afterwards the instance has no bridge between Python
 * and JavaScript; the function returned is the only way in, and its result the only way out.
 *
 * An image is made (`web/tools/make_image.ts`) of what `startRealmCold` returned, so both ways lead to the same state: the
 * memory of a realm that started from an image is that image, and nothing else, until the first call.
 */

import type { EmscriptenModule } from "../pyodide/api.ts";
import { instantiateImage, startCold, type BootOptions } from "../pyodide/boot.ts";
import { TextFunction } from "../pyodide/text_function.ts";
import { parseImage } from "../shared/image.ts";
import type { Boot } from "../shared/messages.ts";
import { describeError, ParseError } from "../shared/parse.ts";
import { cutBridge } from "./cut.ts";
import { FileSystem } from "./file_system.ts";

const VAT: Entry = { module: "kernel_py.hosts.browser.realm", function: "receive" };

/** A realm's Python. */
export interface Heap {
  readonly module: EmscriptenModule;
  readonly files: FileSystem;
  /** The only way in. */
  readonly receive: TextFunction;
  /** The id of the image that it started from; "" after a cold start. */
  readonly base: string;
}

export interface StartedRealm {
  readonly heap: Heap;
  readonly boot: Boot;
  readonly problem: string;
}

/** A function of Python's, which takes a text and a number and gives a text. */
export interface Entry {
  readonly module: string;
  readonly function: string;
}

/** A realm for a vat. */
export async function bootRealm(options: BootOptions): Promise<StartedRealm> {
  let problem = "";
  if (options.image !== null) {
    try {
      const image = parseImage(options.image);
      const module = await instantiateImage(options, image);
      const receive = TextFunction.resume(module, image.header.config);
      const heap = { module, files: new FileSystem(module), receive, base: image.header.id };
      return { heap, boot: "image", problem };
    } catch (error) {
      problem = `the memory image could not be used: ${describeError(error)}`;
    }
  }
  return { heap: await startRealmCold(options), boot: "cold", problem };
}

/** The same Python for other work than a vat's. */
export async function bootFor(entry: Entry, options: BootOptions): Promise<TextFunction> {
  const { heap } = await bootRealm(options);
  return TextFunction.find(heap.module, entry.module, entry.function);
}

/** An instance that has imported all that a vat's start needs, with its bridge cut. */
export async function startRealmCold(options: BootOptions): Promise<Heap> {
  const pyodide = await startCold(options);
  const builtins = pyodide.runPython("import kernel_py.hosts.browser.realm as realm; realm.prepare()");
  const cut = pyodide.runPython("realm.cut_bridge");
  if (typeof builtins !== "string" || typeof cut !== "function")
    throw new ParseError("kernel_py.hosts.browser.realm does not fit");
  // From here on Python code can only be called through what was taken before.
  Reflect.apply(cut, undefined, []);
  const module = pyodide._module;
  cutBridge(module, builtins.split(" "));
  const receive = TextFunction.find(module, VAT.module, VAT.function);
  return { module, files: new FileSystem(module), receive, base: "" };
}
