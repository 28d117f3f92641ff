"""The kernel's state in memory: tables of immutable values, changed only inside a crank.

Owns the map that `kernel_py.core.schema` describes. Values are immutable (tuples, strings,
ints, frozen records), so undoing a crank is putting the old ones back.

Invariants:
    * Every change happens between `begin` and `commit` or `abort`; after `abort` every table,
      the transcript, the bundles and the chunks are as they were at `begin`.
    * `take_delta` returns exactly what changed since the last call, encoded; applied in order to a
      backend, deltas reproduce this state.
    * Nothing in the kernel caches a value outside this map across cranks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kernel_py.core import schema
from kernel_py.core.store import Delta
from kernel_py.wire.errors import KernelBug

_NO_ROWS: dict[str, Any] = {}


class KernelState:
    """Tables of values by text keys, with one level of undo."""

    __slots__ = (
        "_bundles",
        "_chunks",
        "_crank_marks",
        "_dirty",
        "_tables",
        "_transcript",
        "_transcript_drops",
        "_undo",
    )

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, Any]] = {table: {} for table in schema.TABLES}
        self._undo: dict[tuple[str, str], Any] = {}  # rows changed in this crank, and what they were before
        self._crank_marks: tuple[int, int, int, int] | None = None
        # Rows that changed since the last delta, and whether the store has them: what came and went costs it nothing.
        self._dirty: dict[tuple[str, str], bool] = {}
        self._transcript: list[tuple[str, int, str]] = []
        self._transcript_drops: list[str] = []
        self._bundles: list[tuple[str, str | None]] = []
        self._chunks: list[tuple[str, bytes | None]] = []

    @classmethod
    def load(cls, texts: Mapping[str, str], changed: Iterable[str] = ()) -> KernelState:
        """Decode a backend's map.

        Args:
            changed: keys whose texts are not those that the backend has.

        Raises:
            StoreError: it was written by another version, or a value is corrupt.
        """
        state = cls()
        for key, text in texts.items():
            table, row, value = schema.decode(key, text)
            state._tables.setdefault(table, {})[row] = value
        for key in changed:
            table, _, row = key.rpartition(".")
            state._dirty[table, row] = True
        return state

    def get(self, table: str, row: str) -> Any:
        """The value, or None if there is none."""
        rows = self._tables.get(table)
        return None if rows is None else rows.get(row)

    def view(self, table: str) -> Mapping[str, Any]:
        """The rows of a table, live: for what reads them often.

        Good for ever if it is one of the kernel's own (`schema.TABLES`); else until the table changes.
        """
        rows: Mapping[str, Any] = self._tables.get(table, _NO_ROWS)
        return rows

    def rows(self, table: str) -> list[str]:
        """The table's keys, sorted."""
        return sorted(self._tables.get(table, _NO_ROWS))

    def iter_rows(self, table: str) -> Iterator[str]:
        """The table's keys, in any order; for tables too large to sort. Nothing may be set meanwhile."""
        return iter(self._tables.get(table, _NO_ROWS))

    def count(self, table: str) -> int:
        return len(self._tables.get(table, _NO_ROWS))

    def tables(self) -> list[str]:
        """Names of the tables that have rows, sorted."""
        return sorted(name for name, rows in self._tables.items() if rows)

    def set(self, table: str, row: str, value: Any) -> None:
        rows = self._tables.get(table)
        if rows is None:
            rows = self._tables[table] = {}
        self._undo.setdefault((table, row), rows.get(row))
        rows[row] = value

    def delete(self, table: str, row: str) -> None:
        """Remove a value that exists."""
        rows = self._tables[table]
        self._undo.setdefault((table, row), rows.pop(row))
        if not rows:
            self._drop_table(table)

    def _drop_table(self, table: str) -> None:
        """An empty table goes, unless it is one of the kernel's own, of which there are views."""
        if "." in table:
            del self._tables[table]

    def next_number(self, counter: str) -> int:
        """Take the next number of a kernel-wide counter."""
        number = self._tables[schema.KERNEL].get(counter)
        if number is None:
            number = schema.FIRST_NUMBERS[counter]
        self.set(schema.KERNEL, counter, number + 1)
        return int(number)

    def append_transcript(self, vat: str, number: int, entry: str) -> None:
        self._transcript.append((vat, number, entry))

    def drop_transcript(self, vat: str) -> None:
        """Delete the vat's transcript, entries appended in this crank included."""
        self._transcript_drops.append(vat)

    def add_bundle(self, bundle: str, text: str) -> None:
        self._bundles.append((bundle, text))

    def drop_bundle(self, bundle: str) -> None:
        self._bundles.append((bundle, None))

    def add_chunk(self, chunk: str, packed: bytes) -> None:
        self._chunks.append((chunk, packed))

    def drop_chunk(self, chunk: str) -> None:
        self._chunks.append((chunk, None))

    def begin(self) -> None:
        """Start a crank."""
        if self._crank_marks is not None:
            raise KernelBug("a crank began inside another")
        self._crank_marks = len(self._transcript), len(self._transcript_drops), len(self._bundles), len(self._chunks)

    def commit(self) -> None:
        """Keep the crank's changes."""
        self._end()
        dirty = self._dirty
        for key, old in self._undo.items():
            if key not in dirty:
                dirty[key] = old is not None
        self._undo.clear()

    def abort(self) -> None:
        """Put everything back as it was at `begin`."""
        transcript, transcript_drops, bundles, chunks = self._end()
        for (table, row), old in self._undo.items():
            rows = self._tables.setdefault(table, {})
            if old is None:
                rows.pop(row, None)
            else:
                rows[row] = old
            if not rows:
                self._drop_table(table)
        self._undo.clear()
        del self._transcript[transcript:]
        del self._transcript_drops[transcript_drops:]
        del self._bundles[bundles:]
        del self._chunks[chunks:]

    def _end(self) -> tuple[int, int, int, int]:
        if self._crank_marks is None:
            raise KernelBug("a crank ended that had not begun")
        marks, self._crank_marks = self._crank_marks, None
        return marks

    def take_delta(self) -> Delta:
        """What changed since the last call. The caller owns it and must make it durable before the next."""
        if self._crank_marks is not None:
            raise KernelBug("a delta was taken inside a crank")
        puts: dict[str, str] = {}
        inserts: list[str] = []
        deletes: list[str] = []
        for (table, row), is_stored in self._dirty.items():
            value = self._tables.get(table, _NO_ROWS).get(row)
            if value is not None:
                key = schema.store_key(table, row)
                puts[key] = schema.encode(table, value)
                if not is_stored:
                    inserts.append(key)
            elif is_stored:
                deletes.append(schema.store_key(table, row))
        dropped = dict.fromkeys(self._transcript_drops)
        bundles = dict(self._bundles)  # of several changes of one bundle, the last counts
        chunks = dict(self._chunks)
        delta = Delta(
            puts=puts,
            inserts=inserts,
            deletes=deletes,
            transcript=[entry for entry in self._transcript if entry[0] not in dropped],
            transcript_drops=list(dropped),
            bundles={bundle: text for bundle, text in bundles.items() if text is not None},
            bundle_drops=[bundle for bundle, text in bundles.items() if text is None],
            chunks={chunk: packed for chunk, packed in chunks.items() if packed is not None},
            chunk_drops=[chunk for chunk, packed in chunks.items() if packed is None],
        )
        self._dirty = {}
        self._transcript = []
        self._transcript_drops = []
        self._bundles = []
        self._chunks = []
        return delta
