"""The vat's side of the c-list."""

from __future__ import annotations

import gc
import weakref

import pytest

from kernel_py.vat.counters import Counters
from kernel_py.vat.exo import Exo
from kernel_py.vat.loop import VatLoop
from kernel_py.vat.promise import Promise
from kernel_py.vat.slots import Slots
from kernel_py.vat.store import VatStore
from kernel_py.wire.refs import Vref

O50 = Vref("o-50")


@pytest.fixture
def store():
    return VatStore()


@pytest.fixture
def counters(store):
    return Counters(store)


@pytest.fixture
def slots(counters):
    return Slots(counters)


def export(slots, value):
    """What liveslots does with an object that a syscall mentions."""
    vref = slots.name_export(value)
    slots.retain(vref)
    return vref


@pytest.fixture
def promise():
    return Promise(VatLoop(print))


def test_first_numbers_are_those_of_liveslots(slots, promise):
    slots.export_root(Exo())
    assert (export(slots, Exo()), slots.name_promise(promise)) == ("o+1", "p+5")


def test_an_exported_object_is_held_until_it_is_dropped(slots):
    one = Exo()
    vref, alive = export(slots, one), weakref.ref(one)
    del one
    gc.collect()
    assert slots.find(vref) is alive()
    slots.drop_export(vref)
    gc.collect()
    assert alive() is None
    assert slots.find(vref) is None


def test_a_dropped_object_that_lives_keeps_its_name_and_is_held_again_when_exported_again(slots):
    one = Exo()
    vref = export(slots, one)
    slots.drop_export(vref)
    assert slots.find(vref) is one
    assert export(slots, one) == vref
    alive = weakref.ref(one)
    del one
    gc.collect()
    assert alive() is not None


def test_an_object_that_is_named_but_not_mentioned_in_a_syscall_is_not_held(slots):
    one = Exo()
    vref, alive = slots.name_export(one), weakref.ref(one)
    assert (slots.find_name(one), slots.find_name(Exo())) == (vref, None)
    del one
    gc.collect()
    assert alive() is None
    assert slots.take_dead() == [vref]


def test_a_retired_object_that_is_kept_elsewhere_keeps_its_name(slots):
    one = Exo()
    vref = export(slots, one)
    slots.drop_export(vref)
    slots.retire_export(vref, keeps_name=True)
    assert (slots.find(vref), list(slots.recognizable), export(slots, one)) == (one, [], vref)


def test_a_retired_object_gets_another_name(slots):
    one = Exo()
    vref = export(slots, one)
    slots.drop_export(vref)
    slots.retire_export(vref)
    assert slots.find(vref) is None
    assert export(slots, one) == "o+2"


def test_an_object_at_the_address_of_a_dead_one_is_not_taken_for_it(slots):
    for number in range(1, 50):
        one = Exo()
        assert export(slots, one) == f"o+{number}"
        slots.drop_export(Vref(f"o+{number}"))
        del one


def test_objects_that_are_equal_are_not_the_same(slots):
    class Equal(Exo):
        def __eq__(self, other):
            return True

        __hash__ = None

    one, other = Equal(), Equal()
    assert [export(slots, each) for each in (one, other, one)] == ["o+1", "o+2", "o+1"]


def test_a_presence_is_one_while_it_lives_and_is_not_kept_alive(slots):
    presence = slots.provide_presence(O50, "Alleged: Purse")
    assert slots.provide_presence(O50, "Alleged: Other") is presence
    alive = weakref.ref(presence)
    del presence
    gc.collect()
    assert alive() is None


def test_the_interface_of_a_presence_does_not_depend_on_when_it_was_collected(slots):
    repr(slots.provide_presence(O50, "Alleged: Purse"))
    gc.collect()
    assert repr(slots.provide_presence(O50, "Alleged: Other")) == "<Presence Purse o-50>"
    assert repr(slots.provide_presence(Vref("o-51"), None)) == "<Presence presence o-51 o-51>"


def test_the_dead_are_noted_once_and_not_if_they_were_made_again(slots):
    one = slots.provide_presence(O50, None)
    other = slots.provide_presence(Vref("o-51"), None)
    assert slots.take_dead() == []
    del one, other
    gc.collect()
    again = slots.provide_presence(O50, None)
    assert slots.take_dead() == ["o-51"]
    assert slots.take_dead() == []
    assert slots.find(O50) is again


def test_a_presence_whose_death_was_brought_out_has_the_interface_that_comes_next(slots):
    repr(slots.provide_presence(O50, "Alleged: Purse"))
    gc.collect()
    slots.take_dead()
    assert repr(slots.provide_presence(O50, "Alleged: Other")) == "<Presence Other o-50>"


def test_imports_and_durable_objects_outlive_the_incarnation(slots):
    held = [slots.provide_presence(O50, None), Exo(), Exo(), Exo()]
    slots.register(Vref("o+d10/1"), held[1])
    slots.register(Vref("o+v11/1"), held[2])
    export(slots, held[3])
    assert slots.list_outliving() == ["o+d10/1", "o-50"]


def test_a_promise_has_a_name_until_it_is_forgotten(slots, promise):
    assert (slots.name_promise(promise), slots.name_promise(promise)) == ("p+5", "p+5")
    assert slots.find_promise("p+5") is promise
    slots.forget_promise("p+5")
    slots.forget_promise("p+5")
    assert slots.find_promise("p+5") is None
    assert slots.name_promise(promise) == "p+6"


def test_names_given_for_what_was_not_sent_are_taken_back(slots, promise):
    known = Exo()
    export(slots, known)
    slots.begin()
    one = Exo()
    alive = weakref.ref(one)
    assert (export(slots, one), export(slots, known), slots.name_promise(promise)) == ("o+2", "o+1", "p+5")
    slots.undo()
    del one
    gc.collect()
    assert alive() is None
    assert (slots.find("o+2"), slots.find_promise("p+5"), promise.vpid) == (None, None, None)
    assert slots.find("o+1") is known
