"""Archives: what goes in comes out, and what is damaged is refused with the place."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest

from kernel_py.core import archive, schema
from kernel_py.core.archive import ArchiveImport, export_archive, import_archive
from kernel_py.core.store import Delta, MemoryBackend
from kernel_py.hosts.memory import MemoryHost, run_now
from kernel_py.wire.errors import StoreError
from kernel_py.wire.limits import Limits
from scripts.examples import read_example


def make_archive() -> bytes:
    """Of a kernel in the middle of its work: a promise is pending, a request waits for it."""
    host = MemoryHost()
    launched = host.request("launch", read_example("bank"))
    escrow = host.send(launched["root"], "get_user", "'escrow'")["slots"][0]
    host.post("send", {"target": escrow, "method": "await_release", "args": "'dawn'"}, key="waiting")
    host.run()
    host.request("terminateVat", {"vat": launched["vats"]["bob"]})
    return export(host.backend)


def export(backend: object) -> bytes:
    written = io.BytesIO()
    run_now(export_archive(backend, written.write))  # type: ignore[arg-type]
    return written.getvalue()


ARCHIVE = make_archive()
LINES = ARCHIVE.splitlines(keepends=True)


def is_empty(backend: MemoryBackend) -> bool:
    return not (backend.texts or backend.transcripts or backend.bundles)


def refuse(data: bytes) -> str:
    """The reason for which an archive is refused; nothing of it stays."""
    backend = MemoryBackend()
    with pytest.raises(StoreError) as caught:
        run_now(import_archive(backend, data))
    assert is_empty(backend)
    return str(caught.value)


def part_of(index: int) -> str:
    """What a refusal names for a fault in a line: the part that the line is in, or the last one before it."""
    name = "its head"
    for line in LINES[: index + 1]:
        value = json.loads(line)
        if isinstance(value, dict) and "part" in value:
            name = " ".join(value[key] for key in ("part", "id", "vat") if key in value)
    return name


def test_a_kernel_goes_on_from_an_archive() -> None:
    backend = MemoryBackend()
    assert run_now(import_archive(backend, ARCHIVE)) == 5
    host = MemoryHost(backend)
    escrow = next(vat["root"] for vat in host.request("status")["vats"] if vat["name"] == "escrow")
    host.send(escrow, "release", "'dawn', 'light'")
    host.run()
    assert host.find_response("waiting")["value"] == "'light'"
    assert {vat["name"]: vat["state"] for vat in host.request("status")["vats"]}["bob"] == "terminated"


def test_an_archive_of_the_same_state_is_the_same_text() -> None:
    backend = MemoryBackend()
    run_now(import_archive(backend, ARCHIVE))
    assert export(backend) == ARCHIVE == make_archive()


@pytest.mark.parametrize("size_bytes", [1, 7, 4096])
def test_an_archive_may_come_in_chunks_of_any_size(size_bytes: int) -> None:
    backend = MemoryBackend()
    run_now(import_archive(backend, (ARCHIVE[i : i + size_bytes] for i in range(0, len(ARCHIVE), size_bytes))))
    assert export(backend) == ARCHIVE


def test_what_is_imported_is_committed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_COMMIT_CHARS", 2_000)
    sizes: list[int] = []

    class Counting(MemoryBackend):
        async def commit(self, delta: Delta) -> None:
            sizes.append(sum(map(len, delta.puts.values())) + sum(len(entry) for _, _, entry in delta.transcript))
            await super().commit(delta)

    run_now(import_archive(Counting(), ARCHIVE))
    assert len(sizes) > 10
    assert max(sizes) < 2_000 + max(map(len, LINES))


def test_an_archive_that_ends_early_is_refused_with_the_place() -> None:
    for index in range(1, len(LINES)):
        reason = refuse(b"".join(LINES[:index]))
        assert part_of(index - 1) in reason, (index, reason)


def test_an_archive_that_is_cut_within_a_line_is_refused_with_the_place() -> None:
    for index in range(1, len(LINES)):
        reason = refuse(b"".join(LINES[:index]) + LINES[index][:-1])
        assert part_of(index - 1) in reason or part_of(index) in reason, (index, reason)


def test_a_line_that_is_missing_is_noticed() -> None:
    for index in range(len(LINES)):
        assert refuse(b"".join(LINES[:index] + LINES[index + 1 :]))


def test_a_byte_that_differs_is_noticed_wherever_it_is() -> None:
    for position in range(0, len(ARCHIVE), 97):
        damaged = bytearray(ARCHIVE)
        damaged[position] ^= 1
        assert refuse(bytes(damaged)), position


def test_damage_is_reported_with_the_part() -> None:
    index, line = next((i, line) for i, line in enumerate(LINES) if b"opening-3" in line)
    damaged = b"".join([*LINES[:index], line.replace(b"opening-3", b"opening-4"), *LINES[index + 1 :]])
    assert refuse(damaged) == (
        f"the archive is damaged in {part_of(index)}: its digest does not match; nothing of it was imported"
    )


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda head: {**head, "version": 3}, "the archive has version 3, this program reads 2"),
        (lambda head: {**head, "schema": 999}, "the archive has schema version 999, this program reads"),
        (lambda head: {**head, "format": "zip"}, "not an archive of a kernel: its format is 'zip'"),
    ],
)
def test_an_archive_of_another_version_is_refused(change: Callable[..., object], reason: str) -> None:
    head = json.dumps(change(json.loads(LINES[0]))).encode() + b"\n"
    assert reason in refuse(head + b"".join(LINES[1:]))


@pytest.mark.parametrize("data", [b"PK\x03\x04 something", b"\n", b"[]\n", b"{}\n", b"[[\n", b"\xff\xfe\n"])
def test_a_file_of_another_kind_is_no_archive(data: bytes) -> None:
    assert refuse(data).startswith("not an archive of a kernel: ")


def test_an_empty_file_is_no_archive() -> None:
    assert refuse(b"") == "not an archive of a kernel: it ends here, too early"


def test_a_line_that_never_ends_is_refused() -> None:
    limits = Limits(batch_chars_max=1_000)
    with pytest.raises(StoreError, match="a line of more than 8,000 bytes"):
        run_now(import_archive(MemoryBackend(), (b"[" * 1_000 for _ in range(100)), limits))


def test_a_store_that_is_not_empty_is_left_alone() -> None:
    host = MemoryHost()
    before = dict(host.backend.texts)  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match="the store is not empty"):
        run_now(import_archive(host.backend, ARCHIVE))
    assert host.backend.texts == before  # type: ignore[attr-defined]


def test_an_empty_store_has_nothing_to_export() -> None:
    with pytest.raises(StoreError, match="nothing to export"):
        export(MemoryBackend())


def test_a_store_of_another_schema_is_not_exported() -> None:
    backend = MemoryBackend()
    backend.texts = {"kernel.schema": "999"}
    with pytest.raises(StoreError, match="has schema version 999"):
        export(backend)


def test_an_import_that_was_killed_leaves_a_store_that_no_kernel_runs_on_and_that_takes_another() -> None:
    backend = MemoryBackend()
    killed = ArchiveImport(backend)
    run_now(killed.begin())
    run_now(killed.feed(ARCHIVE[: len(ARCHIVE) // 2]))
    with pytest.raises(StoreError, match="an import into this store was not finished"):
        MemoryHost(backend)
    run_now(import_archive(backend, ARCHIVE))
    assert export(backend) == ARCHIVE


def test_a_row_that_no_kernel_wrote_is_refused() -> None:
    backend = MemoryBackend()
    backend.texts = {"kernel.schema": str(schema.SCHEMA_VERSION), "songs.1": '"la"'}
    assert "unknown table 'songs'" in refuse(export(backend))
