"""A vat store in a file, for more than a heap should hold.

Owns the table ``checkpoint`` beside ``kv``. The host gives the file, which is the vat's alone.

What is in the file for good belongs to a snapshot of the heap; the two come back together. What the vat writes is in a
transaction that stays open from one snapshot to the next:

    checkpoint   commits it to the write-ahead log, and lets go of the file; then the heap's pages are taken
    first use    moves the log into the database: a delivery has come, so the kernel knows of the snapshot
    resume       looks whether the file is of the same snapshot as the heap. The host has emptied a log that is of a
                 snapshot which the kernel never came to know of

So the file is never ahead of the kernel, nothing that was read need be in the transcript, and what is lost with a realm
is done again by the replay that brings back its heap.

Invariants:
    * From `checkpoint` to the next use the heap holds nothing of SQLite's.
    * After an error of the file nothing more is carried out.
"""

from __future__ import annotations

import sqlite3
from typing import Any, NoReturn, Protocol

from kernel_py.vat.store import VatStore
from kernel_py.wire.errors import StoreError


class StoreFile(Protocol):
    """A database file with its write-ahead log, held for one vat."""

    def connect(self) -> sqlite3.Connection:
        """Open the database. The log is only moved into it on request, not even when the connection is closed."""


class FileStore(VatStore):
    """A store in a file that is not there yet.

    Raises:
        StoreError: the file cannot be used.
    """

    def __init__(self, file: StoreFile) -> None:
        self._file = file
        self._failure: sqlite3.Error | None = None
        try:
            self._begin()
        except sqlite3.Error as error:
            _fail(error)

    def check(self) -> None:
        if self._failure is not None:
            _fail(self._failure)

    def checkpoint(self, delivered: int) -> None:
        try:
            self._execute("INSERT OR REPLACE INTO checkpoint VALUES (0, ?)", (delivered,))
            self._execute("COMMIT")
        except sqlite3.Error as error:
            _fail(error)
        self._close()
        self._execute = self._use_first

    def resume(self, delivered: int) -> None:
        try:
            connection = self._file.connect()
            try:
                row = connection.execute("SELECT delivered FROM checkpoint").fetchone()
            finally:
                connection.close()
        except sqlite3.Error as error:
            _fail(error)
        if row is None or row[0] != delivered:
            found = "another vat" if row is None else f"delivery {row[0]}"
            raise StoreError(f"the vat's store file is of {found}, its heap of delivery {delivered}")

    def _begin(self) -> None:
        self._open(self._file.connect())
        self._run, self._execute = self._execute, self._guard
        self._run("PRAGMA wal_checkpoint(TRUNCATE)")
        self._run("BEGIN")
        self._make_table()
        self._run("CREATE TABLE IF NOT EXISTS checkpoint (id INTEGER PRIMARY KEY, delivered INTEGER NOT NULL)")

    def _use_first(self, statement: str, parameters: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """The first use after a checkpoint."""
        try:
            self._begin()
        except sqlite3.Error as error:
            self._failure = error
            raise
        return self._execute(statement, parameters)

    def _guard(self, statement: str, parameters: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Code of the vat may catch what is raised here, but `check` remembers it."""
        self.check()
        try:
            return self._run(statement, parameters)
        except sqlite3.Error as error:
            self._failure = error
            raise


def _fail(error: sqlite3.Error) -> NoReturn:
    raise StoreError(f"the vat's store file cannot be used: {error}") from error
