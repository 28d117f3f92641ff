"""The event loop of one vat: a deterministic job queue that is an asyncio loop.

Owns the order in which a vat's jobs run. It is driven by nothing but `run_until_idle`, which runs
jobs first in, first out, until none is left; what is then still pending waits for a later delivery.

Invariants:
    * One queue. No clock, no sockets, no threads, no signals: what would need them is refused.
    * Entering and leaving restore the thread exactly: a host's own asyncio loop, with a task of its
      own being executed, may be running around it.
    * Pending tasks are held strongly, so that no coroutine is ever closed by the garbage collector.
    * Nothing is reported at collection time. Failures that nobody looked at are listed when the queue
      is empty, in the order in which they happened.

The only module of the vat side that imports asyncio. See docs/decisions/0020-vat-event-loop.md.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from asyncio.tasks import _enter_task, _leave_task
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, NoReturn, Protocol, TypeVar, TypeVarTuple, Unpack
from weakref import WeakKeyDictionary

Future = asyncio.Future
CancelledError = asyncio.CancelledError
ASYNCIO_FOLDER = str(asyncio.__path__[0])

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_NO_CLOCK = (
    "a vat has no clock of its own, so it cannot wait for time to pass: "
    "ask for the 'timer' service in the cluster config and await a promise of it"
)
_NO_IO = "a vat reaches the outside only through references it was given: ask for a service in the cluster config"
_NOT_YOURS = "the kernel runs and stops this event loop, one delivery at a time"


class Unhandled(Protocol):
    """Something that failed and that somebody may still look at."""

    def unhandled_error(self) -> BaseException | None:
        """The failure, or None if somebody looked at it."""


class VatTask(asyncio.Task[Any]):
    """A task whose hash is its number, so that asyncio's own sets of tasks are in a reproducible order.

    Attributes:
        promises: the promise that stands for it, if there is one, under itself: what `VatLoop.promises` is to others.
    """

    def __init__(self, coro: Coroutine[Any, Any, Any], *, number: int, **options: Any) -> None:
        self._number = number
        self.promises: dict[VatTask, Any] = {}
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other

    def unhandled_error(self) -> BaseException | None:
        if self.cancelled() or not getattr(self, "_log_traceback", False):
            return None
        return self.exception()  # which also keeps the collector from reporting it


class VatLoop(asyncio.AbstractEventLoop):
    """The loop that vat code finds as the running one.

    Attributes:
        owner: what `running_vat_loop().owner` gives to the functions that vat code calls.
        vdata: likewise, to the classes that live in the vat store.
        watches: likewise, to `watch_promise`.
        now_s: the time of the delivery, in seconds; what `time` returns.
        graves: what dead promises held, for `dig`.
        promises: the promises that stand for futures and coroutines; `kernel_py.vat.promise` fills it.
    """

    def __init__(self, report: Callable[[str, BaseException | None], None]) -> None:
        """`report` is told of errors in callbacks, at the moment they happen."""
        self.owner: Any = None
        self.vdata: Any = None
        self.watches: Any = None
        self.now_s = 0.0
        self.promises: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._report = report
        self._ready: deque[asyncio.Handle | tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._tasks: dict[VatTask, None] = {}
        self._task_count = 0
        self._failures: list[Unhandled] = []
        self.graves: list[object] = []
        self._is_digging = False

    # Running -----------------------------------------------------------------------------------

    def run_until_idle(self) -> None:
        """Run jobs until none is left. The loop that was running before, and its current task, are as before then."""
        outer = asyncio._get_running_loop()  # noqa: SLF001
        if isinstance(outer, VatLoop):
            raise RuntimeError("a vat cannot be entered from inside a vat")
        outer_task = None if outer is None else asyncio.current_task(outer)
        if outer is not None and outer_task is not None:
            _leave_task(outer, outer_task)
        outer_hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(self)  # noqa: SLF001
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._close_generator)
        try:
            contextvars.Context().run(self._drain)
        finally:
            sys.set_asyncgen_hooks(*outer_hooks)
            asyncio._set_running_loop(outer)  # noqa: SLF001
            if outer is not None and outer_task is not None:
                _enter_task(outer, outer_task)

    def _drain(self) -> None:
        ready = self._ready
        while ready:
            job = ready.popleft()
            try:
                if type(job) is tuple:
                    job[0](*job[1])
                elif not job.cancelled():  # type: ignore[union-attr]
                    job._run()  # type: ignore[union-attr]  # noqa: SLF001
            except BaseException as error:  # noqa: BLE001 (a job's failure is the job's)
                self._report("error in a callback", error)

    def enqueue(self, job: Callable[[Unpack[_Ts]], object], *args: *_Ts) -> None:
        """Run `job` after all jobs that are queued now: `call_soon` for jobs that nobody cancels."""
        self._ready.append((job, args))

    def as_future(self, eventual: asyncio.Future[_T] | Coroutine[Any, Any, _T]) -> asyncio.Future[_T]:
        """A future or task as it is; a coroutine as a new task."""
        return eventual if isinstance(eventual, asyncio.Future) else self.create_task(eventual)

    def end_tasks(self) -> None:
        """End all tasks, those that wait as well, in the order in which they were made. What they still do fails."""
        self._ready.clear()
        for task in list(self._tasks):
            coroutine: Any = task.get_coro()
            try:
                coroutine.close()
            except BaseException:  # noqa: BLE001, S112 (nobody is left to be told)
                continue
        self._tasks.clear()
        self._ready.clear()

    def note_failure(self, failure: Unhandled) -> None:
        """Remember `failure`, to be reported if nobody has looked at it when the queue is empty."""
        self._failures.append(failure)

    def take_unhandled(self) -> list[BaseException]:
        """Take the failures that nobody looked at, in the order in which they happened."""
        failures, self._failures = self._failures, []
        return [error for failure in failures if (error := failure.unhandled_error()) is not None]

    def dig(self) -> None:
        """Let go of what is in `graves`, and of what that puts there, without recursion."""
        if not self._is_digging:
            self._is_digging = True
            while self.graves:
                self.graves.pop()
            self._is_digging = False

    def _close_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        # Only where the drop is an effect of the running job; one found by the collector later is let go.
        if asyncio._get_running_loop() is self:  # noqa: SLF001
            self.create_task(generator.aclose())

    # What asyncio asks of a loop ---------------------------------------------------------------

    def time(self) -> float:
        return self.now_s

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:  # noqa: FBT001
        """Do nothing: debugging would make behaviour depend on the clock."""

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self  # noqa: SLF001

    def is_closed(self) -> bool:
        return False

    def call_soon(
        self, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        if when > self.now_s:
            raise RuntimeError(_NO_CLOCK)
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing to do: a cancelled handle is skipped when its turn comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> Any:
        self._task_count += 1
        task = VatTask(
            coro,  # type: ignore[arg-type]
            number=self._task_count,
            loop=self,
            name=f"Task-{self._task_count}" if name is None else str(name),
            context=context,
            **options,
        )
        self._tasks[task] = None
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        assert isinstance(task, VatTask)
        self._tasks.pop(task, None)
        if not task.cancelled() and getattr(task, "_log_traceback", False):
            self._failures.append(task)

    def set_task_factory(self, factory: Any) -> None:  # noqa: ARG002
        raise RuntimeError(_NOT_YOURS)

    def get_task_factory(self) -> None:
        return None

    def get_exception_handler(self) -> None:
        return None

    def set_exception_handler(self, handler: Any) -> None:  # noqa: ARG002
        raise RuntimeError(_NOT_YOURS)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        message = str(context.get("message", ""))
        if message.startswith("Task was destroyed") or message.endswith("exception was never retrieved"):
            return  # said by a finalizer: when it comes depends on the garbage collector
        self._report(message, context.get("exception"))

    async def shutdown_asyncgens(self) -> None:
        """Do nothing: the loop never ends before its vat."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Do nothing: there is none."""


def _refuse(name: str, reason: str) -> Any:
    def refuse(self: VatLoop, *args: object, **kwargs: object) -> NoReturn:  # noqa: ARG001
        raise RuntimeError(f"{name}: {reason}")

    refuse.__name__ = name
    return refuse


for _name in ("run_forever", "run_until_complete", "stop", "close"):
    setattr(VatLoop, _name, _refuse(_name, _NOT_YOURS))
for _name in sorted(
    name
    for name in vars(asyncio.AbstractEventLoop)
    if not name.startswith("__") and name not in vars(VatLoop) and callable(getattr(asyncio.AbstractEventLoop, name))
):
    setattr(VatLoop, _name, _refuse(_name, _NO_IO))


def running_vat_loop() -> VatLoop:
    """The loop of the vat whose code is running.

    Raises:
        RuntimeError: no vat is running.
    """
    loop = asyncio._get_running_loop()  # noqa: SLF001
    if isinstance(loop, VatLoop):
        return loop
    raise RuntimeError("no vat is running: this works only in code that a vat's delivery runs")
