// The vat of the conformance suite (tests/hosts/test_worker_kinds.py) in AssemblyScript.

import { Message, quote, Reader, resolve, syscall, takeDelivery } from "../../../examples/wasm/src/kernel";
export { alloc } from "../../../examples/wasm/src/kernel";

class Thing {
  count: i32 = 0;
  pending: string = "";
}

const things = new Map<string, Thing>();
things.set("o+0", new Thing());
/** By promise of ours, the promise that its settlement is passed on to. */
const relays = new Map<string, string>();
let nextPromise = 5;

function relay(message: Message): void {
  const args = new Reader(message.args);
  args.skip('["');
  args.until("$&");
  args.skip("$") || args.skip("&");
  const slot = I32.parseInt(args.until('."'));
  args.until('"');
  args.skip('",');
  const item = args.until("]");
  const other = message.slots.substring(1, message.slots.length - 1).split(",")[slot];
  const answer = `p+${nextPromise++}`;
  relays.set(answer, message.result);
  syscall(`["send",${other},{"methargs":{"body":${quote(`#["add",[${item}]]`)},"slots":[]},"result":"${answer}"}]`);
  syscall(`["subscribe","${answer}"]`);
}

function call(target: string, message: Message): void {
  const thing = things.get(target);
  const result = message.result;
  if (message.method == "bootstrap") {
    resolve(result, false, '"here"');
  } else if (message.method == "add") {
    thing.count++;
    resolve(result, false, `"+${thing.count}"`);
  } else if (message.method == "make") {
    const made = `o+${things.size}`;
    things.set(made, new Thing());
    resolve(result, false, '"$0.Alleged: Thing"', `["${made}"]`);
  } else if (message.method == "fail") {
    resolve(result, true, `{"#error":${first(message)},"name":"ValueError"}`);
  } else if (message.method == "relay") {
    relay(message);
  } else if (message.method == "wait") {
    thing.pending = result;
  } else if (message.method == "settle") {
    resolve(thing.pending, false, first(message));
    resolve(result, false, '"#undefined"');
  } else {
    resolve(result, true, '{"#error":"no such method","name":"AttributeError"}');
  }
}

/** The first argument, if it is a text. */
function first(message: Message): string {
  const args = new Reader(message.args);
  args.skip("[");
  return args.until("]");
}

/** `reader` stands behind the promise of one resolution of a notify. */
function settle(promise: string, reader: Reader): void {
  reader.skip(",");
  const isReject = reader.until(",") == "true";
  reader.skip(',{"body":');
  const body = reader.string().substring(1);
  reader.skip(',"slots":');
  const slots = reader.until("]") + "]";
  reader.skip("]}]");
  if (relays.has(promise)) resolve(relays.get(promise), isReject, body, slots);
  relays.delete(promise);
}

export function deliver(_text: usize, _size: i32): i32 {
  const reader = new Reader(takeDelivery());
  reader.skip("[");
  reader.until(",");
  reader.skip(",");
  reader.until(",");
  if (reader.skip(',["message",')) {
    const target = reader.string();
    call(target, new Message(reader));
  } else if (reader.skip(',["notify",[')) {
    while (reader.skip("[") || reader.skip(",[")) {
      const promise = reader.string();
      settle(promise, reader);
    }
  }
  return 0; // what it is told about garbage needs no answer
}
