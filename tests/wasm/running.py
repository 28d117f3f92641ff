"""Runs modules in wasmtime, as the oracle of what they compute. Native only."""

from __future__ import annotations

from typing import Any

import wasmtime

from kernel_py.wasm.metering import GAS, MEMORY, STACK, Metered

GAS_START = 1_000_000_000
STACK_START = 32_768


def make_engine(*, nan: bool = False, opt: str = "speed") -> wasmtime.Engine:
    config = wasmtime.Config()
    config.cranelift_nan_canonicalization = nan
    config.cranelift_opt_level = opt
    return wasmtime.Engine(config)


class Running:
    """One instance. `metered` is instrumented, bytes are run as they are."""

    def __init__(self, module: Metered | bytes, engine: wasmtime.Engine | None = None) -> None:
        self.store = wasmtime.Store(engine or make_engine())
        code = module if isinstance(module, bytes) else module.code
        self.instance = wasmtime.Instance(self.store, wasmtime.Module(self.store.engine, code), [])
        self.exports = self.instance.exports(self.store)
        if isinstance(module, Metered):
            self.refill()

    def refill(self, gas: int = GAS_START, stack: int = STACK_START) -> None:
        self.exports[GAS].set_value(self.store, gas)
        self.exports[STACK].set_value(self.store, stack)

    @property
    def gas(self) -> int:
        return self.exports[GAS].value(self.store)

    @property
    def stack(self) -> int:
        return self.exports[STACK].value(self.store)

    def call(self, name: str, *args: int) -> Any:
        return self.exports[name](self.store, *args)

    def spent(self, name: str, *args: int) -> int:
        """The gas that a call costs."""
        before = self.gas
        self.call(name, *args)
        return before - self.gas

    def memory(self) -> bytes:
        memory = self.exports.get("memory") or self.exports[MEMORY]
        return bytes(memory.read(self.store))
