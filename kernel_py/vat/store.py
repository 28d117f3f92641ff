"""The vat store: a map from text to text that outlives the vat's heap.

Owns the table ``kv`` of one SQLite database. Keys are ordered by their UTF-8 bytes (SQLite's BINARY).
Here the database is in the vat's heap; `kernel_py.vat.file_store` has one in a file.

Invariants:
    * The empty text is a value, and different from absent.

Source: SwingSet ``vatstore*``; the reference, 1.2 and 1.5.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable

_FIRST_ENTRY = "SELECT key, value FROM kv WHERE key >= ? AND key < ? ORDER BY key LIMIT 1"
_LAST_ENTRY = "SELECT key, value FROM kv WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT 1"


class VatStore:
    """A store in the vat's own heap, with which it goes and comes back."""

    def __init__(self) -> None:
        self._open(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))
        self._make_table()

    def _open(self, connection: sqlite3.Connection) -> None:
        # A vat may be dropped without a word, and Python 3.13 complains of a connection that was not closed.
        self._close = weakref.finalize(self, connection.close)
        self._execute: Callable[..., sqlite3.Cursor] = connection.execute

    def _make_table(self) -> None:
        self._execute("CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")

    def get(self, key: str) -> str | None:
        """The value at `key`, or None if there is none."""
        row = self._execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def set(self, key: str, value: str) -> None:
        self._execute("INSERT INTO kv VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value))

    def delete(self, key: str) -> None:
        """Remove `key`, if it is there."""
        self._execute("DELETE FROM kv WHERE key = ?", (key,))

    def get_next_key(self, prior: str) -> str | None:
        """The least key greater than `prior`, or None if there is none."""
        row = self._execute("SELECT key FROM kv WHERE key > ? ORDER BY key LIMIT 1", (prior,)).fetchone()
        return None if row is None else row[0]

    def get_first_entry(self, start: str, end: str) -> tuple[str, str] | None:
        """The entry with the least key from `start` on and before `end`, and its value."""
        row: tuple[str, str] | None = self._execute(_FIRST_ENTRY, (start, end)).fetchone()
        return row

    def get_last_entry(self, start: str, end: str) -> tuple[str, str] | None:
        """The entry with the greatest key from `start` on and before `end`, and its value."""
        row: tuple[str, str] | None = self._execute(_LAST_ENTRY, (start, end)).fetchone()
        return row

    def check(self) -> None:
        """Look whether all went well during a delivery, whatever the vat made of it.

        Raises:
            StoreError: it did not, and this store is of no use any more.
        """

    def checkpoint(self, delivered: int) -> None:
        """The heap is to be taken, as it is after delivery `delivered`, and may then come back at any time.

        Raises:
            StoreError: what the heap does not hold cannot be kept; this store is of no use any more.
        """

    def resume(self, delivered: int) -> None:
        """The heap goes on from a `checkpoint`, or is back there.

        Raises:
            StoreError: what the heap does not hold is not as it was then; this store is of no use any more.
        """

    def close(self) -> None:
        """Close the database."""
        self._close()
