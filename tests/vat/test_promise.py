"""Promises: settled once, awaited by many."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle

import pytest

from kernel_py.vat.loop import VatLoop
from kernel_py.vat.promise import Promise, Resolver, State, VatUpgraded, promise_for


@pytest.fixture
def loop():
    return VatLoop(lambda what, error: None)


@pytest.fixture
def promise(loop):
    return Promise(loop)


def run(loop, coroutine):
    tasks = []
    loop.enqueue(lambda: tasks.append(loop.create_task(coroutine)))
    loop.run_until_idle()
    return tasks[0].result()


def test_many_tasks_may_await_one_promise(loop, promise):
    seen = []

    async def wait(name):
        seen.append((name, await promise))

    async def main():
        tasks = [asyncio.create_task(wait(name)) for name in "abc"]
        await asyncio.sleep(0)
        promise.resolve(7)
        await asyncio.gather(*tasks)
        return await promise

    assert run(loop, main()) == 7
    assert seen == [("a", 7), ("b", 7), ("c", 7)]


def test_cancelling_one_waiter_cancels_nothing_for_the_others(loop, promise):
    async def wait():
        return await promise

    async def main():
        first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        promise.resolve("there")
        return first.cancelled(), await second, await promise

    assert run(loop, main()) == (True, "there", "there")


def test_a_cancelled_waiter_leaves_nothing_behind(loop, promise):
    async def main():
        for _ in range(10):
            task = asyncio.create_task(asyncio.wait_for(promise, None))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

    run(loop, main())
    assert promise._reactions == []


def test_it_settles_once(promise):
    resolver = Resolver(promise)
    resolver.resolve(1)
    resolver.resolve(2)
    resolver.reject(ValueError())
    assert (promise.state, promise.value) == (State.FULFILLED, 1)


def test_it_follows_another_promise_and_nothing_else_after_that(loop, promise):
    other = Promise(loop)
    promise.resolve(other)
    promise.resolve("too late")
    promise.reject(ValueError("too late"))
    loop.run_until_idle()
    assert promise.state is State.PENDING
    other.resolve("in time")
    loop.run_until_idle()
    assert (promise.state, promise.value) == (State.FULFILLED, "in time")


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_promise_resolved_with_itself_rejects(loop, length):
    promises = [Promise(loop) for _ in range(length)]
    for index, promise in enumerate(promises):
        promise.mark_handled()
        promise.resolve(promises[(index + 1) % length])
    loop.run_until_idle()
    assert all(promise.state is State.REJECTED for promise in promises)
    assert isinstance(promises[0].value, TypeError)


def test_rejecting_raises_in_every_waiter_with_the_traceback_of_its_origin(loop, promise):
    def origin():
        raise ValueError("why")

    async def wait():
        try:
            await promise
        except ValueError as error:
            names = []
            traceback = error.__traceback__
            while traceback is not None:
                names.append(traceback.tb_frame.f_code.co_name)
                traceback = traceback.tb_next
            return names

    async def main():
        tasks = [asyncio.create_task(wait()) for _ in range(2)]
        try:
            origin()
        except ValueError as error:
            promise.reject(error)
        return await asyncio.gather(*tasks)

    first, second = run(loop, main())
    assert first == second
    assert first[-1] == "origin"


@pytest.mark.parametrize(
    "error", [StopIteration(), StopAsyncIteration(), GeneratorExit(), KeyboardInterrupt(), asyncio.CancelledError()]
)
def test_exceptions_that_steer_the_interpreter_do_not_hang_a_waiter(loop, promise, error):
    async def main():
        task = asyncio.create_task(asyncio.wait_for(promise, None))
        promise.reject(error)
        await asyncio.wait([task])
        return task.done()

    assert run(loop, main())


def test_futures_and_coroutines_have_one_promise_each(loop):
    async def value():
        return 5

    async def main():
        future = asyncio.get_running_loop().create_future()
        coroutine = value()
        assert promise_for(loop, future) is promise_for(loop, future)
        assert promise_for(loop, coroutine) is promise_for(loop, coroutine)
        assert promise_for(loop, future) is not promise_for(loop, coroutine)
        future.set_result(4)
        return await promise_for(loop, future), await promise_for(loop, coroutine)

    assert run(loop, main()) == (4, 5)


def test_what_failed_has_another_promise_that_fails(loop):
    async def fail():
        raise ValueError("fails")

    async def main():
        task, coroutine, seen = asyncio.ensure_future(fail()), fail(), []
        for eventual in (task, task, coroutine, coroutine):
            with pytest.raises((ValueError, RuntimeError)) as raised:
                await promise_for(loop, eventual)
            seen.append(str(raised.value))
        return seen

    assert run(loop, main()) == ["fails", "fails", "fails", "cannot reuse already awaited coroutine"]


def test_a_cancelled_task_rejects_its_promise(loop):
    async def main():
        task = asyncio.ensure_future(asyncio.get_running_loop().create_future())
        promise = promise_for(loop, task)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await promise

    run(loop, main())


def test_a_promise_whose_vat_was_upgraded_says_so(loop):
    async def main():
        promise = Promise(loop)
        promise.reject({"incarnationNumber": 3, "name": "vatUpgraded", "upgradeMessage": "new code"})
        with pytest.raises(VatUpgraded, match="new code") as raised:
            await promise
        return raised.value.incarnation_number, raised.value.name, copy.deepcopy(raised.value).incarnation_number

    assert run(loop, main()) == (3, "VatUpgraded", 3)


def test_unhandled_rejections_are_listed_unless_somebody_looks(loop):
    async def main():
        promises = {name: Promise(loop) for name in ("dropped", "awaited", "reacted")}
        promises["reacted"].react(lambda settled: None)
        for name, promise in promises.items():
            promise.reject(ValueError(name))
        with pytest.raises(ValueError, match="awaited"):
            await promises["awaited"]

    run(loop, main())
    gc.collect()
    assert [str(error) for error in loop.take_unhandled()] == ["dropped"]


def test_a_late_coroutine_is_closed_and_not_complained_about(promise):
    async def never():
        pytest.fail("ran")

    promise.resolve(1)
    promise.resolve(never())


def test_a_chain_of_settled_promises_of_any_length_can_be_let_go(loop):
    value = []
    for _ in range(50_000):
        promise = Promise(loop)
        promise.resolve([{"next": value}])
        value = promise
    del promise, value
    gc.collect()


def test_it_has_no_copies(promise):
    assert copy.copy(promise) is promise
    assert copy.deepcopy([promise]) == [promise]
    with pytest.raises(TypeError):
        pickle.dumps(promise)


def test_its_repr_says_how_it_stands(loop, promise):
    assert repr(promise) == "<Promise pending>"
    promise.resolve([1])
    assert repr(promise) == "<Promise fulfilled: [1]>"
    rejected = Promise(loop)
    rejected.mark_handled()
    rejected.reject(ValueError("x"))
    assert repr(rejected) == "<Promise rejected: ValueError('x')>"


def test_rejecting_with_text_makes_an_exception(loop, promise):
    promise.mark_handled()
    Resolver(promise).reject("why")
    assert (type(promise.value), str(promise.value)) == (Exception, "why")
