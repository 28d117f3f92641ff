import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { VatHostLink, type VatHostEndpoint, type VatHostFinder } from "../src/kernel/vat_host_link.ts";
import type { KernelMessage } from "../src/shared/messages.ts";

const EPOCH = 7;

/** Documents that come and go; the messages to all of them. */
class FakeFinder implements VatHostFinder {
  readonly posted: KernelMessage[] = [];
  present: VatHostEndpoint | null = null;
  failure: Error | null = null;
  opened = 0;

  find(): Promise<VatHostEndpoint | null> {
    return Promise.resolve(this.present);
  }

  open(): Promise<VatHostEndpoint> {
    if (this.failure !== null) return Promise.reject(this.failure);
    this.present ??= { id: `document ${++this.opened}`, post: (message) => this.posted.push(message) };
    return Promise.resolve(this.present);
  }

  close(): Promise<void> {
    this.present = null;
    return Promise.resolve();
  }

  /** The number of the realm last asked for. */
  get realm(): number {
    const last = this.posted.findLast(({ kind }) => kind === "create");
    return last?.kind === "create" ? last.realm : -1;
  }
}

interface Fixture {
  readonly context: TestContext;
  readonly finder: FakeFinder;
  readonly link: VatHostLink;
  /** What the kernel has heard. */
  readonly heard: string[];
}

function makeLink(context: TestContext): Fixture {
  context.mock.timers.enable({ apis: ["setInterval", "setTimeout", "Date"] });
  const finder = new FakeFinder();
  const link = new VatHostLink(finder, EPOCH);
  const heard: string[] = [];
  link.observe({
    onText: (vat, text) => heard.push(`${vat} says ${text}`),
    onHeap: (vat, report) => heard.push(`${vat} hands over ${report.kind}`),
    onBooted: (vat, boot) => heard.push(`${vat} up from ${boot}`),
    onLost: (vat, reason) => heard.push(`${vat} lost: ${reason}`),
  });
  return { context, finder, link, heard };
}

/** Lets everything happen that waits for promises and ports only. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** The vat host has begun to make the realm asked for last. Returns the realm's end of its port. */
function created({ context, finder, link }: Fixture, realm = finder.realm): MessagePort {
  const { port1, port2 } = new MessageChannel();
  // An open port would keep Node alive.
  context.after(() => {
    port1.close();
  });
  link.receive({ kind: "created", epoch: EPOCH, vat: "v1", incarnation: 0, realm }, [port2]);
  return port1;
}

test("texts go both ways once the realm has its port", async (context) => {
  const fixture = makeLink(context);
  fixture.link.create("v1", 0, "worker");
  fixture.link.post("v1", "vanishes");
  await settle();
  const port = created(fixture);
  const received: unknown[] = [];
  port.onmessage = (event) => received.push(event.data);
  port.postMessage("hello");
  fixture.link.post("v1", "start");
  await settle();
  assert.deepEqual(fixture.heard, ["v1 says hello"]);
  assert.deepEqual(received, ["start"]);
});

test("nothing is heard of a realm that was replaced", async (context) => {
  const fixture = makeLink(context);
  const { link, finder, heard } = fixture;
  link.create("v1", 0, "worker");
  await settle();
  const first = finder.realm;
  const port = created(fixture);
  link.create("v1", 0, "worker");
  port.postMessage("too late");
  link.receive({ kind: "lost", epoch: EPOCH, vat: "v1", incarnation: 0, realm: first, reason: "too late" }, []);
  created(fixture, first).postMessage("much too late");
  await settle();
  assert.deepEqual(heard, []);
  link.receive({ kind: "lost", epoch: EPOCH, vat: "v1", incarnation: 0, realm: finder.realm, reason: "now" }, []);
  assert.deepEqual(heard, ["v1 lost: now"]);
});

test("messages for another kernel are ignored", async (context) => {
  const { link, finder, heard } = makeLink(context);
  link.create("v1", 0, "worker");
  await settle();
  const id = { vat: "v1", incarnation: 0, realm: finder.realm };
  link.receive({ kind: "lost", epoch: EPOCH - 1, ...id, reason: "of old" }, []);
  assert.deepEqual(heard, []);
});

test("a vat host that is gone when work begins is replaced, and its realms are lost", async (context) => {
  const { link, finder, heard } = makeLink(context);
  link.create("v1", 0, "worker");
  await settle();
  finder.present = null;
  context.mock.timers.tick(2_000);
  link.setBusy(true);
  await settle();
  assert.deepEqual(heard, ["v1 lost: the document that held the vat's realm is gone"]);
  assert.equal(finder.opened, 2);
  assert.deepEqual(
    finder.posted.slice(-2).map(({ kind }) => kind),
    ["reconnect", "lease"],
  );
});

test("a vat host that goes while there is work is missed within seconds", async (context) => {
  const { link, finder, heard } = makeLink(context);
  link.create("v1", 0, "worker");
  link.setBusy(true);
  await settle();
  finder.present = null;
  context.mock.timers.tick(10_000);
  await settle();
  assert.equal(heard.length, 1);
});

test("if no vat host can be made the realm is lost, and the next one asks again", async (context) => {
  context.mock.method(console, "error", () => undefined);
  const fixture = makeLink(context);
  const { link, finder, heard } = fixture;
  await settle();
  finder.failure = new Error("no document");
  finder.present = null;
  link.setBusy(true);
  context.mock.timers.tick(10_000);
  await settle();
  link.create("v1", 0, "worker");
  await settle();
  // The one that was there is missed; then none can be made.
  assert.deepEqual(heard, ["v1 lost: Error: no document"]);
  finder.failure = null;
  link.create("v1", 0, "worker");
  await settle();
  created(fixture).postMessage("hello");
  await settle();
  assert.equal(heard.at(-1), "v1 says hello");
});

test("a vat host that does not say which realms live is replaced", async (context) => {
  context.mock.method(console, "error", () => undefined);
  const { link, finder } = makeLink(context);
  const reconnecting = link.reconnect();
  await settle();
  assert.deepEqual(finder.posted, [{ kind: "reconnect", epoch: EPOCH }]);
  context.mock.timers.tick(10_000);
  assert.deepEqual(await reconnecting, []);
  await settle();
  assert.equal(finder.opened, 2);
});

test("realms found alive have their ports before anything is heard of them", async (context) => {
  context.mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  const finder = new FakeFinder();
  const link = new VatHostLink(finder, EPOCH);
  const reconnecting = link.reconnect();
  const { port1, port2 } = new MessageChannel();
  port1.postMessage("hello");
  const id = { vat: "v1", incarnation: 0, realm: 3 };
  link.receive({ kind: "living", epoch: EPOCH, realms: [id] }, [port2]);
  assert.deepEqual(await reconnecting, [id]);
  const heard: string[] = [];
  link.observe({
    onText: (vat, text) => heard.push(`${vat} says ${text}`),
    onHeap: () => undefined,
    onBooted: () => undefined,
    onLost: () => undefined,
  });
  await settle();
  assert.deepEqual(heard, ["v1 says hello"]);
  port1.close();
});

test("a heap is taken from a realm that was asked for it, once", async (context) => {
  const fixture = makeLink(context);
  const { link, heard } = fixture;
  link.create("v1", 0, "worker");
  await settle();
  const realm = created(fixture);
  const heap = { kind: "unsnapshotable", reason: "it has a file open" };
  realm.postMessage(heap);
  await settle();
  assert.deepEqual(heard, ["v1 says not a text"]);
  link.post("v1", '["snapshot","take"]');
  realm.postMessage(heap);
  realm.postMessage(heap);
  await settle();
  assert.deepEqual(heard.slice(1), ["v1 hands over unsnapshotable", "v1 says not a text"]);
});

test("what is no heap is what no realm may say", async (context) => {
  const fixture = makeLink(context);
  const { link, heard } = fixture;
  link.create("v1", 0, "worker");
  await settle();
  link.post("v1", '["snapshot","take"]');
  const bytes = new ArrayBuffer(4);
  const heap = { kind: "snapshot", mode: "take", delivered: 1, base: "b", memoryBytes: 1, pieces: [["0", 5]], bytes };
  created(fixture).postMessage(heap);
  await settle();
  assert.deepEqual(heard, ["v1 says not a text"]);
});
