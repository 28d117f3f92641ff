"""Reference counts and c-lists: who can name what, and how many.

Owns the object table, the ``refs`` of promises, and every vat's c-list.

Counting (the reference, 2.5):
    promise: one per c-list entry in any direction, per queue mention (target, result, slot), per
        queued notify, per mention in another promise's data, per hold of the kernel's own.
    object ``(reachable, recognizable)``: importing c-list entries (recognizable; reachable too if
        R), queue mentions, resolution data, holds. The exporter's own entry counts nothing.

Counts change, and what is at zero goes, only at the end of the crank (`settle_counts`): most of what is
dropped within one is taken again, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from kernel_py.core import schema
from kernel_py.core.schema import ClistEntry, KernelObject, KernelPromise, PromiseState, VatCounters
from kernel_py.core.state import KernelState
from kernel_py.wire.errors import IllegalSyscall, KernelBug
from kernel_py.wire.refs import (
    Kref,
    Vref,
    is_promise,
    is_vat_allocated,
    make_imported_object,
    make_imported_promise,
    make_object_kref,
    make_promise_kref,
)


class References:
    """The object table, promise counts and c-lists over one state."""

    def __init__(self, state: KernelState) -> None:
        self._state = state
        self._objects: Mapping[str, KernelObject] = state.view(schema.OBJECTS)
        self._promises: Mapping[str, KernelPromise] = state.view(schema.PROMISES)
        self._counters: Mapping[str, VatCounters] = state.view(schema.COUNTERS)
        self._changes: dict[str, int] = {}  # of this crank: of recognizable counts, and of promises' refs
        self._reach_changes: dict[str, int] = {}

    # --- the tables -----------------------------------------------------------------------------

    def get_object(self, kref: str) -> KernelObject:
        record = self._objects.get(kref)
        if record is None:
            raise KernelBug(f"no object {kref}")
        return record

    def find_owner(self, kref: str) -> str | None:
        """The vat that exports the object, or None if it is gone or was never there."""
        record = self._objects.get(kref)
        return None if record is None else record.owner

    def create_object(self, owner: str, iface: str) -> Kref:
        kref = make_object_kref(self._state.next_number(schema.NEXT_OBJECT))
        self._state.set(schema.OBJECTS, kref, KernelObject(owner, 0, 0, iface))
        return kref

    def orphan(self, kref: str) -> None:
        """The object's vat is gone; the name stays for those who hold it."""
        self._state.set(schema.OBJECTS, kref, self.get_object(kref)._replace(owner=None))
        self._count(kref, 0, 0)

    def get_promise(self, kpid: str) -> KernelPromise:
        record = self._promises.get(kpid)
        if record is None:
            raise KernelBug(f"no promise {kpid}")
        return record

    def create_promise(self, decider: str | None) -> Kref:
        """A new unresolved promise. It goes at the end of the crank if it is not held by then."""
        kpid = make_promise_kref(self._state.next_number(schema.NEXT_PROMISE))
        promise = KernelPromise(PromiseState.UNRESOLVED, 0, decider, (), 0, 0, "", ())
        self._state.set(schema.PROMISES, kpid, promise)
        self._count(kpid, 0, 0)
        return kpid

    # --- counts ---------------------------------------------------------------------------------

    def take_hold(self, kref: str) -> None:
        """Count one mention: of a queue, of resolution data, or of the kernel itself."""
        self._count(kref, 1, 1)

    def drop_hold(self, kref: str) -> None:
        """Undo one `take_hold`. The name stays valid until the end of the crank."""
        self._count(kref, -1, -1)

    def _count(self, kref: str, reachable: int, recognizable: int) -> None:
        """Note a change of counts; for a promise, `recognizable` is that of its ``refs``."""
        self._changes[kref] = self._changes.get(kref, 0) + recognizable
        if reachable and kref[1] == "o":
            self._reach_changes[kref] = self._reach_changes.get(kref, 0) + reachable

    def settle_counts(self) -> None:
        """At the end of a crank: apply its changes of counts, and delete what nothing mentions any more."""
        while self._changes:
            changes, self._changes = self._changes, {}
            reach_changes, self._reach_changes = self._reach_changes, {}
            for kref, change in changes.items():
                if kref[1] == "p":
                    self._settle_promise(kref, change)
                else:
                    self._settle_object(kref, reach_changes.get(kref, 0), change)

    def forget_counts(self) -> None:
        """The crank is aborted."""
        self._changes.clear()
        self._reach_changes.clear()

    def _settle_promise(self, kpid: str, change: int) -> None:
        state, refs, decider, subscribers, head, tail, body, slots = self.get_promise(kpid)
        refs += change
        if refs < 0:
            raise KernelBug(f"reference count of {kpid} below zero")
        if refs == 0:
            self._state.delete(schema.PROMISES, kpid)
            for slot in slots:
                self.drop_hold(slot)
        elif change:
            promise = KernelPromise(state, refs, decider, subscribers, head, tail, body, slots)
            self._state.set(schema.PROMISES, kpid, promise)

    def _settle_object(self, kref: str, reach_change: int, change: int) -> None:
        owner, reachable, recognizable, iface = self.get_object(kref)
        reachable += reach_change
        recognizable += change
        if not 0 <= reachable <= recognizable:
            raise KernelBug(f"reference counts of {kref} out of range: {reachable},{recognizable}")
        if recognizable == 0 and owner is None:
            self._state.delete(schema.OBJECTS, kref)
        elif change or reach_change:
            self._state.set(schema.OBJECTS, kref, KernelObject(owner, reachable, recognizable, iface))

    # --- c-lists --------------------------------------------------------------------------------

    def find_entry(self, vat: str, kref: str) -> ClistEntry | None:
        entry = self._state.get(vat + ".clist", kref)
        assert entry is None or isinstance(entry, ClistEntry)
        return entry

    def find_kref(self, vat: str, vref: str) -> str | None:
        kref = self._state.get(vat + ".clist", vref)
        assert kref is None or isinstance(kref, str)
        return kref

    def kref_to_vref(self, vat: str, kref: str, imports: list[str]) -> Vref:
        """The vat's name for `kref`, allocating an import (and adding it to `imports`) if it has none."""
        table = vat + ".clist"
        entry = self._state.get(table, kref)
        if entry is not None:
            if not entry.is_reachable:
                self._state.set(table, kref, ClistEntry(entry.vref, is_reachable=True))
                if kref[1] == "o" and not is_vat_allocated(entry.vref):
                    self._count(kref, 1, 0)
            return Vref(entry.vref)
        delivered, dispatched, next_object, next_promise, head, tail = self._counters[vat]
        if kref[1] == "p":
            vref = make_imported_promise(next_promise)
            next_promise += 1
        else:
            if self.find_owner(kref) == vat:
                raise KernelBug(f"{vat} owns {kref} but its c-list has no entry for it")
            vref = make_imported_object(next_object)
            next_object += 1
        counters = VatCounters(delivered, dispatched, next_object, next_promise, head, tail)
        self._state.set(schema.COUNTERS, vat, counters)
        self._add_entry(vat, kref, vref)
        self._count(kref, 1, 1)
        imports.append(kref)
        return vref

    def vref_to_kref(self, vat: str, vref: Vref, iface: str = "") -> Kref:
        """The kernel's name for `vref`; a name that the vat made itself and uses first is registered.

        Args:
            iface: shown for a newly exported object.

        Raises:
            IllegalSyscall: the vat does not hold `vref`, or has dropped it.
        """
        kref = self._state.get(vat + ".clist", vref)
        if kref is not None:
            entry = self._state.get(vat + ".clist", kref)
            if not entry.is_reachable:
                if not is_vat_allocated(vref):
                    raise IllegalSyscall(f"{vref} was dropped: the vat may not use it again")
                self._state.set(vat + ".clist", kref, ClistEntry(vref, is_reachable=True))
            return Kref(kref)
        if not is_vat_allocated(vref):
            raise IllegalSyscall(f"{vref} was never given to this vat")
        if not is_promise(vref):
            kref = self.create_object(vat, iface)
            self._add_entry(vat, kref, vref)
            return kref
        return self._export_promise(vat, vref, vat)

    def add_result(self, vat: str, vpid: Vref) -> Kref:
        """Register the result of a send, a name new to the vat: nobody decides it while the message is on its way.

        Raises:
            IllegalSyscall: the name is not the vat's to give, or not new.
        """
        if not is_vat_allocated(vpid) or self.find_kref(vat, vpid) is not None:
            raise IllegalSyscall(f"a send's result must be a new promise of the vat, not {vpid}")
        return self._export_promise(vat, vpid, None)

    def _export_promise(self, vat: str, vpid: Vref, decider: str | None) -> Kref:
        kpid = self.create_promise(decider)
        self._add_entry(vat, kpid, vpid)
        self._count(kpid, 1, 1)
        return kpid

    def add_export(self, vat: str, kref: str, vref: Vref) -> None:
        """Register an object that the kernel made on the vat's behalf (its root)."""
        self._add_entry(vat, kref, vref)

    def _add_entry(self, vat: str, kref: str, vref: Vref) -> None:
        table = vat + ".clist"
        self._state.set(table, kref, ClistEntry(vref, is_reachable=True))
        self._state.set(table, vref, kref)

    def delete_entry(self, vat: str, kref: str) -> None:
        """Take `kref` out of the vat's c-list, with the counts that the entry stood for."""
        table = vat + ".clist"
        entry: ClistEntry = self._state.get(table, kref)
        self._state.delete(table, kref)
        self._state.delete(table, entry.vref)
        if kref[1] == "p" or not is_vat_allocated(Vref(entry.vref)):
            self._count(kref, -1 if entry.is_reachable else 0, -1)
