"""A wall clock for a guest: how long it has run itself, in nanoseconds, against a budget.

It is a backstop: gas ends a guest deterministically, and this ends one that gas let run too long on this machine.
While the host works for the guest the clock is **paused**; a pause is a scope, so that it ends however the work does.

Rules, each of which has been got wrong somewhere:
    * The budget is for one run. A pause does not refill it.
    * Pauses nest, and guest code that runs inside one (`running`) counts.
    * Pauses are capped, each and in sum: beyond the cap the time counts.
    * Time is added up in nanoseconds at each border: a guest that calls the host all the time is counted like others.
    * A check always says when the next one is due, also while the clock is paused, and never sooner than a minimum.

Sans-IO: the time comes from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClockLimits:
    budget_ns: int = 30_000_000_000
    """What a guest may run in one delivery: three times what its gas lasts on a slow machine."""
    pause_ns_max: int = 5_000_000_000
    """What one pause is worth: no function of the host takes longer unless it hangs."""
    pauses_ns_max: int = 60_000_000_000
    """What all pauses of one run are worth."""
    slice_ns_min: int = 1_000_000
    """The least time between two checks."""


class GuestClock:
    """Accounts for one guest; runs do not overlap."""

    def __init__(self, now_ns: Callable[[], int], limits: ClockLimits) -> None:
        """Make a clock that stands still.

        Args:
            now_ns: a monotonic clock.
        """
        self._now_ns = now_ns
        self._limits = limits
        self._used_ns = 0
        self._pauses_ns = 0
        self._is_running = False
        self._since_ns = 0

    @contextmanager
    def run(self) -> Iterator[None]:
        """Begin a run with a full budget, and end it."""
        self._used_ns = self._pauses_ns = 0
        self._since_ns = self._now_ns()
        self._is_running = True
        try:
            yield
        finally:
            self._settle()
            self._is_running = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The host works for the guest."""
        with self._switched(is_running=False):
            yield

    @contextmanager
    def running(self) -> Iterator[None]:
        """The guest runs, inside of a pause."""
        with self._switched(is_running=True):
            yield

    @contextmanager
    def _switched(self, *, is_running: bool) -> Iterator[None]:
        self._settle()
        before, self._is_running = self._is_running, is_running
        try:
            yield
        finally:
            self._settle()
            self._is_running = before

    @property
    def used_ns(self) -> int:
        """What the guest has used of its budget in this run."""
        used_ns, _ = self._account(self._now_ns())
        return used_ns

    @property
    def remaining_ns(self) -> int:
        """What is left of the budget; never below zero."""
        return max(0, self._limits.budget_ns - self.used_ns)

    @property
    def is_exhausted(self) -> bool:
        return self.remaining_ns == 0

    def next_check_ns(self) -> int:
        """How long from now the budget cannot be exhausted, or the least time between checks if that is longer."""
        room_ns = 0 if self._is_running else self._pause_room_ns()
        return max(self.remaining_ns + room_ns, self._limits.slice_ns_min)

    def _account(self, now_ns: int) -> tuple[int, int]:
        """Used and paused time, with what passed since they were settled."""
        passed_ns = now_ns - self._since_ns
        if self._is_running:
            return self._used_ns + passed_ns, self._pauses_ns
        free_ns = min(passed_ns, self._limits.pause_ns_max, self._limits.pauses_ns_max - self._pauses_ns)
        return self._used_ns + passed_ns - free_ns, self._pauses_ns + free_ns

    def _pause_room_ns(self) -> int:
        """How much longer this pause is free."""
        passed_ns = self._now_ns() - self._since_ns
        limits = self._limits
        return max(0, min(limits.pause_ns_max, limits.pauses_ns_max - self._pauses_ns) - passed_ns)

    def _settle(self) -> None:
        now_ns = self._now_ns()
        self._used_ns, self._pauses_ns = self._account(now_ns)
        self._since_ns = now_ns
