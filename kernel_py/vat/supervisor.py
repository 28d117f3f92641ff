"""The supervisor: one vat, from its source files to the outcome of each delivery.

Owns the parts of a vat and the course of a delivery: the clock and entropy are set, standard output is redirected,
the delivery is dispatched as the first job of the vat's loop, the loop runs until it is idle, and what the delivery did
is taken: the batch of syscalls, the console. If the vat has a meter, all of that is metered.

A delivery that the vat cannot carry out at all, such as a start that fails, has an error for an outcome, and no
syscalls.
"""

from __future__ import annotations

import gc
from types import CoroutineType, ModuleType
from typing import Any

from kernel_py.vat import schema
from kernel_py.vat.collector import Collect, collect_heap
from kernel_py.vat.console import Console
from kernel_py.vat.determinism import Ambient
from kernel_py.vat.exo import find_iface
from kernel_py.vat.liveslots import Liveslots
from kernel_py.vat.loader import VatModules
from kernel_py.vat.looking import Heap, list_store, show
from kernel_py.vat.loop import VatLoop
from kernel_py.vat.meter import IDLE, LEFT, NoMeter, OutOfMeter, start_metering
from kernel_py.vat.pillars import NOTHING, Inheritance
from kernel_py.vat.powers import Powers
from kernel_py.vat.presence import Presence
from kernel_py.vat.promise import Promise, State
from kernel_py.vat.representative import Representative
from kernel_py.vat.store import VatStore
from kernel_py.vat.tracebacks import format_error
from kernel_py.wire import canonical
from kernel_py.wire.capdata import CapData
from kernel_py.wire.deliveries import Delivery, StartVat, parse_delivery
from kernel_py.wire.errors import MarshalError, cut_middle
from kernel_py.wire.limits import Limits
from kernel_py.wire.meters import Tank, find_meter
from kernel_py.wire.outcome import Outcome
from kernel_py.wire.protocol import PACKAGES_PATH, VatSpec


class Supervisor:
    """One incarnation of one vat.

    Args:
        inheritance: what the last incarnation's `Liveslots.end` gave.
        collect: lets Python's collector take what it can; tests control it.
    """

    def __init__(
        self,
        spec: VatSpec,
        store: VatStore,
        ambient: Ambient,
        *,
        limits: Limits,
        inheritance: Inheritance = NOTHING,
        collect: Collect = collect_heap,
    ) -> None:
        self._collect = collect
        self._limits = limits
        self._store = store
        self._ambient = ambient
        self._console = Console(limits)
        self._loop = VatLoop(self._report)  # type: ignore[abstract]  # it refuses what it does not define
        wanted = canonical.load(spec.files.get(PACKAGES_PATH, "{}"))
        packages = wanted.get(spec.name, wanted.get(spec.main, ()))
        self._modules = VatModules(spec.vat, spec.files, spec.main, replace=ambient.replace, packages=packages)
        self._liveslots = Liveslots(
            spec.vat, store, self._loop, limits=limits, report=self._report, inheritance=inheritance, collect=collect
        )
        self._powers = Powers(spec.name, self._liveslots)
        self._root: Promise[Any] | None = None
        self._is_started = False
        self._building: object = None
        self._error: str | None = None
        self._main: ModuleType | None = None
        config = find_meter(spec)
        self._tank = None if config is None else Tank(config)
        self._is_stopped = False
        # Holds the frames of what was stopped.
        self._stopped: OutOfMeter | None = None

    def deliver(self, number: int, time_ms: int, delivery: object) -> Outcome:
        """Carry out one delivery, given as JSON values."""
        self._error = None
        is_start = not self._is_started
        is_over, meter = False, None
        self._ambient.begin(number, time_ms)
        self._powers._begin(time_ms)  # noqa: SLF001 (vat code has it too, and must not set the time)
        self._loop.now_s = time_ms / 1000
        self._loop.enqueue(self._dispatch, delivery)
        if self._tank is None:
            with self._console:
                self._run()
        else:
            try:
                start_metering()
            except NoMeter as error:
                return Outcome(str(error), [], [])
            units = self._tank.open(time_ms, is_message=isinstance(delivery, list) and delivery[:1] == ["message"])
            left = self._run_metered(units)
            self._tank.close(units - left)
            is_over, meter = left < 0, (units - left, self._tank.left)
        if is_over:
            reason = f"out of meter: a delivery has {units:,} units"
            error_text, poison = (reason, None) if is_start else (None, reason)
            return Outcome(error_text, [], self._console.take(), poison, meter)
        self._store.check()
        try:
            syscalls = self._liveslots.batch.take()
        except MarshalError as error:
            syscalls = []
            self._error = str(error)
        return Outcome(self._error, [] if self._error else syscalls, self._console.take(), meter=meter)

    def _run(self) -> None:
        """Everything that a delivery does, the vat's code included."""
        self._loop.run_until_idle()
        if self._root is not None:
            self._finish_start(self._root)
        for error in self._loop.take_unhandled():
            self._report("a failure that nobody has looked at yet", error)
        self._liveslots.finish()

    def _run_metered(self, units: int) -> int:
        """The same with so many units; how many are left, less than none if they were not enough.

        The collector runs code of the vat's, too. So it runs at the end, where it is metered, and is the same on
        replay; and before, for what is not this delivery's. Nothing of a stopped vat is let go of afterwards: that
        would run code without a meter.
        """
        is_automatic = gc.isenabled()
        gc.disable()
        gc.collect()
        with self._console:
            # No call in Python from here to where the units are put back: it would be metered, and might be the one too
            # many.
            LEFT[0] = units
            try:
                self._run()
            except OutOfMeter as error:
                self._stopped = error
            finally:
                gc.collect()
                left = LEFT[0]
                LEFT[0] = IDLE
        if is_automatic:
            gc.enable()
        self._is_stopped = left < 0
        return left

    def succeed(self, spec: VatSpec) -> Supervisor:
        """The supervisor of the vat's next incarnation, which has its vat store. This one is of no use then."""
        with self._console:
            inheritance = self._liveslots.end()
        self._modules.close()
        return Supervisor(
            spec, self._store, self._ambient, limits=self._limits, inheritance=inheritance, collect=self._collect
        )

    def checkpoint(self, delivered: int) -> None:
        """The heap is to be taken, as it is after delivery `delivered`."""
        self._store.checkpoint(delivered)

    def resume(self, delivered: int) -> None:
        """The heap goes on from that `checkpoint`, or is back there; raises StoreError if the store is not."""
        self._store.resume(delivered)

    def look(self, expression: str | None) -> dict[str, Any]:
        """Evaluate an expression, or list what there is. What the vat would have said of it is dropped."""
        baggage = self._liveslots.vdata.provide_root(schema.BAGGAGE) if self._is_started else None
        kinds = self._liveslots.vdata.kinds.list_classes()
        heap = Heap(self._liveslots.slots, self._main, baggage, kinds, self._limits)
        store = [] if expression is not None else list_store(self._store, self._limits)
        answer: Promise[Any] = Promise(self._loop)
        answer.mark_handled()

        def begin() -> None:
            try:
                answer.resolve(heap.list_rows() if expression is None else heap.evaluate(expression))
            except BaseException as error:  # noqa: BLE001 (whatever it is, it is shown)
                answer.reject(error)

        self._loop.enqueue(begin)
        with self._console:
            self._loop.run_until_idle()
            self._loop.take_unhandled()
        if answer.state is State.FULFILLED and expression is None:
            rows_max = self._limits.look_rows_max
            is_cut = max(len(answer.value), len(store)) >= rows_max
            return {"objects": [list(row) for row in answer.value], "store": store, "is_cut": is_cut}
        return self._show(answer)

    def _show(self, answer: Promise[Any]) -> dict[str, Any]:
        value, kind, error = "", "", ""
        chars_max = self._limits.look_chars_max
        with self._console:
            match answer.state:
                case State.FULFILLED:
                    value, kind = show(answer.value, chars_max), type(answer.value).__qualname__
                case State.REJECTED:
                    error = cut_middle(self._format(answer.error()), chars_max)
                case State.PENDING:
                    value, kind = "it waits for what never comes here: nothing leaves this heap", "pending"
        console = cut_middle("\n".join(self._console.take()), chars_max)
        return {"value": value, "type": kind, "error": error, "console": console}

    def close(self) -> None:
        """The vat's realm goes on without it; only for hosts in which one process has many vats. Comes once."""
        self._modules.close()
        self._store.close()
        if self._is_stopped:
            self._let_go()

    def _let_go(self) -> None:
        """Of what a stopped vat has left: its coroutines run when they are closed, up to their next jump or call."""
        fields = vars(self)
        LEFT[0] = -1
        try:
            fields.clear()
            gc.collect()
        finally:
            LEFT[0] = IDLE

    def _dispatch(self, value: object) -> None:
        try:
            delivery: Delivery = parse_delivery(value)
            if isinstance(delivery, StartVat) and not self._is_started:
                self._start(delivery.parameters)
            elif not self._is_started:
                raise MarshalError("this vat has not been started")
            else:
                self._liveslots.dispatch(delivery)
        except BaseException as error:  # noqa: BLE001 (whatever it is, it is the delivery's outcome)
            self._error = self._format(error)

    # Starting ----------------------------------------------------------------------------------

    def _start(self, parameters: CapData) -> None:
        self._is_started = True
        baggage = self._liveslots.start()
        main = self._main = self._modules.load_main()
        builder = getattr(main, "build_root_object", None)
        if not callable(builder):
            raise AttributeError(f"{main.__file__} does not define build_root_object(powers, parameters, baggage)")
        value = builder(self._powers, self._liveslots.marshal.unserialize(parameters), baggage)
        self._building = value
        self._root = Promise(self._loop)
        self._root.mark_handled()
        self._root.resolve(value)

    def _finish_start(self, root: Promise[Any]) -> None:
        """The queue is empty after build_root_object: it must have given the root."""
        self._root = None
        building, self._building = self._building, None
        match root.state:
            case State.PENDING:
                where = describe_wait(building)
                self._error = (
                    f"build_root_object did not finish: it waits for {where}. It can wait only for what this vat "
                    "settles by itself; send from a method, such as bootstrap, instead"
                )
            case State.REJECTED:
                self._error = self._format(root.error())
            case State.FULFILLED if isinstance(root.value, Presence) or find_iface(root.value) is None:
                self._error = f"build_root_object must return an Exo or another far object, not {root.value!r:.200}"
            case State.FULFILLED if isinstance(root.value, Representative):
                self._error = (
                    "the root is o+0 in every incarnation: build_root_object must return a new Exo, not the virtual or "
                    f"durable {root.value!r:.200}"
                )
            case State.FULFILLED:
                try:
                    self._liveslots.finish_start(root.value)
                except TypeError as error:
                    self._error = str(error)

    # Reports -----------------------------------------------------------------------------------

    def _report(self, what: str, error: BaseException | None) -> None:
        text = what if error is None else f"{what}: {self._format(error)}"
        self._console.line(text)

    def _format(self, error: BaseException) -> str:
        return format_error(error, self._modules.sources, self._limits)


def describe_wait(waiting: object) -> str:
    """Where a coroutine is suspended, for people: its innermost frame in a source file."""
    where = "a promise"
    while isinstance(waiting, CoroutineType) and waiting.cr_frame is not None:
        frame = waiting.cr_frame
        where = f"what {frame.f_code.co_name} awaits in {frame.f_code.co_filename}, line {frame.f_lineno}"
        waiting = waiting.cr_await
    return where
