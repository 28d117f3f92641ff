"""Garbage across vats: who is told to drop or retire what, and what vats drop and retire themselves.

Two questions are asked of an object: is it *reachable* (somebody may still send to it) and is it
*recognizable* (somebody would know it again, as the key of a weak collection does). The answers are the counts that
`kernel_py.core.references` keeps. What follows from them:

| the object | its exporter is told | its importers are told |
|---|---|---|
| is not reachable any more | dropExports | |
| is neither reachable nor recognizable | retireExports; the name is gone | |
| has lost its exporter, and is not reachable | | retireImports; the name is gone |

What a vat may have to be told is a row in its *collect table*; a COLLECT item waits in its queue as long as there is
one. Whether it still has to be told is decided when the item's turn comes, so a name that was in the meantime
sent again is left alone.

Vats find their own garbage only when asked (bringOutYourDead), which is a REAP item in their queue, after every
`Limits.reap_deliveries` deliveries or on demand.

A vat that is terminated has lost all its exports at once, though its c-list is removed in bounded steps.

Source: SwingSet's ``gcActions`` and ``retireKernelObjects``; the reference, 2.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from kernel_py.core import schema
from kernel_py.core.schema import ClistEntry, ItemKind, KernelObject, VatCounters
from kernel_py.core.shared import Shared
from kernel_py.wire.deliveries import RefDeliveryOp
from kernel_py.wire.errors import IllegalSyscall
from kernel_py.wire.refs import Vref, is_vat_allocated
from kernel_py.wire.syscalls import RefOp, RefSyscall


class Garbage:
    """Collection over one state."""

    def __init__(self, shared: Shared) -> None:
        self._state = shared.state
        self._references = shared.references
        self._queues = shared.queues
        self._limits = shared.limits
        self._objects: Mapping[str, KernelObject] = shared.state.view(schema.OBJECTS)
        self._counters: Mapping[str, VatCounters] = shared.state.view(schema.COUNTERS)

    # --- what became unreachable ----------------------------------------------------------------

    def note(self, kref: str) -> None:
        """An object is not reachable: those who must hear of it will, if that is still so by then."""
        record = self._objects.get(kref)
        if record is None or record.reachable > 0:
            return
        owner = self._find_exporter(kref)
        if owner is not None:
            self._schedule(owner, kref)
        elif record.recognizable > 0:
            for vat in self._counters:
                entry = self._references.find_entry(vat, kref)
                if entry is not None and not is_vat_allocated(Vref(entry.vref)):
                    self._schedule(vat, kref)

    def _find_exporter(self, kref: str) -> str | None:
        """The living vat that has the object in its c-list, revoked or not."""
        owner = self._objects[kref].owner
        return owner if owner in self._counters else None

    def _schedule(self, vat: str, kref: str) -> None:
        table = schema.collect_table(vat)
        if not self._state.count(table):
            self._queues.append(vat, ItemKind.COLLECT, None)
        if self._state.get(table, kref) is None:
            self._state.set(table, kref, 1)

    def begin(self, vat: str) -> list[Any] | None:
        """The delivery for a COLLECT item, of one kind; None if nothing has to be told any more."""
        table = schema.collect_table(vat)
        groups: dict[RefDeliveryOp, list[str]] = {op: [] for op in _ORDER}
        for kref in self._state.rows(table):
            op = self._find_due(vat, kref)
            if op is None:
                self._state.delete(table, kref)
            else:
                groups[op].append(kref)
        op = next((op for op in _ORDER if groups[op]), None)
        if op is None:
            return None
        krefs = groups[op][: self._limits.collect_refs_max]
        vrefs = sorted(self._references.get_entry(vat, kref).vref for kref in krefs)
        for kref in krefs:
            self._tell(vat, op, kref)
        if self._state.count(table):
            self._queues.append(vat, ItemKind.COLLECT, None)
        return [op.value, vrefs]

    def _find_due(self, vat: str, kref: str) -> RefDeliveryOp | None:
        record, entry = self._objects.get(kref), self._references.find_entry(vat, kref)
        if record is None or entry is None or record.reachable > 0:
            return None
        if not is_vat_allocated(Vref(entry.vref)):
            return RefDeliveryOp.RETIRE_IMPORTS if self._find_exporter(kref) is None else None
        if entry.is_reachable:
            return RefDeliveryOp.DROP_EXPORTS
        return RefDeliveryOp.RETIRE_EXPORTS if record.recognizable == 0 else None

    def _tell(self, vat: str, op: RefDeliveryOp, kref: str) -> None:
        if op is RefDeliveryOp.DROP_EXPORTS:
            self._references.set_unreachable(vat, kref)
            if self._objects[kref].recognizable == 0:
                return  # it is to be retired next: the row stays
        else:
            self._references.delete_entry(vat, kref)
            if op is RefDeliveryOp.RETIRE_EXPORTS:
                self._references.delete_object(kref)
        self._state.delete(schema.collect_table(vat), kref)

    # --- what vats say --------------------------------------------------------------------------

    def apply(self, vat: str, syscall: RefSyscall, ahead: frozenset[str]) -> None:
        """Carry out one of the four collection syscalls.

        Args:
            ahead: references in deliveries that the vat was given and has not come to. It will learn of them anew, so
                what it drops or retires of them stays.

        Raises:
            IllegalSyscall: the vat may not say so of one of them.
        """
        for vref in syscall.vrefs:
            if is_vat_allocated(vref) is not (syscall.op in _OF_EXPORTS):
                raise IllegalSyscall(f"{syscall.op} of {vref}, which is an {_SIDES[is_vat_allocated(vref)]}")
            kref = self._references.find_kref(vat, vref)
            if kref is None:
                raise IllegalSyscall(f"{syscall.op} of {vref}, which is not in the vat's c-list")
            if vref in ahead:
                continue
            entry = self._references.get_entry(vat, kref)
            if entry.is_reachable is not _MUST_BE_REACHABLE.get(syscall.op, entry.is_reachable):
                was = "is still reachable" if entry.is_reachable else "was dropped before"
                raise IllegalSyscall(f"{syscall.op} of {vref}, which {was}")
            self._apply_one(vat, syscall.op, kref)

    def _apply_one(self, vat: str, op: RefOp, kref: str) -> None:
        match op:
            case RefOp.DROP_IMPORTS:
                self._references.set_unreachable(vat, kref)
            case RefOp.RETIRE_IMPORTS:
                self._references.delete_entry(vat, kref)
            case RefOp.RETIRE_EXPORTS | RefOp.ABANDON_EXPORTS:
                self._references.delete_entry(vat, kref)
                self._references.orphan(kref)

    # --- asking for it --------------------------------------------------------------------------

    def reap(self, vat: str) -> None:
        """Ask a living vat for its garbage."""
        self._queues.append(vat, ItemKind.REAP, None)
        self._state.set(schema.COUNTERS, vat, self._counters[vat]._replace(dirt=0))

    # --- what terminated vats leave -------------------------------------------------------------

    def clean(self, vat: str) -> None:
        """Remove one step's worth of a terminated vat's c-list, and its exports with it."""
        table = schema.clist_table(vat)
        rows = self._state.iter_rows(table)
        krefs = list(islice((row for row in rows if row[0] == "k"), self._limits.cleanup_refs_max))
        for kref in krefs:
            entry: ClistEntry = self._state.get(table, kref)
            self._references.delete_entry(vat, kref)
            if kref[1] == "o" and is_vat_allocated(Vref(entry.vref)):
                self._references.orphan(kref)
        if self._state.count(table):
            if self._state.get(schema.LEFTOVERS, vat) is None:
                self._state.set(schema.LEFTOVERS, vat, 1)
        elif self._state.get(schema.LEFTOVERS, vat) is not None:
            self._state.delete(schema.LEFTOVERS, vat)


_ORDER = (RefDeliveryOp.DROP_EXPORTS, RefDeliveryOp.RETIRE_EXPORTS, RefDeliveryOp.RETIRE_IMPORTS)
_OF_EXPORTS = (RefOp.RETIRE_EXPORTS, RefOp.ABANDON_EXPORTS)
_SIDES = {True: "export", False: "import"}
_MUST_BE_REACHABLE = {RefOp.DROP_IMPORTS: True, RefOp.RETIRE_IMPORTS: False, RefOp.RETIRE_EXPORTS: False}
