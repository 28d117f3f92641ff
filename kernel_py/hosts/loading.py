"""What a realm is told so that it becomes its vat.

Owns the order of the texts: the specification of an incarnation, what it lived through, the next incarnation. Entries
are verified while they are read; where the heap was looked at, it is looked at again.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

from kernel_py.core.kernel import Incarnation, Kernel
from kernel_py.core.schema import Snapshot
from kernel_py.core.store import Backend
from kernel_py.core.transcripts import Chain
from kernel_py.hosts.sources import Sources
from kernel_py.wire import protocol

REPLAY_CHARS_MAX = 1_000_000
"""Transcript text sent to a realm in one message."""

REPLAY_ENTRIES_READ = 1_000
"""Transcript entries read from the backend at a time."""


class Loading:
    """One realm's way to the kernel's record of a vat, as it is now. All of it must be durable.

    Args:
        snapshot: what the realm was restored from, if it was.
        sources: makes ready what a realm needs for each incarnation.
        until: the realm is to be as after this delivery, in the incarnation that it was made to; by default, as now.

    Attributes:
        delivered: the number of the last delivery.
        marks: by number of the last delivery, base and digest of the heap at each look that the texts so far ask for.
    """

    def __init__(
        self,
        kernel: Kernel,
        backend: Backend,
        vat: str,
        snapshot: Snapshot | None = None,
        *,
        sources: Sources | None = None,
        until: int | None = None,
    ) -> None:
        self._kernel = kernel
        self._backend = backend
        self._vat = vat
        self._is_detached = until is not None
        self.delivered = kernel.get_delivered(vat) if until is None else until
        life = kernel.get_life(vat, snapshot)
        self._life = life if until is None else [*life[:1], *(each for each in life[1:] if each.first <= until)]
        self._snapshot = snapshot
        self._sources = sources
        self._restored = 0 if snapshot is None else snapshot.delivered
        self._last_mark = kernel.get_mark(vat)
        self._last_hash = kernel.get_chain(vat)
        hashed_from = kernel.get_vat(vat).hashed_from
        self._chain = Chain(vat, hashed_from, self._restored, "" if snapshot is None else snapshot.chain)
        self.marks: dict[int, tuple[str, str]] = {}

    async def read_first(self) -> protocol.VatSpec:
        """The specification of the first incarnation that the realm lives through.

        Raises:
            StoreError: its source cannot be read.
        """
        return await self._read_spec(self._life[0])

    async def _read_spec(self, incarnation: Incarnation) -> protocol.VatSpec:
        files = json.loads(await self._backend.read_bundle(incarnation.bundle))
        spec = self._kernel.get_spec(self._vat, incarnation, files)
        if self._sources is not None:
            await self._sources.prepare(self._kernel.get_vat(self._vat).kind, spec.main, spec.files)
        return spec

    async def read_texts(self) -> AsyncIterator[str]:
        """The texts, in order; "go" is to follow.

        Raises:
            StoreError: something is missing in the store, or damaged.
        """
        for index, incarnation in enumerate(self._life):
            if index or self._snapshot is None:
                spec = await self._read_spec(incarnation)
                yield protocol.dump_upgrade(spec) if incarnation.number else protocol.dump_start(spec)
            end = min(incarnation.last, self.delivered)
            for first in range(incarnation.first, end + 1, REPLAY_ENTRIES_READ):
                last = min(first + REPLAY_ENTRIES_READ - 1, end)
                entries = await self._backend.read_transcript(self._vat, first, last)
                self._chain.verify(entries)
                for text in self._split(first, entries):
                    yield text
        if self._is_detached:
            return
        self._chain.end(self._last_hash)
        mark = self._last_mark
        if self._restored < mark.delivered == self.delivered:
            yield self._look(mark.delivered, (mark.base, mark.digest))

    def _split(self, first: int, entries: list[str]) -> Iterator[str]:
        """Replays of at most REPLAY_CHARS_MAX characters or one entry, and looks at the heap between them.

        Each entry is a text of its own: between two texts a realm can give a sign of life.
        """
        batch: list[str] = []
        room = REPLAY_CHARS_MAX
        for number, entry in enumerate(entries, first):
            mark = protocol.find_mark(entry) if number > self._restored + 1 else None
            if batch and (mark is not None or len(entry) > room):
                yield _dump_replays(batch)
                batch, room = [], REPLAY_CHARS_MAX
            if mark is not None:
                yield self._look(number - 1, mark)
            batch.append(entry)
            room -= len(entry)
        if batch:
            yield _dump_replays(batch)

    def _look(self, delivered: int, mark: tuple[str, str]) -> str:
        self.marks[delivered] = mark
        return protocol.dump_snapshot(is_check=True)


def _dump_replays(entries: list[str]) -> str:
    return "\n".join(protocol.dump_replay([entry]) for entry in entries)
