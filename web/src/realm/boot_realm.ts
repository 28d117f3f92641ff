/**
 * Starts the Python of a realm: confined, and ready to be a vat.
 *
 * Clocks and entropy must have been frozen before. Afterwards the instance has no bridge between Python
 * and JavaScript; the function returned is the only way in, and its result the only way out.
 *
 * An image is made (`web/tools/make_image.ts`) of an instance that `startRealmCold` returned, so both ways lead to
 * the same state.
 */

import type { EmscriptenModule } from "../pyodide/api.ts";
import { instantiateImage, startCold, type BootOptions } from "../pyodide/boot.ts";
import { TextFunction } from "../pyodide/text_function.ts";
import { parseImage } from "../shared/image.ts";
import type { Boot } from "../shared/messages.ts";
import { describeError, ParseError } from "../shared/parse.ts";
import { cutBridge } from "./cut.ts";

const VAT: Entry = { module: "kernel_py.hosts.browser.realm", function: "receive" };

export interface StartedRealm {
  readonly receive: TextFunction;
  readonly boot: Boot;
  readonly problem: string;
}

/** A function of Python's, which takes a text and a number and gives a text. */
export interface Entry {
  readonly module: string;
  readonly function: string;
}

/** `entry`: what `receive` will be. */
export async function bootRealm(options: BootOptions, entry = VAT): Promise<StartedRealm> {
  let problem = "";
  if (options.image !== null) {
    try {
      const module = await instantiateImage(options, parseImage(options.image));
      return { receive: find(module, entry), boot: "image", problem };
    } catch (error) {
      problem = `the memory image could not be used: ${describeError(error)}`;
    }
  }
  return { receive: find(await startRealmCold(options), entry), boot: "cold", problem };
}

/** An instance that has imported all that a vat's start needs, with its bridge cut. */
export async function startRealmCold(options: BootOptions): Promise<EmscriptenModule> {
  const pyodide = await startCold(options);
  const builtins = pyodide.runPython("import kernel_py.hosts.browser.realm as realm; realm.prepare()");
  const cut = pyodide.runPython("realm.cut_bridge");
  if (typeof builtins !== "string" || typeof cut !== "function")
    throw new ParseError("kernel_py.hosts.browser.realm does not fit");
  // From here on Python code can only be called through what was taken before.
  Reflect.apply(cut, undefined, []);
  cutBridge(pyodide._module, builtins.split(" "));
  return pyodide._module;
}

function find(module: EmscriptenModule, entry: Entry): TextFunction {
  return new TextFunction(module, entry.module, entry.function);
}
