"""All that a native host needs to run vats in WebAssembly: their servers, what is compiled, and what checks modules.

Owns the cache folder, the compiler's queue, and one fork server for each of the kinds "wasm" and "confined". Nothing is
started or built before it is needed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kernel_py.core.cluster_config import CONFINED_KIND, WASM_KIND
from kernel_py.hosts.native.artifacts import ArtifactStore
from kernel_py.hosts.native.children import Child
from kernel_py.hosts.native.compile_queue import CompileQueue
from kernel_py.hosts.native.confined_component import artifact_store, cache_folder, component_path
from kernel_py.hosts.native.forks import Forks
from kernel_py.hosts.native.realm_limits import RealmLimits
from kernel_py.hosts.native.wasm import make_preparer
from kernel_py.hosts.native.wasm_compile import Compiler
from kernel_py.hosts.native.worker_limits import make_command, make_environment
from kernel_py.wire.errors import HostFault, InvalidModule

WORKER = "kernel_py.hosts.native.wasm_worker"
COMPONENT = "kernel_py.hosts.native.confined_component"


class WasmRuntime:
    """Makes realms in WebAssembly. Use it in one event loop, and close it there.

    Args:
        folder: the cache; by default this user's.
        say: told what takes long.
        limits: of realms, and of what is compiled for them.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        say: Callable[[str], None] = lambda _: None,
        limits: RealmLimits | None = None,
    ) -> None:
        self._folder = folder or cache_folder()
        self._say = say
        self._limits = limits or RealmLimits()
        self._compiler: Compiler | None = None
        self._providing: asyncio.Future[None] | None = None
        self._forks = {
            kind: Forks(WORKER, lambda kind=kind: [kind, self._limits.dump(), str(self._folder)])  # type: ignore[misc]
            for kind in (WASM_KIND, CONFINED_KIND)
        }

    @property
    def artifacts(self) -> ArtifactStore:
        """The folder of compiled modules."""
        return artifact_store(self._folder)

    async def fork(self, kind: str) -> Child:
        """A fresh realm of one of the two kinds.

        Raises:
            HostFault: there is none to be had; the message says why.
        """
        if kind == CONFINED_KIND:
            if self._providing is None or (self._providing.done() and self._providing.exception() is not None):
                self._providing = asyncio.ensure_future(self._provide_component())
            await asyncio.shield(self._providing)
        return await self._forks[kind].fork()

    async def check(self, kind: str, source: str, files: Mapping[str, str]) -> None:
        """Check what is to become a vat, before it is accepted: under strict limits.

        Raises:
            InvalidModule: it cannot be a vat.
            HostFault: it takes too long or too much, or the machine has troubles of its own.
        """
        if kind == WASM_KIND:
            await self._get_compiler().precheck(_decode(source, files))

    async def prepare(self, kind: str, source: str, files: Mapping[str, str]) -> None:
        """Make sure that a realm finds what it needs to be this vat.

        Raises:
            InvalidModule, HostFault: it cannot be had.
        """
        if kind == WASM_KIND:
            module = make_preparer(self._limits.wasm)(_decode(source, files))
            await self._get_compiler().provide(module)

    def close(self) -> None:
        """End the servers, and with them all realms. Idempotent."""
        for forks in self._forks.values():
            forks.close()

    def _get_compiler(self) -> Compiler:
        if self._compiler is None:
            queue = CompileQueue(time.monotonic)
            self._compiler = Compiler(self.artifacts, queue, limits=self._limits)
        return self._compiler

    async def _provide_component(self) -> None:
        """Build and compile the component, if need be, in a process of its own."""
        await asyncio.to_thread(component_path, self._folder)  # says what to install
        process = await asyncio.create_subprocess_exec(
            *make_command(COMPONENT),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=make_environment() | {"KERNEL_PY_CACHE": str(self._folder)},
        )
        assert process.stdout
        assert process.stderr
        async for line in process.stdout:
            self._say(line.decode().strip())
        errors = await process.stderr.read()
        if await process.wait():
            raise HostFault(f"there is no component for confined vats: {errors.decode(errors='replace').strip()}")


def _decode(source: str, files: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(files[source], validate=True)
    except (KeyError, binascii.Error, ValueError) as error:
        raise InvalidModule(f"{source} is not a module in base64: {type(error).__name__}: {error}") from error
