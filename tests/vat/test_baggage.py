"""Baggage is a dict that is still there in the vat's next incarnation."""

from __future__ import annotations

import pytest

from kernel_py.vat.baggage import Baggage
from kernel_py.vat.exo import Exo
from kernel_py.vat.loop import VatLoop
from kernel_py.vat.promise import Promise
from kernel_py.vat.slots import Slots
from kernel_py.vat.store import VatStore
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.limits import DEFAULT_LIMITS
from kernel_py.wire.refs import Vref


@pytest.fixture
def store():
    return VatStore()


@pytest.fixture
def slots(store):
    return Slots(store)


@pytest.fixture
def baggage(store, slots):
    return Baggage(store, slots, DEFAULT_LIMITS)


def test_it_is_a_mapping(baggage):
    baggage["b"] = {"list": [1, 2.5, None, True, b"bytes"]}
    baggage["a"] = ""
    baggage.setdefault("c", 3)
    assert dict(baggage) == {"a": "", "b": {"list": [1, 2.5, None, True, b"bytes"]}, "c": 3}
    assert (len(baggage), list(baggage), "a" in baggage, "x" in baggage, 3 in baggage) == (
        3,
        ["a", "b", "c"],
        True,
        False,
        False,
    )
    assert baggage.pop("a") == ""
    del baggage["b"]
    baggage.update(d=4)
    assert baggage == {"c": 3, "d": 4}
    with pytest.raises(KeyError):
        baggage["a"]
    with pytest.raises(KeyError):
        del baggage["a"]


def test_values_are_copies(baggage):
    value = [1]
    baggage["a"] = value
    value.append(2)
    baggage["a"].append(3)
    assert baggage["a"] == [1]


def test_it_is_in_the_vat_store(store, slots, baggage):
    baggage["a"] = [1]
    assert Baggage(store, slots, DEFAULT_LIMITS) == {"a": [1]}


def test_its_keys_do_not_mix_with_others_of_the_store(store, baggage):
    for key in ("baggage", "baggage,", "baggage/", "baggagf", "a", "z"):
        store.set(key, "x")
    assert list(baggage) == []
    baggage[""] = 1
    baggage["ключ"] = 2
    assert list(baggage) == ["", "ключ"]


def test_presences_are_kept_and_come_back_as_themselves(baggage, slots):
    presence = slots.provide_presence(Vref("o-50"), "Alleged: Purse")
    baggage["purse"] = [presence]
    assert baggage["purse"][0] is presence


@pytest.mark.parametrize("make", [Exo, lambda: Promise(VatLoop(print)), lambda: {1, 2}], ids=["exo", "promise", "set"])
def test_what_lives_in_the_heap_only_is_refused(baggage, make):
    with pytest.raises(MarshalError) as raised:
        baggage["a"] = {"b": [make()]}
    assert raised.value.path == "baggage['a']['b'][0]"
    assert "a" not in baggage


def test_keys_are_text(baggage):
    with pytest.raises(TypeError, match="a key of baggage is text, not int"):
        baggage[3] = 1


def test_its_repr_shows_what_is_in_it(baggage):
    baggage["a"] = 1
    assert repr(baggage) == "<Baggage {'a': 1}>"
