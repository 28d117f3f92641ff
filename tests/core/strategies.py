"""What vats may say, drawn by hypothesis: legal batches from what a vat really holds, and garbage of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from hypothesis import strategies as st

from kernel_py.core import schema
from kernel_py.core.kernel import Kernel
from kernel_py.core.schema import PromiseState
from kernel_py.wire import canonical
from tests.core.driver import JSON, data, ref, refs, send, subscribe, text

_T = TypeVar("_T")
Draw = Callable[[st.SearchStrategy[_T]], _T]


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

    def draw_any(self, draw: Draw[Any]) -> str:
        kind = draw(st.sampled_from(["object", "object", "promise", "new object", "new promise"]))
        if kind == "new object" or (kind == "object" and not self.objects):
            return self.make_object()
        if kind == "new promise" or (kind == "promise" and not self.promises):
            return self.make_promise()
        return str(draw(st.sampled_from(self.objects if kind == "object" else self.promises)))

    def draw_all(self, draw: Draw[Any], count_max: int) -> list[str]:
        return [self.draw_any(draw) for _ in range(draw(st.integers(0, count_max)))]


def draw_batch(draw: Draw[Any], kernel: Kernel, vat: str, name_message: Callable[[], str]) -> list[JSON]:
    """A legal batch of the vat as it stands. Each message is named by `name_message`."""
    words = Vocabulary(kernel, vat)
    batch: list[JSON] = []
    if not draw(st.integers(0, 2)):
        batch += _draw_collection(draw, kernel, vat, words)
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["send", "send", "resolve", "resolve", "subscribe"]))
        if kind == "send":
            batch.append(_draw_send(draw, words, name_message(), kernel.get_vat(vat).is_pipelining))
        elif kind == "subscribe":
            others = [vpid for vpid in words.promises if vpid not in words.decided] or words.promises
            batch.append(subscribe(draw(st.sampled_from(others)) if others else words.make_promise()))
        else:
            batch.append(_draw_resolve(draw, words))
    if not draw(st.integers(0, 39)):
        batch.append(["exit", draw(st.booleans()), text("bye")])
    return batch


def _draw_collection(draw: Draw[Any], kernel: Kernel, vat: str, words: Vocabulary) -> list[JSON]:
    """Legal drops and retirements; what they name is not used any more."""
    dropped = [vref for vref in _unreachable(kernel, vat) if vref in words.objects]
    batch: list[JSON] = []
    drops = draw(st.lists(st.sampled_from(words.imports(dropped)), unique=True)) if words.imports(dropped) else []
    if drops:
        batch.append(["dropImports", drops])
    gone = [vref for vref in (*dropped, *drops) if draw(st.booleans())]
    for op, sign in (("retireImports", "-"), ("retireExports", "+")):
        vrefs = [vref for vref in gone if vref[1] == sign]
        if vrefs:
            batch.append([op, vrefs])
    abandoned = [vref for vref in words.objects if vref[1] == "+" and vref not in gone and not draw(st.integers(0, 30))]
    if abandoned:
        batch.append(["abandonExports", abandoned])
    unusable = {*drops, *gone, *abandoned, *(vref for vref in dropped if vref[1] == "-")}
    words.objects = [vref for vref in words.objects if vref not in unusable]
    return batch


def _unreachable(kernel: Kernel, vat: str) -> list[str]:
    table = schema.clist_table(vat)
    entries = [kernel._state.get(table, row) for row in kernel._state.rows(table) if row[0] == "k"]
    return [entry.vref for entry in entries if not entry.is_reachable]


def _draw_send(draw: Draw[Any], words: Vocabulary, method: str, is_pipelining: bool) -> JSON:
    target = words.draw_any(draw)
    slots = words.draw_all(draw, 3)
    if is_pipelining and words.decided and target[0] == "o" and draw(st.booleans()):
        result = draw(st.sampled_from(words.decided))
        words.decided.remove(result)  # it is handed on
        return send(target, method, *slots, result=result)
    if not draw(st.booleans()):
        return send(target, method, *slots)
    result = words.make("p")
    words.promises.append(result)
    return send(target, method, *slots, result=result)


def _draw_resolve(draw: Draw[Any], words: Vocabulary) -> JSON:
    if not words.decided:
        words.make_promise()
    asked_for = [vpid for vpid in words.decided if vpid[1] == "-"]
    of = asked_for if asked_for and draw(st.integers(0, 3)) else words.decided
    vpids = draw(st.lists(st.sampled_from(of), min_size=1, max_size=3, unique=True))
    resolutions = []
    for vpid in vpids:
        kind = draw(st.sampled_from(["object", "object", "data", "text", "reject"]))
        if kind == "object":
            value = ref(draw(st.sampled_from(words.objects)) if words.objects else words.make_object())
        elif kind == "text":
            value = text("x")
        elif kind == "data":
            value = refs(*words.draw_all(draw, 3))
        else:
            value = ref(words.draw_any(draw))
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

_SCALARS = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, 1, -1, 3, 2**63, 10**300, 1.5, -0.0, 1e308])
    | st.text(max_size=5)
    | st.sampled_from(["send", "done", "ok", "resolve", "body", SURROGATE, "o+0", "p-60"])
)
ANY_JSON = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["body", "slots", "methargs", "result", "x", ""]), inner, max_size=3)
    ),
    max_leaves=10,
)

_REFS = st.sampled_from([*ODD_REFS * 12, *FOREIGN_REFS, *BAD_REFS])  # mostly usable, so that much is got past
_CAPDATA = st.builds(
    lambda body, slots: {"body": body, "slots": slots}, st.sampled_from(BODIES), st.lists(_REFS, max_size=3)
)
_RESOLUTION = st.tuples(_REFS, st.booleans() | _SCALARS, _CAPDATA | ANY_JSON).map(list)

SHAPED_SYSCALLS = st.one_of(
    st.builds(
        lambda target, methargs, result: ["send", target, {"methargs": methargs, "result": result}],
        _REFS,
        _CAPDATA,
        st.none() | _REFS,
    ),
    st.builds(lambda vpid: ["subscribe", vpid], _REFS),
    st.builds(lambda items: ["resolve", items], st.lists(_RESOLUTION, max_size=3)),
    st.builds(lambda flag, info: ["exit", flag, info], st.booleans() | _SCALARS, _CAPDATA),
    st.builds(
        lambda op, items: [op, items],
        st.sampled_from(["dropImports", "retireImports", "retireExports", "abandonExports"]),
        st.lists(_REFS, max_size=3),
    ),
    st.sampled_from([["vatstoreGet", "x"], ["callNow", "d-1", "m", data("#[]")], ["send"], ["resolve", []], [], [[]]]),
    ANY_JSON,
)
"""Syscalls of the right shape with wrong contents, and wrong shapes."""

RAW_TEXTS: list[Any] = [
    "", " ", "null", "[]", "{}", "[" * 100_000, "]" * 1_000, '"' + "\\" * 999, '{"done":1}', "NaN", "[NaN]", '["done"]',
    '["done",1]', '["hello",{"protocol":1,"vat":"v1","incarnation":0,"delivered":0}]', '["ready",0]', '["failed","x"]',
    '["failed",""]', '["hello",null]', "\ud800", "\x00", b"bytes", None, 7, ["done"], '["done",1,["ok",null],[],{}]x',
]  # fmt: skip


def mutate(draw: Draw[Any], value: JSON) -> JSON:
    """`value` with one part of it replaced, removed or doubled."""
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        index = draw(st.integers(0, len(value) - 1))
        how = draw(st.sampled_from(["inside", "inside", "inside", "remove", "double"]))
        if how == "inside":
            return [*value[:index], mutate(draw, value[index]), *value[index + 1 :]]
        return [*value[:index], *([value[index]] * (0 if how == "remove" else 2)), *value[index + 1 :]]
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: mutate(draw, value[key])}
    return draw(_REFS | ANY_JSON)


def draw_reply(draw: Draw[Any], kernel: Kernel, vat: str, number: int) -> object:
    """What a hostile vat answers to delivery `number`: anything, but mostly something close to a reply."""
    kind = draw(st.sampled_from(["raw", "json", "shaped", "shaped", "mutated", "mutated", "legal", "legal", "text"]))
    if kind == "raw":
        return draw(st.sampled_from(RAW_TEXTS))
    if kind == "json":
        return canonical.dump(draw(ANY_JSON))
    if kind == "shaped":
        batch = draw(st.lists(SHAPED_SYSCALLS, max_size=4))
    else:
        batch = draw_batch(draw, kernel, vat, lambda: "mine")
    reply: JSON = ["done", number, ["ok", None], batch, {"memory_bytes": 7, "console": ["hi"]}]
    if kind == "mutated":
        reply[3] = mutate(draw, batch)
        if not draw(st.integers(0, 3)):
            reply = mutate(draw, reply)
    told = canonical.dump(reply)
    if kind == "text":
        start = draw(st.integers(0, len(told)))
        insert = draw(st.sampled_from(["", "[", "}", '"', ",", "1e999", "NaN", "\\", "\ud800", '"slots":[],', "-"]))
        told = told[:start] + insert + told[start + draw(st.integers(0, 3)) :]
    return told
