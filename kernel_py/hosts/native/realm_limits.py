"""Every limit on a native realm in WebAssembly, in one record, as it goes to the realms' servers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from kernel_py.hosts.native.confined import ConfinedLimits
from kernel_py.hosts.native.guest_clock import ClockLimits
from kernel_py.hosts.native.worker_limits import WorkerLimits
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS, WasmLimits

_MIB = 1_048_576

EXECUTE_LIMITS = WorkerLimits(cpu_s_max=30, memory_bytes_max=1_024 * _MIB, file_bytes_max=64 * _MIB)
"""Of a vat's process: processor time for one delivery, and memory for its own and the engine's."""
PRECHECK_LIMITS = WorkerLimits(cpu_s_max=60, memory_bytes_max=2_048 * _MIB, file_bytes_max=512 * _MIB)
"""Of the check before a module is accepted: strict."""
PREPARE_LIMITS = WorkerLimits(cpu_s_max=360, memory_bytes_max=4_096 * _MIB, file_bytes_max=1_024 * _MIB)
"""Of compiling what was accepted: lenient, so that a slower machine does not refuse what another took."""


@dataclass(frozen=True, slots=True)
class RealmLimits:
    """Hosts that replay the same vats use the same `wasm` and `confined`: they decide what stops a delivery."""

    wasm: WasmLimits = DEFAULT_WASM_LIMITS
    confined: ConfinedLimits = field(default_factory=ConfinedLimits)
    clock: ClockLimits = field(default_factory=ClockLimits)
    execute: WorkerLimits = EXECUTE_LIMITS
    precheck: WorkerLimits = PRECHECK_LIMITS
    prepare: WorkerLimits = PREPARE_LIMITS

    def dump(self) -> str:
        return json.dumps(asdict(self))


def load_realm_limits(text: str) -> RealmLimits:
    """Limits from a server's command line."""
    values: dict[str, dict[str, Any]] = json.loads(text)
    return RealmLimits(
        wasm=WasmLimits(**values["wasm"]),
        confined=ConfinedLimits(**values["confined"]),
        clock=ClockLimits(**values["clock"]),
        execute=WorkerLimits(**values["execute"]),
        precheck=WorkerLimits(**values["precheck"]),
        prepare=WorkerLimits(**values["prepare"]),
    )
