"""Every limit on a WebAssembly module and its instances, in one record.

A `WasmLimits` is part of what a module was instrumented with: two hosts that replay the same vat use the same one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WasmLimits:
    """Bounds on what a module may be, and on what an instance of it may use."""

    module_bytes_max: int = 100_000_000
    """Length of a module: it is held, instrumented and compiled in memory."""
    functions_max: int = 200_000
    """Functions of a module, imports counted: below every engine's own limit."""
    function_bytes_max: int = 2_000_000
    """Length of one function's code: what runs between two checks of the meter is no longer than this."""
    locals_max: int = 5_000
    """Locals of one function, parameters counted: each takes room in every frame."""
    signature_max: int = 500
    """Parameters of a function type, and results: each takes room in every frame."""
    nesting_max: int = 5_000
    """Blocks inside one another."""
    globals_max: int = 10_000
    """Globals of a module: a snapshot reads each."""
    memory_pages_max: int = 4_096
    """Pages of 64 KiB of linear memory: 256 MiB. `memory.grow` beyond it gives -1."""
    table_elements_max: int = 1_000_000
    """Elements of one table, 8 bytes each. `table.grow` beyond it gives -1."""
    tables_max: int = 10
    """Tables of a module."""
    stack_slots_max: int = 32_768
    """Depth of calls, in slots of 8 bytes as counted by the injected code: far below the native stack of every host."""
    gas_delivery: int = 10_000_000_000
    """Gas of one delivery: some ten seconds of plain instructions."""
    imports_max: int = 1_000
    """Functions that a module imports."""


DEFAULT_WASM_LIMITS = WasmLimits()
