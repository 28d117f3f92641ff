"""Transcripts as they are stored: each entry sealed by a hash that covers all before it.

Owns the notes that the kernel adds to an entry, of which no vat is told, and the chain. An entry's hash is the SHA-256
of the hash of the entry before it ("" before the first) and of the entry's text without the hash. The kernel's state
holds the last one, so nothing in a transcript can change, be left out, or be cut off at its end, without being found
and named when the transcript is read to be replayed.

A transcript falls into spans: one ends with each snapshot, whose mark is in the next entry, and with each upgrade.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from kernel_py.wire import canonical
from kernel_py.wire.errors import StoreError

_SEAL = ',"h":"'
_HASH_CHARS = 64
_SEAL_CHARS = len(_SEAL) + _HASH_CHARS + len('"}')


def annotate_entry(entry: str, crank: int, names: dict[str, str], mark: tuple[str, str] | None = None) -> str:
    """Add the kernel's notes to an entry.

    They are ``"c"``, the number of the crank; ``"k"``, the krefs, by vref, of what this delivery and its syscalls name
    for the first time; and ``"s"``, if the heap was looked at before this delivery: its base and digest.
    """
    noted = ",".join([f'"{vref}":"{kref}"' for vref, kref in names.items()])
    marked = "" if mark is None else f',"s":{canonical.dump(list(mark))}'
    return f'{entry[:-1]},"c":{crank},"k":{{{noted}}}{marked}}}'


def seal_entry(entry: str, chain: str) -> tuple[str, str]:
    """Add an entry's hash, given that of the entry before it. Returns the entry and the hash."""
    digest = hashlib.sha256((chain + entry).encode("utf-8", "surrogatepass")).hexdigest()
    return f'{entry[:-1]}{_SEAL}{digest}"}}', digest


class Chain:
    """Follows a transcript's hashes while its entries are read.

    Args:
        hashed_from: number of the first entry that has a hash.
        after: the number of the last entry that is not read, and `chain` its hash.
    """

    def __init__(self, vat: str, hashed_from: int, after: int = 0, chain: str = "") -> None:
        self._vat = vat
        self._hashed_from = hashed_from
        self._number = after
        self._chain = chain

    def verify(self, entries: Sequence[str]) -> None:
        """Take the next entries.

        Raises:
            StoreError: one of them is not what was written. It is the first that is not.
        """
        chain = self._chain
        for number, entry in enumerate(entries, self._number + 1):
            if number < self._hashed_from:
                continue
            text = entry[:-_SEAL_CHARS] + "}"
            chain = hashlib.sha256((chain + text).encode("utf-8", "surrogatepass")).hexdigest()
            if not entry.endswith(f'{_SEAL}{chain}"}}'):
                raise StoreError(
                    f"entry {number} of the transcript of {self._vat} is damaged: its hash does not match; "
                    "restore the store from an export"
                )
        self._chain = chain
        self._number += len(entries)

    def end(self, chain: str) -> None:
        """The transcript has ended; `chain` is the hash that the kernel's state has.

        Raises:
            StoreError: the last entry is another.
        """
        if self._chain != chain:
            raise StoreError(
                f"entry {self._number} of the transcript of {self._vat} is not the one that the kernel wrote last: "
                "restore the store from an export"
            )
