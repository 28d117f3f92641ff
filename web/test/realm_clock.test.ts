import assert from "node:assert/strict";
import test from "node:test";

import { REALM_MS_MAX, RealmClock, STEP_MS_MAX } from "../src/host/realm_clock.ts";

/** Look at the clock at equal distances; how often until it is over. */
function countLooks(clock: RealmClock, fromMs: number, stepMs: number): number {
  for (let looks = 0; looks < 1_000; looks++) if (clock.look(fromMs + looks * stepMs)) return looks;
  throw new Error("it is never over");
}

test("a realm that gives no sign of life is over after its time", () => {
  assert.equal(countLooks(new RealmClock(), 5_000, 10_000), REALM_MS_MAX / 10_000 + 1);
});

test("a sign of life gives all the time again", () => {
  const clock = new RealmClock();
  for (let looks = 0; looks <= 12; looks++) assert.equal(clock.look(looks * 10_000), false);
  clock.reset();
  assert.equal(countLooks(clock, 130_000, 10_000), 13);
});

test("pitfall 21: a machine that slept, or a clock that was set, ends no realm", () => {
  const clock = new RealmClock();
  assert.equal(clock.look(0), false);
  assert.equal(clock.look(REALM_MS_MAX * 1_000), false);
  assert.equal(clock.look(0), false);
  assert.equal(countLooks(clock, 0, 10_000), (REALM_MS_MAX - STEP_MS_MAX) / 10_000 + 1);
});
