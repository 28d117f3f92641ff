"""An asyncio event loop with a clock of its own, for tests of asynchronous hosts on CPython and inside Pyodide.

Time stands still while anything can run, and jumps to the next timer when nothing can: a test that waits
for an hour takes no time, and takes the same path every time. A loop on which nothing can ever run again is a
deadlock, and says so. There are no sockets, threads or subprocesses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class VirtualLoop(asyncio.BaseEventLoop):
    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._selector = self

    def time(self) -> float:
        return self._now_s

    def select(self, timeout_s: float | None) -> list[Any]:
        """Called by the base class when nothing can run until `timeout_s` from now."""
        if timeout_s is None:
            waiting = "\n".join(repr(task) for task in asyncio.all_tasks(self))
            raise RuntimeError(f"deadlock: nothing is left to run, and these wait:\n{waiting}")
        self._now_s += timeout_s
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        raise RuntimeError("this loop has one thread only")


def run_async(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """The coroutine's result. Other tasks are cancelled when it has ended, as in `asyncio.run`."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)
