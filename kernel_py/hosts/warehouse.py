"""The warehouse: which vats are in memory. A policy over names; it knows no realm, clock or store.

Owns who is in, who waits to come in, and who has to go. A vat that is wanted and not in waits its turn; it comes in as
soon as there is room, and if there is none, the one that was used least recently and is at rest has to make room. Being
in memory is no state of the kernel's, and changes nothing but how long an answer takes.

Invariants:
    * No more than `vats_online_max` are in, but for those that are stuck: a vat that hangs costs no other its place.
    * A vat that is busy, being loaded or being imaged is never sent away: it is leased.
    * Whoever waits comes in: a vat that is never at rest while others wait gives its place up after its turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kernel_py.wire.limits import Limits


@dataclass(slots=True)
class Place:
    """A vat that is in.

    Attributes:
        used_ms: when it was used last.
        turn: deliveries that it has completed since it came in, or since it was last at rest.
        memory_bytes: as far as it is known. The vat says so: good for nothing but this.
        is_leaving: its heap is being taken, and then it goes.
    """

    used_ms: int
    turn: int = 0
    memory_bytes: int = 0
    is_leaving: bool = False


class Warehouse:
    """The places of one host."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places: dict[str, Place] = {}  # the least recently used first
        self._waiting: dict[str, None] = {}
        self._preloads: list[str] = []
        self._memory_bytes = 0  # of all places
        self._check_ms = 0
        self.pinned: dict[str, None] = {}

    # --- what happens ---------------------------------------------------------------------------

    def want(self, vat: str) -> None:
        """The vat has something to do, and is not in."""
        self._waiting[vat] = None

    def came_in(self, vat: str, now_ms: int) -> None:
        """The vat has, or gets, a realm."""
        self._waiting.pop(vat, None)
        self._places[vat] = Place(now_ms)
        self._check_ms = now_ms

    def began(self, vat: str, now_ms: int) -> None:
        """The vat, at rest until now, is given something to do."""
        place = self._places.pop(vat, None)
        if place is not None:
            self._places[vat] = place
            place.used_ms = now_ms

    def used(self, vat: str, now_ms: int, memory_bytes: int | None) -> None:
        """The vat has completed a delivery."""
        place = self._places.get(vat)
        if place is not None:
            place.used_ms = now_ms
            place.turn += 1
            size = min(memory_bytes or 0, self._limits.vats_memory_bytes_max)
            self._memory_bytes += size - place.memory_bytes
            place.memory_bytes = size

    def rested(self, vat: str) -> None:
        """The vat has nothing to do."""
        if vat in self._places:
            self._places[vat].turn = 0

    def forget_wish(self, vat: str) -> None:
        """The vat need not come in."""
        self._waiting.pop(vat, None)

    def left(self, vat: str) -> None:
        """The vat's realm is gone."""
        place = self._places.pop(vat, None)
        if place is not None:
            self._memory_bytes -= place.memory_bytes

    def leaving(self, vat: str, *, is_leaving: bool) -> None:
        """The vat's heap is being taken, and then it goes; or it stays after all."""
        if vat in self._places:
            self._places[vat].is_leaving = is_leaving

    def forget(self, vat: str) -> None:
        """The vat is no more."""
        self.left(vat)
        self._waiting.pop(vat, None)
        self.pinned.pop(vat, None)

    # --- what follows ---------------------------------------------------------------------------

    def is_turn_over(self, vat: str) -> bool:
        """Whether a vat that has more to do should let others in first."""
        place = self._places.get(vat)
        is_long = place is not None and place.turn >= self._limits.vat_turn_deliveries
        return is_long and bool(self._waiting) and vat not in self.pinned

    def find_next(self, now_ms: int, is_busy: Callable[[str], bool]) -> str | None:
        """The vat that may come in now; call `came_in` for it, and again. None if nobody waits, or there is no room."""
        if not self._waiting or self._count(now_ms, is_busy) >= self._limits.vats_online_max:
            return None
        return next(iter(self._waiting))

    def find_preload(self, now_ms: int, is_busy: Callable[[str], bool]) -> str | None:
        """A vat that should come in although it has nothing to do, as it was in before; one at a time."""
        while self._preloads and self._preloads[0] in self._places:
            self._preloads.pop(0)
        has_room = self._count(now_ms, is_busy) < self._limits.vats_online_max // 2
        if not self._preloads or not has_room or self._waiting or any(map(is_busy, self._places)):
            return None
        return self._preloads.pop(0)

    def list_leaving(self, now_ms: int, is_busy: Callable[[str], bool]) -> list[str]:
        """Those that should go now, all of them at rest: to make room, because memory is short, or unused for long."""
        resting = [vat for vat in self._places if not is_busy(vat)]
        idle_ms = self._limits.vat_idle_seconds_max * 1000
        leaving = [vat for vat in resting if now_ms - self._places[vat].used_ms >= idle_ms and vat not in self.pinned]
        going = sum(place.is_leaving for place in self._places.values())
        excess = self._count(now_ms, is_busy) - going + len(self._waiting) - self._limits.vats_online_max
        excess = min(excess, len(self._waiting) - going)
        memory_bytes = self._memory_bytes
        # Pinned ones go last, and only for memory.
        for vat in sorted(resting, key=lambda vat: vat in self.pinned):
            is_short = memory_bytes > self._limits.vats_memory_bytes_max
            if vat not in leaving and (is_short or (len(leaving) < excess and vat not in self.pinned)):
                leaving.append(vat)
            if vat in leaving:
                memory_bytes -= self._places[vat].memory_bytes
        return leaving

    def needs_check(self, now_ms: int) -> bool:
        """Whether anything of the above may say something. Cheap: asked after every input."""
        is_short = self._memory_bytes > self._limits.vats_memory_bytes_max
        return bool(self._waiting or self._preloads) or is_short or now_ms >= self._check_ms

    def plan_check(self, now_ms: int, is_busy: Callable[[str], bool]) -> int | None:
        """When to look again although nothing happens; None if that is not needed."""
        idle_ms, stuck_ms = self._limits.vat_idle_seconds_max * 1000, self._limits.vat_stuck_seconds * 1000
        times = [
            place.used_ms + (stuck_ms if self._waiting and is_busy(vat) else idle_ms)
            for vat, place in self._places.items()
        ]
        due_ms = min((time for time in times if time > now_ms), default=None)
        self._check_ms = now_ms + idle_ms if due_ms is None else due_ms
        return due_ms

    def _count(self, now_ms: int, is_busy: Callable[[str], bool]) -> int:
        """Places that are taken; those of stuck vats do not count."""
        stuck_ms = self._limits.vat_stuck_seconds * 1000
        return sum(1 for vat, place in self._places.items() if not is_busy(vat) or now_ms - place.used_ms < stuck_ms)

    # --- from one start to the next -------------------------------------------------------------

    def begin(self, recent: list[str]) -> None:
        """Bring the vats in that were used last before, as far as there is room to spare."""
        self._preloads = recent[: self._limits.vats_preloaded_max]

    def list_recent(self) -> list[str]:
        """What `begin` should be told after a restart: the vats that are in, the last used first."""
        return list(reversed(self._places))[: self._limits.vats_preloaded_max]

    def describe(self) -> dict[str, int]:
        """For the status."""
        return {
            "vats_online": len(self._places),
            "vats_online_max": self._limits.vats_online_max,
            "vats_waiting": len(self._waiting),
        }
