"""The write-back cache of small records."""

from __future__ import annotations

import pytest

from kernel_py.vat.cache import StoreCache
from kernel_py.vat.store import VatStore


class Recording(VatStore):
    def __init__(self):
        super().__init__()
        self.seen = []

    def get(self, key):
        self.seen.append(f"get {key}")
        return super().get(key)

    def set(self, key, value):
        self.seen.append(f"set {key}")
        super().set(key, value)

    def delete(self, key):
        self.seen.append(f"delete {key}")
        super().delete(key)


@pytest.fixture
def store():
    return Recording()


@pytest.fixture
def cache(store):
    return StoreCache(store)


def test_a_record_is_read_once_and_written_once_in_the_order_of_keys(store, cache):
    store.set("c", "1")
    store.seen.clear()
    assert (cache.get("c"), cache.get("c"), cache.get("none"), cache.get("none")) == ("1", "1", None, None)
    for key in ("b", "c", "a", "b"):
        cache.set(key, str(cache.get_number(key, 0) + 1))
    assert (cache.get("b"), cache.get_number("c", 0)) == ("2", 2)
    cache.set("none", None)
    cache.flush()
    assert store.seen == ["get c", "get none", "get b", "get a", "set a", "set b", "set c", "delete none"]
    store.seen.clear()
    cache.flush()
    assert store.seen == []
    assert cache.get("b") == "2"
    assert store.seen == ["get b"]


def test_it_holds_a_bounded_number_of_records(store, cache, monkeypatch):
    monkeypatch.setattr("kernel_py.vat.cache.ENTRIES_MAX", 3)
    for number in range(100):
        cache.set(str(number), "x")
        cache.get(str(number // 2))
        assert len(cache._values) <= 3
    cache.flush()
    assert store.get_next_key("98") == "99"
