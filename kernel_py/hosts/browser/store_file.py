"""The file of a worker vat's store, where `web/src/realm/store_files.ts` has put it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from kernel_py.vat.file_store import FileStore
from kernel_py.vat.store import VatStore

STORE_FOLDER = Path("/store")

_PRAGMAS = (
    "locking_mode = exclusive",  # before the log is used: its index is then in the heap, not in a file
    "journal_mode = wal",
    "synchronous = full",
    "wal_autocheckpoint = 0",
    "cache_size = -8000",  # KiB; what is more spills into the log
)


class SqliteFile:
    """A `StoreFile` in a folder of Python's file system.

    Args:
        folder: where ``vat.sqlite`` and its log are. The host removes them when the vat's life begins.
    """

    def __init__(self, folder: Path = STORE_FOLDER) -> None:
        self._path = folder / "vat.sqlite"

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)  # type: ignore[attr-defined]  # noqa: FBT003
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def open_store() -> VatStore:
    """The store of a realm's vat: in a file if the realm has one, else in the heap."""
    return FileStore(SqliteFile()) if STORE_FOLDER.is_dir() else VatStore()
