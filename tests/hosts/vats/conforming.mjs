// The vat of the conformance suite in JavaScript, from nothing but docs/protocol.md. It uses no library.

import { createInterface } from "node:readline";

let spec = null;
let delivered = 0;
let failure = null;
let lastDeliver = null;
let lastDone = null;

const things = new Map([["o+0", { count: 0, pending: null }]]);
const relays = new Map(); // promise of ours -> promise that its settlement is passed on to
let nextObject = 1;
let nextPromise = 5;

function say(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function fail(reason) {
  failure ??= reason;
  say(["failed", failure]);
}

const whole = (number) => ({ body: `#"${number < 0 ? "" : "+"}${number}"`, slots: [] });
const text = (value) => ({ body: `#${JSON.stringify(value)}`, slots: [] });
const nothing = { body: '#"#undefined"', slots: [] };
const fulfill = (promise, data) => ["resolve", [[promise, false, data]]];
const reject = (promise, name, message) => [
  "resolve",
  [[promise, true, { body: `#${JSON.stringify({ "#error": message, errorId: "error:vat#1", name })}`, slots: [] }]],
];

// Deliveries -------------------------------------------------------------------------------------

function carryOut([kind, ...rest]) {
  switch (kind) {
    case "startVat":
      return [];
    case "message":
      return call(rest[0], rest[1]);
    case "notify":
      return rest[0].flatMap(([promise, isReject, data]) => {
        const result = relays.get(promise);
        relays.delete(promise);
        return result === undefined ? [] : [["resolve", [[result, isReject, data]]]];
      });
    default:
      return []; // what it is told about garbage needs no answer
  }
}

function call(target, { methargs, result }) {
  const [method, args] = JSON.parse(methargs.body.slice(1));
  const thing = things.get(target);
  switch (method) {
    case "bootstrap":
      return [fulfill(result, text("here"))];
    case "add":
      thing.count += 1;
      return [fulfill(result, whole(thing.count))];
    case "make": {
      const made = `o+${nextObject++}`;
      things.set(made, { count: 0, pending: null });
      return [fulfill(result, { body: '#"$0.Alleged: Thing"', slots: [made] })];
    }
    case "fail":
      return [reject(result, "ValueError", args[0])];
    case "relay": {
      const other = methargs.slots[Number(/^[$&](\d+)/.exec(args[0])[1])];
      const answer = `p+${nextPromise++}`;
      relays.set(answer, result);
      const message = { body: `#${JSON.stringify(["add", [args[1]]])}`, slots: [] };
      return [
        ["send", other, { methargs: message, result: answer }],
        ["subscribe", answer],
      ];
    }
    case "wait":
      thing.pending = result;
      return [];
    case "settle":
      return [fulfill(thing.pending, { body: `#${JSON.stringify(args[0])}`, slots: [] }), fulfill(result, nothing)];
    default:
      return [reject(result, "AttributeError", `no method ${method}`)];
  }
}

// The protocol -----------------------------------------------------------------------------------

const canonical = (value) =>
  JSON.stringify(value, (_, part) =>
    part !== null && typeof part === "object" && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );

function replay(entries) {
  for (const { n, d, sc } of entries) {
    if (n !== delivered + 1) return fail(`replay of delivery ${n} after ${delivered}`);
    delivered = n;
    const syscalls = carryOut(d);
    if (canonical(syscalls) !== canonical(sc)) return fail(`replay of delivery ${n} differs from the record`);
  }
}

function deliver(line, number, delivery) {
  if (number !== delivered + 1) return fail(`delivery ${number} came after ${delivered}`);
  delivered = number;
  lastDeliver = line;
  lastDone = [
    "done",
    number,
    ["ok", null],
    carryOut(delivery),
    { memory_bytes: process.memoryUsage().rss, console: [] },
  ];
  say(lastDone);
}

function receive(line) {
  if (failure !== null) return fail();
  if (line === lastDeliver) return say(lastDone);
  const [kind, ...rest] = JSON.parse(line);
  switch (kind) {
    case "start":
      spec = rest[0];
      return;
    case "upgrade": {
      if (spec === null) return fail("an upgrade came before start");
      spec = rest[0];
      for (const thing of things.keys()) if (thing !== "o+0") things.delete(thing);
      things.set("o+0", { count: 0, pending: null });
      relays.clear();
      return;
    }
    case "replay":
      return replay(rest[0]);
    case "go":
      return rest[0] === delivered ? say(["ready", delivered]) : fail(`go ${rest[0]} after ${delivered}`);
    case "deliver":
      return deliver(line, rest[0], rest[2]);
    default:
      return fail(`unknown message ${kind}`);
  }
}

say(["hello", { protocol: 1, vat: spec, incarnation: 0, delivered }]);
createInterface({ input: process.stdin }).on("line", receive);
