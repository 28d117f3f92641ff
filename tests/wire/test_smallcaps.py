"""Both directions together. What only one of them does is in the tests of the encoder and the decoder."""

from __future__ import annotations

import contextlib
import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.limits import DEFAULT_LIMITS
from kernel_py.wire.passable import Symbol, Tagged, Undefined, make_remote_error
from kernel_py.wire.smallcaps import Marshal
from tests.oracle.maker import damage
from tests.oracle.neutral import Promise, Remotable, describe, make_marshal, normalize

TEXTS = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    [
        "",
        "!",
        "#tag",
        "#error",
        "$0",
        "+1",
        "__proto__",
        "constructor",
        "0",
        "1",
        "2",
        "10",
        "4294967295",
        "\ud83d\ude00",
        "\ude00\ud83d",
    ]
)
REMOTABLES = st.integers(0, 5).map(lambda number: Remotable(number, f"Alleged: {number}"))
LEAVES: st.SearchStrategy[object] = (
    st.none()
    | st.just(Undefined)
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXTS
    | st.binary()
    | st.sampled_from([Symbol("foo"), Symbol("@@iterator"), Symbol("@@@@x"), Symbol("")])
    | REMOTABLES
    | st.integers(0, 5).map(Promise)
    | st.builds(make_remote_error, TEXTS | st.sampled_from(["ValueError", "RangeError"]), TEXTS, st.none() | TEXTS)
)


def is_one_text_each(record: dict[str, object]) -> bool:
    """Whether no two keys are the same text, spelt with surrogates and without."""
    return len({key.encode("utf-16", "surrogatepass") for key in record}) == len(record)


def containers(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(TEXTS, inner, max_size=5).filter(is_one_text_each)
        | st.builds(Tagged, TEXTS, inner)
    )


PASSABLES = st.recursive(LEAVES, containers, max_leaves=20)


def shuffle(value: object, order: random.Random) -> object:
    """`value` with the keys of its records in another order, and tuples for lists."""
    match value:
        case dict():
            items = [(key, shuffle(item, order)) for key, item in value.items()]
            order.shuffle(items)
            return dict(items)
        case list() | tuple():
            return tuple(shuffle(item, order) for item in value)
        case Tagged(tag, payload):
            return Tagged(tag, shuffle(payload, order))
        case _:
            return value


def comparable(value: object) -> list[Any]:
    """What equal passables have in common; bytes, which the oracle has not, included."""
    match value:
        case bytes():
            return ["bytes", value.hex()]
        case list() | tuple():
            return ["array", [comparable(item) for item in value]]
        case dict():
            return [
                "record",
                sorted([key.encode("utf-16-be", "surrogatepass"), comparable(item)] for key, item in value.items()),
            ]
        case Tagged(tag, payload):
            return ["tagged", tag.encode("utf-16-be", "surrogatepass"), comparable(payload)]
        case _:
            return normalize(describe(value))


@given(PASSABLES)
def test_value_comes_back_equal(value: object) -> None:
    marshal = make_marshal()
    again = marshal.unserialize(marshal.serialize(value))
    assert comparable(again) == comparable(value)


@given(PASSABLES, st.randoms(use_true_random=False))
def test_equal_values_have_equal_bodies(value: object, order: random.Random) -> None:
    marshal = make_marshal()
    assert marshal.serialize(shuffle(value, order)) == marshal.serialize(value)


@given(PASSABLES)
def test_what_comes_back_has_the_same_body(value: object) -> None:
    marshal = make_marshal()
    data = marshal.serialize(value)
    assert marshal.serialize(marshal.unserialize(data)) == data


@given(PASSABLES)
def test_body_is_well_formed_json_behind_a_mark(value: object) -> None:
    body = make_marshal().serialize(value).body
    assert body[0] == "#"
    json.loads(body[1:].encode())


@given(PASSABLES)
def test_every_slot_is_mentioned_and_none_twice(value: object) -> None:
    data = make_marshal().serialize(value)
    assert len(frozenset(data.slots)) == len(data.slots)
    for index in range(len(data.slots)):
        assert f'"${index}' in data.body or f'"&{index}"' in data.body


@given(PASSABLES, st.randoms(use_true_random=False))
def test_damaged_body_decodes_or_is_refused_with_a_marshal_error(value: object, chance: random.Random) -> None:
    marshal = make_lenient_marshal()
    data = make_marshal().serialize(value)
    damaged = CapData(damage(data.body, chance), data.slots[: chance.randrange(len(data.slots) + 1)])
    try:
        again = marshal.unserialize(damaged)
    except MarshalError:
        return
    marshal.serialize(again)


@given(st.text(max_size=30), st.lists(st.just("o-1"), max_size=2))
def test_any_text_decodes_or_is_refused_with_a_marshal_error(text: str, slots: list[str]) -> None:
    for body in (text, "#" + text, f"#{json.dumps(text)}", f"#[{json.dumps('$' + text)}]"):
        with contextlib.suppress(MarshalError):
            make_lenient_marshal().unserialize(CapData(body, tuple(slots)))


def make_lenient_marshal() -> Marshal:
    return Marshal(
        value_to_slot=lambda value: (value.slot, value.iface) if isinstance(value, Reference) else None,
        slot_to_value=lambda slot, iface, is_promise: Reference(slot, None if is_promise else iface or ""),
    )


class Reference:
    def __init__(self, slot: str, iface: str | None) -> None:
        self.slot = slot
        self.iface = iface


# Named cases ---------------------------------------------------------------------------------


def comes_back(value: object) -> object:
    marshal = make_marshal()
    return marshal.unserialize(marshal.serialize(value))


def test_tuple_comes_back_as_a_list() -> None:
    assert comes_back((1, (2, ()))) == [1, [2, []]]


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", b"1", None, Undefined], ids=repr)
def test_value_comes_back_as_the_type_it_was(value: object) -> None:
    again = comes_back([value])
    assert again == [value]
    assert type(again[0]) is type(value)  # type: ignore[index]


def test_nan_comes_back() -> None:
    (again,) = comes_back([math.nan])  # type: ignore[misc]
    assert math.isnan(again)


def test_record_comes_back_in_canonical_order() -> None:
    again = comes_back({"b": 1, "10": 2, "a": 3, "2": 4, "": 5, "-1": 6})
    assert list(again) == ["2", "10", "", "-1", "a", "b"]  # type: ignore[call-overload]


def test_pair_of_surrogates_comes_back_as_one_character() -> None:
    assert comes_back("\ud83d\ude00\ude00\ud83d") == "😀\ude00\ud83d"


def test_exception_comes_back_as_the_builtin_that_it_was() -> None:
    again = comes_back(KeyError("owner"))
    assert isinstance(again, KeyError)
    assert str(again) == "'owner'"
    assert str(comes_back(again)) == "'owner'"


def test_remote_error_keeps_its_id_by_default() -> None:
    marshal = Marshal(value_to_slot=lambda value: None, slot_to_value=lambda slot, iface, is_promise: None)
    again = marshal.unserialize(marshal.serialize(make_remote_error("E", "m", "error:v1#1")))
    assert again.error_id == "error:v1#1"  # type: ignore[attr-defined]


NESTINGS = {
    "arrays": lambda inner: [inner],
    "records": lambda inner: {"a": inner},
    "records with escaped keys": lambda inner: {"!": inner, "1": 0},
    "tagged values": lambda inner: Tagged("#", inner),
}


@pytest.mark.parametrize("nest", NESTINGS.values(), ids=NESTINGS)
def test_nesting_up_to_the_limit_comes_back_and_no_further(nest: Any) -> None:
    marshal = make_marshal()
    value: object = ValueError("in the depth")
    for _ in range(DEFAULT_LIMITS.passable_depth_max):
        value = nest(value)
    body = marshal.serialize(value).body
    assert marshal.serialize(marshal.unserialize(CapData(body))).body == body
    with pytest.raises(MarshalError, match="nested more than 200 deep"):
        marshal.serialize(nest(value))
    before, after = marshal.serialize(nest("@")).body[1:].split('"@"')
    with pytest.raises(MarshalError, match="nested more than 200 deep"):
        marshal.unserialize(CapData("#" + before * 201 + "0" + after * 201))


def test_nesting_beyond_any_stack_is_refused() -> None:
    for opening in ("[", '{"a":', '{"#tag":"a","payload":', '{"#error":"","name":"","cause":'):
        with pytest.raises(MarshalError, match="nested more than 200 deep"):
            make_marshal().unserialize(CapData("#" + opening * 100_000))


def test_caller_with_little_stack_left_gets_a_marshal_error() -> None:
    marshal = make_marshal()
    deep = CapData("#" + "[" * 150 + "]" * 150)
    value = marshal.unserialize(deep)
    refused: list[str] = []

    def descend() -> None:
        try:
            descend()
        except RecursionError:
            for act in (lambda: marshal.unserialize(deep), lambda: marshal.serialize(value)):
                try:
                    act()
                except MarshalError as error:
                    refused.append(str(error))
            raise

    with pytest.raises(RecursionError):
        descend()
    assert refused
    assert all("nested" in text for text in refused)
