"""The kernel on CPython: joins `KernelHost` to a file, worker processes and this process's clock.

Owns the joints, and one client of its own. Everything happens in one asyncio event loop; a `NativeKernel` is made and
closed in it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Self

from kernel_py.core import schema
from kernel_py.core.cluster_config import COMMAND_KIND, CONFINED_KIND, PROCESS_KIND, PYODIDE_KIND, VAT_KINDS, WASM_KIND
from kernel_py.core.control import COMMANDS
from kernel_py.core.parts import DEFAULT_PARTS, Parts
from kernel_py.core.store import Backend
from kernel_py.hosts.host import Client, KernelHost
from kernel_py.hosts.links import LinkState
from kernel_py.hosts.memory import RequestFailed
from kernel_py.hosts.native.fetch import make_fetch
from kernel_py.hosts.native.realm_limits import RealmLimits
from kernel_py.hosts.native.sqlite_store import SqliteBackend
from kernel_py.hosts.native.wasm_runtime import WasmRuntime
from kernel_py.hosts.native.workers import ANSWER_S_MAX, UNCONFINED_KINDS, ProcessWorkers
from kernel_py.hosts.services import Service
from kernel_py.wire.errors import HostFault
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits

_SEED_BYTES = 16
_KEY_BYTES = 16

OnEvent = Callable[[dict[str, Any]], None]


def _get_time_ms() -> int:
    return int(time.time() * 1000)


def _make_seed() -> str:
    return secrets.token_hex(_SEED_BYTES)


class NativeKernel:
    """A kernel over a backend, with vats in worker processes. Use it as ``async with``.

    Args:
        on_event: takes the events of the log as they leave the kernel; without it none are made.
        commands_allowed: whether cluster files may name programs to be run as vats.
        pyodide: run Python vats in the realm that a browser has, so that their heaps are its heaps; it needs Node.
        unconfined: run Python vats as plain processes, which confine nothing: for debugging.
        on_note: takes what people should know and no event tells: what takes long, and what is not confined.
        cache: where compiled code is kept; by default in this user's folder of caches.
        realm_limits: of vats in WebAssembly.
        services: those that cluster files may ask for besides ``fetch`` and the kernel's own.
        clock_ms, seed: this process's, unless another is given; the seed counts only for a new store.
        is_serial, parts: see `kernel_py.core.kernel.Kernel`.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        on_event: OnEvent | None = None,
        commands_allowed: bool = False,
        pyodide: bool = False,
        unconfined: bool = False,
        on_note: Callable[[str], None] = lambda _: None,
        cache: Path | None = None,
        realm_limits: RealmLimits | None = None,
        answer_s_max: float = ANSWER_S_MAX,
        services: Sequence[Service] = (),
        limits: Limits = DEFAULT_LIMITS,
        clock_ms: Callable[[], int] = _get_time_ms,
        seed: Callable[[], str] = _make_seed,
        is_serial: bool = False,
        parts: Parts = DEFAULT_PARTS,
    ) -> None:
        self.backend = backend
        self._on_event = on_event
        self._kinds = _find_kinds(commands_allowed=commands_allowed, unconfined=unconfined)
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._is_busy = False
        self._has_lost = False
        self._changed = asyncio.Event()
        runtime = WasmRuntime(cache, say=on_note, limits=realm_limits)
        self.workers = ProcessWorkers(
            find_command=lambda vat: self.host.kernel.get_vat(vat).command,
            spawn=self._spawn,
            runtime=runtime,
            read_chunk=backend.read_chunk,
            python_kind=_find_python_kind(pyodide=pyodide, unconfined=unconfined),
            on_unconfined=lambda vat: on_note(_describe_unconfined(vat, self.host.kernel.get_vat(vat))),
            on_end=self._worker_ended,
            answer_s_max=answer_s_max,
            limits=limits,
        )
        self.host = KernelHost(
            backend=backend,
            workers=self.workers,
            clock_ms=clock_ms,
            seed=seed,
            on_busy=self._set_busy,
            spawn=self._spawn,
            is_serial=is_serial,
            parts=parts,
            services=[make_fetch(limits), *services],
            limits=limits,
            kinds=self._kinds,
            sources=runtime,
        )
        self.workers.listener = self.host
        self._client: Client = self.host.connect(self._take)

    @classmethod
    def open(cls, store: Path, **options: Any) -> NativeKernel:
        """A kernel over the store in a file.

        Raises:
            StoreError: the file cannot be used.
        """
        return cls(SqliteBackend(store), **options)

    async def __aenter__(self) -> Self:
        try:
            _refuse_unconfined(await self.backend.load(), self._kinds)
            if self._on_event is not None:
                self._client.receive('{"jsonrpc":"2.0","id":"subscribe","method":"subscribe"}')
            await self.host.boot()
            if self.host.failure is not None:
                raise self.host.failure
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the workers, let what is being stored be stored, and release the storage."""
        self.workers.close()
        while self._tasks:
            await asyncio.wait(list(self._tasks))
        self.host.close()
        await self.backend.close()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks[task] = None
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "a task of the kernel failed", "exception": error, "task": task}
            asyncio.get_running_loop().call_exception_handler(context)

    # --- requests -------------------------------------------------------------------------------

    def _take(self, text: str) -> None:
        message = json.loads(text)
        if message.get("method") == "event":
            if self._on_event is not None:
                self._on_event(message["params"])
            return
        waiting = self._waiting.pop(message.get("id"), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    async def request(self, method: str, params: dict[str, Any] | None = None, *, key: str = "") -> Any:
        """Make a control request and wait for its answer, which is then acknowledged.

        Args:
            key: the idempotency key; a new one by default.

        Raises:
            RequestFailed: it was answered with an error.
        """
        key = key or secrets.token_hex(_KEY_BYTES)
        answer = self._waiting[key] = asyncio.get_running_loop().create_future()
        text = json.dumps({"jsonrpc": "2.0", "id": key, "method": method, "params": params or {}})
        self._client.receive(text)
        message = await answer
        if method in COMMANDS:
            self._client.receive(json.dumps({"jsonrpc": "2.0", "method": "ack", "params": {"id": key}}))
        if "error" in message:
            raise RequestFailed(message["error"])
        return message["result"]

    async def idle(self) -> None:
        """Wait until nothing is left to do.

        Raises:
            HostFault: what is left waits for vats that cannot be brought back.
            KernelError: the kernel has failed, or cannot store.
        """
        while self._is_busy:
            self._changed.clear()
            if self._has_lost:
                self._has_lost = False
                await self._raise_if_stuck()
            else:
                await self._changed.wait()
        failure = self.host.failure or self.host.store_failure
        if failure is not None:
            raise failure

    async def finished(self) -> None:
        """Wait until nothing is left to do, and no timer is set. Raises what `idle` raises."""
        await self.idle()
        while self.host.kernel.next_due_ms is not None:
            self._changed.clear()
            await self._changed.wait()  # after a timer, the host is busy at least with its commit
            await self.idle()

    async def _raise_if_stuck(self) -> None:
        vats = (await self.request("status"))["vats"]
        working = [vat for vat in vats if vat["inflight"]]
        broken = [vat for vat in working if vat.get("realm") == LinkState.BROKEN]
        if broken and working == broken:
            raise HostFault("\n".join(f"{vat['vat']} ({vat['name']}) cannot go on: {vat['fault']}" for vat in broken))

    def _set_busy(self, is_busy: bool) -> None:  # noqa: FBT001 (a callback's form)
        self._is_busy = is_busy
        if not is_busy:
            self._changed.set()

    def _worker_ended(self) -> None:
        self._has_lost = True
        self._changed.set()


def _find_kinds(*, commands_allowed: bool, unconfined: bool) -> tuple[str, ...]:
    allowed = {COMMAND_KIND: commands_allowed, PROCESS_KIND: unconfined}
    return (*VAT_KINDS, CONFINED_KIND, PYODIDE_KIND, WASM_KIND, *(kind for kind in UNCONFINED_KINDS if allowed[kind]))


def _find_python_kind(*, pyodide: bool, unconfined: bool) -> str:
    if pyodide:
        return PYODIDE_KIND
    return PROCESS_KIND if unconfined else CONFINED_KIND


def _describe_unconfined(vat: str, record: schema.Vat) -> str:
    what = f"a program ({' '.join(record.command)})" if record.command else "a plain process"
    return f"{vat} ({record.name}) runs as {what}: it is not confined, and may do whatever you may"


def _refuse_unconfined(texts: dict[str, str], kinds: tuple[str, ...]) -> None:
    """A store must not run what is not confined only because it says so."""
    for key, text in texts.items():
        if key.startswith(f"{schema.VATS}."):
            _, vat, record = schema.decode(key, text)
            if record.kind not in kinds and record.state is not schema.VatState.TERMINATED:
                what = f"runs a program ({' '.join(record.command)}): allow commands"
                if record.kind not in UNCONFINED_KINDS:
                    what = f"is of kind {record.kind!r}, which this host does not run"
                elif record.kind == PROCESS_KIND:
                    what = "runs as a plain process, which is not confined: allow that"
                raise HostFault(f"{vat} ({record.name}) {what}")
