"""What vats may say: legal batches from what a vat really holds, and garbage of every kind.

Everything is drawn from a `random.Random`: a seeded one where there are very many cases to draw, and one of
hypothesis's (`st.randoms`) where a failure is to be made small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from kernel_py.core import schema
from kernel_py.core.kernel import Kernel
from kernel_py.core.schema import PromiseState
from kernel_py.wire import canonical
from tests.core.driver import JSON, data, ref, refs, send, subscribe, text


def _imports_of_followers(kernel: Kernel, vat: str) -> Iterator[str]:
    """What the vat will learn of in deliveries that it was given ahead."""
    for number in range(kernel.get_delivered(vat) + 2, kernel.get_dispatched(vat) + 1):
        yield from kernel._state.get(schema.INFLIGHT, schema.inflight_row(vat, number)).imports


# --- legal batches ----------------------------------------------------------------------------------


class Vocabulary:
    """The references that a vat may use, kept up to date over one batch."""

    def __init__(self, kernel: Kernel, vat: str) -> None:
        table = schema.clist_table(vat)
        ahead = set(_imports_of_followers(kernel, vat))
        rows = [row for row in kernel._state.rows(table) if kernel._state.get(table, row) not in ahead]
        self.objects = [row for row in rows if row[0] == "o"]
        self.promises: list[str] = []
        self.decided: list[str] = []
        for vref in (row for row in rows if row[0] == "p"):
            promise = kernel._references.get_promise(kernel._state.get(table, vref))
            self.promises.append(vref)
            if promise.decider == vat and promise.state is PromiseState.UNRESOLVED:
                self.decided.append(vref)
        self._used = set(rows)

    def imports(self, dropped: list[str]) -> list[str]:
        return [vref for vref in self.objects if vref[1] == "-" and vref not in dropped]

    def make(self, kind: str) -> str:
        """A name that the vat has not used."""
        number = next(number for number in range(1, 10_000) if f"{kind}+{number}" not in self._used)
        self._used.add(f"{kind}+{number}")
        return f"{kind}+{number}"

    def make_object(self) -> str:
        self.objects.append(self.make("o"))
        return self.objects[-1]

    def make_promise(self) -> str:
        """A promise that the vat decides itself."""
        self.promises.append(self.make("p"))
        self.decided.append(self.promises[-1])
        return self.promises[-1]

    def draw_any(self, rng: Random) -> str:
        kind = rng.choice(("object", "object", "promise", "new object", "new promise"))
        if kind == "new object" or (kind == "object" and not self.objects):
            return self.make_object()
        if kind == "new promise" or (kind == "promise" and not self.promises):
            return self.make_promise()
        return rng.choice(self.objects if kind == "object" else self.promises)

    def draw_all(self, rng: Random, count_max: int) -> list[str]:
        return [self.draw_any(rng) for _ in range(rng.randint(0, count_max))]


def draw_some(rng: Random, items: list[str]) -> list[str]:
    """None, some or all of the items, in any order."""
    return rng.sample(items, rng.randint(0, len(items))) if items else []


def draw_batch(rng: Random, kernel: Kernel, vat: str, name_message: Callable[[], str]) -> list[JSON]:
    """A legal batch of the vat as it stands. Each message is named by `name_message`."""
    words = Vocabulary(kernel, vat)
    batch: list[JSON] = []
    if not rng.randint(0, 2):
        batch += _draw_collection(rng, kernel, vat, words)
    for _ in range(rng.randint(0, 4)):
        kind = rng.choice(("send", "send", "resolve", "resolve", "subscribe"))
        if kind == "send":
            batch.append(_draw_send(rng, words, name_message(), kernel.get_vat(vat).is_pipelining))
        elif kind == "subscribe":
            others = [vpid for vpid in words.promises if vpid not in words.decided] or words.promises
            batch.append(subscribe(rng.choice(others) if others else words.make_promise()))
        else:
            batch.append(_draw_resolve(rng, words))
    if not rng.randint(0, 39):
        batch.append(["exit", rng.random() < 0.5, refs(*words.draw_all(rng, 2))])
    return batch


def _draw_collection(rng: Random, kernel: Kernel, vat: str, words: Vocabulary) -> list[JSON]:
    """Legal drops and retirements; what they name is not used any more."""
    dropped = [vref for vref in _unreachable(kernel, vat) if vref in words.objects]
    batch: list[JSON] = []
    drops = draw_some(rng, words.imports(dropped))
    if drops:
        batch.append(["dropImports", drops])
    gone = [vref for vref in (*dropped, *drops) if rng.random() < 0.5]
    for op, sign in (("retireImports", "-"), ("retireExports", "+")):
        vrefs = [vref for vref in gone if vref[1] == sign]
        if vrefs:
            batch.append([op, vrefs])
    abandoned = [vref for vref in words.objects if vref[1] == "+" and vref not in gone and not rng.randint(0, 30)]
    if abandoned:
        batch.append(["abandonExports", abandoned])
    unusable = {*drops, *gone, *abandoned, *(vref for vref in dropped if vref[1] == "-")}
    words.objects = [vref for vref in words.objects if vref not in unusable]
    return batch


def _unreachable(kernel: Kernel, vat: str) -> list[str]:
    table = schema.clist_table(vat)
    entries = [kernel._state.get(table, row) for row in kernel._state.rows(table) if row[0] == "k"]
    return [entry.vref for entry in entries if not entry.is_reachable]


def _draw_send(rng: Random, words: Vocabulary, method: str, is_pipelining: bool) -> JSON:
    target = words.draw_any(rng)
    slots = words.draw_all(rng, 3)
    if is_pipelining and words.decided and target[0] == "o" and rng.random() < 0.5:
        result = rng.choice(words.decided)
        words.decided.remove(result)  # it is handed on
        return send(target, method, *slots, result=result)
    if rng.random() < 0.5:
        return send(target, method, *slots)
    result = words.make("p")
    words.promises.append(result)
    return send(target, method, *slots, result=result)


def _draw_resolve(rng: Random, words: Vocabulary) -> JSON:
    if not words.decided:
        words.make_promise()
    asked_for = [vpid for vpid in words.decided if vpid[1] == "-"]
    of = asked_for if asked_for and rng.randint(0, 3) else words.decided
    vpids = rng.sample(of, rng.randint(1, min(3, len(of))))
    resolutions = []
    for vpid in vpids:
        kind = rng.choice(("object", "object", "data", "text", "reject"))
        if kind == "object":
            value = ref(rng.choice(words.objects) if words.objects else words.make_object())
        elif kind == "text":
            value = text("x")
        elif kind == "data":
            value = refs(*words.draw_all(rng, 3))
        else:
            value = ref(words.draw_any(rng))
        resolutions.append([vpid, kind == "reject", value])
    for vpid in vpids:
        words.decided.remove(vpid)
        words.promises.remove(vpid)
    return ["resolve", resolutions]


# --- garbage ----------------------------------------------------------------------------------------

SURROGATE = "\ud800"

BAD_REFS: list[JSON] = [
    "", "x", "o", "o+", "o-", "ko20", "kp40", "ko21", "kp41", "v1", "c1", "d-70", "o+01", "o--1", "o+0\n", "O+0",
    "o+0|", "o+1,2", "o+\u0663", "p+1/2", "o-1/2", "o+d1", "o+d1/2:3:4", "o+" + "9" * 19, "x" * 5_000, SURROGATE,
    "p+\x00", None, 7, -0.0, True, [], {}, ["o+0"], {"o+0": 1},
]  # fmt: skip
FOREIGN_REFS = ["o-1", "o-49", "o-53", "o-99", "p-1", "p-59", "p-64", "p-99", "p-62", "o-" + "9" * 18]
ODD_REFS = [
    "o+0", "o+5", "o+d10/1", "o+v3/4:5", "p+5", "p+999999999999999999", "o-50", "o-51", "o-52", "o-52", "p-60", "p-61",
]  # fmt: skip

WELL_FORMED_CALLS = ['#["now",[]]', '#["delay",[1]]', '#["repeat",[0.1,0.1,"$0"]]']
"""To a timer."""

BODIES: list[JSON] = [
    *WELL_FORMED_CALLS, '#["cancel",[]]', '#[["delay"],1]', '#["delay",{}]',
    '#"x"', '#["m",[]]', '#["m",["$0","&1"]]', "", "#", "x", '#"$0"', '#"&0"', '# "&0"', '#"\\u00260"',
    '#"$0.Alleged: x"', "#" + "[" * 300 + "]" * 300, "#" + "[" * 5_000, f'#"{SURROGATE}"', "#\x00", "#NaN", "#1e999",
    '#"+' + "9" * 6_000 + '"',
    '#{"#error":"e","name":"' + "E" * 2_000 + '"}', '#{"#tag":"t","payload":["$0"]}', '{"@qclass":"slot","index":0}',
    "#" + "x" * 20_000, '#"$99999999999999999999"', '#["$0.Alleged: ' + "n" * 500 + '"]', None, 7, [], {"body": ""},
]  # fmt: skip

HUGE_BATCHES: list[JSON] = [
    [["subscribe", "p-60"]] * 5_000, [["resolve", [["p-61", False, {"body": "#1", "slots": []}]] * 3_000]],
    [["send", "o+0", {"methargs": {"body": '#["m",[]]', "slots": ["o-50"] * 20_000}, "result": None}]],
    [["send", "o-50", {"methargs": {"body": '#["m",["' + "x" * 400_000 + '"]]', "slots": []}, "result": None}]] * 3,
    [["dropImports", ["o-50"] * 20_000]], [[]] * 10_000,
]  # fmt: skip
"""Legal but for their size, or wrong and large."""

_NUMBERS = (0, 1, -1, 3, 2**63, 10**300, 1.5, -0.0, 1e308)
_WORDS = ("", "x", "send", "done", "ok", "resolve", "body", SURROGATE, "o+0", "p-60")
_KEYS = ("body", "slots", "methargs", "result", "x", "")
_REFS: tuple[JSON, ...] = (*ODD_REFS * 12, *FOREIGN_REFS, *BAD_REFS)
"""Mostly usable, so that much is got past."""
_REF_OPS = ("dropImports", "retireImports", "retireExports", "abandonExports")
_MISSHAPEN: tuple[JSON, ...] = (
    ["vatstoreGet", "x"], ["callNow", "d-1", "m", data("#[]")], ["send"], ["resolve", []], [], [[]]
)  # fmt: skip


def _draw_scalar(rng: Random) -> JSON:
    kind = rng.randint(0, 4)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind == 1:
        return rng.choice(_NUMBERS)
    if kind == 2:
        return "".join(map(chr, (rng.randint(0, 0x2FF) for _ in range(rng.randint(0, 5)))))
    return rng.choice(_WORDS)


def draw_json(rng: Random, depth: int = 3) -> JSON:
    """Any JSON."""
    kind = rng.randint(0, 4) if depth else 0
    if kind == 3:
        return [draw_json(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    if kind == 4:
        return {rng.choice(_KEYS): draw_json(rng, depth - 1) for _ in range(rng.randint(0, 3))}
    return _draw_scalar(rng)


def _draw_refs(rng: Random) -> list[JSON]:
    return [rng.choice(_REFS) for _ in range(rng.randint(0, 3))]


def _draw_capdata(rng: Random) -> JSON:
    return {"body": rng.choice(BODIES), "slots": _draw_refs(rng)}


def _draw_flag(rng: Random) -> JSON:
    return rng.random() < 0.5 if rng.randint(0, 3) else _draw_scalar(rng)


def _draw_resolution(rng: Random) -> JSON:
    return [rng.choice(_REFS), _draw_flag(rng), _draw_capdata(rng) if rng.randint(0, 3) else draw_json(rng)]


def draw_shaped_syscall(rng: Random) -> JSON:
    """A syscall of the right shape with wrong contents, or of a wrong shape."""
    match rng.randint(0, 6):
        case 0:
            result = rng.choice(_REFS) if rng.random() < 0.5 else None
            return ["send", rng.choice(_REFS), {"methargs": _draw_capdata(rng), "result": result}]
        case 1:
            return ["subscribe", rng.choice(_REFS)]
        case 2:
            return ["resolve", [_draw_resolution(rng) for _ in range(rng.randint(0, 3))]]
        case 3:
            return ["exit", _draw_flag(rng), _draw_capdata(rng)]
        case 4:
            return [rng.choice(_REF_OPS), _draw_refs(rng)]
        case 5:
            return rng.choice(_MISSHAPEN)
        case _:
            return draw_json(rng)


RAW_TEXTS: list[Any] = [
    "", " ", "null", "[]", "{}", "[" * 100_000, "]" * 1_000, '"' + "\\" * 999, '{"done":1}', "NaN", "[NaN]", '["done"]',
    '["done",1]', '["hello",{"protocol":1,"vat":"v1","incarnation":0,"delivered":0}]', '["ready",0]', '["failed","x"]',
    '["failed",""]', '["hello",null]', "\ud800", "\x00", b"bytes", None, 7, ["done"], '["done",1,["ok",null],[],{}]x',
]  # fmt: skip


def mutate(rng: Random, value: JSON) -> JSON:
    """`value` with one part of it replaced, removed or doubled."""
    if isinstance(value, list) and value and rng.randint(0, 5):
        index = rng.randrange(len(value))
        how = rng.choice(("inside", "inside", "inside", "remove", "double"))
        if how == "inside":
            return [*value[:index], mutate(rng, value[index]), *value[index + 1 :]]
        return [*value[:index], *([value[index]] * (0 if how == "remove" else 2)), *value[index + 1 :]]
    if isinstance(value, dict) and value and rng.randint(0, 5):
        key = rng.choice(sorted(value))
        return {**value, key: mutate(rng, value[key])}
    return rng.choice(_REFS) if rng.random() < 0.5 else draw_json(rng)


REPLIES = {
    "raw": 10, "json": 10, "shaped": 20, "mutated": 20, "legal": 22, "cut": 10, "number": 3, "status": 2,
    "lost": 2.9, "huge": 0.1,
}  # fmt: skip
"""What a hostile vat answers, and how often in a hundred. "lost" is no reply at all: its worker ends."""

_STATUSES: tuple[JSON, ...] = (
    ["poison", "stopped"], ["error", "no"], ["ok", 1], ["poison", None], ["x", None], [], None
)  # fmt: skip
_INSERTS = ("", "[", "}", '"', ",", "1e999", "NaN", "\\", SURROGATE, '"slots":[],', "-")


def draw_reply(rng: Random, kernel: Kernel, vat: str, number: int) -> tuple[str, object]:
    """What a hostile vat answers to delivery `number`, and which of `REPLIES` that is."""
    [kind] = rng.choices(list(REPLIES), list(REPLIES.values()))
    match kind:
        case "lost":
            return kind, None
        case "raw":
            return kind, rng.choice(RAW_TEXTS)
        case "json":
            return kind, canonical.dump(draw_json(rng))
        case "shaped":
            batch = [draw_shaped_syscall(rng) for _ in range(rng.randint(0, 4))]
        case "huge":
            batch = rng.choice(HUGE_BATCHES)
        case _:
            batch = draw_batch(rng, kernel, vat, lambda: "mine")
    if kind == "number":
        number = rng.choice((0, -1, number - 1, number + 1, number + 2, 10**30))
    status = rng.choice(_STATUSES) if kind == "status" else ["ok", None]
    reply: JSON = ["done", number, status, batch, {"memory_bytes": 7, "console": ["hi"]}]
    if kind == "mutated":
        reply[3] = mutate(rng, batch)
        if not rng.randint(0, 3):
            reply = mutate(rng, reply)
    told = canonical.dump(reply)
    if kind == "cut":
        start = rng.randint(0, len(told))
        told = told[:start] + rng.choice(_INSERTS) + told[start + rng.randint(0, 3) :]
    return kind, told
