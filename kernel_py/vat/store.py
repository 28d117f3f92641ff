"""The vat store: a map from text to text that outlives the vat's heap.

Owns the table ``kv`` of one SQLite database. Keys are ordered by their UTF-8 bytes (SQLite's BINARY).
The host gives the connection: ``:memory:`` in a heap that is itself persistent, a file elsewhere.

Invariants:
    * The empty text is a value, and different from absent.
    * In a file, what a delivery wrote is one transaction, ended by `commit`.

Source: SwingSet ``vatstore*``; the reference, 1.2 and 1.5.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable

Connect = Callable[[], sqlite3.Connection]
"""Opens the vat's database; called once."""

_FIRST_ENTRY = "SELECT key, value FROM kv WHERE key >= ? AND key < ? ORDER BY key LIMIT 1"
_LAST_ENTRY = "SELECT key, value FROM kv WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT 1"


def connect_memory() -> sqlite3.Connection:
    """A database in the vat's own heap."""
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


class VatStore:
    def __init__(self, connect: Connect = connect_memory) -> None:
        self._connection = connect()
        self._connection.isolation_level = None
        # A vat may be dropped without a word, and Python 3.13 complains of a connection that was not closed.
        self._close = weakref.finalize(self, self._connection.close)
        self._execute = self._connection.execute
        self._execute("CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
        # In memory there is nothing to be atomic against: the heap goes as a whole, and the database with it.
        is_file = any(file for _, _, file in self._execute("PRAGMA database_list"))
        self._has_transactions = is_file
        self._is_open = False

    def get(self, key: str) -> str | None:
        """The value at `key`, or None if there is none."""
        row = self._execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def set(self, key: str, value: str) -> None:
        self._begin()
        self._execute("INSERT INTO kv VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value))

    def delete(self, key: str) -> None:
        """Remove `key`, if it is there."""
        self._begin()
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

    def commit(self) -> None:
        """Make all changes since the last commit durable, together."""
        if self._is_open:
            self._is_open = False
            self._execute("COMMIT")

    def close(self) -> None:
        """Close the database; what was not committed is gone."""
        self._close()

    def _begin(self) -> None:
        if self._has_transactions and not self._is_open:
            self._is_open = True
            self._execute("BEGIN")
