"""Queues: what waits for which vat, and in which order it is dispatched.

Owns every vat's queue and the order of acceptance over all of them. Items carry a kernel-wide
sequence number; `find_next` gives the lowest-numbered head among those that may begin, at a cost that does
not grow with the number of vats or items.

Invariants:
    * An item in a queue holds one reference on everything it mentions.
    * `_ready` contains, at least, (sequence, vat) of each head that may begin; other entries are passed
      over. It is derived: rebuilt from the state at load.
    * `_offered` has the sequence last put into `_ready` for a vat, as long as it is in there.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import Any

from kernel_py.core import schema
from kernel_py.core.references import References
from kernel_py.core.schema import ItemKind, QueuedMessage, QueueItem, VatCounters
from kernel_py.core.state import KernelState


class Queues:
    """The vats' queues over one state."""

    def __init__(self, state: KernelState, references: References) -> None:
        self._state = state
        self._references = references
        self._counters: Mapping[str, VatCounters] = state.view(schema.COUNTERS)
        self._ready: list[tuple[int, str]] = []
        self._offered: dict[str, int] = {}
        for vat in state.rows(schema.COUNTERS):
            self.offer(vat)

    def append(self, vat: str, kind: ItemKind, payload: Any) -> None:
        """Put an item at the end of the vat's queue, taking the references it mentions."""
        self._references.take_holds(mentions(kind, payload))
        sequence = self._state.next_number(schema.NEXT_SEQUENCE)
        delivered, dispatched, next_object, next_promise, head, tail, dirt, chain = self._counters[vat]
        self._state.set(vat + ".queue", str(tail), QueueItem(sequence, kind, payload))
        counters = VatCounters(delivered, dispatched, next_object, next_promise, head, tail + 1, dirt, chain)
        self._state.set(schema.COUNTERS, vat, counters)
        if head == tail:
            self._push(sequence, vat)

    def put_back(self, vat: str, item: QueueItem) -> None:
        """Put an item that was taken at the head of the vat's queue again, taking the references it mentions."""
        self._references.take_holds(mentions(item.kind, item.payload))
        counters = self._counters[vat]
        head = counters.queue_head - 1
        self._state.set(vat + ".queue", str(head), item)
        self._state.set(schema.COUNTERS, vat, counters._replace(queue_head=head))
        self._push(item.sequence, vat)

    def release(self, kind: ItemKind, payload: Any) -> None:
        """Drop the references of an item that left its queue."""
        self._references.drop_holds(mentions(kind, payload))

    def find_head(self, vat: str) -> QueueItem | None:
        counters = self._counters.get(vat)
        if counters is None or counters.queue_head == counters.queue_tail:
            return None
        item: QueueItem = self._state.get(vat + ".queue", str(counters.queue_head))
        return item

    def take_head(self, vat: str) -> QueueItem:
        """Remove the head. The references it holds are now the caller's to `release`."""
        delivered, dispatched, next_object, next_promise, head, tail, dirt, chain = self._counters[vat]
        table, row = vat + ".queue", str(head)
        item: QueueItem = self._state.get(table, row)
        self._state.delete(table, row)
        counters = VatCounters(delivered, dispatched, next_object, next_promise, head + 1, tail, dirt, chain)
        self._state.set(schema.COUNTERS, vat, counters)
        return item

    def take_notifies(self, vat: str, accept: Callable[[str], bool]) -> list[str]:
        """Remove and return the promises of the notifies at the head, until another item or one not accepted."""
        delivered, dispatched, next_object, next_promise, head, tail, dirt, chain = self._counters[vat]
        table = vat + ".queue"
        kpids: list[str] = []
        while head < tail:
            item: QueueItem = self._state.get(table, str(head))
            if item.kind is not ItemKind.NOTIFY or not accept(item.payload):
                break
            kpids.append(item.payload)
            self._state.delete(table, str(head))
            head += 1
        if kpids:
            counters = VatCounters(delivered, dispatched, next_object, next_promise, head, tail, dirt, chain)
            self._state.set(schema.COUNTERS, vat, counters)
        return kpids

    def count(self, vat: str) -> int:
        counters = self._counters.get(vat)
        return 0 if counters is None else counters.queue_tail - counters.queue_head

    def offer(self, vat: str) -> None:
        """Say that the head of the vat's queue, if there is one, may have become free to begin."""
        item = self.find_head(vat)
        if item is not None:
            self._push(item.sequence, vat)

    def _push(self, sequence: int, vat: str) -> None:
        if self._offered.get(vat) != sequence:
            self._offered[vat] = sequence
            heapq.heappush(self._ready, (sequence, vat))

    def find_next(self, may_begin: Callable[[str, QueueItem], bool]) -> str | None:
        """The vat whose head was accepted first among those that may begin, or None. It stays ready until taken."""
        ready = self._ready
        while ready:
            sequence, vat = ready[0]
            item = self.find_head(vat)
            if item is not None and item.sequence == sequence and may_begin(vat, item):
                return vat
            heapq.heappop(ready)
            if self._offered.get(vat) == sequence:
                del self._offered[vat]
        return None


def mentions(kind: ItemKind, payload: Any) -> list[str]:
    """Every reference that an item holds, with repetitions."""
    match kind:
        case ItemKind.MESSAGE:
            return message_mentions(payload)
        case ItemKind.NOTIFY | ItemKind.PIPELINED:
            return [payload]
        case ItemKind.START:
            return list(payload[1])
        case ItemKind.COLLECT | ItemKind.REAP | ItemKind.UPGRADE | ItemKind.OPTIONS:
            return []


def message_mentions(message: QueuedMessage) -> list[str]:
    if message.result is None:
        return [message.target, *message.slots]
    return [message.target, message.result, *message.slots]
