"""Links: the kernel's side of one realm, from hello to the last delivery.

Owns the state machine between a host and a vat's realm. Sans-IO: texts and events in, actions out; the host carries
out the actions. `TRANSITIONS` is the whole of it.

    absent    no realm; one is wanted as soon as there is a delivery
    creating  a realm was asked for; its hello is awaited
    loading   the fresh realm said hello; the host fetches source and transcript
    replaying everything was sent; "ready" is awaited
    ready     the vat is as far as the kernel's record; deliveries pass
    broken    the vat could not be brought back; deliveries wait until it is restarted or terminated
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from kernel_py.wire import protocol
from kernel_py.wire.errors import KernelBug


class LinkState(StrEnum):
    ABSENT = "absent"
    CREATING = "creating"
    LOADING = "loading"
    REPLAYING = "replaying"
    READY = "ready"
    BROKEN = "broken"


TRANSITIONS: dict[tuple[LinkState, str], LinkState] = {
    (LinkState.ABSENT, "create"): LinkState.CREATING,
    (LinkState.ABSENT, "reconnect"): LinkState.CREATING,
    (LinkState.CREATING, "load"): LinkState.LOADING,
    (LinkState.CREATING, "found"): LinkState.READY,
    (LinkState.CREATING, "lost"): LinkState.ABSENT,
    (LinkState.LOADING, "replay"): LinkState.REPLAYING,
    (LinkState.LOADING, "lost"): LinkState.ABSENT,
    (LinkState.LOADING, "break"): LinkState.BROKEN,
    (LinkState.REPLAYING, "ready"): LinkState.READY,
    (LinkState.REPLAYING, "lost"): LinkState.ABSENT,
    (LinkState.REPLAYING, "break"): LinkState.BROKEN,
    (LinkState.READY, "lost"): LinkState.ABSENT,
    (LinkState.CREATING, "break"): LinkState.BROKEN,
    (LinkState.BROKEN, "lost"): LinkState.BROKEN,
    (LinkState.BROKEN, "mend"): LinkState.ABSENT,
}


@dataclass(slots=True)
class Link:
    """One vat's realm as the host sees it.

    Attributes:
        waiting: texts of the deliveries to send once ready, in order.
        sent: texts of the deliveries that the realm is carrying out, in order.
        failures: realms lost since the last completed delivery.
        reason: why it is broken.
        generation: counts realms, so that what belongs to an earlier one is told apart.
    """

    state: LinkState = LinkState.ABSENT
    waiting: deque[str] = field(default_factory=deque)
    sent: deque[str] = field(default_factory=deque)
    failures: int = 0
    reason: str = ""
    memory_bytes: int | None = None
    generation: int = 0

    def step(self, action: str) -> None:
        """Take one transition, or raise KernelBug."""
        state = TRANSITIONS.get((self.state, action))
        if state is None:
            raise KernelBug(f"cannot {action} a realm that is {self.state}")
        self.state = state

    def can(self, action: str) -> bool:
        return (self.state, action) in TRANSITIONS


def is_reusable(hello: protocol.Hello, incarnation: int, delivered: int, dispatched: int) -> bool:
    """Whether a realm found alive may go on: it is at the kernel's record, or ahead with the answers in hand.

    Args:
        delivered, dispatched: numbers of the last delivery that the kernel has the reply to, and of the last in flight.
    """
    return hello.incarnation == incarnation and delivered <= hello.delivered <= dispatched
