"""Time travel in an archive: a vat's heap as it was, without a kernel that runs.

Owns a kernel that is only read: it is given no work, and nothing is written but the archive into memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from kernel_py.core.archive import import_archive
from kernel_py.core.cluster_config import CONFINED_KIND, PROCESS_KIND
from kernel_py.core.control import Call
from kernel_py.core.kernel import Kernel
from kernel_py.core.store import MemoryBackend
from kernel_py.hosts.native.wasm_runtime import WasmRuntime
from kernel_py.hosts.native.workers import ProcessWorkers
from kernel_py.hosts.travel import Travels
from kernel_py.wire.errors import RequestError
from kernel_py.wire.limits import DEFAULT_LIMITS
from kernel_py.wire.snapshots import HeapImage

_CHUNK_BYTES = 1 << 20


class Past:
    """What an archive holds, to be looked at. The `Listener` of its own workers.

    Args:
        unconfined: run Python vats as plain processes.
    """

    def __init__(
        self, kernel: Kernel, backend: MemoryBackend, *, unconfined: bool, note: Callable[[str], None]
    ) -> None:
        self._kernel = kernel
        self._unconfined = unconfined
        self._tasks: set[asyncio.Task[None]] = set()
        runtime = WasmRuntime(None, say=note)
        self._workers = ProcessWorkers(
            find_command=lambda _: (),
            spawn=self._spawn,
            runtime=runtime,
            read_chunk=backend.read_chunk,
            python_kind=PROCESS_KIND if unconfined else CONFINED_KIND,
        )
        self._workers.listener = self
        self._travels = Travels(
            backend=backend,
            workers=self._workers,
            settled=self._settled,
            spawn=self._spawn,
            on_change=lambda: None,
            sources=runtime,
            limits=DEFAULT_LIMITS,
        )

    async def _settled(self) -> None:
        """All of it is what the archive holds."""

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Carry out a request of the control interface about the past.

        Raises:
            RequestError: it cannot be met, and why.
            HostFault: the heap could not be brought back.
        """
        call = Call("past", method, params)
        vat = self._kernel.parse_living_vat(call)
        if self._kernel.get_vat(vat).kind == PROCESS_KIND and not self._unconfined:
            raise RequestError(f"{vat} runs as a plain process, which is not confined: allow that with --unconfined")
        return await self._travels.carry_out(self._kernel, call)

    async def close(self) -> None:
        """End the workers."""
        self._travels.close()
        self._workers.close()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def vat_text(self, vat: str, text: str) -> None:
        self._travels.take_texts(vat, text)

    def vat_lost(self, vat: str, reason: str) -> None:
        self._travels.lose(vat, reason)

    def heap_imaged(self, vat: str, image: HeapImage) -> None:
        """Nothing asks for it."""

    def heap_not_imaged(self, vat: str, reason: str) -> None:
        """Nothing asks for it."""

    def restore_failed(self, vat: str, reason: str, chunk: str = "") -> None:
        del chunk
        self._travels.lose(vat, reason)


async def read_archive(file: Path) -> tuple[Kernel, MemoryBackend]:
    """The kernel that an archive holds; it has nothing to do until it is told to.

    Raises:
        StoreError: this is no sound archive.
        RequestError: the file cannot be read.
    """
    backend = MemoryBackend()
    try:
        with file.open("rb") as source:
            await import_archive(backend, iter(lambda: source.read(_CHUNK_BYTES), b""), DEFAULT_LIMITS)
    except OSError as error:
        raise RequestError(f"{file} cannot be read: {error.strerror}") from None
    return Kernel(await backend.load(), seed=""), backend
