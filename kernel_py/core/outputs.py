"""What the kernel asks of its host, collected during cranks and taken by the host afterwards.

Deliveries and stops may be carried out at once. Responses and events leave the kernel's failure
domain: the host sends them only after the delta that was taken with them is durable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kernel_py.core.store import Delta


@dataclass(frozen=True, slots=True)
class Deliver:
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

    def __bool__(self) -> bool:
        return bool(self.delta or self.responses or self.events)


@dataclass(slots=True)
class Outbox:
    """The outputs of the cranks so far, until the host takes them."""

    deliveries: list[Deliver] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)
    responses: list[Respond] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def marks(self) -> tuple[int, ...]:
        return tuple(map(len, self._lists()))

    def rewind(self, marks: tuple[int, ...]) -> None:
        """Drop what was added since `marks` were taken."""
        for outputs, mark in zip(self._lists(), marks, strict=True):
            del outputs[mark:]

    def _lists(self) -> tuple[list[Any], ...]:
        return self.deliveries, self.stops, self.restarts, self.responses, self.events

    def take_actions(self) -> Actions:
        actions = Actions(self.deliveries, self.stops, self.restarts)
        self.deliveries, self.stops, self.restarts = [], [], []
        return actions

    def take_commit(self, delta: Delta) -> Commit:
        commit = Commit(delta, self.responses, self.events)
        self.responses, self.events = [], []
        return commit
