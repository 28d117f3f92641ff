"""What can go wrong while a guest runs, in three classes, by what to do about it.

    deterministic   would happen again, anywhere: out of gas, too deep, a trap. The delivery is a poison message
    transient       may not happen again: too slow by the wall clock, no memory, a host function that failed. Try again
    internal        ours: an artifact that does not fit, an engine that misbehaves. Nothing that a guest or a worker
                    process says is taken for one

A fault carries the guest's frames, innermost first, and keeps the host's causes as ``__cause__``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kernel_py.wire.errors import KernelError

FRAMES_SHOWN_MAX = 20
"""Of a deep recursion only the innermost frames tell something."""


class FaultClass(StrEnum):
    DETERMINISTIC = "deterministic"
    TRANSIENT = "transient"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Frame:
    """A call in the guest: the function's index, its name or "", and the offset in the instrumented module."""

    function: int
    name: str
    offset: int

    def __str__(self) -> str:
        name = self.name or f"function {self.function}"
        return f"at {name} (function {self.function}, offset {self.offset:#x})"


class GuestFault(KernelError):
    """A guest was stopped.

    Attributes:
        reason: what happened, in one line.
        frames: the guest's calls at that time, innermost first; empty if they are not known.
    """

    def __init__(self, fault_class: FaultClass, reason: str, frames: Sequence[Frame] = ()) -> None:
        super().__init__(reason)
        self.fault_class = fault_class
        self.reason = reason
        self.frames = tuple(frames)

    def describe(self) -> str:
        """The reason, the guest's frames, and the host's chain of causes, line by line."""
        lines = [f"{self.fault_class}: {self.reason}"]
        lines += [f"    {frame}" for frame in self.frames[:FRAMES_SHOWN_MAX]]
        if len(self.frames) > FRAMES_SHOWN_MAX:
            lines.append(f"    ... and {len(self.frames) - FRAMES_SHOWN_MAX} more")
        lines += [f"  caused by {type(cause).__name__}: {_first_line(cause)}" for cause in _causes(self)]
        return "\n".join(lines)

    def __str__(self) -> str:
        """For logs, that show nothing else."""
        return self.describe()


def _first_line(error: BaseException) -> str:
    """What an error says, without the engine's own account of frames."""
    return (str(error).splitlines() or [""])[0]


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__
    while cause is not None:
        if not isinstance(cause, GuestFault):
            yield cause
        cause = cause.__cause__
