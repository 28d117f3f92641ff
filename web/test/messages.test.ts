import assert from "node:assert/strict";
import { test } from "node:test";

import { parseHostMessage, parseKernelMessage, parseRealmReport } from "../src/shared/messages.ts";

test("messages are parsed, and nothing that is not of them passes", () => {
  const message = { kind: "create", epoch: 1, vat: "v1", incarnation: 0, realm: 5, realmKind: "iframe" };
  assert.deepEqual(parseKernelMessage({ ...message, extra: 1 }), message);
  const lost = { kind: "lost", epoch: 1, vat: "v1", incarnation: 0, realm: 5, reason: "why" };
  assert.deepEqual(parseHostMessage({ ...lost, extra: 1 }), lost);
});

for (const [value, words] of [
  [null, /must be an object, not null/],
  ["reconnect", /must be an object, not the text/],
  [
    { kind: "explode", epoch: 1 },
    /kind must be one of reconnect, create, destroy, stores, lease, not the text "explode"/,
  ],
  [{ kind: "reconnect" }, /epoch must be an integer/],
  [{ kind: "reconnect", epoch: 1.5 }, /epoch must be an integer, not 1.5/],
  [{ kind: "lease", epoch: 1, busy: 1 }, /busy must be true or false/],
  [{ kind: "create", epoch: 1, vat: "v1", incarnation: 0, realm: 1, realmKind: "page" }, /realmKind must be one of/],
] as const) {
  test(`a malformed message is named: ${JSON.stringify(value)}`, () => {
    assert.throws(() => parseKernelMessage(value), words);
  });
}

test("a realm's report is not trusted to have any form", () => {
  assert.throws(() => parseRealmReport({ kind: "booted", boot: "warm", problem: "", ms: 1 }), /boot must be one of/);
  assert.throws(() => parseRealmReport({ kind: "failed", reason: { toString: () => "x" } }), /reason must be text/);
});
