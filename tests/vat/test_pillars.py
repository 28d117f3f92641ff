"""Counts, statuses and recognizers: what keeps a thing alive but for the heap."""

from __future__ import annotations

import pytest

from kernel_py.vat.cache import StoreCache
from kernel_py.vat.counters import Counters
from kernel_py.vat.exo import Exo
from kernel_py.vat.pillars import Inheritance, Pillars
from kernel_py.vat.slots import Slots
from kernel_py.vat.store import VatStore
from kernel_py.wire.refs import Vref

BASE = "o+d10/1"


@pytest.fixture
def store():
    return VatStore()


@pytest.fixture
def slots(store):
    return Slots(Counters(store))


@pytest.fixture
def cache(store):
    return StoreCache(store)


@pytest.fixture
def pillars(store, cache, slots):
    return Pillars(store, cache, slots)


def test_mentions_are_counted_by_the_reference_without_facet(pillars, store, cache):
    pillars.hold([BASE, f"{BASE}:0", "o-50"])
    cache.flush()
    assert (store.get(f"vom.rc.{BASE}"), store.get("vom.rc.o-50")) == ("2", "1")
    pillars.release([f"{BASE}:0", "o-50"])
    assert [pillars.is_held(each) for each in (BASE, "o-50")] == [True, False]
    assert pillars.possibly_dead == {"o-50"}
    pillars.release([BASE])
    cache.flush()
    assert store.get(f"vom.rc.{BASE}") is None
    assert pillars.possibly_dead == {"o-50", BASE}


def test_mentions_that_are_replaced_by_the_same_ones_take_no_pillar(pillars):
    pillars.hold(["o-50"])
    pillars.replace(["o-50"], ["o-50", BASE])
    assert (pillars.is_held("o-50"), pillars.is_held(BASE), pillars.possibly_dead) == (True, True, set())


def test_far_objects_of_the_heap_are_pinned_as_often_as_they_are_mentioned(pillars, slots, store, cache):
    one = Exo()
    vref = slots.name_export(one)
    pillars.hold([vref, vref])
    del one
    pillars.release([vref])
    assert slots.find(vref) is not None
    pillars.release([vref])
    assert slots.find(vref) is None
    cache.flush()
    assert store.get_next_key("") is None


@pytest.mark.parametrize(
    "steps, status, recognizable",
    [
        (["export o+d10/1"], "r", [BASE]),
        (["export o+d10/1:1"], "nnr", [f"{BASE}:1"]),
        (["export o+d10/1:1", "export o+d10/1"], "rnr", [BASE, f"{BASE}:1"]),
        (["export o+d10/1:1", "drop o+d10/1:1"], "nns", [f"{BASE}:1"]),
        (["export o+d10/1", "export o+d10/1:0", "drop o+d10/1", "retire o+d10/1"], "nr", [f"{BASE}:0"]),
        (["export o+d10/1:1", "drop o+d10/1:1", "retire o+d10/1:1"], None, []),
        (["retire o+d10/1:4"], None, []),
    ],
)
def test_the_export_status_has_a_letter_for_the_object_and_one_per_facet(pillars, store, steps, status, recognizable):
    actions = {"export": pillars.export, "drop": pillars.drop_export, "retire": pillars.retire_export}
    for step in steps:
        action, vref = step.split()
        actions[action](vref)
    pillars._cache.flush()
    assert store.get(f"vom.es.{BASE}") == status
    assert pillars.is_any_exported(BASE) is ("r" in (status or ""))
    assert pillars.take_recognizable(BASE) == recognizable
    assert pillars.take_recognizable(BASE) == []


def test_recognizers_are_those_of_the_object_and_its_facets_and_of_nothing_like_it(pillars):
    for vref, collection in [(BASE, 3), (BASE, 20), (f"{BASE}:0", 3), (f"{BASE}0", 3), ("o-50", 4), ("o-500", 5)]:
        pillars.recognize(vref, collection)
    assert pillars.list_recognizers(BASE) == [(BASE, 20), (BASE, 3), (f"{BASE}:0", 3)]
    assert [pillars.is_recognized(each) for each in ("o-50", "o-5", "o-500")] == [True, False, True]
    pillars.unrecognize("o-50", 4)
    pillars.unrecognize(BASE, 3)
    assert (pillars.is_recognized("o-50"), pillars.possibly_retired) == (False, {"o-50"})


def test_what_has_another_pillar_is_sorted_out(pillars):
    pillars.hold(["o-50", BASE])
    pillars.export("o+d10/2:0")
    pillars.sort_out(["o-50", "o-51", BASE, "o+d10/2", "o+d10/3", "o+4"])
    assert pillars.possibly_dead == {"o-51", "o+d10/3", "o+4"}


def test_an_incarnation_inherits_what_the_last_one_had_to_look_at(pillars, slots):
    presence = slots.provide_presence(Vref("o-50"), None)
    pillars.possibly_dead.add("o-51")
    pillars.possibly_retired.add("o-52")
    left = pillars.bequeath()
    assert left == Inheritance(frozenset({"o-50", "o-51"}), frozenset({"o-52"}))
    pillars.possibly_dead.clear()
    pillars.inherit(left)
    assert pillars.possibly_dead == {"o-50", "o-51"}
    assert slots.find("o-50") is presence
