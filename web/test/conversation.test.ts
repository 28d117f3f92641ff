import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation } from "../src/realm/conversation.ts";

const SPEC = { protocol: 1, vat: "v1", incarnation: 0, name: "bank", seed: "s", main: "vat.py", files: {} };
const START = JSON.stringify(["start", SPEC]);

/** A Python that writes down what it is told, and makes one syscall in each delivery. */
class FakePython {
  readonly heard: string[] = [];
  fails = "";

  readonly call = (text: string): string => {
    this.heard.push(text);
    if (this.fails !== "") return JSON.stringify(["failed", this.fails]);
    const [kind, value] = JSON.parse(text) as [string, unknown];
    if (kind === "deliver") return done(value as number);
    return kind === "go" ? JSON.stringify(["ready", value]) : "";
  };
}

const deliver = (number: number): string => `["deliver",${number},${1000 + number},["bringOutYourDead"]]`;
const syscall = (number: number): unknown => [
  "send",
  "o-1",
  { methargs: { body: `#${number}`, slots: [] }, result: null },
];
const done = (number: number): string =>
  JSON.stringify(["done", number, ["ok", null], [syscall(number)], { memory_bytes: 1, console: [] }]);
const entry = (number: number, syscalls = [syscall(number)]): string =>
  `{"n":${number},"t":${1000 + number},"d":["bringOutYourDead"],"sc":${JSON.stringify(syscalls)},"r":null}`;

function begin(): { python: FakePython; vat: Conversation } {
  const python = new FakePython();
  return { python, vat: new Conversation(python.call, "base") };
}

/** A vat that has lived through `count` deliveries. */
function live(count: number): { python: FakePython; vat: Conversation } {
  const { python, vat } = begin();
  for (const text of [START, '["go",0]']) vat.receive(text);
  for (let number = 1; number <= count; number++) vat.receive(deliver(number));
  return { python, vat };
}

function hello(vat: Conversation): unknown {
  return (JSON.parse(vat.hello()) as unknown[])[1];
}

test("Python hears the same in a life and in its replay", () => {
  const lived = live(3);
  const { python, vat } = begin();
  vat.receive(START);
  assert.equal(vat.receive(`["replay",[${entry(1)},${entry(2)}]]`).texts, "");
  assert.equal(vat.receive(`["replay",[${entry(3)}]]`).texts, "");
  assert.equal(vat.receive('["go",3]').texts, '["ready",3]');
  assert.deepEqual(python.heard, lived.python.heard);
  assert.deepEqual(python.heard, [START, '["go",0]', deliver(1), deliver(2), deliver(3)]);
});

test("hello and deliveries that come again do not reach Python", () => {
  const { python, vat } = live(2);
  const before = python.heard.length;
  assert.deepEqual(hello(vat), { protocol: 1, vat: "v1", incarnation: 0, delivered: 2, base: "base" });
  assert.equal(vat.receive(deliver(2)).texts, done(2));
  assert.equal(python.heard.length, before);
});

test("a realm without an image has no base", () => {
  const fresh = new Conversation(new FakePython().call, "");
  assert.deepEqual(hello(fresh), { protocol: 1, vat: null, incarnation: 0, delivered: 0 });
});

test("a replay that differs names the delivery and the syscalls, and nothing more is carried out", () => {
  const { python, vat } = begin();
  vat.receive(START);
  const { texts } = vat.receive(`["replay",[${entry(1)},${entry(2, [syscall(7)])},${entry(3)}]]`);
  const [kind, reason] = JSON.parse(texts) as [string, string];
  assert.equal(kind, "failed");
  assert.match(
    reason,
    /^vat v1 \(bank\): replay of delivery 2 differs from the record\. Syscall 1: expected .*#7.*, actual .*#2/,
  );
  assert.equal(python.heard.at(-1), deliver(2));
  assert.equal(vat.receive(deliver(3)).texts, texts);
  assert.equal(vat.receive(deliver(1)).texts, done(1));
});

test("the order of fields makes no difference, a missing syscall does", () => {
  const { vat } = begin();
  vat.receive(START);
  const turned = ["send", "o-1", { result: null, methargs: { slots: [], body: "#1" } }];
  assert.equal(vat.receive(`["replay",[${entry(1, [turned])}]]`).texts, "");
  assert.match(vat.receive(`["replay",[${entry(2, [])}]]`).texts, /expected no further syscall, actual/);
});

test("a gap in a replay, and a go for another number, are refused", () => {
  const { vat } = begin();
  vat.receive(START);
  assert.match(vat.receive(`["replay",[${entry(2)}]]`).texts, /replay of delivery 2 after 0: the transcript has a gap/);
  const { vat: other } = begin();
  other.receive(START);
  assert.match(other.receive('["go",1]').texts, /the kernel counts 1 deliveries, the replay had 0/);
});

test("Python hears the same around a snapshot, be it lived through, replayed or restored", () => {
  const lived = live(1);
  assert.deepEqual(lived.vat.receive('["snapshot","take"]'), { texts: "", snapshot: "take" });
  const state = lived.vat.dumpState();
  const before = lived.python.heard.length;
  lived.vat.afterSnapshot();
  assert.deepEqual(hello(lived.vat), { protocol: 1, vat: "v1", incarnation: 0, delivered: 1, marked: 1, base: "base" });
  assert.equal(lived.vat.receive('["go",1]').texts, '["ready",1]');
  lived.vat.receive(deliver(2));

  const replayed = begin();
  for (const text of [START, `["replay",[${entry(1)}]]`]) replayed.vat.receive(text);
  assert.deepEqual(replayed.vat.receive('["snapshot","check"]'), { texts: "", snapshot: "check" });
  assert.equal(replayed.vat.dumpState(), state);
  replayed.vat.afterSnapshot();
  for (const text of [`["replay",[${entry(2)}]]`, '["go",2]']) replayed.vat.receive(text);
  assert.deepEqual(replayed.python.heard, lived.python.heard);

  const restored = begin();
  restored.vat.restore(state);
  assert.deepEqual(hello(restored.vat), {
    protocol: 1,
    vat: "v1",
    incarnation: 0,
    delivered: 1,
    marked: 1,
    base: "base",
  });
  for (const text of ['["go",1]', deliver(2)]) restored.vat.receive(text);
  assert.deepEqual(restored.python.heard, lived.python.heard.slice(before));
});

test("a go that comes again is answered again, and does not reach Python", () => {
  const { python, vat } = live(1);
  const before = python.heard.length;
  assert.equal(vat.receive('["go",1]').texts, '["ready",1]');
  assert.equal(python.heard.length, before);
});

test("what a vat has outside its heap begins empty, is marked at snapshots and goes back with the heap", () => {
  const told: unknown[] = [];
  const files = {
    wipe: (): number => told.push("wipe"),
    mark: (delivered: number): number => told.push(["mark", delivered]),
    rewind: (delivered: number): number => told.push(["rewind", delivered]),
  };
  const python = new FakePython();
  const call = (text: string): string => {
    told.push(text);
    return python.call(text);
  };
  const vat = new Conversation(call, "base", files);
  for (const text of [START, '["go",0]', deliver(1), '["snapshot","take"]']) vat.receive(text);
  assert.deepEqual(told, ["wipe", START, '["go",0]', deliver(1), ["mark", 1], '["snapshot","take"]']);
  const state = vat.dumpState();
  told.length = 0;
  assert.equal(new Conversation(call, "base", files).restore(state), "");
  assert.deepEqual(told, [["rewind", 1], '["go",1]']);
  python.fails = "the vat's store file is of another vat";
  assert.match(new Conversation(call, "base", files).restore(state), /store file is of another vat/);
});

test("a delivery waits for go after a snapshot", () => {
  const { vat } = live(1);
  vat.receive('["snapshot","take"]');
  vat.afterSnapshot();
  assert.match(vat.receive(deliver(2)).texts, /a delivery came before go/);
});

test("an upgrade is passed on, and hello tells of it", () => {
  const { python, vat } = live(1);
  const upgrade = JSON.stringify(["upgrade", { ...SPEC, incarnation: 1 }]);
  assert.equal(vat.receive(upgrade).texts, "");
  assert.deepEqual(python.heard.at(-1), upgrade);
  assert.deepEqual(hello(vat), { protocol: 1, vat: "v1", incarnation: 1, delivered: 1, base: "base" });
});

test("what Python refuses stays refused", () => {
  const { python, vat } = begin();
  python.fails = "no such version";
  assert.equal(vat.receive(START).texts, '["failed","no such version"]');
  python.fails = "";
  assert.equal(vat.receive('["go",0]').texts, '["failed","no such version"]');
  assert.equal(python.heard.length, 1);
});

test("what is not JSON is refused", () => {
  const { vat } = begin();
  assert.match(vat.receive("hello").texts, /a fresh realm: not a message of the kernel: hello/);
});

test("what was looked at can never be the living vat", () => {
  const look = '["look","root.count"]';
  for (const text of [deliver(3), deliver(2), '["go",2]', '["snapshot","take"]', `["replay",[${entry(3)}]]`, START]) {
    const { python, vat } = live(2);
    assert.equal(vat.receive(look).texts, "");
    assert.equal(vat.receive(look).texts, "");
    const heard = python.heard.length;
    const kind = String((JSON.parse(text) as unknown[])[0]);
    assert.match(vat.receive(text).texts, new RegExp(`can never be the living vat: it takes no ${kind}`));
    assert.equal(python.heard.length, heard);
  }
});

test("a heap that was replayed can be looked at before go", () => {
  const { python, vat } = begin();
  vat.receive('["look",null]');
  assert.deepEqual(python.heard, []);
  const replayed = begin();
  for (const text of [START, `["replay",[${entry(1)}]]`, '["look",null]']) replayed.vat.receive(text);
  assert.equal(replayed.python.heard.at(-1), '["look",null]');
});
