"""Curves: what a message costs the kernel, over the number of vats, of objects, and of messages that wait.

A message is a round trip: a send, its delivery, the reply, and the notification of the sender. The vats are scripts, so
the time is the kernel's.
"""

from __future__ import annotations

from collections.abc import Callable

from bench.figures import Curve, Figure
from bench.scripted import ScriptedKernel

VATS = (2, 10, 100, 1_000)
OBJECTS = (1_000, 10_000, 100_000, 1_000_000)
WAITING = (1, 1_000, 10_000, 100_000)
MESSAGES = 2_000
ROUNDS = 5
GROWTH_MAX = 1.5
"""What a message may cost at the end of a curve, compared with its cheapest point: less is noise, and caches missed."""


def measure(report: Callable[[Figure | Curve], None]) -> None:
    """Measure every curve, reporting it and how much it grows."""
    for name, counts, measure_us in (
        ("vats", VATS, _over_vats),
        ("objects", OBJECTS, _over_objects),
        ("messages waiting", WAITING, _over_waiting),
    ):
        curve = Curve(f"kernel: cost of a message over {name}", [(count, measure_us(count)) for count in counts], "us")
        report(curve)
        growth = curve.points[-1][1] / min(cost for _, cost in curve.points)
        report(
            Figure(f"kernel: growth of it up to {counts[-1]:,} {name}", growth, "x", GROWTH_MAX, is_less_better=True)
        )


def _cost_us(kernel: ScriptedKernel, targets: list[str]) -> float:
    """The best of some rounds: what the code can do when the machine lets it."""
    kernel.send(targets)
    return min(kernel.time_s(targets) for _ in range(ROUNDS)) / len(targets) * 1e6


def _over_vats(count: int) -> float:
    """One vat sends to all others in turn."""
    kernel = ScriptedKernel(count - 1)
    return _cost_us(kernel, [kernel.targets[index % (count - 1)] for index in range(MESSAGES)])


def _over_objects(count: int) -> float:
    """One vat exports so many objects, another imports them all, and sends to some."""
    kernel = ScriptedKernel(1)
    objects = kernel.export_objects(count)
    return _cost_us(kernel, [objects[index * 7919 % count] for index in range(MESSAGES)])


def _over_waiting(count: int) -> float:
    """So many messages wait for a vat that does not reply, while others go to another."""
    kernel = ScriptedKernel(2)
    kernel.stall(0)
    kernel.send([kernel.targets[0]] * count)
    return _cost_us(kernel, [kernel.targets[1]] * MESSAGES)
