"""Watches how much room the browser's storage has left.

A browser gives an origin a quota, and may throw its data away unless it is persistent. Writing beyond the quota fails,
which stops the kernel; so new work is refused while there is room to finish what is under way, and to terminate.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from kernel_py.wire.limits import Limits

LOOK_CHARS = 1_000_000
"""Characters committed from one look to the next, at most; well below the reserve."""

_MEGABYTE = 1_000_000


class StorageBridge(Protocol):
    """What tells of the storage in JavaScript."""

    def estimateStorage(self) -> Awaitable[str]:  # noqa: N802 (JavaScript's name)
        """JSON object: `used_bytes`, `quota_bytes`, `is_persistent`."""


class StorageHealth:
    """Tells, from time to time, how much room is left.

    Args:
        report: told what there is, for the status, and why that is too little, or "".
    """

    def __init__(self, bridge: StorageBridge, limits: Limits, report: Callable[[dict[str, Any], str], None]) -> None:
        self._bridge = bridge
        self._reserve_bytes = limits.storage_reserve_bytes
        self._report = report
        self._committed_chars = 0

    def is_due(self, committed_chars: int) -> bool:
        """Count what was committed; whether it is time for a `look`."""
        self._committed_chars += committed_chars
        return self._committed_chars >= LOOK_CHARS

    async def look(self) -> None:
        """Ask, and report."""
        self._committed_chars = 0
        storage: dict[str, Any] = json.loads(await self._bridge.estimateStorage())
        left_bytes = storage["quota_bytes"] - storage["used_bytes"]
        shortage = ""
        if left_bytes < self._reserve_bytes:
            used, quota = (round(storage[name] / _MEGABYTE) for name in ("used_bytes", "quota_bytes"))
            shortage = (
                f"storage is nearly full: {used:,} of {quota:,} MB are used. "
                "Terminate what is not needed, or free space on the disk"
            )
        self._report(storage, shortage)
