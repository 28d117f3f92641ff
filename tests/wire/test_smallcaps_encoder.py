from __future__ import annotations

import collections
import dataclasses
import decimal
import enum
import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from kernel_py.wire import smallcaps_encoder
from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.limits import Limits
from kernel_py.wire.passable import Symbol, Tagged, Undefined, make_remote_error
from kernel_py.wire.smallcaps import Marshal
from tests.oracle.neutral import Promise, Remotable, make_marshal

COUNTER = Remotable(3, "Alleged: Counter")
OTHER = Remotable(4, "DebugName: other.one")


def body_of(value: object) -> str:
    return make_marshal().serialize(value).body


def refusal_of(value: object, path: str = "args", **limits: int) -> MarshalError:
    marshal = Marshal(
        value_to_slot=lambda value: (f"o-{value.number}", value.iface) if isinstance(value, Remotable) else None,
        slot_to_value=lambda slot, iface, is_promise: None,
        limits=Limits(**limits),
    )
    with pytest.raises(MarshalError) as caught:
        marshal.serialize(value, path)
    return caught.value


@pytest.mark.parametrize(
    "value, body",
    [
        (None, "#null"),
        (True, "#true"),
        (False, "#false"),
        (Undefined, '#"#undefined"'),
        (math.nan, '#"#NaN"'),
        (math.inf, '#"#Infinity"'),
        (-math.inf, '#"#-Infinity"'),
        (5.0, "#5"),
        (-0.0, "#0"),
        (0.5, "#0.5"),
        (5, '#"+5"'),
        (-5, '#"-5"'),
        (0, '#"+0"'),
        (10**15, '#"+1000000000000000"'),
        (-(10**30), '#"-1000000000000000000000000000000"'),
        ("", '#""'),
        ("abc", '#"abc"'),
        ("é\u2028😀\x7f", '#"é\u2028😀\x7f"'),
        ('"\\/\b\f\n\r\t\0\x1f', '#"!\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f"'),
        ("\ud800", '#"\\ud800"'),
        ("a\udfffb\ud83d\ude00\\ud800", '#"a\\udfffb😀\\\\ud800"'),
        (b"", '#"*"'),
        (b"\x00\xff", '#"*00ff"'),
        (Symbol("foo"), '#"%foo"'),
        (Symbol("@@asyncIterator"), '#"%@@asyncIterator"'),
        (Symbol("@@@@x"), '#"%@@@@x"'),
        ([], "#[]"),
        ([1.0, [None]], "#[1,[null]]"),
        ((1.0, ()), "#[1,[]]"),
        ({}, "#{}"),
        ({"b": 1.0, "a": {"c": []}}, '#{"a":{"c":[]},"b":1}'),
        (Tagged("set", [1.0]), '#{"#tag":"set","payload":[1]}'),
        (Tagged("#tag", Tagged("", None)), '#{"#tag":"!#tag","payload":{"#tag":"","payload":null}}'),
        (Promise(5), '#"&0"'),
        (COUNTER, '#"$0.Alleged: Counter"'),
        (Remotable(5, 'Alleged: "\n'), '#"$0.Alleged: \\"\\n"'),
        (Remotable(5, ""), '#"$0"'),
    ],
    ids=repr,
)
def test_value_is_encoded_as(value: object, body: str) -> None:
    assert body_of(value) == body


@pytest.mark.parametrize("character", [chr(code) for code in range(0x20, 0x30)])
def test_string_is_escaped_only_if_it_begins_with_a_special_character(character: str) -> None:
    is_special = "!" <= character <= "-"
    expected = '"' + ("!" if is_special else "") + ("\\" if character == '"' else "") + character + 'x"'
    assert body_of([character + "x"]) == f"#[{expected}]"
    assert body_of({character + "x": 0.0}) == f"#{{{expected}:0}}"


def test_keys_are_ordered_as_javascript_does() -> None:
    keys = [
        *("b", "a", "10", "2", "01", "-1", "1.5", "1e3", "4294967294", "4294967295", "9007199254740991"),
        *("", "!", ".", "é", "٣", "²", "\uffff", "😀", "\ud800", "\udfff"),
    ]
    body = body_of(dict.fromkeys(keys))
    assert body == (
        '#{"2":null,"10":null,"4294967294":null,"":null,"!!":null,"!-1":null,".":null,"01":null,"1.5":null,"1e3":null,'
        '"4294967295":null,"9007199254740991":null,"a":null,"b":null,"²":null,"é":null,"٣":null,"\\ud800":null,"😀":null,'
        '"\\udfff":null,"\uffff":null}'
    )


def test_names_that_javascript_objects_inherit_are_keys_like_others() -> None:
    assert (
        body_of({"toString": 1.0, "constructor": 2.0, "__proto__": 3.0})
        == '#{"__proto__":3,"constructor":2,"toString":1}'
    )


def test_keys_that_are_the_same_text_are_refused() -> None:
    error = refusal_of([{"😀": 1, "\ud83d\ude00": 2}])
    assert error.path == "args[0]"
    assert "the same text" in str(error)


def test_shapes_of_records_are_forgotten_before_they_fill_the_memory() -> None:
    for number in range(3_000):
        body_of({f"key {number}": None})
    body_of({"x" * 100_000: None})
    body_of(dict.fromkeys(map(str, range(10_000))))
    assert len(smallcaps_encoder._shapes) <= 1_000
    assert all(sum(map(len, keys)) <= 1_000 for keys in smallcaps_encoder._shapes)


# References ----------------------------------------------------------------------------------


def test_reference_has_one_slot_and_states_its_interface_once() -> None:
    data = make_marshal().serialize([COUNTER, Promise(5), OTHER, COUNTER, Promise(5)])
    assert data == CapData('#["$0.Alleged: Counter","&1","$2.DebugName: other.one","$0","&1"]', ("o-3", "p-5", "o-4"))


def test_slots_are_numbered_in_the_order_of_the_walk_not_of_the_text() -> None:
    data = make_marshal().serialize({"10": COUNTER, "2": [COUNTER, OTHER]})
    assert data == CapData('#{"2":["$0","$1.DebugName: other.one"],"10":"$0.Alleged: Counter"}', ("o-3", "o-4"))


def test_interface_that_alleges_nothing_is_refused() -> None:
    assert "not 'Counter'" in str(refusal_of([Remotable(1, "Counter")]))


def test_references_over_the_limit_are_refused() -> None:
    values = [Remotable(number, "Alleged: X") for number in range(4)]
    assert refusal_of(values, slots_max=3).path == "args[3]"


def test_what_value_to_slot_raises_passes_through() -> None:
    def fail(value: object) -> None:
        raise LookupError("not mine")

    marshal = Marshal(value_to_slot=fail, slot_to_value=lambda slot, iface, is_promise: None)
    with pytest.raises(LookupError, match="not mine"):
        marshal.serialize([object()])


def test_value_to_slot_may_serialize_a_value_itself() -> None:
    inner: list[CapData] = []

    def value_to_slot(value: object) -> tuple[str, str | None] | None:
        inner.append(marshal.serialize([Undefined, {"a": 1}]))
        return "o+1", "Alleged: X"

    marshal = Marshal(value_to_slot=value_to_slot, slot_to_value=lambda slot, iface, is_promise: None)
    assert marshal.serialize([[object()], 1]).body == '#[["$0.Alleged: X"],"+1"]'
    assert inner[0].body == '#["#undefined",{"a":"+1"}]'


# Errors --------------------------------------------------------------------------------------


class InsufficientFunds(ValueError):
    pass


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "error, body",
    [
        (ValueError("no"), '#{"#error":"no","name":"ValueError"}'),
        (ValueError(), '#{"#error":"","name":"ValueError"}'),
        (ValueError("a", 1), '#{"#error":"(\'a\', 1)","name":"ValueError"}'.replace('"(', '"!(')),
        (KeyError("x"), '#{"#error":"!\'x\'","name":"KeyError"}'),
        (InsufficientFunds("#no"), '#{"#error":"!#no","name":"InsufficientFunds"}'),
        (KeyboardInterrupt("stop"), '#{"#error":"stop","name":"KeyboardInterrupt"}'),
        (make_remote_error("RangeError", "far", None), '#{"#error":"far","name":"RangeError"}'),
        (make_remote_error("+1", "-1", None), '#{"#error":"!-1","name":"!+1"}'),
        (Unprintable(), '#{"#error":"!(Unprintable whose text cannot be made)","name":"Unprintable"}'),
    ],
    ids=repr,
)
def test_exception_is_encoded_by_its_types_name_and_its_text(error: BaseException, body: str) -> None:
    assert body_of(error) == body


def test_remote_error_that_was_tampered_with_is_encoded_all_the_same() -> None:
    error = make_remote_error("KeyError", "text", None)
    error.name = error.message = 5  # type: ignore[assignment]
    assert body_of(error) == '#{"#error":"!(RemoteKeyError whose text cannot be made)","name":"RemoteKeyError"}'


def test_id_of_an_error_stands_before_its_name() -> None:
    body = make_marshal(ids=True).serialize([ValueError("a"), ValueError("b")]).body
    assert body == (
        '#[{"#error":"a","errorId":"error:oracle#1","name":"ValueError"},'
        '{"#error":"b","errorId":"error:oracle#2","name":"ValueError"}]'
    )


def test_long_text_of_an_error_is_cut_in_the_middle() -> None:
    marshal = Marshal(
        value_to_slot=lambda value: None, slot_to_value=lambda *_: None, limits=Limits(error_chars_max=100)
    )
    body = marshal.serialize(ValueError("a" * 1000 + "z")).body
    assert "characters left out" in body
    assert len(body) < 150
    assert marshal.serialize(marshal.unserialize(CapData(body))).body == body


# What is not passable ------------------------------------------------------------------------


class Color(enum.IntEnum):
    RED = 1


class Word(str):
    __slots__ = ()


class Point(NamedTuple):
    x: int


@dataclasses.dataclass
class Account:
    owner: str


async def coroutine_function() -> None:
    pass


@pytest.mark.parametrize(
    "value, advice",
    [
        ({1}, "a set is not passable; use a list"),
        (frozenset(), "a frozenset is not passable; use a list"),
        (bytearray(b"x"), "a bytearray is not passable; use bytes(value)"),
        (memoryview(b"x"), "a memoryview is not passable; use bytes(value)"),
        (1j, "a complex is not passable; use a list of two floats"),
        (range(3), "a range is not passable; use list(value)"),
        ({}.keys(), "a dict_keys is not passable; use list(value)"),
        (decimal.Decimal(1), "a Decimal is not passable; use str(value)"),
        (Color.RED, "a Color is not passable, though it is a kind of int; use int(value)"),
        (Word("x"), "a Word is not passable, though it is a kind of str; use str(value)"),
        (Point(1), "a Point is not passable, though it is a kind of tuple; use tuple(value)"),
        (collections.OrderedDict(), "an OrderedDict is not passable, though it is a kind of dict; use dict(value)"),
        (
            Account("me"),
            "an Account is not passable; pass a reference to it by making it an Exo, or its data as a dict",
        ),
        (Account, "a type is not passable; pass its name, or a far object instead"),
        (len, "a builtin_function_or_method is not passable; pass a far object with a method instead"),
        (coroutine_function, "a function is not passable; pass a far object with a method instead"),
        (Account("me").__init__, "a method is not passable; pass the object that it belongs to instead"),
        (..., "an ellipsis is not passable; use None or Undefined"),
        (math, "a module is not passable; pass a far object instead"),
        (10**20_000, "an integer of more than 20,000 digits is not passable; use bytes"),
        ({1: 2}, "the keys of a record are str, and 1 is an int; use str(key), or a list of pairs"),
        ({Word("a"): 2}, "the keys of a record are str, and 'a' is a Word; use str(key), or a list of pairs"),
        (Tagged(1, 2), "the tag of a tagged value is a str, not an int"),  # type: ignore[arg-type]
        (Symbol(1), "the name of a symbol is a str, not an int"),  # type: ignore[arg-type]
        (Symbol("@@x"), "'@@x' is not a well-known symbol; the registered one is Symbol('@@@@x')"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_that_is_not_passable_is_refused_with_advice(value: object, advice: str) -> None:
    assert str(refusal_of([value])) == f"args[0]: {advice}"


def test_record_with_a_key_of_another_type_is_refused_even_after_one_with_equal_keys() -> None:
    body_of({"a": 1})
    assert "a Word" in str(refusal_of({Word("a"): 1}))


def test_coroutine_is_refused_with_advice() -> None:
    coroutine = coroutine_function()
    assert "await it" in str(refusal_of(coroutine))
    coroutine.close()


@pytest.mark.parametrize(
    "bury, path",
    [
        (lambda culprit: culprit, "args"),
        (lambda culprit: [1, "x", culprit], "args[2]"),
        (lambda culprit: ({"owner": culprit, "z": 0},), "args[0]['owner']"),
        (lambda culprit: {"10": 0, "2": {"!x": [culprit]}, "1": 0}, "args['2']['!x'][0]"),
        (lambda culprit: Tagged("t", [culprit]), "args.payload[0]"),
        (lambda culprit: [[{"a": Tagged("t", {"b": culprit})}]], "args[0][0]['a'].payload['b']"),
    ],
)
def test_path_leads_to_the_culprit(bury: Callable[[object], object], path: str) -> None:
    error = refusal_of(bury({1}))
    assert error.path == path
    assert str(error) == f"{path}: a set is not passable; use a list"


def test_path_without_a_root_begins_with_the_first_step() -> None:
    assert refusal_of([{1}], "").path == "[0]"


# Cycles and size -----------------------------------------------------------------------------


def test_list_that_contains_itself_is_refused_where_it_does() -> None:
    cycle: list[Any] = [0]
    cycle.append(cycle)
    error = refusal_of([cycle])
    assert error.path == "args[0][1]"
    assert "contains itself" in str(error)


def test_longer_cycle_is_refused_where_it_closes() -> None:
    cycle: dict[str, Any] = {"a": 1}
    cycle["tag"] = Tagged("t", [cycle])
    error = refusal_of(cycle)
    assert error.path == "args['tag'].payload[0]"


def test_same_list_twice_is_no_cycle() -> None:
    shared: list[object] = []
    assert body_of([shared, shared]) == "#[[],[]]"


def test_body_over_the_limit_is_refused() -> None:
    assert "more than 1,000 characters" in str(refusal_of("x" * 2_000, body_chars_max=1_000))
    assert "more than 1,000 characters" in str(refusal_of(["x" * 2_000], body_chars_max=1_000))
    # What the limit counts is the body, in which every control character takes six.
    assert "more than 1,000 characters" in str(refusal_of("\0" * 200, body_chars_max=1_000))
    assert "more than 1,000 characters" in str(refusal_of("\ud800" * 200, body_chars_max=1_000))


def test_body_at_the_limit_passes() -> None:
    marshal = Marshal(
        value_to_slot=lambda value: None, slot_to_value=lambda *_: None, limits=Limits(body_chars_max=1_000)
    )
    data = marshal.serialize("x" * 997)
    assert len(data.body) == 1_000
    assert marshal.unserialize(data) == "x" * 997


def test_value_that_doubles_at_every_level_is_refused_in_time() -> None:
    value: list[object] = []
    for _ in range(190):
        value = [value, value]
    assert "characters" in str(refusal_of(value, body_chars_max=100_000))


def test_a_read_only_mapping_is_a_record():
    frozen = MappingProxyType({"b": (1,), "a": MappingProxyType({})})
    marshal = Marshal(value_to_slot=lambda _: None, slot_to_value=lambda *_: None)
    assert marshal.serialize(frozen).body == marshal.serialize({"a": {}, "b": [1]}).body == '#{"a":{},"b":["+1"]}'
    with pytest.raises(MarshalError, match=r"^x\['b'\]\[0\]: a set is not passable"):
        marshal.serialize(MappingProxyType({"b": ({1},)}), "x")
