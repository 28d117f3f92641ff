"""A store in a file and a snapshot of the heap are one checkpoint."""

from __future__ import annotations

import sqlite3

import pytest

from kernel_py.hosts.browser.store_file import SqliteFile
from kernel_py.vat.file_store import FileStore
from kernel_py.wire.errors import StoreError

pytestmark = pytest.mark.skipif(
    not hasattr(sqlite3.Connection, "setconfig"), reason="SQLite's log can be left alone from Python 3.12 on"
)


@pytest.fixture
def file(tmp_path):
    return SqliteFile(tmp_path)


def reopen(file, store, delivered):
    """As when the heap that held `store`, closed at a checkpoint, comes back in another realm."""
    restored = FileStore.__new__(FileStore)
    vars(restored).update({name: value for name, value in vars(store).items() if name not in {"_execute", "_close"}})
    restored._execute = restored._use_first
    restored.resume(delivered)
    return restored


def read_all(store):
    key = ""
    while (key := store.get_next_key(key)) is not None:
        pass


def wipe(tmp_path):
    for path in tmp_path.iterdir():
        path.unlink()


def undo(tmp_path):
    (tmp_path / "vat.sqlite-wal").write_bytes(b"")


def test_what_was_written_is_there_after_a_checkpoint(file):
    store = FileStore(file)
    store.set("a", "1")
    store.checkpoint(3)
    store.resume(3)
    assert store.get("a") == "1"
    store.set("b", "2")
    assert [store.get_next_key(""), store.get_next_key("a")] == ["a", "b"]
    store.close()


def test_a_heap_that_comes_back_finds_the_file_as_it_left_it(file):
    store = FileStore(file)
    store.set("a", "1")
    store.checkpoint(3)
    restored = reopen(file, store, 3)
    assert restored.get("a") == "1"
    restored.close()


def test_what_came_after_the_checkpoint_is_gone_with_the_realm(file):
    store = FileStore(file)
    store.set("a", "1")
    store.checkpoint(3)
    store.resume(3)
    store.set("a", "2")
    store.set("b", "2")
    store.close()
    restored = reopen(file, store, 3)
    assert (restored.get("a"), restored.get("b")) == ("1", None)
    restored.close()


def test_a_checkpoint_that_the_kernel_never_knew_of_is_undone_with_its_log(file, tmp_path):
    store = FileStore(file)
    store.set("a", "1")
    store.checkpoint(3)
    store.set("a", "2")
    store.checkpoint(7)
    undo(tmp_path)
    restored = reopen(file, store, 3)
    assert restored.get("a") == "1"
    restored.close()


def test_the_log_is_moved_when_a_delivery_shows_that_the_kernel_knows(file, tmp_path):
    store = FileStore(file)
    store.set("a", "1")
    store.checkpoint(3)
    store.resume(3)
    assert store.get("a") == "1"
    store.close()
    undo(tmp_path)
    restored = reopen(file, store, 3)
    assert restored.get("a") == "1"
    restored.close()


def test_a_file_of_another_checkpoint_is_refused(file):
    store = FileStore(file)
    store.checkpoint(3)
    with pytest.raises(StoreError, match="of delivery 3, its heap of delivery 2"):
        store.resume(2)


def test_a_file_that_is_gone_is_refused(file, tmp_path):
    store = FileStore(file)
    store.set("a", "1")
    store.checkpoint(3)
    wipe(tmp_path)
    with pytest.raises(StoreError, match="no such table: checkpoint"):
        store.resume(3)


def test_a_file_with_damage_is_refused(file, tmp_path):
    store = FileStore(file)
    store.checkpoint(3)
    assert store.get("a") is None  # moves the log
    store.checkpoint(4)
    undo(tmp_path)
    (tmp_path / "vat.sqlite").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match="file is not a database"):
        store.resume(3)


def test_an_error_of_the_file_is_remembered_though_the_vat_catches_it(file, tmp_path):
    store = FileStore(file)
    for number in range(2000):
        store.set(f"key{number:04}", "x" * 400)
    store.checkpoint(3)
    assert store.get("key0000") is not None
    store.checkpoint(4)
    undo(tmp_path)
    with (tmp_path / "vat.sqlite").open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(b"\xff" * 100_000)
    with pytest.raises(sqlite3.Error):
        read_all(store)
    with pytest.raises(StoreError, match="cannot be used"):
        store.check()
    with pytest.raises(StoreError, match="cannot be used"):
        store.get("key1999")
    store.close()


def test_a_transaction_may_be_larger_than_the_cache(file, tmp_path):
    store = FileStore(file)
    for number in range(3000):
        store.set(f"{number:05}", "x" * 10_000)
    assert (tmp_path / "vat.sqlite-wal").stat().st_size > 10_000_000
    store.checkpoint(1)
    assert store.get("02999") == "x" * 10_000
    store.close()
