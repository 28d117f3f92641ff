"""One conformance suite over every backend that runs outside a browser."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernel_py.core.archive import export_archive, import_archive
from kernel_py.core.store import Backend, Delta, MemoryBackend
from kernel_py.hosts.memory import MemoryHost, run_now
from kernel_py.hosts.native.sqlite_store import SqliteBackend
from kernel_py.wire.errors import StoreError
from kernel_py.wire.snapshots import HeapImage, dump_pages, pack_chunk, parse_pages, unpack_chunk
from scripts.examples import read_example

Reopen = Callable[[], Backend]


@pytest.fixture(params=["memory", "sqlite"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reopen]:
    """Opens the backend; called again, opens what the first one stored."""
    if request.param == "memory":
        in_memory = MemoryBackend()
        yield lambda: in_memory
        return
    opened: list[SqliteBackend] = []

    def open_file() -> Backend:
        for earlier in opened:
            run_now(earlier.close())
        opened.append(SqliteBackend(tmp_path / "store.db"))
        return opened[-1]

    yield open_file
    for backend in opened:
        run_now(backend.close())


def test_a_new_backend_is_empty(reopen: Reopen) -> None:
    assert run_now(reopen().load()) == {}


def test_puts_and_deletes_survive_reopening(reopen: Reopen) -> None:
    backend = reopen()
    run_now(
        backend.commit(
            Delta(
                puts={"a.1": "1", "a.2": "", "b.ü": "ü\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")}
            )
        )
    )
    run_now(backend.commit(Delta(puts={"a.1": "2"}, deletes=["b.ü", "never.there"])))
    assert run_now(reopen().load()) == {"a.1": "2", "a.2": ""}


def test_transcripts_are_read_by_range(reopen: Reopen) -> None:
    backend = reopen()
    run_now(backend.commit(Delta(transcript=[("v1", n, f"entry {n}") for n in range(1, 6)] + [("v2", 1, "other")])))
    assert run_now(reopen().read_transcript("v1", 2, 4)) == ["entry 2", "entry 3", "entry 4"]


@pytest.mark.parametrize("first, last, missing", [(0, 1, 0), (2, 4, 3), (1, 5, 3), (5, 6, 5)])
def test_a_missing_transcript_entry_is_named(reopen: Reopen, first: int, last: int, missing: int) -> None:
    backend = reopen()
    run_now(backend.commit(Delta(transcript=[("v1", 1, "a"), ("v1", 2, "b"), ("v1", 4, "d")])))
    with pytest.raises(StoreError, match=f"v1 has no entry {missing}:"):
        run_now(backend.read_transcript("v1", first, last))


def test_dropping_a_transcript_leaves_the_others(reopen: Reopen) -> None:
    backend = reopen()
    run_now(backend.commit(Delta(transcript=[("v1", 1, "a"), ("v2", 1, "b")])))
    run_now(backend.commit(Delta(transcript_drops=["v1"])))
    backend = reopen()
    assert run_now(backend.read_transcript("v2", 1, 1)) == ["b"]
    with pytest.raises(StoreError):
        run_now(backend.read_transcript("v1", 1, 1))


def test_bundles_are_kept_and_dropped(reopen: Reopen) -> None:
    backend = reopen()
    run_now(backend.commit(Delta(bundles={"b1-1": "one", "b1-2": "two"})))
    run_now(backend.commit(Delta(bundle_drops=["b1-1"])))
    backend = reopen()
    assert run_now(backend.read_bundle("b1-2")) == "two"
    with pytest.raises(StoreError, match="no bundle b1-1"):
        run_now(backend.read_bundle("b1-1"))


def test_a_bundle_dropped_and_added_in_one_delta_stays(reopen: Reopen) -> None:
    backend = reopen()
    run_now(backend.commit(Delta(bundles={"b1-1": "one"})))
    run_now(backend.commit(Delta(bundles={"b1-1": "one"}, bundle_drops=["b1-1"])))
    assert run_now(reopen().read_bundle("b1-1")) == "one"


def test_chunks_are_kept_and_dropped(reopen: Reopen) -> None:
    backend = reopen()
    every_byte = bytes(range(256)) * 50
    run_now(backend.commit(Delta(chunks={"ab": every_byte, "cd": b"2", "ef": b"3"})))
    run_now(backend.commit(Delta(chunk_drops=["ab", "never-there"], puts={"a.1": "1"})))
    run_now(backend.commit(Delta(chunk_drops=["cd"], chunks={"aa": every_byte, "cd": b"4"})))
    backend = reopen()
    assert run_now(backend.list_chunks()) == ["aa", "cd", "ef"]
    assert run_now(backend.read_chunk("aa")) == every_byte
    assert run_now(backend.read_chunk("cd")) == b"4"
    with pytest.raises(StoreError, match="no chunk ab"):
        run_now(backend.read_chunk("ab"))


def test_transcripts_and_bundles_are_listed(reopen: Reopen) -> None:
    backend = reopen()
    assert run_now(backend.list_transcripts()) == []
    assert run_now(backend.list_bundles()) == []
    transcript = [("v2", n, "x") for n in range(3, 13)] + [("v10", 1, "x"), ("v1", 1, "x"), ("v3", 1, "x")]
    run_now(backend.commit(Delta(transcript=transcript, bundles={"b1-2": "", "b1-1": "x"})))
    run_now(backend.commit(Delta(transcript_drops=["v3"])))
    backend = reopen()
    assert run_now(backend.list_transcripts()) == [("v1", 1, 1), ("v10", 1, 1), ("v2", 3, 12)]
    assert run_now(backend.list_bundles()) == ["b1-1", "b1-2"]


def test_what_is_exported_can_be_imported_elsewhere_and_back(reopen: Reopen) -> None:
    host = MemoryHost()
    launched = host.request("launch", read_example("counter"))
    host.send(launched["root"], "increment", "5")
    first, second, third = io.BytesIO(), io.BytesIO(), io.BytesIO()
    run_now(export_archive(host.backend, first.write))
    run_now(import_archive(reopen(), first.getvalue()))
    run_now(export_archive(reopen(), second.write))
    again = MemoryBackend()
    run_now(import_archive(again, second.getvalue()))
    run_now(export_archive(again, third.write))
    assert first.getvalue() == second.getvalue() == third.getvalue()
    assert MemoryHost(again).send(launched["root"], "increment", "1")["value"] == "6"


def test_a_heap_goes_with_its_vat_through_an_archive(reopen: Reopen) -> None:
    host = MemoryHost()
    launched = host.request("launch", read_example("counter"))
    host.send(launched["root"], "increment", "5")
    pieces = dict(map(pack_chunk, [b"one" * 1000, b"two"]))
    pages = dump_pages(zip(["0", "head"], pieces, strict=True))
    host.kernel.snapshot_taken("v1", HeapImage("base", 3003, pages, pieces))
    host.send(launched["root"], "increment", "5")
    first, second = io.BytesIO(), io.BytesIO()
    run_now(export_archive(host.backend, first.write))
    run_now(import_archive(reopen(), first.getvalue()))
    backend = reopen()
    run_now(export_archive(backend, second.write))
    assert first.getvalue() == second.getvalue()
    snapshot = MemoryHost(backend).kernel.find_snapshot("v1", "base")
    assert snapshot is not None
    chunks = [chunk for _, chunk in parse_pages(snapshot.pages)]
    assert [unpack_chunk(chunk, run_now(backend.read_chunk(chunk))) for chunk in chunks] == [b"one" * 1000, b"two"]


def test_an_abandoned_import_leaves_the_store_empty(reopen: Reopen) -> None:
    backend = reopen()
    archive = io.BytesIO()
    host = MemoryHost()
    host.request("launch", read_example("counter"))
    run_now(export_archive(host.backend, archive.write))
    with pytest.raises(StoreError, match="damaged in state: its last line is cut off"):
        run_now(import_archive(backend, archive.getvalue()[: -len(archive.getvalue().split(b"\n")[-2]) * 2]))
    backend = reopen()
    assert run_now(backend.load()) == {}
    assert run_now(backend.list_transcripts()) == []
    assert run_now(backend.list_bundles()) == []
    run_now(import_archive(backend, archive.getvalue()))


def test_a_failed_sqlite_commit_stores_nothing(tmp_path: Path) -> None:
    backend = SqliteBackend(tmp_path / "store.db")
    run_now(backend.commit(Delta(puts={"a.1": "1"}, transcript=[("v1", 1, "a")])))
    with pytest.raises(StoreError, match="nothing was stored"):
        run_now(backend.commit(Delta(puts={"a.1": "2", "a.2": "3"}, transcript=[("v1", 1, "again")])))
    assert run_now(backend.load()) == {"a.1": "1"}
    run_now(backend.close())


def test_a_second_kernel_on_one_file_is_refused(tmp_path: Path) -> None:
    first = SqliteBackend(tmp_path / "store.db")
    with pytest.raises(StoreError, match="in use by another kernel"):
        SqliteBackend(tmp_path / "store.db")
    run_now(first.close())


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("shopping list, " * 1000)
    with pytest.raises(StoreError, match="not an SQLite file"):
        SqliteBackend(text)
    assert text.read_text().startswith("shopping list")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE songs (title)")
    db.close()
    with pytest.raises(StoreError, match="another program"):
        SqliteBackend(other)


def test_a_store_of_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    run_now(SqliteBackend(path).close())
    with sqlite3.connect(path) as db:
        db.execute("UPDATE format SET name = 'kernel_py-2'")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="format kernel_py-2, this version reads kernel_py-1"):
        SqliteBackend(path)
    assert path.read_bytes() == before


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteBackend(tmp_path / "missing" / "store.db")
