"""Links: the kernel's side of one realm, from hello to the last delivery.

Owns the state machine between a host and a vat's realm. Sans-IO: texts and events in, actions out; the host carries
out the actions. `TRANSITIONS` is the whole of it.

    absent    no realm; one is wanted as soon as there is a delivery
    creating  a realm was asked for; its hello is awaited
    loading   the realm said hello; the host fetches source and transcript
    restoring the fresh realm is given a snapshot's memory; its next hello is awaited
    replaying everything was sent; "ready" is awaited
    ready     the vat is as far as the kernel's record; deliveries pass
    imaging   the realm hands its heap over; deliveries wait
    broken    the vat could not be brought back; deliveries wait until it is restarted or terminated
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from kernel_py.core.kernel import Kernel
from kernel_py.core.schema import Snapshot
from kernel_py.wire import protocol
from kernel_py.wire.errors import KernelBug


class LinkState(StrEnum):
    ABSENT = "absent"
    CREATING = "creating"
    LOADING = "loading"
    RESTORING = "restoring"
    REPLAYING = "replaying"
    READY = "ready"
    IMAGING = "imaging"
    BROKEN = "broken"


TRANSITIONS: dict[tuple[LinkState, str], LinkState] = {
    (LinkState.ABSENT, "create"): LinkState.CREATING,
    (LinkState.ABSENT, "reconnect"): LinkState.CREATING,
    (LinkState.CREATING, "load"): LinkState.LOADING,
    (LinkState.CREATING, "found"): LinkState.READY,
    (LinkState.CREATING, "lost"): LinkState.ABSENT,
    (LinkState.LOADING, "replay"): LinkState.REPLAYING,
    (LinkState.LOADING, "lost"): LinkState.ABSENT,
    (LinkState.LOADING, "restore"): LinkState.RESTORING,
    (LinkState.RESTORING, "load"): LinkState.LOADING,
    (LinkState.RESTORING, "lost"): LinkState.ABSENT,
    (LinkState.RESTORING, "break"): LinkState.BROKEN,
    (LinkState.LOADING, "break"): LinkState.BROKEN,
    (LinkState.REPLAYING, "ready"): LinkState.READY,
    (LinkState.REPLAYING, "lost"): LinkState.ABSENT,
    (LinkState.REPLAYING, "break"): LinkState.BROKEN,
    (LinkState.READY, "lost"): LinkState.ABSENT,
    (LinkState.READY, "look"): LinkState.IMAGING,
    (LinkState.READY, "replay"): LinkState.REPLAYING,
    (LinkState.IMAGING, "replay"): LinkState.REPLAYING,
    (LinkState.IMAGING, "lost"): LinkState.ABSENT,
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
        reason: why it is broken, or what went wrong with its heap.
        base: the image that the realm started from, "" if its heap cannot be had.
        due_at: the delivery after which its heap is wanted.
        snapshot: what it is being restored from.
        is_leaving: once its heap is there, the realm is ended.
        marks: digests of the heap that are awaited, by delivery, with their bases.
        generation: counts realms, so that what belongs to an earlier one is told apart.
    """

    state: LinkState = LinkState.ABSENT
    waiting: deque[str] = field(default_factory=deque)
    sent: deque[str] = field(default_factory=deque)
    failures: int = 0
    reason: str = ""
    memory_bytes: int | None = None
    meter: tuple[int, int | None] | None = None
    generation: int = 0
    base: str = ""
    due_at: int = 0
    snapshot: Snapshot | None = None
    is_leaving: bool = False
    marks: dict[int, tuple[str, str]] = field(default_factory=dict)

    def is_due(self, delivered: int) -> bool:
        """Whether the heap is wanted, as it is after this delivery."""
        return bool(self.base) and delivered >= self.due_at

    def step(self, action: str) -> None:
        """Take one transition, or raise KernelBug."""
        state = TRANSITIONS.get((self.state, action))
        if state is None:
            raise KernelBug(f"cannot {action} a realm that is {self.state}")
        self.state = state

    def can(self, action: str) -> bool:
        return (self.state, action) in TRANSITIONS


def is_reusable(hello: protocol.Hello, kernel: Kernel, vat: str) -> bool:
    """Whether a realm found alive may go on.

    It is at the kernel's record, or ahead with the answers in hand; and its heap was last looked at where the kernel
    knows of.
    """
    is_life = hello.vat == vat and hello.incarnation == kernel.get_vat(vat).incarnation
    is_near = kernel.get_delivered(vat) <= hello.delivered <= kernel.get_dispatched(vat)
    return is_life and is_near and hello.marked == kernel.get_mark(vat).delivered
