"""The service ``random``: unpredictable numbers that vats need not share a seed for.

    random.bytes(count)         that many bytes
    random.integer(low, high)   an int with low <= n <= high, each equally likely

Everything derives from the kernel's seed, which no realm is told, and a counter in the kernel's state: answers are
recorded like all others, and a crank that is undone leaves no trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernel_py.core import schema
from kernel_py.core.services.service import NO_CONFIG, LocalCall, Method, shown
from kernel_py.core.shared import Shared


class RandomService:
    """Gives bytes and integers."""

    name = "random"
    config_schema: dict[str, Any] = NO_CONFIG

    def __init__(self, shared: Shared) -> None:
        self._state = shared.state
        self._limits = shared.limits
        self._crypto = shared.crypto
        self.methods: Mapping[str, Mapping[str, Method]] = {
            schema.GRANT: {"bytes": self.give_bytes, "integer": self.give_integer}
        }

    def give_bytes(self, call: LocalCall, /, count: object) -> bytes:
        del call
        length, length_max = _parse_int(count, "count"), self._limits.random_bytes_max
        if not 0 <= length <= length_max:
            raise ValueError(f"count is from 0 to {length_max:,}, not {shown(count)}")
        return self._derive(length)

    def give_integer(self, call: LocalCall, /, low: object, high: object) -> int:
        del call
        first, last = _parse_int(low, "low"), _parse_int(high, "high")
        span = last - first + 1
        if span < 1:
            raise ValueError(f"low must not be above high, as {shown(low)} is above {shown(high)}")
        # With 16 bytes more than needed no remainder is noticeably likelier than another.
        return first + int.from_bytes(self._derive((span.bit_length() + 7) // 8 + 16), "big") % span

    def _derive(self, count: int) -> bytes:
        seed = self._state.get(schema.KERNEL, schema.SEED)
        number = self._state.next_number(schema.NEXT_RANDOM)
        return self._crypto.expand(f"random {number} {seed}", count)


def _parse_int(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} is an int, not {shown(value)}")
    return value
