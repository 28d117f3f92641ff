"""The log: message traffic in Causeway's vocabulary, for the panel and for ``jq``.

Events are made only while somebody watches, cost nothing otherwise, and change nothing.

| class | says |
|---|---|
| Sent | a vat sent a message: vat, number, target, method, args, result |
| Got | a delivery of a message began: the same fields |
| Fulfilled, Rejected | a vat settled a promise: vat, number, promise, value |
| Notified | a delivery of settlements began: vat, number, promises |
| Console | what the vat printed: vat, number, text |
| Logged | somebody wrote to the log service: cluster, target, level, text |
| Vat, Cluster | a life cycle step: vat or cluster, name, state, reason |
| Fault | something went wrong: vat, fault, reason |
"""

from __future__ import annotations

from typing import Any

from kernel_py.core import kmarshal
from kernel_py.core.outputs import Outbox
from kernel_py.wire import canonical
from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import cut_middle

SHOWN_CHARS_MAX = 2_000


class Log:
    """Writes events to an outbox while `is_observed`."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.is_observed = False
        self.time_ms = 0

    def _add(self, **event: Any) -> None:
        self.outbox.events.append({"time_ms": self.time_ms, **event})

    def message(self, event: str, where: tuple[str, int], target: str, call: CapData, result: str | None) -> None:
        """Sent or Got, at ``(vat, delivery number)``; `call` has krefs as slots."""
        if self.is_observed:
            vat, number = where
            method, args = _shown_call(call)
            self._add(
                **{"class": event}, vat=vat, number=number, target=target, method=method, args=args, result=result
            )

    def settled(self, where: tuple[str, int], promise: str, data: CapData, *, is_reject: bool) -> None:
        if self.is_observed:
            vat, number = where
            value = cut_middle(kmarshal.render(data), SHOWN_CHARS_MAX)
            self._add(
                **{"class": "Rejected" if is_reject else "Fulfilled"},
                vat=vat,
                number=number,
                promise=promise,
                value=value,
            )

    def notified(self, where: tuple[str, int], promises: list[str]) -> None:
        if self.is_observed:
            self._add(**{"class": "Notified"}, vat=where[0], number=where[1], promises=promises)

    def console(self, where: tuple[str, int], lines: tuple[str, ...]) -> None:
        if self.is_observed:
            for line in lines:
                self._add(**{"class": "Console"}, vat=where[0], number=where[1], text=line)

    def logged(self, cluster: str, target: str, level: str, text: str) -> None:
        if self.is_observed:
            text = cut_middle(text, SHOWN_CHARS_MAX)
            self._add(**{"class": "Logged"}, cluster=cluster, target=target, level=level, text=text)

    def vat(self, vat: str, name: str, state: str, reason: str = "") -> None:
        if self.is_observed:
            self._add(**{"class": "Vat"}, vat=vat, name=name, state=state, reason=reason)

    def cluster(self, cluster: str, name: str, state: str, reason: str = "") -> None:
        if self.is_observed:
            self._add(**{"class": "Cluster"}, cluster=cluster, name=name, state=state, reason=reason)

    def fault(self, vat: str, fault: str, reason: str) -> None:
        if self.is_observed:
            self._add(**{"class": "Fault"}, vat=vat, fault=fault, reason=reason)


def _shown_call(call: CapData) -> tuple[str, str]:
    """Method and arguments as Python would write them."""
    method = kmarshal.method_of(call.body)
    args, kwargs = kmarshal.arguments_of(call)
    shown = ", ".join([*args, *(f"{name}={value}" for name, value in kwargs.items())])
    return method, cut_middle(shown, SHOWN_CHARS_MAX)


def dump_event(event: dict[str, Any]) -> str:
    """One log line."""
    return canonical.dump(event)
