"""The vat's event loop is asyncio's in all that needs no world outside."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref

import pytest

from kernel_py.vat.loop import VatLoop, running_vat_loop
from tests.virtual_loop import run_async


class Reports(list):
    def __call__(self, what: str, error: BaseException | None) -> None:
        self.append((what, error))


@pytest.fixture
def reports():
    return Reports()


@pytest.fixture
def loop(reports):
    return VatLoop(reports)


def run(loop, coroutine):
    """Run `coroutine` until the loop is idle; its result."""
    tasks = []
    loop.enqueue(lambda: tasks.append(loop.create_task(coroutine)))
    loop.run_until_idle()
    return tasks[0].result()


# Order -----------------------------------------------------------------------------------------


def test_jobs_run_first_in_first_out_whatever_made_them(loop):
    seen = []
    loop.enqueue(seen.append, 1)
    loop.call_soon(seen.append, 2)
    loop.call_soon_threadsafe(seen.append, 3)
    loop.call_later(0, seen.append, 4)
    loop.call_at(loop.time(), seen.append, 5)
    loop.enqueue(seen.append, 6)
    loop.run_until_idle()
    assert seen == [1, 2, 3, 4, 5, 6]


def test_jobs_made_by_jobs_run_after_those_already_queued(loop):
    seen = []
    loop.enqueue(lambda: loop.enqueue(seen.append, "made"))
    loop.enqueue(seen.append, "queued")
    loop.run_until_idle()
    assert seen == ["queued", "made"]


def test_a_cancelled_callback_does_not_run(loop):
    seen = []
    loop.call_soon(seen.append, 1).cancel()
    loop.call_later(0, seen.append, 2).cancel()
    loop.run_until_idle()
    assert seen == []


def test_a_failing_job_is_reported_and_the_next_one_runs(loop, reports):
    seen = []
    error = SystemExit("no")
    loop.call_soon(lambda: 1 / 0)

    def leave():
        raise error

    loop.enqueue(leave)
    loop.enqueue(seen.append, 1)
    loop.run_until_idle()
    assert seen == [1]
    assert [type(reported) for _, reported in reports] == [ZeroDivisionError, SystemExit]


def test_what_is_pending_when_the_queue_is_empty_goes_on_in_a_later_run(loop):
    event = asyncio.Event()
    seen = []

    async def wait():
        await event.wait()
        seen.append("woken")

    loop.create_task(wait())
    loop.run_until_idle()
    assert seen == []
    loop.enqueue(event.set)
    loop.run_until_idle()
    assert seen == ["woken"]


def test_sets_of_tasks_are_in_an_order_that_does_not_depend_on_addresses(loop):
    cancelled = []

    async def wait(number):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(number)

    async def main():
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(wait(number))
            await asyncio.sleep(0)
            raise ValueError

    with pytest.raises(ExceptionGroup):
        run(loop, main())
    assert cancelled == list(range(20))


# asyncio ---------------------------------------------------------------------------------------


def test_gather_and_sleep_zero_interleave(loop):
    seen = []

    async def work(name):
        for step in range(2):
            seen.append((name, step))
            await asyncio.sleep(0)
        return name

    async def main():
        return await asyncio.gather(work("a"), work("b"))

    assert run(loop, main()) == ["a", "b"]
    assert seen == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_queue_lock_semaphore_condition_and_barrier_work(loop):
    async def main():
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
        seen = []

        async def produce():
            for number in range(3):
                await queue.put(number)

        async def consume():
            for _ in range(3):
                seen.append(await queue.get())
                queue.task_done()

        await asyncio.gather(produce(), consume())
        await queue.join()
        lock, semaphore, condition, barrier = (
            asyncio.Lock(),
            asyncio.Semaphore(2),
            asyncio.Condition(),
            asyncio.Barrier(2),
        )
        async with lock, semaphore, condition:
            condition.notify_all()
        await asyncio.gather(barrier.wait(), barrier.wait())
        return seen

    assert run(loop, main()) == [0, 1, 2]


def test_task_groups_shield_wait_and_wait_for_work(loop):
    async def value(result):
        await asyncio.sleep(0)
        return result

    async def main():
        async with asyncio.TaskGroup() as group:
            first = group.create_task(value(1))
            second = group.create_task(value(2))
        done, pending = await asyncio.wait([asyncio.create_task(value(3)), asyncio.create_task(value(4))])
        shielded = await asyncio.shield(value(5))
        in_time = await asyncio.wait_for(value(6), timeout=None)
        assert not pending
        return [first.result(), second.result(), sorted(task.result() for task in done), shielded, in_time]

    assert run(loop, main()) == [1, 2, [3, 4], 5, 6]


def test_context_variables_belong_to_their_task_and_not_to_the_host(loop):
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("host")

    async def work(name):
        before = variable.get()
        variable.set(name)
        await asyncio.sleep(0)
        return before, variable.get()

    async def main():
        return await asyncio.gather(work("a"), work("b"))

    assert run(loop, main()) == [("none", "a"), ("none", "b")]
    assert variable.get() == "host"


def test_current_task_and_running_loop_are_the_vats(loop):
    async def main():
        return (
            asyncio.current_task() in asyncio.all_tasks(),
            asyncio.get_running_loop() is loop,
            running_vat_loop() is loop,
        )

    assert run(loop, main()) == (True, True, True)


def test_time_is_the_time_of_the_delivery(loop):
    loop.now_s = 1234.5

    async def main():
        return asyncio.get_running_loop().time()

    assert run(loop, main()) == 1234.5


def test_a_timeout_that_has_passed_already_works(loop):
    async def main():
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run(loop, main())


def test_async_generators_that_a_job_drops_are_closed(loop):
    closed = []

    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def main():
        async for _ in numbers():
            break

    run(loop, main())
    assert closed == [True]


# Refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wait",
    [
        lambda: asyncio.sleep(1),
        lambda: asyncio.wait_for(asyncio.get_running_loop().create_future(), 5),
        lambda: asyncio.wait([asyncio.get_running_loop().create_future()], timeout=5),
    ],
    ids=["sleep", "wait_for", "wait"],
)
def test_waiting_for_time_is_refused_and_names_the_timer_service(loop, wait):
    async def main():
        await wait()

    with pytest.raises(RuntimeError, match="'timer' service"):
        run(loop, main())


@pytest.mark.parametrize(
    "use",
    [
        lambda loop: asyncio.to_thread(print),
        lambda loop: asyncio.open_connection("localhost", 80),
        lambda loop: asyncio.create_subprocess_exec("true"),
        lambda loop: loop.getaddrinfo("localhost", 80),
        lambda loop: loop.add_signal_handler(2, print),
        lambda loop: loop.add_reader(0, print),
        lambda loop: loop.sock_recv(None, 1),
    ],
    ids=["to_thread", "open_connection", "subprocess", "getaddrinfo", "add_signal_handler", "add_reader", "sock_recv"],
)
def test_what_needs_the_outside_is_refused(loop, use):
    async def main():
        await use(loop)

    with pytest.raises(RuntimeError, match="only through references"):
        run(loop, main())


@pytest.mark.parametrize("name", ["run_forever", "stop", "close", "set_task_factory", "set_exception_handler"])
def test_taking_the_loop_over_is_refused(loop, name):
    async def main():
        getattr(loop, name)(*[None] * (name.startswith("set")))

    with pytest.raises(RuntimeError, match="the kernel runs"):
        run(loop, main())


# Around it -------------------------------------------------------------------------------------


def test_it_runs_inside_a_task_of_the_hosts_own_loop_and_leaves_no_trace(loop):
    async def inside():
        await asyncio.sleep(0)
        return asyncio.current_task().get_name()

    async def host():
        before = asyncio.current_task(), asyncio.get_running_loop()
        results = [run(loop, inside()), run(loop, inside())]
        assert (asyncio.current_task(), asyncio.get_running_loop()) == before
        await asyncio.sleep(0)
        assert (asyncio.current_task(), asyncio.get_running_loop()) == before
        async with asyncio.timeout(1):
            await asyncio.sleep(0.001)
        return results

    assert run_async(host()) == ["Task-1", "Task-2"]


def test_it_runs_inside_a_callback_of_the_hosts_loop(loop):
    async def inside():
        await asyncio.sleep(0)
        return 7

    async def host():
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: done.set_result(run(loop, inside())))
        return await done

    assert run_async(host()) == 7


def test_a_vat_is_not_entered_from_inside_a_vat(loop, reports):
    other = VatLoop(reports)
    loop.enqueue(other.run_until_idle)
    loop.run_until_idle()
    assert "inside a vat" in str(reports[0][1])
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_outside_of_a_run_no_vat_is_running():
    with pytest.raises(RuntimeError, match="no vat is running"):
        running_vat_loop()


def test_two_vats_take_turns(reports):
    first, second = VatLoop(reports), VatLoop(reports)
    seen = []

    async def work(name, event):
        await event.wait()
        seen.append(name)

    events = [asyncio.Event(), asyncio.Event()]
    first.create_task(work("first", events[0]))
    second.create_task(work("second", events[1]))
    for loop in (first, second):
        loop.run_until_idle()
    for loop, event in ((second, events[1]), (first, events[0])):
        loop.enqueue(event.set)
        loop.run_until_idle()
    assert seen == ["second", "first"]


# Garbage ---------------------------------------------------------------------------------------


def test_a_pending_task_that_nobody_holds_is_not_collected(loop):
    async def wait():
        await asyncio.get_running_loop().create_future()

    task = weakref.ref(loop.create_task(wait()))
    loop.run_until_idle()
    gc.collect()
    assert task() is not None


def test_a_finished_task_that_nobody_holds_is(loop):
    async def finish():
        pass

    task = weakref.ref(loop.create_task(finish()))
    loop.run_until_idle()
    gc.collect()
    assert task() is None


def test_failures_nobody_looked_at_are_listed_in_order_and_never_by_the_collector(loop, reports):
    async def fail(text):
        raise ValueError(text)

    async def main():
        kept = asyncio.create_task(fail("kept"))
        seen = asyncio.create_task(fail("seen"))
        asyncio.create_task(fail("dropped"))  # noqa: RUF006 (that is the point)
        with pytest.raises(ValueError, match="seen"):
            await seen
        return kept

    kept = run(loop, main())
    assert [str(error) for error in loop.take_unhandled()] == ["kept", "dropped"]
    assert loop.take_unhandled() == []
    del kept
    loop.create_future().set_exception(ValueError("future"))
    gc.collect()
    assert reports == []
