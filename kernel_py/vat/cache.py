"""A write-back cache of the vat store, for small records that change often: counts, numbers, statuses.

Invariants:
    * Between deliveries it is empty, and the store has everything.
    * What is changed is written in the order of the keys, at the end of the delivery, or before that if there are
      many. Nothing of it depends on the garbage collector.

Source: liveslots' cache.js; the reference, 4.2.
"""

from __future__ import annotations

from typing import Final

from kernel_py.vat.store import VatStore

ENTRIES_MAX: Final = 5_000
"""What is kept in memory of one delivery: some megabytes."""


class StoreCache:
    def __init__(self, store: VatStore) -> None:
        self._store = store
        self._values: dict[str, str | None] = {}
        self._dirty: dict[str, None] = {}

    def get(self, key: str) -> str | None:
        """The value at `key`, or None if there is none."""
        try:
            return self._values[key]
        except KeyError:
            value = self._values[key] = self._store.get(key)
            self._limit()
            return value

    def get_number(self, key: str, default: int) -> int:
        text = self.get(key)
        return default if text is None else int(text)

    def set(self, key: str, value: str | None) -> None:
        """Set the value at `key`; None deletes it."""
        self._values[key] = value
        self._dirty[key] = None
        self._limit()

    def flush(self) -> None:
        """Write what has changed, and forget everything."""
        if not self._values:
            return
        for key in sorted(self._dirty):
            value = self._values[key]
            if value is None:
                self._store.delete(key)
            else:
                self._store.set(key, value)
        self._dirty.clear()
        self._values.clear()

    def _limit(self) -> None:
        if len(self._values) > ENTRIES_MAX:
            self.flush()
