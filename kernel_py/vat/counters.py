"""The numbers of what a vat makes: exports, promises, collections, kinds. None is ever used twice.

Kept in the vat store under ``idCounters``, and so across incarnations; written at the end of each delivery that moved
them.

Source: liveslots.js; the reference, 1.5.
"""

from __future__ import annotations

from typing import Final

from kernel_py.vat import schema
from kernel_py.vat.store import VatStore
from kernel_py.wire import canonical

_FIRST: Final = {"exportID": 1, "collectionID": 1, "promiseID": 5, "kindID": 10}


class Counters:
    def __init__(self, store: VatStore) -> None:
        self._store = store
        text = store.get(schema.COUNTERS)
        self._numbers: dict[str, int] = dict(_FIRST) if text is None else canonical.load(text)
        self._inherited: dict[str, int] = dict(self._numbers)
        self._is_dirty = text is None

    def next(self, name: str) -> int:
        """A new number of that series."""
        number = self._numbers[name]
        self._numbers[name] = number + 1
        self._is_dirty = True
        return number

    def is_inherited(self, name: str, number: int) -> bool:
        """Whether an earlier incarnation may have used that number."""
        first, end = _FIRST[name], self._inherited[name]
        return first <= number < end

    def flush(self) -> None:
        """Write them to the vat store, if they have moved."""
        if self._is_dirty:
            self._is_dirty = False
            self._store.set(schema.COUNTERS, canonical.dump(self._numbers))
