"""Kernel state in one SQLite file: the native host's backend.

Owns the file's tables. WAL and ``synchronous=FULL``: a commit that returned survives a power cut. The file is
locked while it is open, so that two kernels never run on one store. A file beside it, ``-holder``, says who has it
open; it is for people, and means nothing once the lock is gone.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from pathlib import Path

from kernel_py.core.store import Delta, missing_bundle, missing_chunk, missing_entry
from kernel_py.wire.errors import StoreError

FORMAT = "kernel_py-1"
"""Written into the file; a file of another format is refused and left as it is."""

_TABLES = """
CREATE TABLE IF NOT EXISTS format (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS transcripts (
    vat TEXT NOT NULL, number INTEGER NOT NULL, entry TEXT NOT NULL, PRIMARY KEY (vat, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bundles (id TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks (id TEXT PRIMARY KEY, packed BLOB NOT NULL);
"""


class SqliteBackend:
    """A backend over one file, which it owns until `close`."""

    def __init__(self, path: Path) -> None:
        """Open the file, or create it.

        Raises:
            StoreError: it is not such a store, is of another version, is open elsewhere, or cannot be written.
        """
        self._path = path
        self._is_closed = False
        self._holder = path.with_name(f"{path.name}-holder")
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=0)
        except sqlite3.Error as error:
            raise StoreError(f"{path}: cannot be opened: {error}") from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._db.close()
            raise StoreError(f"{path}: {_explain(error)}{self._describe_holder(error)}") from error
        except StoreError:
            self._db.close()
            raise
        program = " ".join([Path(part).name for part in sys.argv[:2]])
        with contextlib.suppress(OSError):
            self._holder.write_text(f"process {os.getpid()} ({program})")

    def _describe_holder(self, error: Exception) -> str:
        if "locked" not in str(error) or not self._holder.exists():
            return ""
        return f"; it is {self._holder.read_text()}"

    def _prepare(self) -> None:
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        tables = [name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        if tables and "format" not in tables:
            raise StoreError(f"{self._path}: an SQLite file of another program; choose another file")
        self._db.execute("BEGIN IMMEDIATE")
        for statement in _TABLES.split(";"):
            self._db.execute(statement)
        found = [name for (name,) in self._db.execute("SELECT name FROM format")]
        if not found:
            self._db.execute("INSERT INTO format VALUES (?)", (FORMAT,))
        elif found != [FORMAT]:
            self._db.execute("ROLLBACK")
            raise StoreError(f"{self._path}: the store has format {found[0]}, this version reads {FORMAT}")
        self._db.execute("COMMIT")

    async def load(self) -> dict[str, str]:
        try:
            return dict(self._db.execute("SELECT key, value FROM state ORDER BY key"))
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {_explain(error)}") from error

    async def commit(self, delta: Delta) -> None:
        execute, executemany = self._db.execute, self._db.executemany
        try:
            execute("BEGIN IMMEDIATE")
            if delta.puts:
                executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", delta.puts.items())
            if delta.deletes:
                executemany("DELETE FROM state WHERE key = ?", [(key,) for key in delta.deletes])
            if delta.transcript:
                executemany("INSERT INTO transcripts VALUES (?, ?, ?)", delta.transcript)
            if delta.transcript_drops:
                executemany("DELETE FROM transcripts WHERE vat = ?", [(vat,) for vat in delta.transcript_drops])
            if delta.bundle_drops:
                executemany("DELETE FROM bundles WHERE id = ?", [(bundle,) for bundle in delta.bundle_drops])
            if delta.bundles:
                executemany("INSERT OR REPLACE INTO bundles VALUES (?, ?)", delta.bundles.items())
            if delta.chunk_drops:
                executemany("DELETE FROM chunks WHERE id = ?", [(chunk,) for chunk in delta.chunk_drops])
            if delta.chunks:
                executemany("INSERT OR REPLACE INTO chunks VALUES (?, ?)", delta.chunks.items())
            execute("COMMIT")
        except (sqlite3.Error, UnicodeEncodeError) as error:
            if self._db.in_transaction:
                execute("ROLLBACK")
            raise StoreError(f"{self._path}: nothing was stored: {_explain(error)}") from error

    async def read_transcript(self, vat: str, first: int, last: int) -> list[str]:
        rows = self._db.execute(
            "SELECT number, entry FROM transcripts WHERE vat = ? AND number BETWEEN ? AND ? ORDER BY number",
            (vat, first, last),
        ).fetchall()
        for wanted, (number, _) in zip(range(first, last + 1), [*rows, (None, "")], strict=False):
            if number != wanted:
                raise missing_entry(vat, wanted)
        return [entry for _, entry in rows]

    async def read_bundle(self, bundle: str) -> str:
        row = self._db.execute("SELECT text FROM bundles WHERE id = ?", (bundle,)).fetchone()
        if row is None:
            raise missing_bundle(bundle)
        return str(row[0])

    async def read_chunk(self, chunk: str) -> bytes:
        row = self._db.execute("SELECT packed FROM chunks WHERE id = ?", (chunk,)).fetchone()
        if row is None:
            raise missing_chunk(chunk)
        return bytes(row[0])

    async def list_transcripts(self) -> list[tuple[str, int, int]]:
        ranges = "SELECT vat, min(number), max(number) FROM transcripts GROUP BY vat ORDER BY vat"
        return [(vat, first, last) for vat, first, last in self._db.execute(ranges)]

    async def list_bundles(self) -> list[str]:
        return [bundle for (bundle,) in self._db.execute("SELECT id FROM bundles ORDER BY id")]

    async def list_chunks(self) -> list[str]:
        return [chunk for (chunk,) in self._db.execute("SELECT id FROM chunks ORDER BY id")]

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._db.close()
            self._holder.unlink(missing_ok=True)


def _explain(error: Exception) -> str:
    text = str(error)
    if "locked" in text:
        return "in use by another kernel; stop that one, or choose another file"
    if "not a database" in text:
        return "not a store: it is not an SQLite file; choose another file"
    if "full" in text:
        return "the disk is full; make room and start again"
    return text
