"""Pillars: what keeps an object alive when nothing in the heap does, and who will notice that it has died.

A reference, without its facet, can stand on three pillars:

| object                                    | heap               | vat store            | export                  |
|-------------------------------------------|--------------------|----------------------|-------------------------|
| of another vat (``o-N``)                  | its presence       | states, keys, values |                         |
| of this vat, in the heap only (``o+N``)   | itself; see `Slots`| virtual data: a pin  | the kernel; see `Slots` |
| virtual or durable, as collections are    | its representative | states, keys, values | status `r` of any facet |

Owns the two that are not the heap: counts of mentions in the store (``vom.rc``), which for objects of the heap
are counts in the heap that pin them, and the export status (``vom.es``). Owns also who *recognizes* a reference
without reaching it: the weak collections that have it as a key (``vom.ir``).

Whatever takes a pillar or a recognizer away adds the reference to `possibly_dead` or `possibly_retired`. Nothing else
happens until bringOutYourDead, which looks whether it really stands on nothing: see `kernel_py.vat.collector`.

Source: virtualReferences.js; the reference, 4.6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kernel_py.vat import schema
from kernel_py.vat.cache import StoreCache
from kernel_py.vat.slots import Slots, is_far_object
from kernel_py.vat.store import VatStore
from kernel_py.wire.refs import Vref, base_ref

REACHABLE: Final = "r"
RECOGNIZABLE: Final = "s"
NEITHER: Final = "n"


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What an incarnation leaves to the next.

    Attributes:
        possibly_dead: names that may be dead now that the heap is gone.
        possibly_retired: names that may be retired.
        error_count: how many errors were reported under ids of their own.
    """

    possibly_dead: frozenset[str] = frozenset()
    possibly_retired: frozenset[str] = frozenset()
    error_count: int = 0


NOTHING: Final = Inheritance()
"""What the first incarnation inherits."""


class Pillars:
    """The counts, statuses and recognizers of one vat.

    Attributes:
        possibly_dead: references, without facet, that have lost a pillar.
        possibly_retired: imports that have lost a recognizer.
    """

    def __init__(self, store: VatStore, cache: StoreCache, slots: Slots) -> None:
        self._store = store
        self._cache = cache
        self._slots = slots
        self._pins: dict[str, tuple[object, int]] = {}
        self.possibly_dead: set[str] = set()
        self.possibly_retired: set[str] = set()

    def inherit(self, inheritance: Inheritance) -> None:
        """This incarnation follows another."""
        self.possibly_dead |= inheritance.possibly_dead
        self.possibly_retired |= inheritance.possibly_retired

    def bequeath(self) -> Inheritance:
        """What the next incarnation must look at."""
        return Inheritance(
            frozenset(self.possibly_dead) | frozenset(self._slots.list_outliving()), frozenset(self.possibly_retired)
        )

    # Mentions in the store ---------------------------------------------------------------------

    def hold(self, vrefs: Iterable[str]) -> None:
        """The store mentions these once more each."""
        for vref in vrefs:
            base = base_ref(Vref(vref))
            if is_far_object(base):
                pin = self._pins.get(base)
                self._pins[base] = (self._slots.find(base), 1) if pin is None else (pin[0], pin[1] + 1)
            else:
                key = schema.reference_count(base)
                self._cache.set(key, str(self._cache.get_number(key, 0) + 1))

    def release(self, vrefs: Iterable[str]) -> None:
        """The store mentions these once less each."""
        for vref in vrefs:
            base = base_ref(Vref(vref))
            if is_far_object(base):
                value, count = self._pins.pop(base, (None, 0))  # an earlier incarnation's pins are gone with it
                if count > 1:
                    self._pins[base] = value, count - 1
                continue  # if the heap has let it go as well, that is noted when it is collected
            key = schema.reference_count(base)
            count = self._cache.get_number(key, 0) - 1
            self._cache.set(key, str(count) if count > 0 else None)
            if count <= 0:
                self.possibly_dead.add(base)

    def replace(self, before: Iterable[str], after: Iterable[str]) -> None:
        """Mentions have been replaced by others. First come those that are new, so that none dies in between."""
        self.hold(after)
        self.release(before)

    def is_held(self, base: str) -> bool:
        if is_far_object(base):
            return base in self._pins
        return self._cache.get(schema.reference_count(base)) is not None

    def sort_out(self, dead: list[str]) -> None:
        """Of these, which the heap has let go, remember those that may be dead; the others will lose a pillar first."""
        for vref in dead:
            if not self.is_held(vref) and not (schema.is_stored(vref) and self.is_any_exported(vref)):
                self.possibly_dead.add(vref)

    # Exports of virtual and durable objects ----------------------------------------------------

    def export(self, vref: str) -> None:
        """A syscall has mentioned this virtual or durable object, or facet: the kernel reaches it."""
        self._set_status(vref, REACHABLE)

    def drop_export(self, vref: str) -> None:
        """The kernel reaches it no more."""
        self._set_status(vref, RECOGNIZABLE)
        self.possibly_dead.add(base_ref(Vref(vref)))

    def retire_export(self, vref: str) -> None:
        """The kernel has forgotten it."""
        self._set_status(vref, NEITHER)

    def is_exported(self, vref: str) -> bool:
        """Whether the kernel reaches this very object or facet."""
        base, index = _split(vref)
        return (self._cache.get(schema.export_status(base)) or "")[index : index + 1] == REACHABLE

    def is_any_exported(self, base: str) -> bool:
        """Whether the kernel reaches the object or any of its facets."""
        return REACHABLE in (self._cache.get(schema.export_status(base)) or "")

    def take_recognizable(self, base: str) -> list[Vref]:
        """The object and facets that the kernel recognizes, which the status says no more."""
        status = self._cache.get(schema.export_status(base))
        if status is None:
            return []
        self._cache.set(schema.export_status(base), None)
        names = [Vref(base), *(schema.make_facet(Vref(base), facet) for facet in range(len(status) - 1))]
        return [name for name, mark in zip(names, status, strict=True) if mark != NEITHER]

    def _set_status(self, vref: str, mark: str) -> None:
        base, index = _split(vref)
        key = schema.export_status(base)
        before = self._cache.get(key) or ""
        padded = before.ljust(index + 1, NEITHER)
        after = padded[:index] + mark + padded[index + 1 :]
        if after != before:
            self._cache.set(key, after if after.strip(NEITHER) else None)

    # Recognizers -------------------------------------------------------------------------------

    def recognize(self, vref: str, collection: int) -> None:
        """A weak collection has `vref` as a key from now on."""
        self._store.set(schema.recognizer(vref, collection), "1")

    def unrecognize(self, vref: str, collection: int) -> None:
        """A weak collection has it as a key no more."""
        self._store.delete(schema.recognizer(vref, collection))
        if vref.startswith("o-"):
            self.possibly_retired.add(vref)

    def is_recognized(self, vref: str) -> bool:
        prefix = schema.recognizers(vref)
        key = self._store.get_next_key(prefix)
        return key is not None and key.startswith(prefix)

    def list_recognizers(self, base: str) -> list[tuple[str, int]]:
        """The weak collections that have the object or a facet of it as a key: ``(vref, collection)``."""
        found: list[tuple[str, int]] = []
        for prefix in (schema.recognizers(base), schema.recognizers(base)[:-1] + ":"):
            key = self._store.get_next_key(prefix)
            while key is not None and key.startswith(prefix):
                vref, _, collection = key.removeprefix("vom.ir.").partition("|")
                found.append((vref, int(collection)))
                key = self._store.get_next_key(key)
        return found


def _split(vref: str) -> tuple[str, int]:
    """The reference without its facet, and the place of the facet in the status."""
    base, _, facet = vref.partition(":")
    return base, int(facet) + 1 if facet else 0
