import assert from "node:assert/strict";
import { test } from "node:test";

import { sliceItems, sliceValue } from "../src/shared/json_slices.ts";

const VALUES = [
  '"a\\"],{}\\\\"',
  "[]",
  "{}",
  '{"a":[1,{"b":"]"}]}',
  "-1.5e3",
  "null",
  '"\\\\"',
  '["[",["]"]]',
  '"\\ud800\u2028"',
];

test("items are cut out as they stand there", () => {
  const text = `["replay",[${VALUES.join(",")}]]`;
  assert.deepEqual(sliceItems(text, '["replay",'.length), VALUES);
  assert.deepEqual(sliceItems("[]", 0), []);
});

test("a value ends where it ends", () => {
  for (const value of VALUES) assert.equal(sliceValue(`{"d":${value},"e":[1]}`, 5), value);
});
