"""Numbers that are never used twice."""

from __future__ import annotations

import json

import pytest

from kernel_py.vat.counters import Counters
from kernel_py.vat.store import VatStore


@pytest.fixture
def store():
    return VatStore()


def test_they_are_written_when_they_have_moved(store):
    counters = Counters(store)
    counters.flush()
    first = {"exportID": 1, "collectionID": 1, "promiseID": 5, "kindID": 10}
    assert json.loads(store.get("idCounters")) == first
    store.delete("idCounters")
    counters.flush()
    assert store.get("idCounters") is None
    assert [counters.next("exportID"), counters.next("promiseID"), counters.next("exportID")] == [1, 5, 2]
    counters.flush()
    assert json.loads(store.get("idCounters")) == first | {"exportID": 3, "promiseID": 6}


def test_the_next_incarnation_goes_on_and_knows_which_are_inherited(store):
    counters = Counters(store)
    counters.next("promiseID")
    counters.flush()
    following = Counters(store)
    assert following.next("promiseID") == 6
    assert [following.is_inherited("promiseID", number) for number in (4, 5, 6)] == [False, True, False]
