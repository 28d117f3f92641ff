"""The event loop that tests of asynchronous hosts run on."""

from __future__ import annotations

import asyncio

import pytest

from tests.virtual_loop import run_async


def test_a_coroutine_runs_to_its_result():
    async def add():
        await asyncio.sleep(0)
        return 3

    assert run_async(add()) == 3


def test_waiting_takes_no_time_and_keeps_its_order():
    async def record():
        seen = []

        async def after(delay_s):
            await asyncio.sleep(delay_s)
            seen.append((asyncio.get_running_loop().time(), delay_s))

        await asyncio.gather(after(3600), after(1), after(60))
        return seen

    assert run_async(record()) == [(1, 1), (60, 60), (3600, 3600)]


def test_a_timeout_fires():
    async def wait():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 30)

    run_async(wait())


def test_an_exception_comes_through():
    async def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_async(fail())


def test_a_deadlock_is_an_error():
    async def wait():
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_async(wait())
