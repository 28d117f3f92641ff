"""What a WebAssembly engine looks like from here. Hosts implement it: wasmtime natively, the browser's own elsewhere.

An engine runs instrumented modules and knows nothing of vats, gas or depth: these are globals to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from kernel_py.wasm.metering import Metered

HostFunction = Callable[..., int]
"""Takes the guest's integers and gives one. Does not raise."""


class Instance(Protocol):
    """One instance of a module. After a fault only reading globals and `close` are of use."""

    def call(self, name: str, *args: int) -> int:
        """Call an exported function; 0 if it has no result.

        Raises:
            GuestFault: it did not return. Of class deterministic if the guest trapped.
        """

    def read(self, pointer: int, size: int) -> bytes:
        """Bytes of the memory.

        Raises:
            IndexError: they are not all within it.
        """

    def write(self, pointer: int, data: bytes) -> None:
        """Set bytes of the memory.

        Raises:
            IndexError: they are not all within it. None was set.
        """

    def get_global(self, name: str) -> int:
        """An exported global of an integer type, signed."""

    def set_global(self, name: str, value: int) -> None: ...

    def memory_bytes(self) -> int:
        """Size of the memory; 0 without one."""

    def grow_memory(self, size_bytes: int) -> None:
        """Make the memory as large as this, a whole number of pages; it never shrinks."""

    def close(self) -> None:
        """Let go of it. Idempotent; nothing else may be called afterwards."""


class Engine(Protocol):
    def instantiate(self, module: Metered, functions: Mapping[tuple[str, str], HostFunction]) -> Instance:
        """Make an instance; none of its code runs yet.

        Args:
            functions: by module and name. An import that is not among them traps when it is called.

        Raises:
            InvalidModule: the engine does not take the module.
            GuestFault: there is no room for it, or compiling failed; transient or internal.
        """
