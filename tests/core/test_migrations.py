"""Stores of earlier versions: what was written then goes on now.

`stores/v2.db` and `stores/v2.archive` were written by the last program of schema version 2: two vats, of which one was
upgraded, and a message to the other that is not answered yet.
"""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

from kernel_py.core import schema
from kernel_py.core.archive import export_archive, import_archive
from kernel_py.core.migrations import MIGRATIONS, migrate
from kernel_py.core.store import Backend, MemoryBackend
from kernel_py.hosts.memory import MemoryHost, run_now
from kernel_py.wire.errors import StoreError
from tests.core.invariants import check_state

STORES = Path(__file__).parent / "stores"


def go_on(backend: Backend) -> MemoryHost:
    """What the old program began is finished by this one."""
    host = MemoryHost(backend)
    check_state(host.kernel)
    assert host.send("ko20", "read")["value"] == "['old']"
    host.send("ko20", "fulfil", "'x', 'done'")
    assert host.find_response("waiting")["value"] == "'done'"
    assert host.send("ko20", "relay", "'b', 'new'")["value"] == "[1, 2]"
    check_state(host.kernel)
    return host


def open_archive() -> MemoryBackend:
    backend = MemoryBackend()
    run_now(import_archive(backend, (STORES / "v2.archive").read_bytes()))
    return backend


def test_an_archive_of_version_2_goes_on() -> None:
    backend = open_archive()
    assert backend.texts["kernel.schema"] == "2"
    host = go_on(backend)
    assert backend.texts["kernel.schema"] == str(schema.SCHEMA_VERSION)
    assert go_again(host) == "[2, 3]"


def go_again(host: MemoryHost) -> str:
    """A kernel after it replays what the old one wrote and what this one added."""
    value = host.reopen().send("ko20", "relay", "'b', 'newest'")["value"]
    assert isinstance(value, str)
    return value


@pytest.mark.native("the store is a file")
def test_a_store_file_of_version_2_goes_on(tmp_path: Path) -> None:
    from kernel_py.hosts.native.sqlite_store import SqliteBackend

    shutil.copy(STORES / "v2.db", tmp_path / "store.db")
    backend = SqliteBackend(tmp_path / "store.db")
    assert go_again(go_on(backend)) == "[2, 3]"
    exported = io.BytesIO()
    run_now(export_archive(backend, exported.write))
    assert json.loads(exported.getvalue().split(b"\n")[0])["schema"] == schema.SCHEMA_VERSION
    run_now(backend.close())


def test_what_was_written_before_the_chain_is_known_from_what_came_after() -> None:
    backend = open_archive()
    host = go_on(backend)
    assert host.kernel.get_vat("v1").hashed_from == 6
    assert "h" not in json.loads(backend.transcripts["v1"][5])
    entry = backend.transcripts["v1"][6]
    backend.transcripts["v1"][6] = entry.replace('"n":6', '"n":7')
    with pytest.raises(StoreError, match="entry 6 of the transcript of v1 is damaged"):
        host.reopen().send("ko20", "read")


def test_until_the_first_commit_the_store_is_as_it_was() -> None:
    texts = dict(open_archive().texts)
    changed = migrate(texts)
    assert changed["kernel.schema"] == str(schema.SCHEMA_VERSION)
    assert texts["kernel.schema"] == "2"
    assert set(changed) <= set(texts)


def test_a_present_or_empty_store_is_left_alone() -> None:
    assert migrate({}) == {}
    assert migrate({"kernel.schema": str(schema.SCHEMA_VERSION), "vats.v1": "anything"}) == {}


@pytest.mark.parametrize("version", [1, schema.SCHEMA_VERSION + 1])
def test_other_versions_are_refused(version: int) -> None:
    with pytest.raises(StoreError, match=f"schema version {version}, this kernel reads"):
        migrate({"kernel.schema": str(version)})


def test_a_corrupt_old_store_is_refused() -> None:
    with pytest.raises(StoreError, match="store of schema version 2 is corrupt"):
        migrate({"kernel.schema": "2", "counters.v1": "7"})


def test_every_version_since_the_first_that_is_read_has_a_migration() -> None:
    assert list(MIGRATIONS) == list(range(2, schema.SCHEMA_VERSION))
