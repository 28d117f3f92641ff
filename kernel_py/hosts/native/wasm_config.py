"""The settings of wasmtime that vats run under, checked before wasmtime sees them.

wasmtime aborts the process for some settings that it does not like, and takes artifacts that were compiled under others
than it runs under. So they are checked here, and all that changes compiled code is in `EngineConfig.digest`.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS
from kernel_py.wasm.metering import PASS_VERSION
from kernel_py.wire import canonical
from kernel_py.wire.errors import HostFault

OPT_LEVELS = ("none", "speed", "speed_and_size")
_KIB, _MIB = 1_024, 1_048_576
_STACK_BYTES_MAX = 2 * _MIB - 1
"""wasmtime panics at more than its own asynchronous stacks have, which are not public."""
_STACK_FACTOR = 4
"""Native stack for each byte that the injected code counts."""


class InvalidConfig(HostFault):
    """A setting that wasmtime would not take, or should not be given."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Settings; making one checks them.

    Raises:
        InvalidConfig: one of them is out of its range.
    """

    opt_level: str = "speed"
    """Of the compiler: one of `OPT_LEVELS`."""
    wasm_stack_bytes: int = _MIB
    """Native stack that a guest may use before the engine stops it; the injected limit is met long before."""
    memory_reservation_bytes: int = 4_096 * _MIB
    """Addresses reserved for each memory: with 4 GiB its accesses need no checks."""
    stack_slots_max: int = DEFAULT_WASM_LIMITS.stack_slots_max
    """The injected limit, for which there must be room."""

    def __post_init__(self) -> None:
        if self.opt_level not in OPT_LEVELS:
            raise InvalidConfig(f"opt_level is {self.opt_level!r:.100}; it can be one of {', '.join(OPT_LEVELS)}")
        least = self.stack_slots_max * 8 * _STACK_FACTOR
        _check_range("wasm_stack_bytes", self.wasm_stack_bytes, least, _STACK_BYTES_MAX)
        _check_range("memory_reservation_bytes", self.memory_reservation_bytes, 0, 4_096 * _MIB)
        if self.memory_reservation_bytes % (64 * _KIB):
            raise InvalidConfig("memory_reservation_bytes is not a whole number of pages of 64 KiB")

    @property
    def digest(self) -> str:
        """SHA-256 of all that makes one artifact differ from another of the same module."""
        settings = {
            **asdict(self),
            "pass": PASS_VERSION,
            "wasmtime": metadata.version("wasmtime"),
            "machine": describe_machine(),
        }
        return hashlib.sha256(canonical.dump_sorted(settings).encode()).hexdigest()


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidConfig(f"{name} is {value!r:.100}; it can be {least:,} to {most:,}")


@cache
def describe_machine() -> str:
    """What compiled code may depend on: the system, the processor and what it can do."""
    flags = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.system()} {platform.machine()} {' '.join(sorted(flags.split()))}"
