"""Sessions of wasm vats on native hosts: the supervisor, over wasmtime, with the vat's store in SQLite."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from kernel_py.vat.session import VatSession
from kernel_py.vat.store import VatStore
from kernel_py.wasm.engine import Engine
from kernel_py.wasm.interface import IMPORTS
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS, WasmLimits
from kernel_py.wasm.metering import Metered, meter
from kernel_py.wasm.supervisor import Prepare, WasmSupervisor
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from kernel_py.wire.protocol import VatSpec

MODULES_KEPT = 20
"""Instrumented modules that are remembered: vats of one cluster often share one."""


@lru_cache(maxsize=MODULES_KEPT)
def _meter(code: bytes, limits: WasmLimits) -> Metered:
    return meter(code, imports=IMPORTS, limits=limits)


def make_preparer(limits: WasmLimits) -> Prepare:
    """Instruments a vat's module, once for each."""
    return lambda code: _meter(code, limits)


def make_wasm_session(
    engine: Engine,
    *,
    make_store: Callable[[], VatStore] = VatStore,
    limits: Limits = DEFAULT_LIMITS,
    wasm_limits: WasmLimits = DEFAULT_WASM_LIMITS,
) -> VatSession:
    """One realm's conversation with the kernel, for a vat whose main file is a module in base64."""
    made: list[WasmSupervisor] = []

    def make_vat(spec: VatSpec) -> WasmSupervisor:
        supervisor = WasmSupervisor(
            spec, make_store(), engine, make_preparer(wasm_limits), limits=limits, wasm_limits=wasm_limits
        )
        made.append(supervisor)
        return supervisor

    def memory_bytes() -> int | None:
        return made[0].memory_bytes() if made else None

    return VatSession(make_vat=make_vat, memory_bytes=memory_bytes, limits=limits)
