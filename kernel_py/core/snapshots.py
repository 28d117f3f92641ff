"""Heap snapshots: which there are of each vat, and the chunks that they share.

Owns the tables `marks`, `snapshots` and `chunks`. A snapshot is a checkpoint and nothing more: every vat can be brought
back from its transcript alone, and whatever is wrong with a snapshot costs time, not state.

Invariants:
    * A chunk is stored exactly while its count is in the state: it is added, and dropped, by the delta that holds the
      change of its count.
    * A vat has at most `Limits.snapshots_kept` snapshots, the newest.
    * A mark stays for good, in the next entry of the transcript, whatever becomes of the snapshot: what is replayed
      goes through the same collections as what happened.
"""

from __future__ import annotations

from collections.abc import Mapping

from kernel_py.core import schema
from kernel_py.core.schema import NO_MARK, Mark, Snapshot, Vat, VatCounters, snapshot_row
from kernel_py.core.state import KernelState
from kernel_py.wire.errors import HostFault
from kernel_py.wire.limits import Limits
from kernel_py.wire.snapshots import HeapImage, list_chunks


class Snapshots:
    """The snapshots of all vats over one state."""

    def __init__(self, state: KernelState, limits: Limits) -> None:
        self._state = state
        self._limits = limits
        self._marks: Mapping[str, Mark] = state.view(schema.MARKS)
        self._counts: Mapping[str, int] = state.view(schema.CHUNKS)

    def get_mark(self, vat: str) -> Mark:
        """Where the vat's heap was last looked at; `NO_MARK` if it never was."""
        return self._marks.get(vat, NO_MARK)

    def find(self, vat: str, base: str, until: int | None = None) -> Snapshot | None:
        """The vat's newest snapshot that a realm with this base can use, of those after delivery `until` or before."""
        for delivered in reversed(self.get_mark(vat).kept):
            if until is not None and delivered > until:
                continue
            snapshot: Snapshot = self._state.get(schema.SNAPSHOTS, snapshot_row(vat, delivered))
            if snapshot.base == base:
                return snapshot
        return None

    def take(self, vat: str, image: HeapImage) -> None:
        """Keep an image of the heap as it is after the vat's last completed delivery.

        Raises:
            HostFault: it cannot be kept. Nothing was changed.
        """
        counters: VatCounters = self._state.get(schema.COUNTERS, vat)
        self._check(image)
        mark = self._mark(vat, image.base, image.digest)
        record: Vat = self._state.get(schema.VATS, vat)
        snapshot = Snapshot(
            counters.delivered,
            record.incarnation,
            image.base,
            image.memory_bytes,
            image.pages,
            image.digest,
            counters.chain,
        )
        for chunk in list_chunks(image.pages):
            count = self._counts.get(chunk, 0)
            if not count:
                self._state.add_chunk(chunk, image.chunks[chunk])
            self._state.set(schema.CHUNKS, chunk, count + 1)
        self._state.set(schema.SNAPSHOTS, snapshot_row(vat, snapshot.delivered), snapshot)
        kept = (*mark.kept, snapshot.delivered)
        self._state.set(schema.MARKS, vat, mark._replace(kept=kept))
        for delivered in kept[: -self._limits.snapshots_kept]:
            self.drop(vat, delivered)

    def _check(self, image: HeapImage) -> None:
        if not image.is_sound or len(image.pages) > self._limits.snapshot_pages_chars_max:
            raise HostFault(f"a malformed heap image, with {len(image.pages):,} characters of pages")
        missing = [
            chunk for chunk in list_chunks(image.pages) if chunk not in self._counts and chunk not in image.chunks
        ]
        if missing:
            raise HostFault(f"a heap image without its chunk {missing[0]}")

    def mark(self, vat: str) -> None:
        """The vat's heap was looked at, and nothing came of it."""
        self._mark(vat, "", "")

    def _mark(self, vat: str, base: str, digest: str) -> Mark:
        counters: VatCounters = self._state.get(schema.COUNTERS, vat)
        mark = self.get_mark(vat)
        if mark.delivered >= counters.delivered:
            raise HostFault(f"the heap of {vat} after delivery {counters.delivered} was looked at already")
        mark = Mark(counters.delivered, base, digest, mark.kept)
        self._state.set(schema.MARKS, vat, mark)
        return mark

    def drop(self, vat: str, delivered: int) -> None:
        """Let go of one snapshot; the mark stays."""
        row = snapshot_row(vat, delivered)
        snapshot: Snapshot = self._state.get(schema.SNAPSHOTS, row)
        self._state.delete(schema.SNAPSHOTS, row)
        mark = self._marks[vat]
        self._state.set(schema.MARKS, vat, mark._replace(kept=tuple(each for each in mark.kept if each != delivered)))
        for chunk in list_chunks(snapshot.pages):
            count = self._counts[chunk] - 1
            if count:
                self._state.set(schema.CHUNKS, chunk, count)
            else:
                self._state.delete(schema.CHUNKS, chunk)
                self._state.drop_chunk(chunk)

    def drop_chunk(self, chunk: str) -> list[tuple[str, int]]:
        """A chunk turned out to be missing or damaged: let go of every snapshot that needs it, and say which."""
        rows = self._state.rows(schema.SNAPSHOTS)
        needing = [row for row in rows if chunk in self._state.get(schema.SNAPSHOTS, row).pages]
        dropped = [(vat, int(number)) for vat, _, number in (row.partition("/") for row in needing)]
        for vat, delivered in dropped:
            self.drop(vat, delivered)
        return dropped

    def forget(self, vat: str) -> None:
        """The vat is no more."""
        if vat in self._marks:
            for delivered in self._marks[vat].kept:
                self.drop(vat, delivered)
            self._state.delete(schema.MARKS, vat)
