"""A process that is one wasm vat's realm: ``python -m kernel_py.hosts.native.wasm_worker``.

    arguments   limits, settings of the engine, folder of artifacts
    input       texts of the kernel, one a line
    output      texts of the vat, one a line, hello first

Texts are JSON without line breaks. The process may use `cpu_s_max` of processor time for each text; more is its end, as
is memory beyond its limit. Its host sees that it is gone, and tries the delivery again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from kernel_py.hosts.native.artifacts import ArtifactStore
from kernel_py.hosts.native.wasm import make_wasm_session
from kernel_py.hosts.native.wasm_config import EngineConfig
from kernel_py.hosts.native.wasm_engine import WasmtimeEngine
from kernel_py.hosts.native.wasm_loading import ModuleLoader
from kernel_py.hosts.native.worker_limits import WorkerLimits, apply_limits, extend_cpu, load_limits

_MIB = 1_048_576

EXECUTE_LIMITS = WorkerLimits(cpu_s_max=30, memory_bytes_max=1_024 * _MIB, file_bytes_max=64 * _MIB)
"""Of a vat: processor time for one delivery, and memory for its own and the engine's."""


def run(arguments: list[str], texts: Iterable[str], send: Callable[[str], None]) -> None:
    """Be a vat's realm until there are no more texts."""
    limits_text, settings, folder = arguments
    limits = load_limits(limits_text)
    apply_limits(limits)
    config = EngineConfig(**json.loads(settings))
    engine = WasmtimeEngine(config, compile_module=ModuleLoader(ArtifactStore(Path(folder)), config))
    session = make_wasm_session(engine)
    send(session.hello())
    for text in texts:
        extend_cpu(limits)
        for reply in session.receive(text.removesuffix("\n")):
            send(reply)
    session.close()
    engine.close()


def _send(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run(sys.argv[1:], sys.stdin, _send)
