// Speaks for @endo/marshal: `node tests/oracle/smallcaps.mjs < request.json > answer.json`.
//
// A value is described in neutral JSON, so that neither side depends on the other's codec:
//   ["null"] ["undefined"] ["boolean", b] ["number", 16 hex digits of its bits] ["bigint", decimal]
//   ["string", text] ["symbol", text] ["array", [value...]] ["record", [[text, value]...]]
//   ["tagged", text, value] ["remotable", n, text] ["promise", n] ["error", text, text]
// where text is UTF-16 code units as hex, four digits each, so that any string survives; a symbol's
// is its name as passed, a remotable's its interface, an error's are its name and message.
// Remotable n has the slot `o-n`, promise n `p-n`.
//
// Request: {encode: [{value, ids: bool}...], decode: [{body, slots}...], make: {seed, count}}.
// Answer: {encoded: [{body, slots}...], decoded: [value or {refused: text}...], made: [{value, ids, body, slots}...]}.

import "@endo/init";
import { readFileSync, writeSync } from "node:fs";
import { makeMarshal } from "@endo/marshal";
import {
  getErrorConstructor,
  getInterfaceOf,
  getTag,
  makeTagged,
  nameForPassableSymbol,
  passableSymbolForName,
  passStyleOf,
  Remotable,
} from "@endo/pass-style";

// Text and numbers ----------------------------------------------------------------------------

const toHex = (text) =>
  Array.from({ length: text.length }, (_, i) => text.charCodeAt(i).toString(16).padStart(4, "0")).join("");
const fromHex = (hex) =>
  String.fromCharCode(...Array.from({ length: hex.length / 4 }, (_, i) => parseInt(hex.slice(4 * i, 4 * i + 4), 16)));

const view = new DataView(new ArrayBuffer(8));
const fromBits = (hex) => {
  view.setBigUint64(0, BigInt(`0x${hex}`));
  return view.getFloat64(0);
};
const toBits = (number) => {
  view.setFloat64(0, Number.isNaN(number) ? NaN : number);
  return view.getBigUint64(0).toString(16).padStart(16, "0");
};

// References ----------------------------------------------------------------------------------

const values = new Map();
const slots = new Map();
const provide = (slot, make) => {
  let value = values.get(slot);
  if (value === undefined) {
    value = make();
    values.set(slot, value);
    slots.set(value, slot);
  }
  return value;
};
const provideRemotable = (slot, iface) => provide(slot, () => Remotable(iface ?? "Remotable"));
const providePromise = (slot) => provide(slot, () => harden(new Promise(() => {})));

// The ids of errors count from one in each value.
const makeCodec = (ids) =>
  makeMarshal(
    (value) => slots.get(value),
    (slot, iface) => (slot.startsWith("p") ? providePromise(slot) : provideRemotable(slot, iface)),
    {
      serializeBodyFormat: "smallcaps",
      errorTagging: ids ? "on" : "off",
      marshalName: "oracle",
      errorIdNum: 0,
      marshalSaveError: () => {},
    },
  );

// Descriptions --------------------------------------------------------------------------------

const build = (description) => {
  const [kind, a, b] = description;
  switch (kind) {
    case "null":
      return null;
    case "undefined":
      return undefined;
    case "boolean":
      return a;
    case "number":
      return fromBits(a);
    case "bigint":
      return BigInt(a);
    case "string":
      return fromHex(a);
    case "symbol":
      return passableSymbolForName(fromHex(a));
    case "array":
      return harden(a.map(build));
    case "record":
      return harden(Object.fromEntries(a.map(([key, value]) => [fromHex(key), build(value)])));
    case "tagged":
      return makeTagged(fromHex(a), build(b));
    case "remotable":
      return provideRemotable(`o-${a}`, fromHex(b));
    case "promise":
      return providePromise(`p-${a}`);
    case "error": {
      const name = fromHex(a);
      const message = fromHex(b);
      const Constructor = getErrorConstructor(name) ?? Error;
      const error = name === "AggregateError" ? new Constructor([], message) : new Constructor(message);
      if (error.name !== name) {
        error.name = name; // passable at the root only
      }
      return harden(error);
    }
    default:
      throw Error(`unknown kind ${kind}`);
  }
};

const describe = (value) => {
  const style = passStyleOf(value);
  switch (style) {
    case "null":
    case "undefined":
      return [style];
    case "boolean":
      return [style, value];
    case "number":
      return [style, toBits(value)];
    case "bigint":
      return [style, String(value)];
    case "string":
      return [style, toHex(value)];
    case "symbol":
      return [style, toHex(nameForPassableSymbol(value))];
    case "copyArray":
      return ["array", value.map(describe)];
    case "copyRecord":
      return ["record", Object.entries(value).map(([key, item]) => [toHex(key), describe(item)])];
    case "tagged":
      return [style, toHex(getTag(value)), describe(value.payload)];
    case "remotable":
      return [style, Number(slots.get(value).slice(2)), toHex(getInterfaceOf(value))];
    case "promise":
      return [style, Number(slots.get(value).slice(2))];
    case "error":
      return [style, toHex(value.name), toHex(value.message)];
    default:
      throw Error(`unknown pass style ${style}`);
  }
};

// Random values -------------------------------------------------------------------------------

const makeRandom = (seed) => {
  let state = seed >>> 0;
  const next = () => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const below = (n) => next() % n;
  return { next, below, pick: (array) => array[below(array.length)] };
};

const NAMES = [
  "",
  "a",
  "__proto__",
  "constructor",
  "toString",
  "then",
  "length",
  "payload",
  "#tag",
  "#error",
  "!",
  "!#tag",
];
const NUMERIC_NAMES = [
  "0",
  "1",
  "2",
  "10",
  "01",
  "-1",
  "-0",
  "1e3",
  "1.5",
  "4294967294",
  "4294967295",
  "9007199254740993",
];
const UNITS = [
  0, 1, 8, 9, 10, 12, 13, 31, 34, 47, 92, 127, 0x80, 0xa0, 0xe9, 0x2028, 0x2029, 0xfeff, 0xffff, 0xd7ff, 0xe000,
];
const NUMBERS = [
  0,
  -0,
  1,
  -1,
  0.1,
  1e21,
  1e-6,
  1e-7,
  123456789012345680000,
  5e-324,
  2 ** 53,
  2 ** 53 + 2,
  1e23,
  NaN,
  Infinity,
  -Infinity,
];
const SYMBOLS = ["", "foo", "@@iterator", "@@asyncIterator", "@@@@iterator", "@@@@", "@", "#tag", "\ud800"];
const ERRORS = [
  "Error",
  "TypeError",
  "RangeError",
  "SyntaxError",
  "ReferenceError",
  "EvalError",
  "URIError",
  "AggregateError",
];

const makeValues = ({ seed, count }) => {
  const { next, below, pick } = makeRandom(seed);
  const unit = () => {
    switch (below(6)) {
      case 0:
        return 0x21 + below(13); // the special characters
      case 1:
        return pick(UNITS);
      case 2:
        return 0xd800 + below(0x800);
      default:
        return 0x61 + below(26);
    }
  };
  const text = () =>
    below(3) === 0
      ? String.fromCodePoint(0x10000 + below(0x100000))
      : String.fromCharCode(...Array.from({ length: below(6) }, unit));
  const name = () => [() => pick(NAMES), () => pick(NUMERIC_NAMES), () => String(below(30)), text][below(4)]();
  const number = () =>
    [
      () => toBits(pick(NUMBERS)),
      () => toBits(below(2000) - 1000),
      () => toBits((below(2) ? -1 : 1) * next() * 10 ** (below(60) - 30)),
      () => [next(), next()].map((word) => word.toString(16).padStart(8, "0")).join(""), // any bits at all
    ][below(4)]();
  const bigint = () => {
    let n = 0n;
    for (let words = below(5); words > 0; words -= 1) {
      n = (n << 32n) | BigInt(next());
    }
    return String(below(2) ? n : -n);
  };
  const leaf = () =>
    [
      () => ["null"],
      () => ["undefined"],
      () => ["boolean", below(2) === 1],
      () => ["number", number()],
      () => ["number", number()],
      () => ["bigint", bigint()],
      () => ["string", toHex(text())],
      () => ["string", toHex(name())],
      () => ["symbol", toHex(pick(SYMBOLS))],
      () => remotable(below(12)),
      () => ["promise", below(12)],
      () => ["error", toHex(pick(ERRORS)), toHex(text())],
    ][below(12)]();
  const remotable = (n) => ["remotable", n, toHex(["Remotable", `Alleged: Café ${n}`, `DebugName: "d.${n}"`][n % 3])];
  const record = (depth) => {
    const entries = new Map();
    for (let size = below(6); size > 0; size -= 1) {
      entries.set(name(), any(depth - 1));
    }
    return ["record", [...entries].map(([key, value]) => [toHex(key), value])];
  };
  const any = (depth) => {
    if (depth <= 0) {
      return leaf();
    }
    return [
      leaf,
      () => ["array", Array.from({ length: below(5) }, () => any(depth - 1))],
      () => record(depth),
      () => ["tagged", toHex(name()), any(depth - 1)],
    ][below(4)]();
  };
  return Array.from({ length: count }, () => ({ value: any(below(6)), ids: below(2) === 1 }));
};

// The work ------------------------------------------------------------------------------------

const encode = ({ value, ids }) => makeCodec(ids).toCapData(build(value));
const decode = (data) => {
  try {
    return describe(makeCodec(false).fromCapData(data));
  } catch (error) {
    return { refused: error.message };
  }
};

const request = JSON.parse(readFileSync(0, "utf8"));
const answer = JSON.stringify({
  encoded: request.encode.map(encode),
  decoded: request.decode.map(decode),
  made: makeValues(request.make).map((item) => ({ ...item, ...encode(item) })),
});
for (let bytes = Buffer.from(answer), done = 0; done < bytes.length;) {
  try {
    done += writeSync(1, bytes, done);
  } catch (error) {
    if (error.code !== "EAGAIN") {
      throw error;
    }
  }
}
