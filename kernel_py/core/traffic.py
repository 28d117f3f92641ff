"""The log made afterwards: message traffic, from stored transcripts alone.

Gives the events Sent, Got, Fulfilled, Rejected and Notified of `kernel_py.core.events`, with the very fields that
somebody who had watched would have seen. What transcripts do not hold is not in it: what vats printed, life cycles,
faults, deliveries that are still in flight, and vats that were terminated, whose transcripts are gone.

The order is that of the cranks' completion, as if one crank had followed the other: each message is sent before it is
got. The time of an event is that of its delivery.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heapreplace
from typing import Any

from kernel_py.core.events import Log
from kernel_py.core.outputs import Outbox
from kernel_py.core.store import Backend
from kernel_py.wire import canonical
from kernel_py.wire.capdata import CapData
from kernel_py.wire.deliveries import DeliverMessage, Notify, RefDelivery, RefDeliveryOp, parse_delivery
from kernel_py.wire.errors import KernelError, StoreError
from kernel_py.wire.protocol import TranscriptEntry, parse_transcript_entry
from kernel_py.wire.syscalls import RefOp, RefSyscall, Resolve, Send, parse_syscall

_ENTRIES_READ = 200
"""Entries of one vat in memory at a time."""


async def derive_log(backend: Backend, take: Callable[[dict[str, Any]], object]) -> None:
    """Give the events of all transcripts to `take`, in order.

    Raises:
        StoreError: a transcript cannot be read, or is corrupt.
    """
    heads: list[tuple[int, str, TranscriptEntry, _VatLog]] = []
    for vat, first, last in await backend.list_transcripts():
        log = _VatLog(backend, vat, first, last)
        entry = await log.read()
        if entry is not None:
            heads.append((entry.crank, vat, entry, log))
    heapify(heads)
    while heads:
        _, vat, entry, log = heads[0]
        for event in log.describe(entry):
            take(event)
        following = await log.read()
        if following is None:
            heappop(heads)
        else:
            heapreplace(heads, (following.crank, vat, following, log))


class _VatLog:
    """One vat's transcript, read entry by entry, with what its references mean at each."""

    def __init__(self, backend: Backend, vat: str, first: int, last: int) -> None:
        self._backend = backend
        self._vat = vat
        self._next = first
        self._last = last
        self._texts: deque[str] = deque()
        self._names: dict[str, str] = {}
        self._outbox = Outbox()
        self._log = Log(self._outbox)
        self._log.is_observed = True

    async def read(self) -> TranscriptEntry | None:
        """The next entry, or None after the last."""
        if not self._texts and self._next <= self._last:
            end = min(self._next + _ENTRIES_READ - 1, self._last)
            self._texts.extend(await self._backend.read_transcript(self._vat, self._next, end))
            self._next = end + 1
        if not self._texts:
            return None
        try:
            return parse_transcript_entry(canonical.load(self._texts.popleft()))
        except (ValueError, RecursionError, KernelError) as error:
            raise StoreError(f"the transcript of {self._vat} is corrupt: {error}; restore it from an export") from error

    def describe(self, entry: TranscriptEntry) -> list[dict[str, Any]]:
        """The events of one delivery."""
        self._names.update(entry.names)
        self._log.time_ms = entry.time_ms
        where = (self._vat, entry.number)
        match parse_delivery(entry.delivery):
            case DeliverMessage(target=target, message=message):
                result = None if message.result is None else self._name(message.result)
                self._log.message("Got", where, self._name(target), self._data(message.methargs), result)
            case Notify(resolutions=resolutions):
                promises = [resolution.promise for resolution in resolutions]
                self._log.notified(where, [self._name(promise) for promise in promises])
                self._forget(promises)
            case RefDelivery(op=RefDeliveryOp.RETIRE_EXPORTS | RefDeliveryOp.RETIRE_IMPORTS, vrefs=vrefs):
                self._forget(vrefs)
            case _:
                pass
        for value in entry.syscalls:
            match parse_syscall(value):
                case Send(target=target, message=message):
                    result = None if message.result is None else self._name(message.result)
                    self._log.message("Sent", where, self._name(target), self._data(message.methargs), result)
                case Resolve(resolutions=resolutions):
                    for resolution in resolutions:
                        data = self._data(resolution.data)
                        self._log.settled(where, self._name(resolution.promise), data, is_reject=resolution.is_reject)
                    self._forget([resolution.promise for resolution in resolutions])
                case RefSyscall(op=RefOp.RETIRE_EXPORTS | RefOp.RETIRE_IMPORTS, vrefs=vrefs):
                    self._forget(vrefs)
                case _:
                    pass
        events, self._outbox.events = self._outbox.events, []
        return events

    def _name(self, vref: str) -> str:
        """The kref; where a transcript does not tell it, the vat's own name."""
        return self._names.get(vref, f"{self._vat}/{vref}")

    def _data(self, data: CapData) -> CapData:
        return CapData(data.body, tuple(map(self._name, data.slots)))

    def _forget(self, vrefs: Iterable[str]) -> None:
        """Settled promises, and retired objects, have left the vat's c-list."""
        for vref in vrefs:
            self._names.pop(vref, None)
