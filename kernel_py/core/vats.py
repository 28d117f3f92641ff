"""Vat life cycles: creation, the end, and what the end owes to others.

Owns the vat table. The life cycle is `TRANSITIONS`; what is not in it is a kernel bug.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kernel_py.core import kmarshal, schema
from kernel_py.core.bundles import Bundles
from kernel_py.core.garbage import Garbage
from kernel_py.core.outputs import Outbox
from kernel_py.core.promises import VAT_TERMINATED, Promises
from kernel_py.core.schema import ClistEntry, ItemKind, PromiseState, Vat, VatCounters, VatState
from kernel_py.core.shared import Shared
from kernel_py.core.snapshots import Snapshots
from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import KernelBug
from kernel_py.wire.refs import ROOT_VREF, VatId, make_vat_id

TRANSITIONS: dict[tuple[VatState, str], VatState] = {
    (VatState.STARTING, "started"): VatState.RUNNING,
    (VatState.STARTING, "terminate"): VatState.TERMINATED,
    (VatState.RUNNING, "pause"): VatState.PAUSED,
    (VatState.PAUSED, "resume"): VatState.RUNNING,
    (VatState.RUNNING, "terminate"): VatState.TERMINATED,
    (VatState.PAUSED, "terminate"): VatState.TERMINATED,
}


@dataclass(frozen=True, slots=True)
class VatEnd:
    """How a vat ended.

    Attributes:
        reason: for people.
        is_failure: False if the vat said that it was done.
        info: what the vat, or whoever ended it, said of it; slots are krefs. None if nobody did.
    """

    reason: str
    is_failure: bool = True
    info: CapData | None = None

    def describe(self) -> CapData:
        """What to tell those who want to know how the vat ended."""
        return kmarshal.serialize_error(self.reason) if self.info is None else self.info


class Vats:
    """The vat table over one state."""

    def __init__(self, shared: Shared, promises: Promises, garbage: Garbage, bundles: Bundles) -> None:
        self._state = shared.state
        self._references = shared.references
        self._queues = shared.queues
        self._log = shared.log
        self._promises = promises
        self._garbage = garbage
        self._bundles = bundles
        self.snapshots = Snapshots(shared.state, shared.limits)
        self.on_end: Callable[[str, VatEnd], None]

    @property
    def _outbox(self) -> Outbox:
        return self._log.outbox

    def find(self, vat: str) -> Vat | None:
        record = self._state.get(schema.VATS, vat)
        assert record is None or isinstance(record, Vat)
        return record

    def get(self, vat: str) -> Vat:
        record = self.find(vat)
        if record is None:
            raise KernelBug(f"no vat {vat}")
        return record

    def is_alive(self, vat: str) -> bool:
        record: Vat | None = self._state.get(schema.VATS, vat)
        return record is not None and record.state is not VatState.TERMINATED

    def living(self) -> list[str]:
        return [vat for vat in self._state.rows(schema.VATS) if self.is_alive(vat)]

    def create(self, record: Vat, parameters: CapData) -> tuple[VatId, str]:
        """Add a vat and queue its start. Returns its id and its root's kref, which the caller must hold.

        Its first source's bundle is taken.
        """
        vat = make_vat_id(self._state.next_number(schema.NEXT_VAT))
        counters = VatCounters(0, 0, schema.FIRST_IMPORT_OBJECT, schema.FIRST_IMPORT_PROMISE, 0, 0, 0, "")
        self._state.set(schema.COUNTERS, vat, counters)
        root = self._references.create_object(vat, f"root of {record.name}")
        self._references.add_export(vat, root, ROOT_VREF)
        self._state.set(schema.VATS, vat, record._replace(root=root))
        self._bundles.take(record.sources[0][1])
        self._queues.append(vat, ItemKind.START, (parameters.body, parameters.slots))
        self._log.vat(vat, record.name, VatState.STARTING)
        return vat, root

    def change(self, vat: str, action: str, reason: str = "") -> Vat:
        """Take one step of the life cycle."""
        record = self.get(vat)
        state = TRANSITIONS.get((record.state, action))
        if state is None:
            raise KernelBug(f"cannot {action} {vat}: it is {record.state}")
        record = record._replace(state=state, reason=reason)
        self._state.set(schema.VATS, vat, record)
        self._log.vat(vat, record.name, state, reason)
        return record

    def pause(self, vat: str) -> None:
        """Begin no more deliveries. What is in flight ends, what is sent to it waits."""
        self.change(vat, "pause")

    def resume(self, vat: str) -> None:
        self.change(vat, "resume")
        self._queues.offer(vat)

    def terminate(self, vat: str, end: VatEnd) -> None:
        """End a living vat: what it owed is rejected, what was on its way to it too, what it held is dropped.

        Its objects are orphans from now on. If it has a large c-list, the rest of that is removed later, in steps.
        """
        self.change(vat, "terminate", end.reason)
        self._outbox.stops.append(vat)
        counters: VatCounters = self._state.get(schema.COUNTERS, vat)
        for number in range(counters.delivered + 1, counters.dispatched + 1):
            self._state.delete(schema.INFLIGHT, schema.inflight_row(vat, number))
        table = schema.clist_table(vat)
        for vpid in sorted(row for row in self._state.iter_rows(table) if row[0] == "p"):
            kpid = self._state.get(table, vpid)
            promise = self._references.get_promise(kpid)
            self._promises.unsubscribe(vat, kpid)
            if promise.decider == vat and promise.state is PromiseState.UNRESOLVED:
                self._promises.settle(kpid, VAT_TERMINATED, is_reject=True)
        self._clear_queue(vat)
        collect = schema.collect_table(vat)
        for kref in self._state.rows(collect):
            self._state.delete(collect, kref)
        self._state.delete(schema.COUNTERS, vat)
        if self._state.get(schema.GAS, vat) is not None:
            self._state.delete(schema.GAS, vat)
        self._state.drop_transcript(vat)
        self.snapshots.forget(vat)
        for _, bundle, _ in self.get(vat).sources:
            self._bundles.drop(bundle)
        self.on_end(vat, end)
        self._garbage.clean(vat)

    def _clear_queue(self, vat: str) -> None:
        """Reject every queued message. Rejecting may queue more for the vat itself: hence the loop."""
        while self._queues.count(vat):
            item = self._queues.take_head(vat)
            if item.kind is ItemKind.MESSAGE and item.payload.result is not None:
                self._promises.settle(item.payload.result, VAT_TERMINATED, is_reject=True)
            self._queues.release(item.kind, item.payload)

    def forget(self, vat: str) -> None:
        """Remove the record of a terminated vat."""
        self._state.delete(schema.VATS, vat)

    def iter_entries(self, vat: str) -> list[tuple[str, ClistEntry]]:
        """The vat's c-list as (kref, entry), sorted by kref."""
        table = schema.clist_table(vat)
        return [(row, self._state.get(table, row)) for row in self._state.rows(table) if row.startswith("k")]
