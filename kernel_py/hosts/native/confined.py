"""Confined Python vats on native hosts: CPython in a WebAssembly component that imports nothing, run by wasmtime.

The component holds the whole vat side; texts go in, and texts come out. Its meter is wasmtime's fuel, since the
component's many modules are not rewritten: it is deterministic on wasmtime, and there is none elsewhere. A delivery
that uses it up is a poison message.

What traps is lost: the session answers with the poison, and after that with its failure.

`kernel_py.hosts.native.confined_component` builds the component.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel_py.hosts.native.artifacts import ArtifactStore, make_key
from kernel_py.hosts.native.epochs import TICK_NS, Ticker
from kernel_py.hosts.native.guest_clock import ClockLimits, GuestClock
from kernel_py.hosts.native.native_stack import call_with_stack
from kernel_py.hosts.native.wasm_config import EngineConfig
from kernel_py.wire import canonical

if TYPE_CHECKING:
    import wasmtime
    from wasmtime import component

_SETTINGS = "component, fuel, epochs, canonical NaNs; 1"
"""What `ConfinedEngine` sets beside its `EngineConfig`, for the key of artifacts."""


@dataclass(frozen=True, slots=True)
class ConfinedLimits:
    fuel_delivery: int = 20_000_000_000
    """Fuel of one delivery: some ten seconds of Python."""
    fuel_start: int = 100_000_000_000
    """Fuel of what is not a delivery: the start, and each piece of a replay."""
    memory_bytes_max: int = 512 * 1_048_576
    """Memory of one vat; more is a MemoryError in it."""


class ConfinedEngine:
    """Makes confined sessions. Close it when none is left."""

    def __init__(
        self,
        path: Path,
        store: ArtifactStore | None = None,
        *,
        config: EngineConfig | None = None,
        limits: ConfinedLimits | None = None,
        clock_limits: ClockLimits | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Compile the component at `path`, which takes half a minute, or load it from `store`, which does not."""
        import wasmtime  # noqa: PLC0415 (lazy)
        from wasmtime import component  # noqa: PLC0415 (lazy)

        self._config = config or EngineConfig()
        self._limits = limits or ConfinedLimits()
        self._clock_limits = clock_limits or ClockLimits()
        self._now_ns = now_ns
        settings = wasmtime.Config()
        settings.wasm_component_model = True
        settings.consume_fuel = True
        settings.epoch_interruption = True
        settings.cranelift_nan_canonicalization = True
        settings.cranelift_opt_level = self._config.opt_level
        settings.max_wasm_stack = self._config.wasm_stack_bytes
        settings.memory_reservation = self._config.memory_reservation_bytes
        settings.wasm_threads = False
        settings.wasm_relaxed_simd = False
        self._raw = wasmtime.Engine(settings)
        self._ticker = Ticker(self._raw.increment_epoch)
        self._linker = component.Linker(self._raw)
        self._component = self._load(path, store)

    def _load(self, path: Path, store: ArtifactStore | None) -> component.Component:
        from wasmtime import component  # noqa: PLC0415 (lazy)

        if store is None:
            return component.Component(self._raw, path.read_bytes())
        key = _make_key(path, self._config)
        found = store.find(key)
        if found is None:
            temporary = store.make_temporary(key)
            temporary.write_bytes(component.Component(self._raw, path.read_bytes()).serialize())
            found = store.add(key, temporary)
        return component.Component.deserialize_file(self._raw, str(found))

    @staticmethod
    def is_compiled(path: Path, store: ArtifactStore, config: EngineConfig | None = None) -> bool:
        """Whether the component at `path` need not be compiled any more."""
        return store.find(_make_key(path, config or EngineConfig())) is not None

    def make_session(self) -> ConfinedSession:
        """A fresh realm."""
        clock = GuestClock(self._now_ns, self._clock_limits)
        return ConfinedSession(self._raw, self._linker, self._component, self._limits, (clock, self._ticker))

    def close(self) -> None:
        """End the ticker's thread, until a guest runs again. Idempotent."""
        self._ticker.close()


class ConfinedSession:
    """One realm's conversation with the kernel: of the shape of `kernel_py.vat.session.VatSession`."""

    def __init__(
        self,
        engine: wasmtime.Engine,
        linker: component.Linker,
        compiled: component.Component,
        limits: ConfinedLimits,
        clocks: tuple[GuestClock, Ticker],
    ) -> None:
        import wasmtime  # noqa: PLC0415 (lazy)

        self._error: type[Exception] = wasmtime.WasmtimeError
        self._trap: type[Exception] = wasmtime.Trap
        self._limits = limits
        self._clock, self._ticker = clocks
        self._store = wasmtime.Store(engine)
        self._store.set_limits(memory_size=limits.memory_bytes_max)
        self._store.set_fuel(limits.fuel_start)
        self._store.set_epoch_deadline(1 << 40)
        instance = linker.instantiate(self._store, compiled)
        self._functions = {name: instance.get_func(self._store, name) for name in ("hello", "receive")}
        self._last: tuple[str, list[str]] | None = None
        self._failure = ""
        self._ran_ms = 0
        self._is_late = False
        self.fuel_used = 0
        """What the last text has used."""

    def hello(self) -> str:
        """The first text for a new port."""
        return str(self._call(self._limits.fuel_start, "hello"))

    def receive(self, text: str) -> list[str]:
        """Take one text from the kernel; the texts to send back, in order. Never raises."""
        if self._failure:
            return self._last[1] if self._last is not None and self._last[0] == text else self._failed()
        number = _find_number(text)
        fuel = self._limits.fuel_start if number is None else self._limits.fuel_delivery
        try:
            return list(self._call(fuel, "receive", text))
        except (self._error, self._trap) as error:
            return self._stopped(text, number, fuel, error)

    def close(self) -> None:
        """Let go of the vat. Idempotent."""
        with suppress(ValueError):
            self._store.close()

    def _call(self, fuel: int, name: str, *args: str) -> Any:
        self._store.set_fuel(fuel)
        with self._ticker.running(), self._clock.run():
            self._store.set_epoch_deadline(math.ceil(self._clock.remaining_ns / TICK_NS) + 1)
            try:
                function: Any = self._functions[name]
                return call_with_stack(lambda: function(self._store, *args))
            finally:
                self.fuel_used = fuel - self._store.get_fuel()
                self._ran_ms = self._clock.used_ns // 1_000_000
                self._is_late = self._clock.is_exhausted

    def _stopped(self, text: str, number: int | None, fuel: int, error: Exception) -> list[str]:
        """The component trapped, and is of no use any more."""
        if self._is_late:
            self._failure = f"transient: stopped by the wall clock after {self._ran_ms:,} ms"
            return self._failed()
        is_out = self.fuel_used >= fuel
        lines = str(error).splitlines() or [""]
        reason = f"out of fuel: there was {fuel:,}" if is_out else f"trap: {lines[-1].strip()}"
        self._failure = f"this realm was stopped and is of no use any more: {reason}"
        if number is None:
            return self._failed()
        usage = {"memory_bytes": None, "console": lines}
        self._last = text, [canonical.dump(["done", number, ["poison", reason], [], usage])]
        return self._last[1]

    def _failed(self) -> list[str]:
        return [canonical.dump(["failed", self._failure])]


def _make_key(path: Path, config: EngineConfig) -> str:
    settings = hashlib.sha256(f"{_SETTINGS} {config.digest}".encode()).hexdigest()
    return make_key(hashlib.sha256(path.read_bytes()).hexdigest(), settings)


def _find_number(text: str) -> int | None:
    """The number of a delivery; None of anything else."""
    with suppress(ValueError, RecursionError):
        match canonical.load(text):
            case ["deliver", int(number), *_]:
                return number
            case _:
                pass
    return None
