"""The log as a trace that Perfetto and ``chrome://tracing`` show: a track for each vat, an arrow for each message.

Owns the conversion from events, in the order of `kernel_py.core.traffic`, to Chrome's trace event format. Time is that
of the deliveries, stretched where cranks would fall together: each event takes `EVENT_US`, and no two cranks overlap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from kernel_py.wire import canonical

EVENT_US = 10
"""Drawn length of one event, in microseconds. Cranks take no time in a log; without any they could not be seen."""

_PROCESS = 1


class TraceWriter:
    """Writes a trace while events come. Call `finish` at the end.

    Args:
        write: takes the next text.
        names: of the vats, by id.
    """

    def __init__(self, write: Callable[[str], object], names: Mapping[str, str]) -> None:
        self._write = write
        self._separator = "["
        self._now_us = 0
        self._where: tuple[str, int] | None = None
        self._events: list[dict[str, Any]] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._add({"ph": "M", "name": "process_name", "pid": _PROCESS, "args": {"name": "kernel"}})
        for vat, name in names.items():
            self._add(
                {
                    "ph": "M",
                    "name": "thread_name",
                    "pid": _PROCESS,
                    "tid": _track(vat),
                    "args": {"name": f"{vat} {name}"},
                }
            )

    def take(self, event: dict[str, Any]) -> None:
        """Add an event of the log."""
        where = (event["vat"], event["number"])
        if where != self._where:
            self._draw_crank()
            self._where = where
        self._events.append(event)

    def finish(self) -> None:
        self._draw_crank()
        self._write("\n]\n")

    def _draw_crank(self) -> None:
        """One crank: a slice, and in it the ends of arrows."""
        if self._where is None:
            return
        events, self._events = self._events, []
        vat, number = self._where
        begin_us = max(self._now_us, events[0]["time_ms"] * 1000)
        self._now_us = begin_us + EVENT_US * (len(events) + 1)
        place = {"pid": _PROCESS, "tid": _track(vat)}
        name = _name_crank(events[0])
        shown = {"delivery": f"{vat}:{number}", "events": [_shown(event) for event in events]}
        duration_us = self._now_us - begin_us
        self._add({"ph": "X", "name": name, "cat": "crank", "ts": begin_us, "dur": duration_us, **place, "args": shown})
        for index, event in enumerate(events):
            phase = {"Sent": "s", "Got": "f"}.get(event["class"])
            if phase is not None:
                end = {"bp": "e"} if phase == "f" else {}
                arrow = {"name": event["method"], "cat": "message", "id": self._identify(event)}
                self._add({"ph": phase, **arrow, "ts": begin_us + EVENT_US * index, **place, **end})

    def _identify(self, event: dict[str, Any]) -> str:
        """The same for a message's Sent and Got: its result, which is its alone, or else its number among its like."""
        if event["result"] is not None:
            return str(event["result"])
        like = f"{event['target']}.{event['method']}({event['args']})"
        self._counts[event["class"], like] += 1
        return f"{like}#{self._counts[event['class'], like]}"

    def _add(self, item: dict[str, Any]) -> None:
        self._write(f"{self._separator}\n{canonical.dump(item)}")
        self._separator = ","


def _track(vat: str) -> int:
    return int(vat[1:])


def _name_crank(event: dict[str, Any]) -> str:
    match event["class"]:
        case "Got":
            return str(event["method"])
        case "Notified":
            return "notify"
        case _:
            return "start"


def _shown(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in {"vat", "number", "time_ms"}}
