"""The WebAssembly engine of native hosts: wasmtime.

Invariants:
    * Host functions never raise through the binding, which keeps one last exception for the whole process: with several
      threads it would be taken for another call's. They are wrapped so by `kernel_py.wasm.calls`.
    * Guests run on a native stack that is larger than what they can use.
    * Epochs are the backstop: a ticker advances them while guests run, and each guest's deadline follows its clock.

wasmtime is imported when the first engine is made.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kernel_py.hosts.native.epochs import TICK_NS, Ticker
from kernel_py.hosts.native.guest_clock import ClockLimits, GuestClock
from kernel_py.hosts.native.native_stack import call_with_stack
from kernel_py.hosts.native.wasm_config import EngineConfig
from kernel_py.wasm import opcodes
from kernel_py.wasm.engine import HostFunction
from kernel_py.wasm.faults import FaultClass, Frame, GuestFault
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS, WasmLimits
from kernel_py.wasm.metering import MEMORY, Metered
from kernel_py.wasm.stubs import write_stub
from kernel_py.wasm.surroundings import FuncType
from kernel_py.wire.errors import InvalidModule

if TYPE_CHECKING:
    import wasmtime

_PAGE_BYTES = 65_536
FAR_TICKS = 1 << 40

Compile = Callable[["wasmtime.Engine", Metered], "wasmtime.Module"]
"""Gives a module's compiled form; may remember it."""


def compile_now(engine: wasmtime.Engine, module: Metered) -> wasmtime.Module:
    """Compile in this process, and remember nothing."""
    import wasmtime  # noqa: PLC0415 (lazy)

    try:
        return wasmtime.Module(engine, module.code)
    except wasmtime.WasmtimeError as error:
        raise InvalidModule(f"the engine does not take it: {error}") from error


def make_wasmtime_engine(config: EngineConfig) -> wasmtime.Engine:
    """An engine with these settings, and everything off that instrumented modules cannot contain."""
    import wasmtime  # noqa: PLC0415 (lazy)

    settings = wasmtime.Config()
    settings.epoch_interruption = True
    settings.cranelift_opt_level = config.opt_level
    settings.max_wasm_stack = config.wasm_stack_bytes
    settings.memory_reservation = config.memory_reservation_bytes
    settings.parallel_compilation = False  # times that can be compared, and no threads to limit
    settings.wasm_threads = False
    settings.wasm_relaxed_simd = False
    settings.wasm_memory64 = False
    settings.wasm_multi_memory = False
    settings.wasm_tail_call = True
    return wasmtime.Engine(settings)


class WasmtimeEngine:
    """Makes instances. Close it when none is left."""

    def __init__(
        self,
        config: EngineConfig | None = None,
        *,
        limits: WasmLimits = DEFAULT_WASM_LIMITS,
        clock_limits: ClockLimits | None = None,
        compile_module: Compile = compile_now,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.config = config or EngineConfig()
        self.raw = make_wasmtime_engine(self.config)
        self._limits = limits
        self._clock_limits = clock_limits or ClockLimits()
        self._compile = compile_module
        self._now_ns = now_ns
        self._ticker = Ticker(self.raw.increment_epoch)

    def instantiate(self, module: Metered, functions: Mapping[tuple[str, str], HostFunction]) -> WasmtimeInstance:
        compiled = self._compile(self.raw, module)
        clock = GuestClock(self._now_ns, self._clock_limits)
        return WasmtimeInstance(
            self.raw, compiled, module, functions, limits=self._limits, clock=clock, ticker=self._ticker
        )

    def close(self) -> None:
        """End the ticker's thread, until a guest runs again. Idempotent."""
        self._ticker.close()


class WasmtimeInstance:
    """One instance, as `kernel_py.wasm.engine.Instance`."""

    def __init__(
        self,
        engine: wasmtime.Engine,
        compiled: wasmtime.Module,
        module: Metered,
        functions: Mapping[tuple[str, str], HostFunction],
        *,
        limits: WasmLimits,
        clock: GuestClock,
        ticker: Ticker,
    ) -> None:
        import wasmtime  # noqa: PLC0415 (lazy)

        self._wasmtime = wasmtime
        self._module = module
        self._clock = clock
        self._ticker = ticker
        self._store = wasmtime.Store(engine)
        self._context: Any = self._store
        """What gives access to the store: itself, or the caller while a host function runs."""
        self._store.set_limits(
            memory_size=limits.memory_pages_max * _PAGE_BYTES,
            table_elements=limits.table_elements_max,
            tables=limits.tables_max,
            memories=1,
        )
        self._store.set_epoch_deadline(FAR_TICKS)
        imports = [
            self._wrap(kind, functions[where, name]) if (where, name) in functions else self._make_stub(engine, kind)
            for where, name, kind in module.imports
        ]
        try:
            instance = wasmtime.Instance(self._store, compiled, imports)
        except wasmtime.Trap as trap:
            raise InvalidModule(f"it cannot be instantiated: {trap.message}") from trap
        except wasmtime.WasmtimeError as error:
            raise GuestFault(FaultClass.TRANSIENT, "there is no room for an instance") from error
        self._exports: dict[str, Any] = dict(instance.exports(self._store).items())

    # The interface -----------------------------------------------------------------------------

    def call(self, name: str, *args: int) -> int:
        function = self._exports[name]
        with self._ticker.running(), self._clock.run():
            self._set_deadline()
            try:
                result = call_with_stack(lambda: function(self._store, *map(_to_signed_32, args)))
            except (self._wasmtime.Trap, self._wasmtime.WasmtimeError) as error:
                raise self._make_fault(error) from error
        return int(result or 0)

    def read(self, pointer: int, size: int) -> bytes:
        memory = self._check_range(pointer, size)
        return bytes(memory.read(self._context, pointer, pointer + size))

    def write(self, pointer: int, data: bytes) -> None:
        memory = self._check_range(pointer, len(data))
        memory.write(self._context, data, pointer)

    def get_global(self, name: str) -> int:
        return int(self._exports[name].value(self._context))

    def set_global(self, name: str, value: int) -> None:
        self._exports[name].set_value(self._context, value)

    def memory_bytes(self) -> int:
        memory = self._exports.get(MEMORY)
        return 0 if memory is None else int(memory.data_len(self._context))

    def grow_memory(self, size_bytes: int) -> None:
        missing = size_bytes - self.memory_bytes()
        if missing > 0:
            self._exports[MEMORY].grow(self._context, missing // _PAGE_BYTES)

    def close(self) -> None:
        self._exports = {}
        self._store.close()

    # Inside ------------------------------------------------------------------------------------

    def _check_range(self, pointer: int, size: int) -> Any:
        memory = self._exports.get(MEMORY)
        if memory is None or pointer < 0 or size < 0 or pointer + size > memory.data_len(self._context):
            raise IndexError(f"{size:,} bytes at {pointer:#x} are not within the memory")
        return memory

    def _set_deadline(self) -> None:
        """Let the guest run no further than its clock says, from here."""
        remaining_ns = self._clock.remaining_ns
        self._store.set_epoch_deadline(math.ceil(remaining_ns / TICK_NS) + 1 if remaining_ns else 0)

    def _wrap(self, kind: FuncType, function: HostFunction) -> wasmtime.Func:
        """A host function for the engine: the clock is paused meanwhile, and the deadline follows it."""

        def call_host(caller: Any, *args: int) -> int:
            outer, self._context = self._context, caller
            with self._clock.paused():
                value = function(*args)
            self._context = outer
            self._set_deadline()
            return value

        return self._wasmtime.Func(self._store, self._to_type(kind), call_host, access_caller=True)

    def _to_type(self, kind: FuncType) -> wasmtime.FuncType:
        types = {
            opcodes.I32: self._wasmtime.ValType.i32,
            opcodes.I64: self._wasmtime.ValType.i64,
            opcodes.F32: self._wasmtime.ValType.f32,
            opcodes.F64: self._wasmtime.ValType.f64,
        }
        return self._wasmtime.FuncType(
            [types[each]() for each in kind.params], [types[each]() for each in kind.results]
        )

    def _make_stub(self, engine: wasmtime.Engine, kind: FuncType) -> Any:
        """A function that traps, for an import that is allowed to be missing."""
        stub = self._wasmtime.Module(engine, write_stub(kind))
        return self._wasmtime.Instance(self._store, stub, []).exports(self._store)["stub"]

    def _make_fault(self, error: Exception) -> GuestFault:
        trap_code = getattr(error, "trap_code", None)
        if trap_code is None:
            return GuestFault(FaultClass.INTERNAL, f"the engine failed: {error}")
        codes = self._wasmtime.TrapCode
        names = self._module.function_names
        frames = [
            Frame(frame.func_index, frame.func_name or names.get(frame.func_index, ""), frame.module_offset)
            for frame in error.frames  # type: ignore[attr-defined]
        ]
        if trap_code is codes.INTERRUPT:
            used_ms = self._clock.used_ns // 1_000_000
            return GuestFault(FaultClass.TRANSIENT, f"stopped by the wall clock after {used_ms:,} ms", frames)
        if trap_code is codes.STACK_OVERFLOW:
            return GuestFault(FaultClass.INTERNAL, "the native stack overflowed before the counted depth did", frames)
        if trap_code is codes.ALLOCATION_TOO_LARGE:
            return GuestFault(FaultClass.TRANSIENT, "there is no memory", frames)
        if trap_code in {codes.INDIRECT_CALL_TO_NULL, codes.BAD_SIGNATURE}:
            # Not every engine tells these apart, and the reason must be the same on all.
            return GuestFault(FaultClass.DETERMINISTIC, "trap: indirect call of nothing, or of another type", frames)
        return GuestFault(FaultClass.DETERMINISTIC, f"trap: {trap_code.name.lower().replace('_', ' ')}", frames)


def _to_signed_32(value: int) -> int:
    value &= 0xFFFF_FFFF
    return value - (1 << 32) if value >= 1 << 31 else value
