"""Reference counts and c-lists: who can name what, and how many.

Owns the object table, the ``refs`` of promises, and every vat's c-list.

Counting (the reference, 2.5):
    promise: one per c-list entry in any direction, per queue mention (target, result, slot), per
        queued notify, per mention in another promise's data, per hold of the kernel's own.
    object ``(reachable, recognizable)``: importing c-list entries (recognizable; reachable too if
        R), queue mentions, resolution data, holds. The exporter's own entry counts nothing.

Counts change, and what is at zero goes, only at the end of the crank (`settle_counts`): most of what is
dropped within one is taken again, and costs nothing. Of objects it only says which have become unreachable:
what follows for vats is `kernel_py.core.garbage`'s.

Settled promises may hold each other in a circle, which counts alone never free. One that loses a mention and
keeps others, and mentions promises itself, is looked at: if nothing but the circle mentions the circle, it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from kernel_py.core import schema
from kernel_py.core.schema import ClistEntry, KernelObject, KernelPromise, PromiseState, Vat, VatCounters, VatState
from kernel_py.core.state import KernelState
from kernel_py.wire.errors import IllegalSyscall, KernelBug
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
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


@dataclass(slots=True)
class Learned:
    """What a delivery told a vat: objects and promises that it did not know, and objects that it had dropped.

    Attributes:
        passing: "vref kref" of promises that it learns of, and forgets, with this delivery.
    """

    imports: list[str] = field(default_factory=list)
    reached: list[str] = field(default_factory=list)
    passing: list[str] = field(default_factory=list)


class References:
    """The object table, promise counts and c-lists over one state."""

    def __init__(self, state: KernelState, limits: Limits = DEFAULT_LIMITS) -> None:
        self._state = state
        self._promise_cycle_max = limits.promise_cycle_max
        self._objects: Mapping[str, KernelObject] = state.view(schema.OBJECTS)
        self._promises: Mapping[str, KernelPromise] = state.view(schema.PROMISES)
        self._counters: Mapping[str, VatCounters] = state.view(schema.COUNTERS)
        self._vats: Mapping[str, Vat] = state.view(schema.VATS)
        self._revoked = state.view(schema.REVOKED)
        self._changes: dict[str, int] = {}  # of this crank: of recognizable counts, and of promises' refs
        self._reach_changes: dict[str, int] = {}
        self._exports: dict[str, str] = {}  # of this crank: kref by vref
        self.on_service_object_gone: Callable[[str], None]

    # --- the tables -----------------------------------------------------------------------------

    def get_object(self, kref: str) -> KernelObject:
        record = self._objects.get(kref)
        if record is None:
            raise KernelBug(f"no object {kref}")
        return record

    def find_owner(self, kref: str) -> str | None:
        """The living vat or the service that has the object, or None if it is gone, was revoked, or was never there."""
        record = self._objects.get(kref)
        if record is None or record.owner is None or kref in self._revoked:
            return None
        vat = self._vats.get(record.owner)
        if vat is None:
            return record.owner if schema.is_service(record.owner) else None
        return None if vat.state is VatState.TERMINATED else record.owner

    def create_object(self, owner: str, iface: str) -> Kref:
        kref = make_object_kref(self._state.next_number(schema.NEXT_OBJECT))
        self._state.set(schema.OBJECTS, kref, KernelObject(owner, 0, 0, iface))
        self._count(kref, 0, 0)
        return kref

    def is_revoked(self, kref: str) -> bool:
        return kref in self._revoked

    def delete_object(self, kref: str) -> None:
        """Forget an object that nobody has a name for."""
        self._state.delete(schema.OBJECTS, kref)
        if kref in self._revoked:
            self._state.delete(schema.REVOKED, kref)

    def orphan(self, kref: str) -> None:
        """What the object was of is gone; the name stays for those who hold it."""
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

    def take_holds(self, krefs: Iterable[str]) -> None:
        """`take_hold` for each."""
        changes, reach_changes = self._changes, self._reach_changes
        for kref in krefs:
            changes[kref] = changes.get(kref, 0) + 1
            if kref[1] == "o":
                reach_changes[kref] = reach_changes.get(kref, 0) + 1

    def drop_holds(self, krefs: Iterable[str]) -> None:
        """`drop_hold` for each."""
        changes, reach_changes = self._changes, self._reach_changes
        for kref in krefs:
            changes[kref] = changes.get(kref, 0) - 1
            if kref[1] == "o":
                reach_changes[kref] = reach_changes.get(kref, 0) - 1

    def _count(self, kref: str, reachable: int, recognizable: int) -> None:
        """Note a change of counts; for a promise, `recognizable` is that of its ``refs``."""
        self._changes[kref] = self._changes.get(kref, 0) + recognizable
        if reachable and kref[1] == "o":
            self._reach_changes[kref] = self._reach_changes.get(kref, 0) + reachable

    def settle_counts(self) -> list[str]:
        """At the end of a crank: apply its changes of counts, and delete what nothing mentions any more.

        Returns:
            the objects of which a count changed, and that nothing reaches.
        """
        unreachable: list[str] = []
        suspects: list[str] = []
        while self._changes:
            changes, self._changes = self._changes, {}
            reach_changes, self._reach_changes = self._reach_changes, {}
            for kref, change in changes.items():
                if kref[1] != "p":
                    if self._settle_object(kref, reach_changes.get(kref, 0), change):
                        unreachable.append(kref)
                elif self._settle_promise(kref, change):
                    suspects.append(kref)
            while suspects and not self._changes:
                self._free_cycle(suspects.pop())
        return unreachable

    def forget_counts(self) -> None:
        """The crank is aborted."""
        self._changes.clear()
        self._reach_changes.clear()
        self._exports.clear()

    def _settle_promise(self, kpid: str, change: int) -> bool:
        """Apply a change. Returns whether the promise may now be held by nothing but a cycle that it is part of."""
        state, refs, decider, subscribers, head, tail, body, slots = self.get_promise(kpid)
        refs += change
        if refs < 0:
            raise KernelBug(f"reference count of {kpid} below zero")
        if refs == 0:
            self._state.delete(schema.PROMISES, kpid)
            for slot in slots:
                self.drop_hold(slot)
            return False
        if change:
            promise = KernelPromise(state, refs, decider, subscribers, head, tail, body, slots)
            self._state.set(schema.PROMISES, kpid, promise)
        return bool(slots) and bool(_promises_in(slots))

    def _free_cycle(self, kpid: str) -> None:
        """Delete what `kpid` leads to, itself included, as far as only settled promises among these mention it."""
        if kpid not in self._promises:
            return
        mentions = self._count_mentions_below(kpid)
        garbage = dict.fromkeys(mentions)
        stack = [each for each, count in mentions.items() if self._promises[each].refs > count]
        while stack:
            each = stack.pop()
            if each in garbage:
                del garbage[each]
                stack.extend(_promises_in(self._promises[each].slots))
        for each in garbage:
            for slot in self._promises[each].slots:
                if slot not in garbage:
                    self.drop_hold(slot)
        for each in garbage:
            self._state.delete(schema.PROMISES, each)

    def _count_mentions_below(self, kpid: str) -> dict[str, int]:
        """The promises that `kpid` leads to, itself included, and how often these mention each; none if too many."""
        found = {kpid: 0}
        stack = [kpid]
        while stack and len(found) <= self._promise_cycle_max:
            for slot in _promises_in(self._promises[stack.pop()].slots):
                if slot not in found:
                    found[slot] = 0
                    stack.append(slot)
                found[slot] += 1
        return {} if stack else found

    def _settle_object(self, kref: str, reach_change: int, change: int) -> bool:
        """Apply a change. Returns whether nothing reaches the object and vats may have to hear of it."""
        owner, reachable, recognizable, iface = self.get_object(kref)
        reachable += reach_change
        recognizable += change
        if not 0 <= reachable <= recognizable:
            raise KernelBug(f"reference counts of {kref} out of range: {reachable},{recognizable}")
        if recognizable == 0 and (owner is None or schema.is_service(owner)):
            self.delete_object(kref)
            if owner is not None:
                self.on_service_object_gone(kref)
            return False
        if change or reach_change:
            self._state.set(schema.OBJECTS, kref, KernelObject(owner, reachable, recognizable, iface))
        return reachable == 0 and not schema.is_service(owner)

    # --- c-lists --------------------------------------------------------------------------------

    def find_entry(self, vat: str, kref: str) -> ClistEntry | None:
        entry: ClistEntry | None = self._state.get(vat + ".clist", kref)
        return entry

    def find_kref(self, vat: str, vref: str) -> str | None:
        kref: str | None = self._state.get(vat + ".clist", vref)
        return kref

    def kref_to_vref(self, vat: str, kref: str, learned: Learned) -> Vref:
        """The vat's name for `kref`, allocating an import if it has none. `learned` notes what there is to undo."""
        table = vat + ".clist"
        entry = self._state.get(table, kref)
        if entry is not None:
            if not entry.is_reachable:
                self._set_reachable(vat, kref, entry, is_reachable=True)
                learned.reached.append(kref)
            return Vref(entry.vref)
        delivered, dispatched, next_object, next_promise, head, tail, dirt, chain = self._counters[vat]
        if kref[1] == "p":
            vref = make_imported_promise(next_promise)
            next_promise += 1
        else:
            if self.get_object(kref).owner == vat:
                raise KernelBug(f"{vat} owns {kref} but its c-list has no entry for it")
            vref = make_imported_object(next_object)
            next_object += 1
        counters = VatCounters(delivered, dispatched, next_object, next_promise, head, tail, dirt, chain)
        self._state.set(schema.COUNTERS, vat, counters)
        self._add_entry(vat, kref, vref)
        self._count(kref, 1, 1)
        learned.imports.append(kref)
        return vref

    def _set_reachable(self, vat: str, kref: str, entry: ClistEntry, *, is_reachable: bool) -> None:
        self._state.set(vat + ".clist", kref, ClistEntry(entry.vref, is_reachable))
        if not is_vat_allocated(Vref(entry.vref)):
            self._count(kref, 1 if is_reachable else -1, 0)

    def set_unreachable(self, vat: str, kref: str) -> None:
        """The vat has dropped an import, or was told that its export is not reached any more."""
        entry = self.get_entry(vat, kref)
        self._set_reachable(vat, kref, entry, is_reachable=False)

    def get_entry(self, vat: str, kref: str) -> ClistEntry:
        entry = self.find_entry(vat, kref)
        if entry is None:
            raise KernelBug(f"{vat} has no {kref}")
        return entry

    def vref_to_kref(self, vat: str, vref: Vref, iface: str = "") -> Kref:
        """The kernel's name for `vref`; a name that the vat made itself and uses first is registered.

        Args:
            iface: shown for a newly exported object.

        Raises:
            IllegalSyscall: the vat does not hold `vref`, or has dropped it.
        """
        entries = self._state.view(vat + ".clist")
        kref = entries.get(vref)
        if kref is not None:
            entry = entries[kref]
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
            self._exports[vref] = kref
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
        self._exports[vpid] = kpid
        self._count(kpid, 1, 1)
        return kpid

    def take_exports(self) -> dict[str, str]:
        """The krefs, by vref, of what the vat has exported in this crank."""
        exports, self._exports = self._exports, {}
        return exports

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


def _promises_in(slots: tuple[str, ...]) -> list[str]:
    return [slot for slot in slots if slot[1] == "p"]
