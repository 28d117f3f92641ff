"""What the kernel asks of its host, collected during cranks and taken by the host afterwards.

Deliveries and stops may be carried out at once. Responses, events and calls of the host's services leave
the kernel's failure domain: the host lets them out only after the delta that was taken with them is durable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kernel_py.core.store import Delta


class Deliver(NamedTuple):
    """Send `text` (a "deliver" of the kernel-vat protocol) to the vat, bringing it into memory first."""

    vat: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer the control request `key` with a JSON-RPC response."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Invoke:
    """Have one of the host's services carry out a call; what comes of it goes to `Kernel.service_answered`.

    Attributes:
        call: the call's id.
        args, kwargs: passables, with a `Ref` for each object or promise.
        config: what the cluster file says of the grant.
    """

    call: str
    service: str
    method: str
    args: list[Any]
    kwargs: dict[str, Any]
    config: Any


@dataclass(frozen=True, slots=True)
class Actions:
    """What may be done at once.

    Attributes:
        stops: terminated vats, whose realms the host destroys.
        restarts: vats whose realm must be made anew, and given what is in flight (`Kernel.get_inflight`) and nothing
            else that was given before.
    """

    deliveries: list[Deliver]
    stops: list[str]
    restarts: list[str]


@dataclass(frozen=True, slots=True)
class Commit:
    """What must be made durable, and what may leave after that and not before.

    Attributes:
        events: log records, in order; empty unless the kernel is observed.
    """

    delta: Delta
    responses: list[Respond]
    events: list[dict[str, Any]]
    invokes: list[Invoke]

    def __bool__(self) -> bool:
        return bool(self.delta or self.responses or self.events or self.invokes)


@dataclass(slots=True)
class Outbox:
    """The outputs of the cranks so far, until the host takes them."""

    deliveries: list[Deliver] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)
    responses: list[Respond] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    invokes: list[Invoke] = field(default_factory=list)

    def marks(self) -> tuple[int, ...]:
        return tuple(map(len, self._lists()))

    def rewind(self, marks: tuple[int, ...]) -> None:
        """Drop what was added since `marks` were taken."""
        for outputs, mark in zip(self._lists(), marks, strict=True):
            del outputs[mark:]

    def _lists(self) -> tuple[list[Any], ...]:
        return self.deliveries, self.stops, self.restarts, self.responses, self.events, self.invokes

    def take_actions(self) -> Actions:
        actions = Actions(self.deliveries, self.stops, self.restarts)
        self.deliveries, self.stops, self.restarts = [], [], []
        return actions

    def take_commit(self, delta: Delta) -> Commit:
        commit = Commit(delta, self.responses, self.events, self.invokes)
        self.responses, self.events, self.invokes = [], [], []
        return commit
