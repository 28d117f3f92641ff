"""The vat store is an ordered map from text to text."""

from __future__ import annotations

import pytest

from kernel_py.vat.store import VatStore


@pytest.fixture
def store():
    return VatStore()


def keys(store):
    found, key = [], ""
    while (key := store.get_next_key(key)) is not None:
        found.append(key)
    return found


def test_what_is_set_is_there_until_it_is_deleted(store):
    assert store.get("a") is None
    store.set("a", "1")
    store.set("a", "2")
    assert store.get("a") == "2"
    store.delete("a")
    store.delete("a")
    assert store.get("a") is None


def test_the_empty_text_is_a_value_and_not_absent(store):  # pitfall 14
    store.set("a", "")
    assert store.get("a") == ""
    assert store.get_next_key("") == "a"


def test_keys_are_in_the_order_of_their_utf8_bytes(store):
    texts = ["b", "a", "aa", "B", "z", "é", "\uffff", "\U00010000", "a.1", "a.10", "a.2", "a|"]
    for text in texts:
        store.set(text, text)
    assert keys(store) == sorted(texts, key=str.encode)


def test_the_next_key_need_not_follow_one_that_exists(store):
    store.set("b", "")
    assert (store.get_next_key("a"), store.get_next_key("b"), store.get_next_key("c")) == ("b", None, None)


def test_iteration_survives_deletion_under_way(store):
    for key in "abcd":
        store.set(key, "")
    seen, key = [], ""
    while (key := store.get_next_key(key)) is not None:
        seen.append(key)
        store.delete(key)
    assert seen == ["a", "b", "c", "d"]
