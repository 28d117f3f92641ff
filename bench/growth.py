"""What must not grow: the cost of a message with the size of everything, and what is left of messages."""

from __future__ import annotations

from collections.abc import Callable

from bench import curves, flat
from bench.figures import Curve, Figure


def measure(report: Callable[[Figure | Curve], None]) -> None:
    flat.measure(report)
    curves.measure(report)
