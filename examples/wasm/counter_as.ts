// The counter of examples/counter as a wasm vat in AssemblyScript. It makes the very same syscalls.

import { fail, Message, print, Reader, resolve, takeDelivery } from "./src/kernel";
export { alloc } from "./src/kernel";

/** By number of the object; o+0 is the first. */
let counts: i64[] = [0];

/** The first integer, such as "+5", or another value if there is none. */
function integer(args: string, otherwise: i64): i64 {
  for (let at = 0; at + 1 < args.length; at++) {
    const sign = args.charAt(at + 1);
    if (args.charAt(at) == '"' && (sign == "+" || sign == "-")) return I64.parseInt(args.substring(at + 1));
  }
  return otherwise;
}

function signed(value: i64): string {
  return value < 0 ? `"${value}"` : `"+${value}"`;
}

function answer(object: i32, message: Message): i32 {
  if (object >= counts.length) return fail("no such counter");
  const result = message.result;
  if (message.method == "increment") {
    counts[object] += integer(message.args, 1);
    print(`count is ${counts[object]}`);
    resolve(result, false, signed(counts[object]));
  } else if (message.method == "read") {
    resolve(result, false, signed(counts[object]));
  } else if (message.method == "make_counter") {
    counts.push(integer(message.args, 0));
    resolve(result, false, '"$0.Alleged: Counter"', `["o+${counts.length - 1}"]`);
  } else if (message.method == "bootstrap") {
    resolve(result, false, `"counting from ${counts[object]}"`);
  } else {
    resolve(result, true, '{"#error":"Counter has no such method","name":"AttributeError"}');
  }
  return 0;
}

export function deliver(_text: usize, _size: i32): i32 {
  const reader = new Reader(takeDelivery());
  reader.skip("[");
  reader.until(",");
  reader.skip(",");
  reader.until(",");
  if (reader.skip(',["startVat"')) {
    const parameters = reader.rest();
    counts[0] = integer(parameters.replaceAll("\\", ""), 0);
    return 0;
  }
  if (!reader.skip(',["message","o+')) return 0; // it keeps nothing of others
  const object = I32.parseInt(reader.until('"'));
  reader.skip('"');
  return answer(object, new Message(reader));
}
