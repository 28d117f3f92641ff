"""The test modules, in binary form: the same on CPython and inside Pyodide."""

from __future__ import annotations

from pathlib import Path

from kernel_py.wasm.interface import IMPORTS
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS, WasmLimits
from kernel_py.wasm.metering import Metered, meter

MODULES = Path(__file__).resolve().parent / "modules"


def load(name: str) -> bytes:
    return (MODULES / f"{name}.wasm").read_bytes()


def load_metered(
    name: str, *, missing: tuple[tuple[str, str], ...] = (), limits: WasmLimits = DEFAULT_WASM_LIMITS
) -> Metered:
    return meter(load(name), imports=IMPORTS, missing=frozenset(missing), limits=limits)
