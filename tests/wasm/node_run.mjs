// Runs an instrumented module in Node: `node node_run.mjs module.wasm gas stack name args...`, where arguments that end
// in n are 64-bit integers. Prints JSON: result or null if it trapped, gas and stack left, and a digest of the memory.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const [path, gas, stack, ...calls] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(path), {});
const { exports } = instance;

function parseArgument(text) {
  return text.endsWith("n") ? BigInt(text.slice(0, -1)) : Number(text);
}

for (const call of calls) {
  const [name, ...args] = call.split(",");
  exports["kernel:gas"].value = BigInt(gas);
  exports["kernel:stack"].value = Number(stack);
  let result = null;
  try {
    result = [exports[name](...args.map(parseArgument))].flat().map(String);
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error;
  }
  const digest = createHash("sha256").update(new Uint8Array(exports["kernel:memory"].buffer)).digest("hex");
  console.log(
    JSON.stringify({
      result,
      gas: Number(exports["kernel:gas"].value),
      stack: exports["kernel:stack"].value,
      memory: digest,
    }),
  );
}
