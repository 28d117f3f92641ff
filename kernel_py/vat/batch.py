"""The batch: the syscalls of one delivery, in order.

Every syscall is checked for size, appended, and thereby acknowledged at once; the kernel sees the batch
when the delivery is over, and then applies all of it or nothing.

Source: DESIGN.md 4.
"""

from __future__ import annotations

from typing import Any

from kernel_py.wire.errors import MarshalError
from kernel_py.wire.limits import Limits
from kernel_py.wire.syscalls import Exit, Resolve, Send, Subscribe, Syscall, check_size

_CHARS_PER_SLOT = 30
_CHARS_PER_SYSCALL = 100
_SENDS_PART = 0.9  # of the room; the rest is for the settlements, which cannot be refused


class Batch:
    """Syscalls made and not yet taken. Refuses what would make the whole batch illegal."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._syscalls: list[Syscall] = []
        self._chars = 0

    def check(self, syscall: Send | Resolve | Exit) -> str | None:
        """Say why `syscall` may not be made, or None."""
        over = check_size(syscall, self._limits)
        if over is None and isinstance(syscall, Send):
            if len(self._syscalls) >= self._limits.batch_syscalls_max * _SENDS_PART:
                over = f"one delivery has made {len(self._syscalls):,} syscalls; go on in a later one"
            elif self._chars + _chars(syscall) >= self._limits.batch_chars_max * _SENDS_PART:
                over = f"one delivery has sent {self._chars:,} characters; go on in a later one"
        return over

    def send(self, syscall: Send) -> None:
        """Append a send, or raise MarshalError if it is over a limit."""
        over = self.check(syscall)
        if over is not None:
            raise MarshalError(over)
        self._append(syscall)

    def append(self, syscall: Resolve | Exit | Subscribe) -> None:
        """Append a syscall that has been checked, or needs no check."""
        self._append(syscall)

    def take(self) -> list[list[Any]]:
        """Take the batch, in its JSON form.

        Raises:
            MarshalError: it is over a limit as a whole. It is gone.
        """
        syscalls, self._syscalls = self._syscalls, []
        chars, self._chars = self._chars, 0
        limits = self._limits
        if len(syscalls) > limits.batch_syscalls_max or chars > limits.batch_chars_max:
            raise MarshalError(
                f"one delivery made {len(syscalls):,} syscalls with {chars:,} characters; "
                f"the limits are {limits.batch_syscalls_max:,} and {limits.batch_chars_max:,}"
            )
        return [syscall.to_json() for syscall in syscalls]

    def _append(self, syscall: Syscall) -> None:
        self._syscalls.append(syscall)
        self._chars += _chars(syscall)


def _chars(syscall: Syscall) -> int:
    match syscall:
        case Send(message=message):
            datas = [message.methargs]
        case Resolve(resolutions=resolutions):
            datas = [resolution.data for resolution in resolutions]
        case Exit(info=info):
            datas = [info]
        case _:
            datas = []
    return _CHARS_PER_SYSCALL + sum(len(data.body) + _CHARS_PER_SLOT * len(data.slots) for data in datas)
