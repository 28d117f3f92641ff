"""The service ``timer``: the only way to real time for a vat. All of it is durable.

    timer.now()                         seconds since 1970, as time.time() gives them; the same within a crank
    timer.delay(delay_s)                settled with the time after so many seconds, never before
    timer.repeat(delay_s, interval_s, handler)
                                        sends handler.wake(time) after delay_s, and every interval_s from then on
      .cancel()                         of what repeat gives: ends it; says whether it was going on

A repeat keeps to its grid: what is late does not make the next one late. It waits for the answer of `wake`, so a
handler has one to do at a time; times that go by meanwhile are left out. If the answer is an exception the repeat
ends, as it does when the handler's vat does.

Owns the table of timers. `_heap` has (due_ms, number) of each that waits for its time, and possibly of others, which
are passed over. It is derived: rebuilt from the state at load.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any

from kernel_py.core import kmarshal, schema
from kernel_py.core.kmarshal import Ref
from kernel_py.core.promises import Promises
from kernel_py.core.schema import GRANT, PromiseState, QueuedMessage, ServiceObject, Timer
from kernel_py.core.services.service import LATER, NO_CONFIG, LocalCall, Method, parse_seconds, shown
from kernel_py.core.shared import Shared
from kernel_py.wire.capdata import CapData

_CANCELLER = "canceller"
"""Kind of object; its data is the timer's number."""


class TimerService:
    """Timers over one state."""

    name = "timer"
    config_schema: dict[str, Any] = NO_CONFIG

    def __init__(self, shared: Shared, promises: Promises) -> None:
        self._state = shared.state
        self._references = shared.references
        self._log = shared.log
        self._limits = shared.limits
        self._promises = promises
        self.methods: Mapping[str, Mapping[str, Method]] = {
            GRANT: {"now": self.now, "delay": self.delay, "repeat": self.repeat},
            _CANCELLER: {"cancel": self.cancel},
        }
        self._timers: Mapping[str, Timer] = shared.state.view(schema.TIMERS)
        self._heap = [(timer.due_ms, int(number)) for number, timer in self._timers.items() if not timer.waking]
        heapq.heapify(self._heap)

    # --- methods --------------------------------------------------------------------------------

    def now(self, call: LocalCall, /) -> float:
        del call
        return self._log.time_ms / 1000

    def delay(self, call: LocalCall, /, delay_s: object) -> object:
        delay_ms = parse_seconds(delay_s, "a delay", self._limits.timer_seconds_max)
        if call.result is not None:
            self._add(call, Timer(self._log.time_ms + delay_ms, 0, call.result, call.target, ""))
        return LATER

    def repeat(self, call: LocalCall, /, delay_s: object, interval_s: object, handler: object) -> Ref:
        delay_ms = parse_seconds(delay_s, "a delay", self._limits.timer_seconds_max)
        interval_ms = parse_seconds(interval_s, "an interval", self._limits.timer_seconds_max)
        if interval_ms == 0:
            raise ValueError("an interval is longer than 0 seconds")
        if not isinstance(handler, Ref):
            raise TypeError(f"a handler is an object with a method wake, not {shown(handler)}")
        number = self._add(call, Timer(self._log.time_ms + delay_ms, interval_ms, handler.kref, call.target, ""))
        canceller = self._references.create_object(schema.service_owner(self.name), _CANCELLER)
        record = ServiceObject(self.name, _CANCELLER, call.record.cluster, 0, number)
        self._state.set(schema.SERVICES, canceller, record)
        return Ref(canceller, "Alleged: canceller")

    def cancel(self, call: LocalCall, /) -> bool:
        number = call.record.data
        if number not in self._timers:
            return False
        self._remove(number)
        return True

    def _add(self, call: LocalCall, timer: Timer) -> str:
        record = call.record
        if record.pending >= self._limits.service_pending_max:
            raise RuntimeError(f"{record.pending:,} timers are waiting, which is the limit")
        self._state.set(schema.SERVICES, call.target, record._replace(pending=record.pending + 1))
        number = str(self._state.next_number(schema.NEXT_TIMER))
        self._references.take_hold(timer.target)
        self._set(number, timer)
        return number

    def _set(self, number: str, timer: Timer) -> None:
        self._state.set(schema.TIMERS, number, timer)
        if not timer.waking:
            heapq.heappush(self._heap, (timer.due_ms, int(number)))

    def _remove(self, number: str) -> None:
        """Forget a timer, with what it holds."""
        timer = self._timers[number]
        self._state.delete(schema.TIMERS, number)
        record = self._state.get(schema.SERVICES, timer.grant)
        if record is not None:
            self._state.set(schema.SERVICES, timer.grant, record._replace(pending=record.pending - 1))
        self._references.drop_hold(timer.target)
        if timer.waking:
            self._promises.unsubscribe(schema.timer_waiter(number), timer.waking)
            self._references.drop_hold(timer.waking)

    # --- time -----------------------------------------------------------------------------------

    def find_next(self) -> tuple[int, str] | None:
        """The timer that is due next, as (due_ms, number); it stays the next until it is fired."""
        while self._heap:
            due_ms, number = self._heap[0]
            timer = self._timers.get(str(number))
            if timer is not None and timer.due_ms == due_ms and not timer.waking:
                return due_ms, str(number)
            heapq.heappop(self._heap)
        return None

    def fire(self, number: str) -> None:
        """Do what a timer that is due is for."""
        timer = self._timers[number]
        if timer.interval_ms == 0:
            self._promises.settle(timer.target, self._time(), is_reject=False)
            self._remove(number)
            return
        waking = self._references.create_promise(None)
        self._references.take_hold(waking)
        self._state.set(schema.TIMERS, number, timer._replace(waking=waking))
        self._promises.subscribe(schema.timer_waiter(number), waking)
        wake = kmarshal.serialize_call("wake", [self._log.time_ms / 1000])
        self._promises.send(QueuedMessage(timer.target, wake.body, wake.slots, waking))

    def _time(self) -> CapData:
        return kmarshal.serialize(self._log.time_ms / 1000)

    def woken(self, number: str, kpid: str) -> None:
        """A handler has answered."""
        timer = self._timers.get(number)
        if timer is None or timer.waking != kpid:
            return
        if self._references.get_promise(kpid).state is PromiseState.REJECTED:
            self._remove(number)
            return
        self._references.drop_hold(kpid)
        missed = max(0, self._log.time_ms - timer.due_ms) // timer.interval_ms
        due_ms = timer.due_ms + (missed + 1) * timer.interval_ms
        self._set(number, timer._replace(due_ms=due_ms, waking=""))

    def end(self, grant: str) -> None:
        """The service object has ended: so does every timer that was asked of it."""
        for number in self._state.rows(schema.TIMERS):
            timer = self._timers[number]
            if timer.grant == grant:
                if timer.interval_ms == 0:
                    self._promises.settle(timer.target, ENDED, is_reject=True)
                self._remove(number)


ENDED = kmarshal.serialize_error("the service was revoked, or its cluster has ended")
"""What promises are rejected with that a service owed when its cluster ended."""
