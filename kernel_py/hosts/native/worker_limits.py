"""What a worker process may use: processor time, memory, files, and an environment of nothing.

The limits are the kernel's of the operating system, set by the worker itself before it touches anything that it was
given. Memory is limited by what can be written (``RLIMIT_DATA``), not by addresses, of which WebAssembly engines
reserve far more than they use.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[3]
"""Where the package lies, so that a worker finds it."""


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    cpu_s_max: int
    """Seconds of processor time: of the whole process, or of one delivery."""
    memory_bytes_max: int
    """Memory that can be written."""
    file_bytes_max: int
    """Length of a file that it writes."""
    files_max: int = 64
    """Files that it has open."""
    wall_factor: int = 4
    """Wall clock for each second of processor time: a busy machine is not the worker's fault."""

    @property
    def wall_s_max(self) -> int:
        return self.cpu_s_max * self.wall_factor

    def dump(self) -> str:
        return json.dumps(asdict(self))


def load_limits(text: str) -> WorkerLimits:
    """Limits from a worker's command line."""
    values: dict[str, Any] = json.loads(text)
    return WorkerLimits(**values)


def apply_limits(limits: WorkerLimits) -> None:
    """Limit this process, for good."""
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, limits.cpu_s_max),
        (resource.RLIMIT_DATA, limits.memory_bytes_max),
        (resource.RLIMIT_FSIZE, limits.file_bytes_max),
        (resource.RLIMIT_NOFILE, limits.files_max),
    ):
        _, hard = resource.getrlimit(kind)
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # Processor time is extended before each delivery, so its hard limit stays.
        resource.setrlimit(kind, (least, hard if kind == resource.RLIMIT_CPU else least))


def extend_cpu(limits: WorkerLimits) -> None:
    """Allow this process `cpu_s_max` from now on; more is its end."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(usage.ru_utime + usage.ru_stime) + 1 + limits.cpu_s_max
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def make_command(module: str, *args: str) -> list[str]:
    """How to start a worker: this Python, without the current directory and the user's own packages."""
    return [sys.executable, "-sP", "-m", module, *args]


def make_environment() -> dict[str, str]:
    """All that a worker sees of the environment."""
    return {"PYTHONPATH": str(_ROOT), "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
