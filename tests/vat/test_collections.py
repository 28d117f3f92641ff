"""Collections in the vat store."""

from __future__ import annotations

import json

import pytest

from tests.vat.driving import DrivenVat, Ref
from tests.vat.test_durable import evaluate, run

SOURCE = """
from collections.abc import Container, MutableMapping, MutableSet
class Thing(Durable):
    name: str = ""
class Memo(Virtual): pass
class Local(Exo): pass
class Root(Exo):
    def run(self, source, *args):
        scope = globals() | {"root": self, "args": args}
        exec(source, scope)
        return scope.get("result")
"""
KINDS = ["Durable", "Virtual"]


@pytest.fixture
def vat():
    return DrivenVat(SOURCE)


# Maps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_is_a_mutable_mapping(vat, kind):
    source = f"""
m = {kind}Map({{"b": 2}}, a=1)
m["c"] = [1, {{"x": None}}]
m.setdefault("d", 4)
m.update({{"e": 5}}, f=6)
m["a"] += 10
assert isinstance(m, MutableMapping)
assert m == {{"a": 11, "b": 2, "c": (1, {{"x": None}}), "d": 4, "e": 5, "f": 6}}
assert (len(m), "a" in m, "x" in m, m.get("x"), m.get("x", 9)) == (6, True, False, None, 9)
assert (list(m), list(reversed(m))) == (list("abcdef"), list("fedcba"))
assert (list(m.values())[:2], list(m.items())[0], m.keys() & {{"a", "z"}}) == ([11, 2], ("a", 11), {{"a"}})
assert (m.pop("d"), m.pop("d", None), len(m)) == (4, None, 5)
del m["e"]
assert m.popitem() == ("a", 11)
m.clear()
assert (len(m), list(m), bool(m)) == (0, [], False)
result = "done"
"""
    assert run(vat, source) == "done"


@pytest.mark.parametrize("source", ["m['x']", "del m['x']", "m.pop('x')", "m[None]", "m[Thing()]", "m[Local()]"])
def test_what_is_not_in_a_map_raises_a_key_error(vat, source):
    assert run(vat, f"m = DurableMap(a=1)\n{source}").startswith("KeyError")


def test_keys_are_in_order_of_type_and_value_and_references_of_insertion(vat):
    source = """
b, a = Thing(), Thing()
keys = [Undefined, "b", "", 10**30, -5, 2, 10, 1.5, -1.0, True, False, None, b, args[0], a, Symbol("s"), 1, 1.0]
m = DurableMap((key, n) for n, key in enumerate(keys))
del m[b]
m[b] = 0
assert list(m)[:10] == [False, True, -1.0, 1.0, 1.5, -5, 1, 2, 10, 10**30]
assert list(m)[10:] == [args[0], a, b, "", "b", None, Symbol("s"), Undefined]
assert [type(key) for key in list(m)[:4]] == [bool, bool, float, float]
assert [list(m.of_type(t)) for t in (bool, int, float, str, object)] == [
    [False, True], [-5, 1, 2, 10, 10**30], [-1.0, 1.0, 1.5], ["", "b"], [args[0], a, b]]
result = len(m)
"""
    assert run(vat, source, Ref("o-50")) == 18


def test_keys_are_scalars_and_references(vat):
    for key, what in (("b'x'", "bytes"), ("(1,)", "tuple"), ("[1]", "list"), ("{}", "dict"), ("object()", "object")):
        for use in ("m[{}]", "m[{}] = 1", "{} in m", "m.get({})"):
            error = run(vat, f"m = DurableMap()\n{use.format(key)}")
            assert error.startswith("MarshalError: a key is a bool, float, int, str, None, or a far object or presence")
            assert error.endswith(f"not {what}")
    assert run(vat, "DurableMap()[make_promise()[0]] = 1").startswith(
        "MarshalError: key: a promise lives in the heap only"
    )


def test_oversized_keys_are_refused_and_nothing_is_kept(vat):
    assert run(vat, "root.m = m = DurableMap(); m['x' * 220] = 1") == (
        "MarshalError: a key has at most 220 characters, not 221"
    )
    assert run(vat, "root.m['x' * 219] = 1; result = [len(root.m), len(list(root.m)[0])]") == [1, 219]


def test_ranges_are_views_in_the_order_of_keys(vat):
    source = """
m = DurableMap({"ab": 1, "abc": 2, "b": 3, "": 0, 5: "five", 50: "fifty", -5: "minus"})
assert dict(m.between("ab", "b")) == {"ab": 1, "abc": 2}
assert list(m.between("b")) == ["b"]
assert list(m.between(stop=6)) == [-5, 5]
assert list(m.between()) == list(m)
assert list(m.between(0, "a")) == [5, 50, ""]
assert dict(m.starting_with("ab")) == {"ab": 1, "abc": 2}
assert list(m.starting_with("")) == ["", "ab", "abc", "b"]
r = m.between("a", "b")
assert (len(r), "ab" in r, "b" in r, r["abc"], r.get("b")) == (2, True, False, 2, None)
assert list(reversed(r)) == ["abc", "ab"]
assert [k for k, v in r.items() if v > 1] == ["abc"]
m["aa"] = 9
assert list(r) == ["aa", "ab", "abc"]          # it follows the map
r.clear()
assert list(m) == [-5, 5, 50, "", "b"]
assert len(m) == 5
result = repr(m.of_type(int))
"""
    assert run(vat, source) == "{-5: 'minus', 5: 'five', 50: 'fifty'}"
    assert evaluate(vat, "DurableMap().between('a', 'b')['c']") == "KeyError: 'c'"
    assert evaluate(vat, "DurableMap().between(Thing())") == "MarshalError: a bound is a scalar, not Thing"


def test_prefixes_reach_to_the_last_character(vat):
    source = r"""
s = DurableSet(["a\U0010ffff", "a\U0010ffffz", "b", "a\ud7ff", "a\ue000", "a"])
result = [len(s.starting_with("a")), len(s.starting_with("a\U0010ffff")), len(s.starting_with("a\ud7ff"))]
"""
    assert run(vat, source) == [5, 2, 1]


# Sets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_is_a_mutable_set(vat, kind):
    source = f"""
s = {kind}Set([3, 1, 2, 3])
assert isinstance(s, MutableSet)
assert (list(s), len(s), 3 in s, 4 in s) == ([1, 2, 3], 3, True, False)
s.add(4)
s.update([5, 6])
s.discard(6)
s.discard(7)
s.remove(5)
assert s == {{1, 2, 3, 4}}
assert (s & {{1, 9}}, s | {{9}}, s - {{1}}, s ^ {{1, 9}}) == ({{1}}, {{1, 2, 3, 4, 9}}, {{2, 3, 4}}, {{2, 3, 4, 9}})
assert {{1}} <= s and s.isdisjoint({{7}})
s |= {{8}}
assert (list(s.between(2, 4)), list(s.between(3)), s.between(2, 4) == {{2, 3}}) == ([2, 3], [3, 4, 8], True)
assert (s.between(2, 4) | {{0}}, repr(s.between(2, 4)), list(reversed(s))[0]) == ({{0, 2, 3}}, "[2, 3]", 8)
assert s.pop() == 1
s.between(2, 4).clear()
assert list(s) == [4, 8]
s.clear()
assert not s
try:
    s.remove(1)
except KeyError as error:
    result = str(error)
"""
    assert run(vat, source) == "1"


# Iteration -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", ["DurableMap({n: n for n in range(6)})", "DurableSet(range(6))"])
def test_entries_may_be_removed_during_iteration(vat, make):
    source = f"""
c = {make}
seen = []
for key in c:
    seen.append(key)
    if key == 1:
        for gone in (0, 1, 2, 4):
            c.pop(gone) if isinstance(c, MutableMapping) else c.remove(gone)
result = [seen, list(c)]
"""
    assert run(vat, source) == [[0, 1, 3, 5], [3, 5]]


@pytest.mark.parametrize(
    "make, add", [("DurableMap({1: 1, 2: 2})", "c[3] = 3"), ("VirtualSet([1, 2])", "c.add(3)")], ids=["map", "set"]
)
def test_adding_during_iteration_raises(vat, make, add):
    assert run(vat, f"c = {make}\nfor key in c: {add}").startswith("RuntimeError: a key was added to a ")
    assert run(vat, f"c = {make}\nfor key in reversed(c): {add}").startswith("RuntimeError: a key was added to a ")


def test_changing_values_during_iteration_is_no_addition(vat):
    assert run(vat, "m = DurableMap(a=1, b=2)\nfor key in m: m[key] += 1\nresult = list(m.values())") == [2, 3]


def test_an_iteration_goes_on_in_later_deliveries(vat):
    vat = DrivenVat("""
        class Root(Exo):
            def __init__(self): self.set = DurableSet(range(4))
            async def walk(self, promise):
                seen = []
                for member in self.set:
                    seen.append(member)
                    if member == 1: await promise
                return seen
            def remove(self, member): self.set.remove(member)
        """)
    vat.call("walk", Ref("p-61"))
    vat.call("remove", 2, result="p-62")
    vat.bring_out_your_dead()
    assert vat.notify(("p-61", None)) == [("resolve", ("p-60", [0, 1, 3]))]


def test_iteration_looks_entries_up_one_by_one(vat):
    run(vat, "root.m = DurableMap({n: n for n in range(1000)})")
    store = vat.session._supervisor._store
    looks = []
    look = store.get_first_entry
    store.get_first_entry = lambda *bounds: looks.append(bounds) or look(*bounds)
    assert run(vat, "result = next(iter(root.m))") == 0
    assert len(looks) == 1


# Weak collections ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_weak_map_maps_references(vat, kind):
    source = f"""
a, b, friend = Thing(), Thing(), args[0]
w = {kind}WeakMap({{a: 1}})
w[friend] = [2]
w.update([(b, 3)])
assert isinstance(w, Container)
assert (a in w, Thing() in w, w[a], w.get(friend)) == (True, False, 1, (2,))
assert (w.get(Thing(), 9), w.setdefault(b, 8)) == (9, 3)
assert (w.pop(b), w.pop(b, None), b in w, w.setdefault(b), w[b]) == (3, None, False, None, None)
del w[a]
assert a not in w
result = [hasattr(w, name) for name in ("__iter__", "__len__", "keys")]
"""
    assert run(vat, source, Ref("o-50")) == [False] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_weak_set_has_references_as_members(vat, kind):
    source = f"""
a, b = Thing(), Thing()
s = {kind}WeakSet([a])
s.add(b)
assert (a in s, b in s, Thing() in s) == (True, True, False)
s.remove(a)
s.discard(a)
assert a not in s
try:
    s.remove(a)
except KeyError:
    result = "done"
"""
    assert run(vat, source) == "done"


@pytest.mark.parametrize("source", ["w[a]", "del w[a]", "w.pop(a)"])
def test_what_is_not_in_a_weak_map_raises_a_key_error(vat, source):
    assert run(vat, f"w, a = DurableWeakMap(), Thing()\n{source}").startswith("KeyError")


def test_keys_of_weak_collections_are_references_only(vat):
    for source in ("w['a'] = 1", "w[1]", "DurableWeakSet([None])", "'a' in w"):
        assert run(vat, f"w = DurableWeakMap()\n{source}").startswith("MarshalError: a key is")


# What may be kept ------------------------------------------------------------------------------


@pytest.mark.parametrize("thing", ["Local()", "Memo()", "VirtualSet()"])
@pytest.mark.parametrize(
    "source", ["DurableMap()[{}] = 1", "DurableMap(a={})", "DurableSet([{}])", "DurableWeakMap()[{}] = 1"]
)
def test_durable_collections_refuse_what_is_not_durable(vat, thing, source):
    error = run(vat, source.format(thing))
    assert error.startswith("MarshalError")
    assert "would be gone in the vat's next incarnation" in error


@pytest.mark.parametrize("thing", ["Local()", "Memo()", "VirtualSet()", "Thing()", "DurableSet()", "args[0]"])
@pytest.mark.parametrize(
    "source", ["VirtualMap()[{}] = 1", "VirtualMap(a={})", "VirtualSet([{}])", "VirtualWeakMap()[{}] = 1"]
)
def test_virtual_collections_keep_every_object(vat, thing, source):
    assert run(vat, f"{source.format(thing)}\nresult = 'kept'", Ref("o-50")) == "kept"


def test_a_refused_entry_leaves_nothing_behind(vat):
    run(vat, "root.m = DurableMap()")
    before = vat.records
    assert run(vat, "root.m[Thing()] = root").startswith("MarshalError")
    assert run(vat, "root.m[root] = [args[0]]", Ref("o-50")).startswith("MarshalError")
    vat.bring_out_your_dead()
    assert {key: value for key, value in vat.records.items() if key not in before} == {
        "vom.dkind.10.descriptor": vat.records["vom.dkind.10.descriptor"],
        "vom.dkind.10.nextID": "2",
    }


# Guards ----------------------------------------------------------------------------------------

GUARDED = (
    SOURCE
    + """
class Is:
    def __init__(self, kind): self.kind = kind
    def check(self, value, path):
        if type(value) is not self.kind:
            raise TypeError(f"{path}: {value!r} is no {self.kind.__name__}")
class Ages(DurableMap, key=Is(str), value=Is(int)):
    def birthday(self, name):
        self[name] += 1
        return self[name]
class Names(VirtualSet, key=Is(str)): pass
class Marks(DurableWeakMap, value=Is(int)): pass
"""
)


@pytest.mark.parametrize(
    "source, error",
    [
        ("Ages()[3] = 3", "TypeError: key of Ages: 3 is no str"),
        ("Ages()['a'] = 'b'", "TypeError: Ages['a']: 'b' is no int"),
        ("Ages(a=1).update(b=None)", "TypeError: Ages['b']: None is no int"),
        ("Names([3])", "TypeError: key of Names: 3 is no str"),
        ("Marks()[Thing()] = 'x'", "TypeError: Marks[Thing]: 'x' is no int"),
    ],
)
def test_guards_of_a_class_look_at_keys_and_values(source, error):
    vat = DrivenVat(GUARDED)
    assert run(vat, source) == error


def test_a_class_of_collections_is_a_kind_with_methods_of_its_own():
    vat = DrivenVat(GUARDED)
    assert evaluate(vat, "Ages(a=1)") == Ref("o+d10/3")
    assert vat.call("birthday", "a", target="o+d10/3") == [("resolve", ("p-60", 2))]
    assert json.loads(vat.records["vom.dkind.10.descriptor"])["base"] == "map"


# Records ---------------------------------------------------------------------------------------


def test_the_records_are_those_of_the_schema(vat):
    run(
        vat,
        "root.m = DurableMap({'a': args[0], 7: None, args[1]: 'x'}); root.w = VirtualWeakSet([args[0]])",
        *map(Ref, ("o-50", "o-51")),
    )
    records = {
        key: value for key, value in vat.records.items() if key.startswith(("vc.3", "vc.4", "vom.rc.o-", "vom.ir"))
    }
    assert records == {
        "vc.3.p1:7": '{"body":"#null","slots":[]}',
        "vc.3.r0000000001:o-51": '{"body":"#\\"x\\"","slots":[]}',
        "vc.3.sa": '{"body":"#\\"$0.Alleged: thing\\"","slots":["o-50"]}',
        "vc.3.|entryCount": "3",
        "vc.3.|nextOrdinal": "2",
        "vc.3.|o-51": "1",
        "vc.3.|schemata": '{"kindID":6,"isDurable":true,"isWeak":false}',
        "vc.4.r0000000001:o-50": '{"body":"#null","slots":[]}',
        "vc.4.|nextOrdinal": "2",
        "vc.4.|o-50": "1",
        "vc.4.|schemata": '{"kindID":5,"isDurable":false,"isWeak":true}',
        "vom.ir.o-50|4": "1",
        "vom.rc.o-50": "1",
        "vom.rc.o-51": "1",
    }
    run(vat, "root.m.clear(); root.w.discard(args[0])", Ref("o-50"))
    assert {key for key in vat.records if key.startswith(("vc.3", "vc.4", "vom.rc.o-", "vom.ir"))} == {
        "vc.3.|entryCount", "vc.3.|nextOrdinal", "vc.3.|schemata", "vc.4.|nextOrdinal", "vc.4.|schemata",
    }  # fmt: skip


def test_a_collection_is_a_far_object(vat):
    assert evaluate(vat, "DurableMap(a=1)") == Ref("o+d6/3")
    assert vat.call("get", "a", target="o+d6/3") == [("resolve", ("p-60", 1))]
    assert vat.call("pop", "b", target="o+d6/3")[0][1][1] == "rejected"


def test_types_can_be_written_as_those_of_dicts_are(vat):
    assert evaluate(vat, "str(DurableMap[str, int]).endswith('DurableMap[str, int]')") is True


# Baggage ---------------------------------------------------------------------------------------


def test_baggage_is_a_durable_map():
    vat = DrivenVat("""
        def build_root_object(powers, parameters, baggage):
            baggage["visits"] = baggage.get("visits", 0) + 1
            return Root(baggage)
        class Root(Exo):
            def __init__(self, baggage): self.baggage = baggage
            def tell(self): return [type(self.baggage).__name__, repr(self.baggage), dict(self.baggage)]
        """)
    assert vat.call("tell") == [("resolve", ("p-60", ["DurableMap", "<DurableMap o+d6/1>", {"visits": 1}]))]
    vat.bring_out_your_dead()
    assert vat.records["vc.1.svisits"] == '{"body":"#\\"+1\\"","slots":[]}'
