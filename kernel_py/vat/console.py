"""The console: what a vat's code prints during one delivery, and what went wrong in it.

Its text goes with the delivery's outcome to the host, for people to read. Nothing reads it back, and it is
bounded: what is over the limit is cut, with a note.
"""

from __future__ import annotations

import io
import sys
from typing import Self

from kernel_py.wire.limits import Limits

_CUT = "... what follows was cut: one delivery may print {:,} characters"


class Console(io.TextIOBase):
    """A text stream that collects lines until they are taken."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._chars_max = limits.console_chars_max
        self._parts: list[str] = []
        self._chars = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        room = self._chars_max - self._chars
        if room > 0:
            self._parts.append(text[:room])
            if len(text) > room:
                self._parts.append("\n" + _CUT.format(self._chars_max))
            self._chars += len(text)
        return len(text)

    def line(self, text: str) -> None:
        """Write `text` as lines of its own."""
        if self._parts and not self._parts[-1].endswith("\n"):
            self.write("\n")
        self.write(text + "\n")

    def take(self) -> list[str]:
        """Take the lines collected so far."""
        if not self._parts:
            return []
        text = "".join(self._parts)
        self._parts.clear()
        self._chars = 0
        return text.removesuffix("\n").split("\n")

    def __enter__(self) -> Self:
        """Let `print` and the standard streams write here meanwhile."""
        self._outer = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = self
        return self

    def __exit__(self, *raised: object) -> None:
        sys.stdout, sys.stderr = self._outer
