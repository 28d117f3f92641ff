"""Servers of realms in WebAssembly: ``python -m kernel_py.hosts.native.wasm_worker KIND LIMITS FOLDER PID FD``.

    KIND     wasm: vats that are modules; confined: Python vats
    LIMITS   of each copy: `kernel_py.hosts.native.realm_limits`
    FOLDER   the cache of compiled modules, and of the component of confined vats
    PID, FD  the kernel's process, and the socket to it

Each copy of the server is one vat's realm (`kernel_py.hosts.native.fork_server`). It may use `cpu_s_max` of processor
time for each text; more is its end, as is memory beyond its limit. Its host sees that it is gone, and tries the
delivery again.

Nothing is compiled here: what is missing has to be made by those who may (`kernel_py.hosts.native.wasm_runtime`).
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from kernel_py.hosts.native import fork_server
from kernel_py.hosts.native.confined import ConfinedEngine
from kernel_py.hosts.native.confined_component import artifact_store, component_path
from kernel_py.hosts.native.prefault import Ranges, scout, touch
from kernel_py.hosts.native.realm_limits import RealmLimits, load_realm_limits
from kernel_py.hosts.native.wasm import make_wasm_session
from kernel_py.hosts.native.wasm_config import EngineConfig
from kernel_py.hosts.native.wasm_engine import WasmtimeEngine
from kernel_py.hosts.native.wasm_loading import ModuleLoader, compile_nothing
from kernel_py.hosts.native.worker_limits import WorkerLimits, apply_limits, extend_cpu
from kernel_py.wire import protocol

REHEARSAL = (
    protocol.dump_start(
        protocol.VatSpec(
            "v0",
            0,
            "rehearsal",
            "seed",
            "rehearsal.py",
            {
                "rehearsal.py": """
from kernel_py.vat import E, Exo

class Root(Exo):
    def __init__(self):
        self.count = 0

    def add(self, item):
        self.count += 1
        return self.count

def build_root_object(powers, parameters, baggage):
    return Root()
"""
            },
        )
    ),
    protocol.dump_go(0),
    protocol.dump_deliver(1, 0, '["startVat",{"body":"#{}","slots":[]}]'),
    protocol.dump_deliver(
        2, 0, '["message","o+0",{"methargs":{"body":"#[\\"add\\",[\\"x\\"]]","slots":[]},"result":"p-60"}]'
    ),
)
"""What a confined vat is likely to live through first."""


class Session(Protocol):
    """A realm's conversation with the kernel."""

    def hello(self) -> str: ...

    def receive(self, text: str) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """What every copy has: a fresh session, and the pages that it will touch first."""

    session: Session
    pages: Ranges


def serve_session(prepared: Prepared, limits: WorkerLimits, source: BinaryIO, sink: BinaryIO) -> None:
    """Be a vat's realm until there are no more texts."""
    apply_limits(limits)
    session = prepared.session
    touch(prepared.pages)
    sink.write(session.hello().encode() + b"\n")
    sink.flush()
    for line in source:
        extend_cpu(limits)
        replies = session.receive(line.decode().removesuffix("\n"))
        sink.write("".join(f"{reply}\n" for reply in replies).encode())
        sink.flush()


def prepare_modules(folder: Path, limits: RealmLimits) -> Prepared:
    """Load the engine of modules."""
    config = EngineConfig()
    loader = ModuleLoader(artifact_store(folder), config, compile_missing=compile_nothing)
    engine = WasmtimeEngine(config, limits=limits.wasm, clock_limits=limits.clock, compile_module=loader)
    return Prepared(make_wasm_session(engine, wasm_limits=limits.wasm), [])


def prepare_confined(folder: Path, limits: RealmLimits) -> Prepared:
    """Load the component, and make the instance that every vat begins as a copy of."""
    component, store = component_path(folder), artifact_store(folder)
    engine = ConfinedEngine(component, store, limits=limits.confined, clock_limits=limits.clock)
    session = engine.make_session()
    session.hello()
    engine.close()  # its thread: copies have no threads but their own
    return Prepared(session, scout(lambda: [session.receive(text) for text in REHEARSAL]))


PREPARE: dict[str, Callable[[Path, RealmLimits], Prepared]] = {"wasm": prepare_modules, "confined": prepare_confined}


def main(arguments: list[str]) -> None:
    """Load, and be copied."""
    kind, limits_text, folder, parent, control = arguments
    limits = load_realm_limits(limits_text)
    gc.disable()
    prepared = PREPARE[kind](Path(folder), limits)
    gc.freeze()  # the collector of a copy would touch, and so copy, all that is here
    gc.enable()
    fork_server.main(partial(serve_session, prepared, limits.execute), int(parent), int(control))


if __name__ == "__main__":
    main(sys.argv[1:])
