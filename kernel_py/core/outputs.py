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


@dataclass(slots=True)
class Outbox:
    """One taking of the kernel's outputs; the taker owns it.

    Attributes:
        stops: terminated vats, whose realms the host destroys.
        events: log records, in order; empty unless `Kernel.is_observed`.
    """

    deliveries: list[Deliver] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    responses: list[Respond] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    delta: Delta = field(default_factory=Delta)

    def marks(self) -> tuple[int, int, int, int]:
        return len(self.deliveries), len(self.stops), len(self.responses), len(self.events)

    def rewind(self, marks: tuple[int, int, int, int]) -> None:
        """Drop what was added since `marks` were taken."""
        deliveries, stops, responses, events = marks
        del self.deliveries[deliveries:]
        del self.stops[stops:]
        del self.responses[responses:]
        del self.events[events:]
