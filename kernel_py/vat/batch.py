"""The batch: the syscalls of one delivery, in order.

Every syscall is checked for size, appended, and thereby acknowledged at once; the kernel sees the batch
when the delivery is over, and then applies all of it or nothing. One syscall too many or too long would make all of it
illegal, so that what can still be refused, the sends, is refused before that.

The marshal has checked each capdata by itself; what several have in sum is checked here.

Source: docs/theory.md, "The crank".
"""

from __future__ import annotations

from typing import Any

from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.limits import Limits
from kernel_py.wire.syscalls import Exit, RefSyscall, Resolution, Resolve, Send, Subscribe, Syscall, check_size

_CHARS_PER_SLOT = 30
_CHARS_PER_SYSCALL = 100
_SENDS_PART = 0.9  # of the room; the rest is for the settlements, which cannot be refused


class Batch:
    """Syscalls made and not yet taken."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._syscalls_max = int(limits.batch_syscalls_max * _SENDS_PART)
        self._chars_max = int(limits.batch_chars_max * _SENDS_PART)
        self._syscalls: list[Syscall] = []
        self._chars = 0

    def send(self, syscall: Send) -> None:
        """Append a send.

        Raises:
            MarshalError: this delivery has sent too much already. Nothing was appended.
        """
        chars = self._chars + _count_chars(syscall.message.methargs)
        if chars > self._chars_max:
            raise MarshalError(f"one delivery can send {self._chars_max:,} characters; go on in a later one")
        if len(self._syscalls) >= self._syscalls_max:
            raise MarshalError(f"one delivery has made {len(self._syscalls):,} syscalls; go on in a later one")
        self._chars = chars
        self._syscalls.append(syscall)

    def subscribe(self, syscall: Subscribe) -> None:
        self._syscalls.append(syscall)

    def resolve(self, *resolutions: Resolution) -> None:
        """Append a resolve; one for each, if they are too much for one syscall together."""
        syscall = Resolve(resolutions)
        if len(resolutions) > 1 and check_size(syscall, self._limits) is not None:
            for resolution in resolutions:
                self.resolve(resolution)
            return
        for resolution in resolutions:
            self._chars += _count_chars(resolution.data)
        self._syscalls.append(syscall)

    def refs(self, syscall: RefSyscall) -> None:
        """Append what has been dropped or retired; in pieces, if it is more than one syscall may name."""
        for start in range(0, len(syscall.vrefs), self._limits.slots_max):
            vrefs = syscall.vrefs[start : start + self._limits.slots_max]
            self._chars += _CHARS_PER_SYSCALL + _CHARS_PER_SLOT * len(vrefs)
            self._syscalls.append(RefSyscall(syscall.op, vrefs))

    def exit(self, syscall: Exit) -> None:
        self._chars += _count_chars(syscall.info)
        self._syscalls.append(syscall)

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


def _count_chars(data: CapData) -> int:
    return _CHARS_PER_SYSCALL + len(data.body) + _CHARS_PER_SLOT * len(data.slots)
