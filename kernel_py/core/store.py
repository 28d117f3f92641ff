"""Durable storage: the interface that every host's store implements, and the one in memory.

Owns the form in which the kernel's state leaves it: a map from text to text, transcripts by vat and
number, bundles by content id, and chunks of heap snapshots by theirs. A backend never interprets what it stores.

Contract for every backend (one conformance suite in ``tests/core/test_backends.py``):
    * `commit` is all or nothing, and durable when it returns; commits apply in the order of the calls.
    * `load` returns the map as of the last commit.
    * A backend that cannot store durably refuses to open; it never falls back to memory by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from kernel_py.wire.errors import StoreError


@dataclass(frozen=True, slots=True)
class Delta:
    """One commit. Applied in the order of the fields; bundles and chunks dropped and added in one delta stay.

    Attributes:
        inserts: keys of `puts` that are not stored yet. A backend may make use of it, and must not rely on it.
        transcript: (vat, delivery number, entry) to append.
        transcript_drops: vats whose whole transcript goes; `transcript` holds nothing of theirs.
        chunks: bytes by id, packed; empty where the backend's side has them (`kernel_py.wire.snapshots.HeapImage`).
    """

    puts: dict[str, str] = field(default_factory=dict)
    inserts: list[str] = field(default_factory=list)
    deletes: list[str] = field(default_factory=list)
    transcript: list[tuple[str, int, str]] = field(default_factory=list)
    transcript_drops: list[str] = field(default_factory=list)
    bundle_drops: list[str] = field(default_factory=list)
    bundles: dict[str, str] = field(default_factory=dict)
    chunk_drops: list[str] = field(default_factory=list)
    chunks: dict[str, bytes] = field(default_factory=dict)

    def __bool__(self) -> bool:
        has_rows = self.puts or self.deletes or self.transcript or self.transcript_drops
        return bool(has_rows or self.bundles or self.bundle_drops or self.chunks or self.chunk_drops)


class Backend(Protocol):
    """Where a host keeps kernel state. Methods are coroutines because a browser's storage is asynchronous."""

    async def load(self) -> dict[str, str]:
        """The whole key-value map."""

    async def commit(self, delta: Delta) -> None:
        """Make `delta` durable.

        Raises:
            StoreError: nothing of it was stored.
        """

    async def read_transcript(self, vat: str, first: int, last: int) -> list[str]:
        """Entries with numbers `first` to `last`, inclusive, in order.

        Raises:
            StoreError: one of them is missing.
        """

    async def read_bundle(self, bundle: str) -> str:
        """The bundle's text.

        Raises:
            StoreError: there is none.
        """

    async def read_chunk(self, chunk: str) -> bytes:
        """The chunk's bytes, as they were committed.

        Raises:
            StoreError: there is none.
        """

    async def list_transcripts(self) -> list[tuple[str, int, int]]:
        """Every transcript, as (vat, first number, last number), sorted by vat."""

    async def list_bundles(self) -> list[str]:
        """The id of every bundle, sorted."""

    async def list_chunks(self) -> list[str]:
        """The id of every chunk, sorted."""

    async def close(self) -> None:
        """Release the storage. Idempotent; nothing else may be called afterwards."""


class MemoryBackend:
    """Keeps everything in memory: for tests and for hosts that ask for no durability."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.transcripts: dict[str, dict[int, str]] = {}
        self.bundles: dict[str, str] = {}
        self.chunks: dict[str, bytes] = {}

    async def load(self) -> dict[str, str]:
        return dict(self.texts)

    async def commit(self, delta: Delta) -> None:
        self.texts.update(delta.puts)
        for key in delta.deletes:
            self.texts.pop(key, None)
        for vat, number, entry in delta.transcript:
            self.transcripts.setdefault(vat, {})[number] = entry
        for vat in delta.transcript_drops:
            self.transcripts.pop(vat, None)
        for bundle in delta.bundle_drops:
            self.bundles.pop(bundle, None)
        self.bundles.update(delta.bundles)
        for chunk in delta.chunk_drops:
            self.chunks.pop(chunk, None)
        self.chunks.update(delta.chunks)

    async def read_transcript(self, vat: str, first: int, last: int) -> list[str]:
        entries = self.transcripts.get(vat, {})
        try:
            return [entries[number] for number in range(first, last + 1)]
        except KeyError as error:
            raise missing_entry(vat, int(error.args[0])) from None

    async def read_bundle(self, bundle: str) -> str:
        try:
            return self.bundles[bundle]
        except KeyError:
            raise missing_bundle(bundle) from None

    async def read_chunk(self, chunk: str) -> bytes:
        try:
            return self.chunks[chunk]
        except KeyError:
            raise missing_chunk(chunk) from None

    async def list_transcripts(self) -> list[tuple[str, int, int]]:
        return [(vat, min(entries), max(entries)) for vat, entries in sorted(self.transcripts.items())]

    async def list_bundles(self) -> list[str]:
        return sorted(self.bundles)

    async def list_chunks(self) -> list[str]:
        return sorted(self.chunks)

    async def close(self) -> None:
        pass


def missing_entry(vat: str, number: int) -> StoreError:
    return StoreError(f"the transcript of {vat} has no entry {number}: restore the store from an export")


def missing_bundle(bundle: str) -> StoreError:
    return StoreError(f"the store has no bundle {bundle}: restore the store from an export")


def missing_chunk(chunk: str) -> StoreError:
    return StoreError(f"the store has no chunk {chunk} of a heap")
