"""Which modules are compiled, and when."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kernel_py.hosts.native.compile_queue import CompileQueue, CoolingDown, QueueLimits
from kernel_py.wire.errors import HostFault, InvalidModule
from tests.virtual_loop import run_async


class Jobs:
    """Counts what is compiled; a job takes a second, or fails."""

    def __init__(self, limits: QueueLimits | None = None):
        self.started: list[str] = []
        self.running = 0
        self.running_max = 0
        self.error: Exception | None = None
        self.queue = CompileQueue(lambda: asyncio.get_running_loop().time(), limits)

    async def provide(self, key: str) -> Path:
        return await self.queue.provide(key, lambda: self.compile_it(key))

    async def compile_it(self, key: str) -> Path:
        self.started.append(key)
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        await asyncio.sleep(1)
        self.running -= 1
        if self.error is not None:
            raise self.error
        return Path(key)


def test_fifty_requests_at_the_same_time_compile_once():
    async def main():
        jobs = Jobs()
        assert await asyncio.gather(*(jobs.provide("a") for _ in range(50))) == [Path("a")] * 50
        assert jobs.started == ["a"]

    run_async(main())


def test_a_failure_is_told_to_all_who_wait():
    async def main():
        jobs = Jobs()
        jobs.error = HostFault("killed")
        results = await asyncio.gather(*(jobs.provide("a") for _ in range(50)), return_exceptions=True)
        assert results == [jobs.error] * 50
        assert jobs.started == ["a"]

    run_async(main())


def test_few_jobs_run_at_a_time_in_the_order_asked():
    async def main():
        jobs = Jobs(QueueLimits(jobs_max=2))
        await asyncio.gather(*(jobs.provide(key) for key in "abcdef"))
        assert jobs.started == list("abcdef")
        assert jobs.running_max == 2
        assert asyncio.get_running_loop().time() == 3

    run_async(main())


def test_who_gives_up_waiting_does_not_stop_the_others():
    async def main():
        jobs = Jobs()
        first, second = asyncio.ensure_future(jobs.provide("a")), asyncio.ensure_future(jobs.provide("a"))
        await asyncio.sleep(0.5)
        first.cancel()
        assert await second == Path("a")
        assert jobs.started == ["a"]

    run_async(main())


def test_after_a_failure_it_cools_down():
    async def main():
        jobs = Jobs()
        jobs.error = HostFault("killed")
        with pytest.raises(HostFault, match="killed"):
            await jobs.provide("a")
        with pytest.raises(CoolingDown, match="tried again in 900 s at the earliest; it failed with: killed"):
            await jobs.provide("a")
        jobs.error = None
        assert await jobs.provide("b") == Path("b")
        await asyncio.sleep(900)
        assert await jobs.provide("a") == Path("a")
        assert jobs.started == ["a", "b", "a"]

    run_async(main())


def test_after_too_many_failures_it_is_not_tried_again():
    async def main():
        jobs = Jobs(QueueLimits(attempts_max=2))
        jobs.error = HostFault("killed")
        for _ in range(2):
            with pytest.raises(HostFault, match="killed"):
                await jobs.provide("a")
            await asyncio.sleep(901)
        with pytest.raises(CoolingDown, match="it failed 2 times"):
            await jobs.provide("a")
        assert jobs.started == ["a", "a"]

    run_async(main())


def test_a_success_forgets_the_failures():
    async def main():
        jobs = Jobs(QueueLimits(attempts_max=2))
        for error in (HostFault("killed"), None, HostFault("killed again"), None):
            jobs.error = error
            await asyncio.gather(jobs.provide("a"), return_exceptions=True)
            await asyncio.sleep(901)
        assert len(jobs.started) == 4

    run_async(main())


def test_a_module_that_is_refused_is_not_tried_again():
    async def main():
        jobs = Jobs()
        jobs.error = InvalidModule("malformed")
        for _ in range(3):
            with pytest.raises(InvalidModule, match="malformed"):
                await jobs.provide("a")
            await asyncio.sleep(10_000)
        assert jobs.started == ["a"]

    run_async(main())


def test_the_oldest_failures_are_forgotten():
    async def main():
        jobs = Jobs(QueueLimits(failures_kept_max=2))
        jobs.error = HostFault("killed")
        await asyncio.gather(*(jobs.provide(key) for key in "abc"), return_exceptions=True)
        await asyncio.gather(*(jobs.provide(key) for key in "abc"), return_exceptions=True)
        assert jobs.started == ["a", "b", "c", "a"]

    run_async(main())
