"""Compiling modules in processes of their own: ``python -m kernel_py.hosts.native.wasm_compile`` is one.

    arguments   limits, settings, path of the temporary file
    input       the instrumented module
    output      one line of JSON: ["ok"] or ["invalid", reason]

What a job says is believed only as far as it can be checked or does not matter: the artifact's digest is computed by
its host, and a job that dies, says nothing or says something else has failed for reasons of the host, not of the
module, and may be tried again.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from kernel_py.hosts.native.artifacts import ArtifactStore, make_key
from kernel_py.hosts.native.compile_queue import CompileQueue
from kernel_py.hosts.native.realm_limits import RealmLimits
from kernel_py.hosts.native.wasm_config import EngineConfig
from kernel_py.hosts.native.wasm_engine import make_wasmtime_engine
from kernel_py.hosts.native.worker_limits import (
    WorkerLimits,
    apply_limits,
    load_limits,
    make_command,
    make_environment,
)
from kernel_py.wasm.interface import IMPORTS
from kernel_py.wasm.metering import Metered, meter
from kernel_py.wasm.supervisor import insist_on_interface
from kernel_py.wire.errors import HostFault, InvalidModule

_OUTPUT_BYTES_MAX = 100_000


class Compiler:
    """Makes artifacts, and finds those that were made."""

    def __init__(
        self,
        store: ArtifactStore,
        queue: CompileQueue,
        *,
        config: EngineConfig | None = None,
        limits: RealmLimits | None = None,
    ) -> None:
        self._store = store
        self._queue = queue
        self._config = config or EngineConfig()
        self._limits = limits or RealmLimits()

    async def precheck(self, code: bytes) -> Metered:
        """Check a module before it is accepted: instrument it, and compile it under strict limits.

        Raises:
            InvalidModule: it cannot be a vat's.
            HostFault: it took too long or too much; or the machine has troubles of its own.
        """
        module = meter(code, imports=IMPORTS, limits=self._limits.wasm)
        insist_on_interface(module)
        await self._provide(module, self._limits.precheck)
        return module

    async def provide(self, module: Metered) -> Path:
        """The artifact's file of an accepted module, compiled if need be.

        Raises:
            InvalidModule, HostFault: as `CompileQueue.provide` says.
        """
        return await self._provide(module, self._limits.prepare)

    async def _provide(self, module: Metered, limits: WorkerLimits) -> Path:
        key = make_key(module.digest, self._config.digest)

        async def find_or_compile() -> Path:
            return self._store.find(key) or await self._compile(key, module.code, limits)

        return await self._queue.provide(key, find_or_compile)

    async def _compile(self, key: str, code: bytes, limits: WorkerLimits) -> Path:
        temporary = self._store.make_temporary(key)
        try:
            await run_job(code, temporary, self._config, limits)
            return self._store.add(key, temporary)
        finally:
            temporary.unlink(missing_ok=True)


async def run_job(code: bytes, path: Path, config: EngineConfig, limits: WorkerLimits) -> None:
    """Compile a module into a file, in a process of its own.

    Raises:
        InvalidModule: the engine does not take it.
        HostFault: the process died, was too slow, or did not say what came of it.
    """
    settings = json.dumps(asdict(config))
    process = await asyncio.create_subprocess_exec(
        *make_command(__name__, limits.dump(), settings, str(path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=make_environment(),
        cwd="/",
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(code), limits.wall_s_max)
    except TimeoutError as error:
        raise HostFault(f"compiling took more than {limits.wall_s_max:,} s") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise HostFault(
            f"the compiling process ended with {process.returncode}; it may have been too slow or too large"
        )
    match _parse(output[:_OUTPUT_BYTES_MAX]):
        case ["ok"]:
            return
        case ["invalid", str(reason)]:
            raise InvalidModule(reason)
        case _:
            raise HostFault(f"the compiling process said {output[:200]!r}")


def _parse(output: bytes) -> object:
    try:
        return json.loads(output)
    except (ValueError, RecursionError):
        return None


def main(arguments: list[str], code: Callable[[], bytes]) -> list[str]:
    """The job itself; gives what it says."""
    limits, settings, path = arguments
    apply_limits(load_limits(limits))
    import wasmtime  # noqa: PLC0415 (after the limits)

    engine = make_wasmtime_engine(EngineConfig(**json.loads(settings)))
    try:
        module = wasmtime.Module(engine, code())
    except wasmtime.WasmtimeError as error:
        return ["invalid", f"the engine does not take it: {error}"]
    Path(path).write_bytes(module.serialize())
    return ["ok"]


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:], sys.stdin.buffer.read)))  # noqa: T201 (its output)
