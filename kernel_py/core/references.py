"""Reference counts and c-lists: who can name what, and how many.

Owns the object table, the ``refs`` of promises, and every vat's c-list.

Counting (the reference, 2.5):
    promise: one per c-list entry in any direction, per queue mention (target, result, slot), per
        queued notify, per mention in another promise's data, per hold of the kernel's own.
    object ``(reachable, recognizable)``: importing c-list entries (recognizable; reachable too if
        R), queue mentions, resolution data, holds. The exporter's own entry counts nothing.

Counts reach zero here but are acted on only at the end of the crank (`take_freed`), since a
reference is often dropped and taken again within it.
"""

from __future__ import annotations

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
        self._freed: dict[str, None] = {}

    # --- the tables -----------------------------------------------------------------------------

    def get_object(self, kref: str) -> KernelObject:
        record = self._state.get(schema.OBJECTS, kref)
        if record is None:
            raise KernelBug(f"no object {kref}")
        assert isinstance(record, KernelObject)
        return record

    def find_owner(self, kref: str) -> str | None:
        """The vat that exports the object, or None if it is gone or was never there."""
        record = self._state.get(schema.OBJECTS, kref)
        return None if record is None else record.owner

    def create_object(self, owner: str, iface: str) -> Kref:
        kref = make_object_kref(self._state.next_number(schema.NEXT_OBJECT))
        self._state.set(schema.OBJECTS, kref, KernelObject(owner, 0, 0, iface))
        return kref

    def orphan(self, kref: str) -> None:
        """The object's vat is gone; the name stays for those who hold it."""
        self._state.set(schema.OBJECTS, kref, self.get_object(kref)._replace(owner=None))
        self._freed[kref] = None

    def get_promise(self, kpid: str) -> KernelPromise:
        record = self._state.get(schema.PROMISES, kpid)
        if record is None:
            raise KernelBug(f"no promise {kpid}")
        assert isinstance(record, KernelPromise)
        return record

    def create_promise(self, decider: str | None) -> Kref:
        """A new unresolved promise, with one reference: the caller's."""
        kpid = make_promise_kref(self._state.next_number(schema.NEXT_PROMISE))
        promise = KernelPromise(PromiseState.UNRESOLVED, 1, decider, (), 0, 0, "", ())
        self._state.set(schema.PROMISES, kpid, promise)
        return kpid

    # --- counts ---------------------------------------------------------------------------------

    def take_hold(self, kref: str) -> None:
        """Count one mention: of a queue, of resolution data, or of the kernel itself."""
        if kref[1] == "p":
            self._change_promise(kref, 1)
        else:
            self._change_object(kref, 1, 1)

    def drop_hold(self, kref: str) -> None:
        """Undo one `take_hold`. The name stays valid until the end of the crank."""
        if kref[1] == "p":
            self._change_promise(kref, -1)
        else:
            self._change_object(kref, -1, -1)

    def _change_promise(self, kpid: str, change: int) -> None:
        state, refs, decider, subscribers, head, tail, body, slots = self.get_promise(kpid)
        refs += change
        if refs < 0:
            raise KernelBug(f"reference count of {kpid} below zero")
        if refs == 0:
            self._freed[kpid] = None
        self._state.set(
            schema.PROMISES, kpid, KernelPromise(state, refs, decider, subscribers, head, tail, body, slots)
        )

    def _change_object(self, kref: str, reachable: int, recognizable: int) -> None:
        owner, reach, recog, iface = self.get_object(kref)
        reach += reachable
        recog += recognizable
        if not 0 <= reach <= recog:
            raise KernelBug(f"reference counts of {kref} out of range: {reach},{recog}")
        if reach == 0:
            self._freed[kref] = None
        self._state.set(schema.OBJECTS, kref, KernelObject(owner, reach, recog, iface))

    def take_freed(self) -> list[str]:
        """References whose count touched zero since the last call; their counts may have risen again."""
        freed = list(self._freed)
        self._freed.clear()
        return freed

    def delete_object(self, kref: str) -> None:
        self._state.delete(schema.OBJECTS, kref)

    def delete_promise(self, kpid: str) -> None:
        self._state.delete(schema.PROMISES, kpid)

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
                    self._change_object(kref, 1, 0)
            return Vref(entry.vref)
        if kref[1] == "p":
            self._change_promise(kref, 1)
        else:
            if self.find_owner(kref) == vat:
                raise KernelBug(f"{vat} owns {kref} but its c-list has no entry for it")
            self._change_object(kref, 1, 1)
        imports.append(kref)
        return self._add_import(vat, kref)

    def give_result(self, vat: str, kpid: str, imports: list[str]) -> Vref:
        """Make the vat the decider of a message's result, and return its name for it.

        Takes over the reference that the message held; adds `kpid` to `imports` if the vat did not know it.
        """
        entry: ClistEntry | None = self._state.get(vat + ".clist", kpid)
        state, refs, _, subscribers, head, tail, body, slots = self.get_promise(kpid)
        if entry is None:
            imports.append(kpid)
            vref = self._add_import(vat, kpid)
        else:
            refs -= 1
            vref = Vref(entry.vref)
        self._state.set(schema.PROMISES, kpid, KernelPromise(state, refs, vat, subscribers, head, tail, body, slots))
        return vref

    def _add_import(self, vat: str, kref: str) -> Vref:
        delivered, next_object, next_promise, head, tail = self._state.get(schema.COUNTERS, vat)
        if kref[1] == "p":
            vref = make_imported_promise(next_promise)
            next_promise += 1
        else:
            vref = make_imported_object(next_object)
            next_object += 1
        self._state.set(schema.COUNTERS, vat, VatCounters(delivered, next_object, next_promise, head, tail))
        self._add_entry(vat, kref, vref)
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
        kref = self.create_promise(vat) if is_promise(vref) else self.create_object(vat, iface)
        self._add_entry(vat, kref, vref)
        return Kref(kref)

    def add_result(self, vat: str, vpid: Vref) -> Kref:
        """Register the result of a send, a name new to the vat: nobody decides it while the message is on its way.

        Raises:
            IllegalSyscall: the name is not the vat's to give, or not new.
        """
        if not is_vat_allocated(vpid) or self.find_kref(vat, vpid) is not None:
            raise IllegalSyscall(f"a send's result must be a new promise of the vat, not {vpid}")
        kpid = self.create_promise(None)
        self._add_entry(vat, kpid, vpid)
        return kpid

    def add_export(self, vat: str, kref: str, vref: Vref) -> None:
        """Register an object that the kernel made on the vat's behalf (its root)."""
        self._add_entry(vat, kref, vref)

    def _add_entry(self, vat: str, kref: str, vref: Vref) -> None:
        table = vat + ".clist"
        self._state.set(table, kref, ClistEntry(vref, is_reachable=True))
        self._state.set(table, vref, kref)

    def delete_entry(self, vat: str, kref: str, holds: int = 0) -> None:
        """Take `kref` out of the vat's c-list, with the counts that the entry stood for.

        Args:
            holds: of a promise, that the caller drops at the same time.
        """
        table = vat + ".clist"
        entry: ClistEntry = self._state.get(table, kref)
        self._state.delete(table, kref)
        self._state.delete(table, entry.vref)
        if kref[1] == "p":
            self._change_promise(kref, -1 - holds)
        elif not is_vat_allocated(Vref(entry.vref)):
            self._change_object(kref, -1 if entry.is_reachable else 0, -1)
