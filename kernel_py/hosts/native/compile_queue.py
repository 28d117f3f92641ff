"""Which modules are compiled, and when: each once, few at a time, and not again at once after it failed.

    IDLE --wanted--> COMPILING --ready--> (forgotten: the artifact is there)
                     COMPILING --failed--> COOLING --after a while, so many times--> COMPILING
                     COMPILING --invalid--> REFUSED

All who want an artifact that is being compiled wait for the same job. A failure is told to all of them, and to who asks
while it cools down. A module that the engine refuses will be refused for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from kernel_py.wire.errors import HostFault, InvalidModule


@dataclass(frozen=True, slots=True)
class QueueLimits:
    jobs_max: int = 1
    """Jobs at a time: with one, times can be compared, and one module cannot take all processors."""
    cool_down_s: float = 900.0
    """How long after a failure the same is not tried again."""
    attempts_max: int = 5
    """Failures after which it is never tried again."""
    failures_kept_max: int = 1_000
    """Keys whose failures are remembered; the oldest are forgotten."""


class CoolingDown(HostFault):
    """It failed a short while ago, or too often; the message says how."""


@dataclass(slots=True)
class _Failure:
    """How often a key failed, when last, and with what."""

    attempts: int
    at_s: float
    error: Exception


class CompileQueue:
    """Hands out artifacts."""

    def __init__(self, now_s: Callable[[], float], limits: QueueLimits | None = None) -> None:
        """Make a queue.

        Args:
            now_s: a monotonic clock.
        """
        self._now_s = now_s
        self._limits = limits or QueueLimits()
        self._jobs: dict[str, asyncio.Future[Path]] = {}
        self._failures: dict[str, _Failure] = {}
        self._running = 0
        self._waiters: list[asyncio.Future[None]] = []

    async def provide(self, key: str, compile_it: Callable[[], Awaitable[Path]]) -> Path:
        """The artifact's file: that of the job that is under way, else of a new one.

        Args:
            compile_it: finds or makes the artifact; called at most once for all who ask at the same time.

        Raises:
            InvalidModule: the engine does not take the module.
            CoolingDown: it failed, and it is too early to try again.
            HostFault: it failed just now.
        """
        job = self._jobs.get(key)
        if job is None:
            self._check_failures(key)
            job = self._jobs[key] = asyncio.ensure_future(self._run(key, compile_it))
            job.add_done_callback(lambda done: self._finish(key, done))
        return await asyncio.shield(job)

    def _check_failures(self, key: str) -> None:
        failure = self._failures.get(key)
        if failure is None:
            return
        if isinstance(failure.error, InvalidModule):
            raise failure.error
        if failure.attempts >= self._limits.attempts_max:
            raise CoolingDown(f"it failed {failure.attempts} times, the last time with: {failure.error}")
        wait_s = failure.at_s + self._limits.cool_down_s - self._now_s()
        if wait_s > 0:
            raise CoolingDown(f"it is tried again in {wait_s:,.0f} s at the earliest; it failed with: {failure.error}")

    async def _run(self, key: str, compile_it: Callable[[], Awaitable[Path]]) -> Path:
        while self._running >= self._limits.jobs_max:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        self._running += 1
        try:
            path = await compile_it()
        except (HostFault, InvalidModule) as error:
            before = self._failures.pop(key, None)
            attempts = 1 if before is None else before.attempts + 1
            self._failures[key] = _Failure(attempts, self._now_s(), error)
            while len(self._failures) > self._limits.failures_kept_max:
                del self._failures[next(iter(self._failures))]
            raise
        finally:
            self._running -= 1
            if self._waiters:
                self._waiters.pop(0).set_result(None)
        self._failures.pop(key, None)
        return path

    def _finish(self, key: str, job: asyncio.Future[Path]) -> None:
        del self._jobs[key]
        if not job.cancelled():
            job.exception()  # those who wait have been told; it is not a failure that nobody looks at
