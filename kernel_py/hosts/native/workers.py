"""Worker processes by vat: the native host's `Workers`.

Owns which process belongs to which vat, and what is run for each kind:

    confined         a copy of a server that has CPython inside WebAssembly
    wasm             a copy of a server that runs modules
    pyodide          Node with the realm that a browser has, whose heap can be stored and restored
    process          this Python with `kernel_py.hosts.native.vat_process`, which confines nothing
    iframe, worker   what this host has for Python vats: confined, or what its user said
    command          the program that the cluster file names

A command's program is found by the kernel's PATH; it runs in the folder that the kernel was started in, with an empty
environment, and may do whatever that user may.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol

import kernel_py
from kernel_py.core.cluster_config import COMMAND_KIND, CONFINED_KIND, PROCESS_KIND, PYODIDE_KIND, VAT_KINDS, WASM_KIND
from kernel_py.hosts.native.children import Child, Program, start_program
from kernel_py.hosts.native.heap_lines import HeapLines, dump_piece, dump_restore
from kernel_py.hosts.native.node_program import make_realm_program
from kernel_py.hosts.native.wasm_runtime import WasmRuntime
from kernel_py.hosts.native.worker import WorkerProcess
from kernel_py.wire import canonical
from kernel_py.wire.errors import StoreError
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from kernel_py.wire.snapshots import HeapImage, digest_heap, parse_pages, unpack_chunk

ANSWER_S_MAX = 60.0
"""Wall-clock time of one delivery: beyond it the worker counts as lost."""

UNCONFINED_KINDS = (PROCESS_KIND, COMMAND_KIND)
"""Kinds whose vats may do what their user may."""

STARTING_MAX = 8
"""Processes that start at the same time: more would only wait for one another."""

_PACKAGE = Path(kernel_py.__file__).parent

_VAT = """
import importlib.util, sys
path = sys.argv[1]
spec = importlib.util.spec_from_file_location("kernel_py", path + "/__init__.py", submodule_search_locations=[path])
sys.modules["kernel_py"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from kernel_py.hosts.native.vat_process import main
main(int(sys.argv[2]))
"""
"""Makes this very package importable, and nothing that lies beside it."""

_COMMAND = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execve(sys.argv[2], sys.argv[3:], {})
"""
"""Becomes the command, which ends when the kernel does, as Python vats do."""


class Listener(Protocol):
    """What hears of the workers: the kernel's host."""

    def vat_text(self, vat: str, text: str) -> None: ...

    def vat_lost(self, vat: str, reason: str) -> None: ...

    def heap_imaged(self, vat: str, image: HeapImage) -> None: ...

    def heap_not_imaged(self, vat: str, reason: str) -> None: ...

    def restore_failed(self, vat: str, reason: str, chunk: str = "") -> None: ...


class ProcessWorkers:
    """Makes, feeds and ends worker processes. Set `listener` before anything else.

    Args:
        find_command: the command line of a vat of kind "command".
        spawn: starts a task.
        runtime: what runs vats in WebAssembly. Closed with this.
        read_chunk: reads the packed bytes of a heap's chunk from the store. Raises StoreError.
        python_kind: what vats of kinds iframe and worker are here: "confined", "pyodide" or "process".
        on_unconfined: told of each vat that is run without confinement, the first time.
        on_end: told whenever a worker was given up, for whatever reason.
    """

    def __init__(
        self,
        *,
        find_command: Callable[[str], Sequence[str]],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        runtime: WasmRuntime,
        read_chunk: Callable[[str], Awaitable[bytes]],
        python_kind: str = CONFINED_KIND,
        on_unconfined: Callable[[str], None] = lambda _: None,
        on_end: Callable[[], None] = lambda: None,
        answer_s_max: float = ANSWER_S_MAX,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.listener: Listener
        self._find_command = find_command
        self._spawn = spawn
        self.runtime = runtime
        self._read_chunk = read_chunk
        self._python_kind = python_kind
        self._on_unconfined = on_unconfined
        self._unconfined: dict[str, None] = {}
        self._on_end = on_end
        self._answer_s_max = answer_s_max
        self._limits = limits
        self._workers: dict[str, WorkerProcess] = {}
        self._starting = asyncio.Semaphore(STARTING_MAX)

    def create(self, vat: str, incarnation: int, kind: str) -> None:
        """Begin to start the vat's process; its hello follows."""
        del incarnation  # a process lives no longer than the host that counts them
        worker = WorkerProcess(
            on_text=self._listen(vat, self.runs_as(kind)),
            on_lost=lambda reason: self._lost(vat, worker, reason),
            answer_s_max=self._answer_s_max,
            limits=self._limits,
        )
        self.destroy(vat)
        if self.runs_as(kind) in UNCONFINED_KINDS and vat not in self._unconfined:
            self._unconfined[vat] = None
            self._on_unconfined(vat)
        self._workers[vat] = worker
        self._spawn(self._start(vat, worker, kind))

    def runs_as(self, kind: str) -> str:
        """The kind as which this host runs vats of `kind`."""
        return self._python_kind if kind in VAT_KINDS else kind

    def _listen(self, vat: str, kind: str) -> Callable[[str], None]:
        if kind == PYODIDE_KIND:
            return HeapLines(vat, self.listener, self._limits).take
        return lambda text: self.listener.vat_text(vat, text)

    async def _start(self, vat: str, worker: WorkerProcess, kind: str) -> None:
        async with self._starting:
            if self._workers.get(vat) is worker:
                await worker.start(lambda: self._open(vat, self.runs_as(kind)))

    async def _open(self, vat: str, kind: str) -> Child:
        if kind in {WASM_KIND, CONFINED_KIND}:
            return await self.runtime.fork(kind)
        return await start_program(make_realm_program() if kind == PYODIDE_KIND else self._make_program(vat, kind))

    def _make_program(self, vat: str, kind: str) -> Program:
        python = [sys.executable, "-s", "-S", "-P", "-X", "utf8"]
        pid = str(os.getpid())
        if kind == PROCESS_KIND:
            arguments = [*python, "-c", _VAT, str(_PACKAGE), pid]
            return Program(arguments, {"PYTHONHASHSEED": "0"}, folder="/")
        command = self._find_command(vat)
        path = shutil.which(command[0]) or command[0]
        return Program([*python, "-c", _COMMAND, pid, path, *command], {}, folder=str(Path.cwd()))

    def _lost(self, vat: str, worker: WorkerProcess, reason: str) -> None:
        if self._workers.get(vat) is worker:
            del self._workers[vat]
            self.listener.vat_lost(vat, reason)

    def post(self, vat: str, text: str) -> None:
        """Send a text to the vat's process. Lost without a sign if it is gone."""
        worker = self._workers.get(vat)
        if worker is not None:
            worker.post(text)

    def restore(self, vat: str, snapshot: str, start: str) -> None:
        """Begin to put a heap into the vat's fresh realm; its next hello follows, or `Listener.restore_failed`."""
        del start
        worker = self._workers.get(vat)
        if worker is not None:
            self._spawn(self._restore(vat, worker, canonical.load(snapshot)))

    async def _restore(self, vat: str, worker: WorkerProcess, snapshot: dict[str, Any]) -> None:
        pages, memory_bytes = snapshot["pages"], snapshot["memory_bytes"]
        reason = chunk = ""
        if digest_heap(snapshot["base"], memory_bytes, pages) != snapshot["digest"]:
            reason, pages = "its record is damaged", ""
        try:
            for place, chunk in parse_pages(pages):
                data = unpack_chunk(chunk, await self._read_chunk(chunk))
                if self._workers.get(vat) is not worker:
                    return
                worker.post(dump_piece(place, data))
        except StoreError as error:
            reason = str(error)
        if reason:
            self.listener.restore_failed(vat, reason, chunk)
        else:
            worker.post(dump_restore(memory_bytes))

    def destroy(self, vat: str) -> None:
        """End the vat's process at once, hung or not. Idempotent; nothing of it arrives afterwards."""
        worker = self._workers.pop(vat, None)
        if worker is not None:
            worker.kill()
            self._on_end()

    def find_pid(self, vat: str) -> int | None:
        """The vat's process, if it runs."""
        worker = self._workers.get(vat)
        return None if worker is None else worker.pid

    def close(self) -> None:
        """End every process."""
        for vat in list(self._workers):
            self.destroy(vat)
        self.runtime.close()
