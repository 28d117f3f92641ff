"""What is known of a module while its functions are instrumented: types, imports, limits, and the added globals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kernel_py.wasm.limits import WasmLimits
from kernel_py.wasm.writer import write_signed


@dataclass(frozen=True, slots=True)
class FuncType:
    params: tuple[int, ...]
    results: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Import:
    """A function that the host provides.

    Attributes:
        is_sized: its last parameter is a number of bytes, for which the caller is charged.
    """

    type: FuncType
    is_sized: bool = False


@dataclass(slots=True)
class Surroundings:
    """What a function's instrumentation needs to know of its module, and tells of it.

    Attributes:
        functions: the type of each, imports first.
        imports: of the imported functions, in their order.
        gas, stack: indices of the globals that were added.
        wrappers: indices of added types without parameters, by results.
        has_hidden_state: whether any function changes what is neither in a memory nor in a global.
    """

    types: list[FuncType]
    functions: list[FuncType]
    imports: list[Import]
    globals: int
    limits: WasmLimits
    gas: int
    stack: int
    function_names: Mapping[int, str] = field(default_factory=dict)
    wrappers: dict[tuple[int, ...], int] = field(default_factory=dict)
    has_hidden_state: bool = False

    def block_type(self, results: tuple[int, ...]) -> bytes:
        """The type of a block with these results and no parameters."""
        if not results:
            return b"\x40"
        if len(results) == 1:
            return bytes(results)
        index = self.wrappers.setdefault(results, len(self.types) + len(self.wrappers))
        return write_signed(index)
