"""Any program over collections does what the same program over Python's own does, whatever comes in between."""

from __future__ import annotations

import math
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel_py.vat.keys import SCALARS
from kernel_py.wire.passable import Symbol, Undefined
from tests.vat.driving import DrivenVat, Ref

SOURCE = """
class Thing(Durable):
    number: int
class Names(DurableMap): pass
class Root(Exo):
    def __init__(self, baggage):
        self.baggage = baggage
    def start(self):
        self.baggage["map"] = DurableMap()
        self.baggage["own"] = Names()
        self.baggage["set"] = DurableSet()
        self.baggage["things"] = DurableMap((n, Thing(n)) for n in range(3))
    def run(self, program):
        self.things = self.baggage["things"]
        return [self.do(*step) for step in program]
    def key(self, key):
        return self.things[key["thing"]] if type(key) is dict else key
    def show(self, key):
        return {"thing": key.number} if isinstance(key, Thing) else key
    def do(self, what, operation, key, value):
        c = self.baggage[what]
        key = self.key(key)
        is_set = what == "set"
        match operation:
            case "put":
                c.add(key) if is_set else c.__setitem__(key, value)
                return None
            case "remove":
                try:
                    return c.remove(key) if is_set else c.pop(key)
                except KeyError:
                    return "KeyError"
            case "look":
                return [key in c, None if is_set else c.get(key, "nothing"), len(c)]
            case "list":
                return [self.show(k) for k in c] if is_set else [[self.show(k), v] for k, v in c.items()]
            case "reverse":
                return [self.show(k) for k in reversed(c)]
            case "from":
                return [] if isinstance(key, Thing) else [self.show(k) for k in c.between(key)]
            case "until":
                return [] if isinstance(key, Thing) else [self.show(k) for k in c.between(stop=key)]
            case "clear from":
                return None if isinstance(key, Thing) else c.between(key).clear()
            case "thin":
                for k in c:
                    if len(c) % 2:
                        c.discard(k) if is_set else c.pop(k)
                return len(c)
def build_root_object(powers, parameters, baggage):
    return Root(baggage)
"""

_OPERATIONS = ["put"] * 6 + ["remove", "remove", "look", "list", "reverse", "from", "until", "clear from", "thin"]
_BETWEEN = ["upgrade", "replay", "bringOutYourDead", "nothing", "nothing"]

keys = st.one_of(
    st.sampled_from([{"thing": 0}, {"thing": 1}, {"thing": 2}, 1, 1.0, True, None, "", "a", "b", 0, -1, math.inf]),
    st.integers(-3, 12),
    st.integers(),
    st.floats(allow_nan=False),
    st.text("ab|{~\0é", max_size=3),
    st.booleans(),
    st.just(Undefined),
    st.sampled_from("abc").map(Symbol),
)
values = st.one_of(st.integers(-2, 2), st.text(max_size=3), st.lists(st.integers(0, 3), max_size=2))
steps = st.tuples(st.sampled_from(["map", "own", "set"]), st.sampled_from(_OPERATIONS), keys, values)
programs = st.lists(st.tuples(st.lists(steps, max_size=8), st.sampled_from(_BETWEEN)), max_size=6)


class Model:
    """A map or set in plain Python."""

    def __init__(self):
        self.entries = {}
        self.ordinals = {}

    def rank(self, key):
        """Where a key belongs; for things, where it was last put in anew."""
        if isinstance(key, dict):
            return list(SCALARS).index(int) + 0.5, self.ordinals.get(key["thing"], 0)
        value = key + 0.0 if isinstance(key, float) else key.name if isinstance(key, Symbol) else key
        return list(SCALARS).index(type(key)), 0 if value in (None, Undefined) else value

    def do(self, operation, key, value):  # noqa: C901 (a table of operations)
        rank = self.rank(key)
        is_thing = isinstance(key, dict)
        ordered = dict(sorted(self.entries.items()))
        match operation:
            case "put":
                if is_thing and rank not in self.entries:
                    self.ordinals[key["thing"]] = max(self.ordinals.values(), default=0) + 1
                    rank = self.rank(key)
                self.entries[rank] = key + 0.0 if isinstance(key, float) else key, value
                return None
            case "remove":
                return self.entries.pop(rank, (None, "KeyError"))[1]
            case "look":
                return [rank in self.entries, self.entries.get(rank, (None, "nothing"))[1], len(self.entries)]
            case "list":
                return [list(entry) for entry in ordered.values()]
            case "reverse":
                return [key for key, _ in reversed(ordered.values())]
            case "from":
                return [] if is_thing else [each for at, (each, _) in ordered.items() if at >= rank]
            case "until":
                return [] if is_thing else [each for at, (each, _) in ordered.items() if at < rank]
            case "clear from":
                if not is_thing:
                    self.entries = {at: entry for at, entry in self.entries.items() if at < rank}
                return None
            case "thin":
                for at in ordered:
                    if len(self.entries) % 2:
                        del self.entries[at]
                return len(self.entries)


def expected_of(model, what, operation, key, value):
    result = model.do(operation, key, value)
    if what != "set":
        return result
    match operation:
        case "remove":
            return result if result == "KeyError" else None
        case "look":
            return [result[0], None, result[2]]
        case "list":
            return [each for each, _ in result]
    return result


@pytest.mark.parametrize("entries_max", [2, 5_000])
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(programs)
def test_collections_do_what_a_dict_and_a_set_do(entries_max, program):
    with patch("kernel_py.vat.states.STATES_MAX", entries_max), patch("kernel_py.vat.cache.ENTRIES_MAX", entries_max):
        vat = DrivenVat(SOURCE)
        vat.call("start")
        models = {"map": Model(), "own": Model(), "set": Model()}
        for batch, between in program:
            [(_, (_, results))] = vat.call("run", [list(step) for step in batch])
            for step, result in zip(batch, results, strict=True):
                assert repr(result) == repr(expected_of(models[step[0]], *step)), step
            match between:
                case "upgrade":
                    vat.upgrade(SOURCE)
                case "replay":
                    vat = vat.replayed()
                case "bringOutYourDead":
                    assert vat.bring_out_your_dead() == []
        assert len([key for key in vat.records if key.startswith("vom.o+d")]) == 3


def test_the_model_can_fail():
    vat = DrivenVat(SOURCE)
    vat.call("start")
    [(_, (_, results))] = vat.call("run", [["map", "put", "a", 1], ["map", "list", None, None]])
    assert results[1] != Model().do("list", None, None)
    assert vat.call("run", [["map", "look", {"thing": 0}, 0]]) != [("resolve", ("p-60", [[True, Ref("o-1"), 1]]))]
