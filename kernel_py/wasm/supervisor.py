"""A wasm vat: one module's instance, from its bytes to the outcome of each delivery.

Owns the instance and the course of a delivery: gas and depth are set, the delivery's text is put where the guest wants
it, the guest runs, and what it did is taken: the batch of syscalls, the console. `kernel_py.vat.session.VatSession`
talks to it as to any vat.

Invariants:
    * The guest sees the texts of its deliveries and the answers of its own calls, and nothing else.
    * Nothing raises through the engine: what a host function cannot do is recorded here, the gas is taken away, and the
      guest is stopped at its next loop or call.
    * After a fault nothing more is carried out by this instance.

Source: docs/wasm-vats.md.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from kernel_py.wasm.calls import HostCalls, Store
from kernel_py.wasm.engine import Engine, Instance
from kernel_py.wasm.faults import FaultClass, GuestFault
from kernel_py.wasm.interface import ALLOC, DELIVER, EXPORTS
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS, WasmLimits
from kernel_py.wasm.metering import GAS, STACK, START, Metered
from kernel_py.wasm.snapshots import SnapshotError, restore_snapshot, take_snapshot
from kernel_py.wire import canonical
from kernel_py.wire.errors import HostFault, InvalidModule
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from kernel_py.wire.meters import Tank, find_meter
from kernel_py.wire.outcome import Outcome
from kernel_py.wire.protocol import VatSpec

Prepare = Callable[[bytes], Metered]
"""Instruments a module; hosts may remember what it gives."""


class WasmSupervisor:
    """One incarnation of one wasm vat."""

    def __init__(
        self,
        spec: VatSpec,
        store: Store,
        engine: Engine,
        prepare: Prepare,
        *,
        limits: Limits = DEFAULT_LIMITS,
        wasm_limits: WasmLimits = DEFAULT_WASM_LIMITS,
    ) -> None:
        """Make a vat that is not started: the module is instantiated by its first delivery."""
        self._spec = spec
        self._store = store
        self._engine = engine
        self._prepare = prepare
        self._limits = limits
        self._gas_max = self._gas = wasm_limits.gas_delivery
        self._set_meter(spec)
        self._stack = wasm_limits.stack_slots_max
        self._calls = HostCalls(store, limits)
        self._module: Metered | None = None
        self._instance: Instance | None = None

    @property
    def module(self) -> Metered | None:
        """What runs here; None before the first delivery."""
        return self._module

    @property
    def instance(self) -> Instance | None:
        """Where it runs. Only between deliveries, and only to read."""
        return self._instance

    @property
    def gas_used(self) -> int:
        """What the last delivery has used."""
        return 0 if self._instance is None else self._gas - self._instance.get_global(GAS)

    def memory_bytes(self) -> int | None:
        return None if self._instance is None else self._instance.memory_bytes()

    def deliver(self, number: int, time_ms: int, delivery: object) -> Outcome:
        """Carry out one delivery, given as JSON values.

        Raises:
            GuestFault: transient or internal: the delivery is neither carried out nor the vat's fault.
        """
        text = canonical.dump([number, time_ms, delivery]).encode()
        is_start = self._instance is None
        is_message = isinstance(delivery, list) and delivery[:1] == ["message"]
        units = self._gas_max if self._tank is None else self._tank.open(time_ms, is_message=is_message)
        self._gas = min(self._gas_max, units)
        self._calls.begin()
        try:
            status = self._run(text)
        except GuestFault as fault:
            if fault.fault_class is not FaultClass.DETERMINISTIC:
                raise
            return self._stopped(fault, is_start=is_start)._replace(meter=self._close_meter())
        except InvalidModule as error:
            return Outcome(f"{self._spec.main}: {error}", [], [], meter=self._close_meter())
        console = self._calls.take_console()
        meter = self._close_meter()
        if status:
            return Outcome(self._calls.failure_text(status), [], console, meter=meter)
        return Outcome(None, self._calls.take_batch(), console, meter=meter)

    def take_snapshot(self) -> bytes:
        """The vat's state between two deliveries, with its store and its tank.

        Raises:
            SnapshotError: it has not been started, or some of its state cannot be taken.
        """
        if self._instance is None or self._module is None:
            raise SnapshotError("a vat that is not started has no state")
        return take_snapshot(self._instance, self._module, self._store, self._tank)

    def restore_snapshot(self, data: bytes) -> None:
        """Be where a snapshot was taken, instead of being started; the vat must be fresh, and its store empty.

        Raises:
            SnapshotError: it does not fit. This vat is of no use any more.
            InvalidModule, GuestFault: as for a first delivery.
        """
        if self._instance is not None:
            raise SnapshotError("only a fresh vat can be restored")
        instance, module = self._instantiate()
        restore_snapshot(data, instance, module, self._store, self._tank)

    def look(self, expression: str | None) -> dict[str, object]:
        """There is nothing in a module's memory that could be shown as Python."""
        del expression
        raise HostFault("a vat in WebAssembly has no Python to look at")

    def succeed(self, spec: VatSpec) -> WasmSupervisor:
        """Be the vat's next incarnation: its module, with a fresh memory and the store that there is."""
        if self._instance is not None:
            self._instance.close()
        self._spec = spec
        self._set_meter(spec)
        self._module = self._instance = None
        return self

    def checkpoint(self, delivered: int) -> None:
        """A snapshot has the store in it."""

    def resume(self, delivered: int) -> None:
        """A snapshot has the store in it."""

    def _set_meter(self, spec: VatSpec) -> None:
        config = find_meter(spec)
        self._tank = None if config is None else Tank(config)

    def _close_meter(self) -> tuple[int, int | None]:
        used = self.gas_used
        if self._tank is None:
            return used, None
        self._tank.close(used)
        return used, self._tank.left

    def close(self) -> None:
        if self._instance is not None:
            self._instance.close()
        self._store.close()

    # A delivery --------------------------------------------------------------------------------

    def _run(self, text: bytes) -> int:
        """The guest's status of one delivery."""
        instance = self._instance
        if instance is None:
            instance, module = self._instantiate()
            if module.has_start:
                self._refill(instance)
                self._call(instance, START)
        self._refill(instance)
        pointer = self._call(instance, ALLOC, len(text)) & 0xFFFF_FFFF
        try:
            instance.write(pointer, text)
        except IndexError as error:
            raise GuestFault(
                FaultClass.DETERMINISTIC, f"{ALLOC}({len(text)}) gave {pointer:#x}, which is not room for it"
            ) from error
        if not pointer:
            raise GuestFault(FaultClass.DETERMINISTIC, f"{ALLOC}({len(text)}) has no room")
        return self._call(instance, DELIVER, pointer, len(text))

    def _refill(self, instance: Instance) -> None:
        instance.set_global(GAS, self._gas)
        instance.set_global(STACK, self._stack)

    def _instantiate(self) -> tuple[Instance, Metered]:
        module = self._module = self._prepare(decode_module(self._spec.files.get(self._spec.main, "")))
        insist_on_interface(module)
        instance = self._instance = self._engine.instantiate(module, self._calls.functions)
        self._calls.attach(instance)
        return instance, module

    def _call(self, instance: Instance, name: str, *args: int) -> int:
        """Call the guest; a trap is told apart by what is left of gas and depth."""
        try:
            status = instance.call(name, *args)
        except GuestFault as fault:
            if self._calls.failure is not None:
                raise self._host_failed(fault) from self._calls.failure
            if fault.fault_class is FaultClass.DETERMINISTIC:
                raise GuestFault(FaultClass.DETERMINISTIC, self._explain(instance, fault), fault.frames) from fault
            raise
        if self._calls.failure is not None:
            raise self._host_failed(None) from self._calls.failure
        return status

    def _explain(self, instance: Instance, fault: GuestFault) -> str:
        if instance.get_global(GAS) < 0:
            return f"out of gas: a delivery has {self._gas:,}"
        if instance.get_global(STACK) < 0:
            return f"calls nest too deeply: there is room for {self._stack:,} slots"
        return fault.reason

    def _host_failed(self, fault: GuestFault | None) -> GuestFault:
        what = f"the host failed in {self._calls.failed_in}"
        return GuestFault(FaultClass.TRANSIENT, what, () if fault is None else fault.frames)

    def _stopped(self, fault: GuestFault, *, is_start: bool) -> Outcome:
        """One line of why for the kernel, which tells others; all of it for the log."""
        console = [*self._calls.take_console(), *fault.describe().splitlines()]
        if is_start:
            return Outcome(fault.reason, [], console)
        return Outcome(None, [], console, poison=fault.reason)


def decode_module(text: str) -> bytes:
    """A module's bytes.

    Raises:
        InvalidModule: it is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InvalidModule(f"not a module in base64: {error}") from error


def insist_on_interface(module: Metered) -> None:
    """Make sure that a module has what every guest has.

    Raises:
        InvalidModule: it has not.
    """
    for name, kind in EXPORTS.items():
        if module.exports.get(name) != kind:
            raise InvalidModule(f"it does not export the function {name!r}, or of another type than it should be")
    if not module.has_memory:
        raise InvalidModule("it has no memory")
