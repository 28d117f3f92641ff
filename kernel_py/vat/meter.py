"""The meter of a Python vat: counts jumps and calls, and stops what has used up its units.

Each jump in the bytecode (every turn of a loop is one), and each start or resumption of a Python function, is one unit.
The count depends on what code is run and on nothing else, so it is the same whenever a delivery is replayed by the same
Python.

Beyond the budget every further jump and call raises `OutOfMeter`: code that catches everything can go on only up to its
next one. Work inside a function written in C, such as ``sum(range(10**12))``, is one step and is bounded by the wall
clock.

There is one meter for all vats of an interpreter, of which one at a time is carrying out a delivery. It costs nothing
until the first metered vat starts; from then on all Python code is slower, loops twice and calls up to five times.
"""

from __future__ import annotations

import sys
from typing import Any, Final

IDLE: Final = 1 << 62
"""What is left while no metered delivery is carried out: more than there will ever be jumps."""

LEFT: Final[list[int]] = [IDLE]
"""Units left. It is read and written in place: a call would be metered itself."""

_monitoring: Any = getattr(sys, "monitoring", None)
"""Taken here because realms remove it, so that no vat can switch its meter off."""

_TOOL: Final = 3
"""Of the six tools that an interpreter can have, those that are nobody's by convention are 3 and 4."""


class OutOfMeter(BaseException):
    """The delivery has used up its units. It cannot go on, whoever catches this."""


class NoMeter(RuntimeError):
    """This Python cannot meter."""


def _count(*_where: Any) -> None:
    LEFT[0] -= 1
    if LEFT[0] < 0:
        raise OutOfMeter


def start_metering() -> None:
    """From now on everything is counted. Idempotent.

    Raises:
        NoMeter: this Python is older than 3.12, or another tool has the place.
    """
    if _monitoring is None:
        raise NoMeter(f"Python {sys.version.split()[0]} cannot meter a vat: that takes 3.12 or newer")
    if _monitoring.get_tool(_TOOL) == __name__:
        return
    try:
        _monitoring.use_tool_id(_TOOL, __name__)
    except ValueError as error:
        raise NoMeter(f"a vat cannot be metered here: {error}") from error
    events = _monitoring.events
    for event in (events.JUMP, events.PY_START, events.PY_RESUME, events.PY_THROW):
        _monitoring.register_callback(_TOOL, event, _count)
    _monitoring.set_events(_TOOL, events.JUMP | events.PY_START | events.PY_RESUME | events.PY_THROW)


def hide_monitoring() -> None:
    """Leave no name by which code would find what switches its meter off. For realms that are one vat's alone."""
    sys.modules.pop("sys.monitoring", None)
    if _monitoring is not None and hasattr(sys, "monitoring"):
        del sys.monitoring
