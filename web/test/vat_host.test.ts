import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import type { Realm, RealmObserver } from "../src/host/realms.ts";
import { LEASE_MS, VatHost } from "../src/host/vat_host.ts";
import type { HostMessage, RealmKind } from "../src/shared/messages.ts";

class FakeRealm implements Realm {
  readonly ports: MessagePort[] = [];
  isDestroyed = false;
  checks = 0;

  constructor(
    readonly kind: RealmKind,
    readonly observer: RealmObserver,
  ) {}

  connect(port: MessagePort): void {
    this.ports.push(port);
  }

  check(): void {
    this.checks++;
  }

  destroy(): void {
    this.isDestroyed = true;
  }
}

/** A vat host with realms that do nothing, and what it has sent. */
function makeHost(context: TestContext): {
  host: VatHost;
  realms: FakeRealm[];
  sent: HostMessage[];
  kept: (readonly string[])[];
} {
  context.mock.timers.enable({ apis: ["setInterval"] });
  const realms: FakeRealm[] = [];
  const sent: HostMessage[] = [];
  const kept: (readonly string[])[] = [];
  const host = new VatHost({
    send: (message, ports) => {
      sent.push(message);
      for (const port of ports) port.close();
    },
    deleteOtherStores: (vats) => {
      kept.push(vats);
    },
    makeRealm: (_vat, kind, observer) => {
      const realm = new FakeRealm(kind, observer);
      realms.push(realm);
      return realm;
    },
  });
  return { host, realms, sent, kept };
}

function create(host: VatHost, epoch: number, vat: string, realm: number): void {
  host.receive({ kind: "create", epoch, vat, incarnation: 0, realm, realmKind: "iframe" });
}

function countLeases(sent: readonly HostMessage[]): number {
  return sent.filter(({ kind }) => kind === "lease").length;
}

test("a new kernel is given all realms with fresh ports", (context) => {
  const { host, realms, sent } = makeHost(context);
  host.receive({ kind: "reconnect", epoch: 1 });
  create(host, 1, "v1", 11);
  create(host, 1, "v2", 12);
  host.receive({ kind: "reconnect", epoch: 2 });
  assert.deepEqual(sent.at(-1), {
    kind: "living",
    epoch: 2,
    realms: [
      { vat: "v1", incarnation: 0, realm: 11 },
      { vat: "v2", incarnation: 0, realm: 12 },
    ],
  });
  assert.deepEqual(
    realms.map(({ ports }) => ports.length),
    [2, 2],
  );
});

test("what an earlier kernel still says changes nothing", (context) => {
  const { host, realms, sent } = makeHost(context);
  host.receive({ kind: "reconnect", epoch: 2 });
  create(host, 2, "v1", 21);
  const before = sent.length;
  host.receive({ kind: "reconnect", epoch: 1 });
  create(host, 1, "v1", 11);
  host.receive({ kind: "destroy", epoch: 1, vat: "v1" });
  assert.equal(sent.length, before);
  assert.equal(realms.length, 1);
  assert.equal(realms[0]?.isDestroyed, false);
});

test("a vat has one realm: the one asked for last", (context) => {
  const { host, realms, sent } = makeHost(context);
  host.receive({ kind: "reconnect", epoch: 1 });
  create(host, 1, "v1", 11);
  create(host, 1, "v1", 12);
  assert.deepEqual(
    realms.map(({ isDestroyed }) => isDestroyed),
    [true, false],
  );
  realms[0]?.observer.onLost("too late");
  assert.equal(sent.at(-1)?.kind, "created");
  realms[1]?.observer.onLost("it crashed");
  assert.deepEqual(sent.at(-1), { kind: "lost", epoch: 1, vat: "v1", incarnation: 0, realm: 12, reason: "it crashed" });
});

test("destroying a vat's realm twice, or that of no vat, is nothing", (context) => {
  const { host } = makeHost(context);
  host.receive({ kind: "reconnect", epoch: 1 });
  create(host, 1, "v1", 11);
  for (const vat of ["v1", "v1", "v9"]) host.receive({ kind: "destroy", epoch: 1, vat });
});

test("a new kernel holds the lease until it says that it has no work", (context) => {
  const { host, sent } = makeHost(context);
  host.receive({ kind: "reconnect", epoch: 1 });
  context.mock.timers.tick(3 * LEASE_MS);
  assert.equal(countLeases(sent), 3);
  host.receive({ kind: "lease", epoch: 1, busy: false });
  context.mock.timers.tick(10 * LEASE_MS);
  // Once more, for the period in which there was work.
  assert.equal(countLeases(sent), 4);
});

test("work that comes and goes all the time keeps the lease", (context) => {
  const { host, sent } = makeHost(context);
  host.receive({ kind: "reconnect", epoch: 1 });
  for (let step = 0; step < 100; step++) {
    host.receive({ kind: "lease", epoch: 1, busy: false });
    context.mock.timers.tick(LEASE_MS / 20);
    host.receive({ kind: "lease", epoch: 1, busy: true });
    context.mock.timers.tick(LEASE_MS / 20);
  }
  assert.equal(countLeases(sent), 10);
});

test("every realm is asked for a sign of life with the lease", (context) => {
  const { host, realms } = makeHost(context);
  host.receive({ kind: "reconnect", epoch: 1 });
  create(host, 1, "v1", 11);
  context.mock.timers.tick(2 * LEASE_MS);
  assert.equal(realms[0]?.checks, 2);
});

test("the files of vats that are gone are deleted when the kernel says which there are", (context) => {
  const { host, kept } = makeHost(context);
  host.receive({ kind: "reconnect", epoch: 2 });
  host.receive({ kind: "stores", epoch: 1, vats: [] });
  host.receive({ kind: "stores", epoch: 2, vats: ["v1", "v3"] });
  assert.deepEqual(kept, [["v1", "v3"]]);
});
