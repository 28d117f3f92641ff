"""The kernel in a service worker: joins `KernelHost` to JavaScript.

Owns nothing but the joints. JavaScript (``web/src/kernel/kernel.ts``) makes one `BrowserKernel` and calls its
methods; Python calls the methods of the bridge it was given. Only texts, numbers and promises of texts cross.
"""

from __future__ import annotations

import asyncio
import gc
import json
import secrets
import time
import traceback
from collections.abc import Coroutine
from typing import Any, Protocol

from kernel_py.core.cluster_config import VAT_KINDS, WASM_KIND
from kernel_py.hosts.browser.backend import IndexedDbBackend, StoreBridge
from kernel_py.hosts.browser.services import ServiceBridge, make_services
from kernel_py.hosts.browser.storage_health import StorageBridge, StorageHealth
from kernel_py.hosts.host import Client, KernelHost
from kernel_py.wire.limits import DEFAULT_LIMITS
from kernel_py.wire.snapshots import HeapImage

_SEED_BYTES = 16


class Bridge(StoreBridge, ServiceBridge, StorageBridge, Protocol):
    """What the kernel calls in JavaScript."""

    def create(self, vat: str, incarnation: int, kind: str) -> None: ...

    def post(self, vat: str, text: str) -> None: ...

    def destroy(self, vat: str) -> None: ...

    def restore(self, vat: str, snapshot: str, start: str) -> None: ...

    def keepStores(self, vats: str) -> None: ...  # noqa: N802 (JavaScript's name)

    def setBusy(self, is_busy: bool) -> None: ...  # noqa: N802, FBT001 (JavaScript's name and form)

    def setAlarm(self, due_ms: int | None) -> None: ...  # noqa: N802 (JavaScript's name)

    def send(self, client: int, text: str) -> None: ...


class BrowserKernel:
    """A kernel over a bridge. It boots by itself; calls that come earlier are kept.

    Args:
        realms: JSON list of the realms found alive, as [vat, incarnation].
        start: JSON object that says how Python was started, for the status.
        services: those that JavaScript has; see `make_services`.
    """

    def __init__(self, bridge: Bridge, realms: str, start: str, services: str) -> None:
        self._bridge = bridge
        self._clients: dict[int, Client] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._is_busy = False
        self._is_booted = False
        self._host = KernelHost(
            backend=IndexedDbBackend(bridge, self._committed),
            workers=bridge,
            clock_ms=lambda: int(time.time() * 1000),
            seed=lambda: secrets.token_hex(_SEED_BYTES),
            on_busy=self._set_busy,
            spawn=self._spawn,
            on_due=bridge.setAlarm,
            on_vats=lambda vats: bridge.keepStores(json.dumps(vats)),
            services=make_services(bridge, services),
            kinds=(*VAT_KINDS, WASM_KIND),
        )
        self._health = StorageHealth(bridge, DEFAULT_LIMITS, self._host.storage_is)
        self._host.status.update(json.loads(start))
        self._host.living([(vat, incarnation) for vat, incarnation in json.loads(realms)])
        self._spawn(self._boot())

    async def _boot(self) -> None:
        await self._health.look()
        await self._host.boot()
        gc.freeze()  # code and loaded state stay: Python's collector need not look at them time and again
        # The vat host takes a new kernel to be busy until it hears otherwise.
        self._is_booted = True
        self._bridge.setBusy(self._is_busy)

    def _set_busy(self, is_busy: bool) -> None:  # noqa: FBT001 (a callback's form)
        self._is_busy = is_busy
        if self._is_booted:
            self._bridge.setBusy(is_busy)

    def _committed(self, chars: int) -> None:
        if self._health.is_due(chars):
            self._spawn(self._health.look())

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks[task] = None
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            traceback.print_exception(error)

    def vat_text(self, vat: str, text: str) -> None:
        """A vat's realm has sent a text."""
        self._host.vat_text(vat, text)

    def vat_booted(self, vat: str, boot: str, problem: str) -> None:
        """A vat's realm runs. How the last one started is in the status, because all start from one image."""
        self._host.status["realm_boot"] = boot
        self._host.status["realm_problem"] = f"{vat}: {problem}" if problem else ""

    def vat_lost(self, vat: str, reason: str) -> None:
        """A vat's realm is gone."""
        self._host.vat_lost(vat, reason)

    def heap_imaged(self, vat: str, image: str) -> None:
        """A vat's realm has handed its heap over. JavaScript keeps the chunks until the commit that names them.

        Args:
            image: JSON of a `HeapImage`, but that `chunks` is a list of the ids.
        """
        fields = json.loads(image)
        chunks = dict.fromkeys(fields["chunks"], b"")
        self._host.heap_imaged(vat, HeapImage(fields["base"], fields["memory_bytes"], fields["pages"], chunks))

    def heap_not_imaged(self, vat: str, reason: str) -> None:
        """A vat's realm cannot hand its heap over."""
        self._host.heap_not_imaged(vat, reason)

    def restore_failed(self, vat: str, reason: str, chunk: str) -> None:
        """A vat's realm could not be restored."""
        self._host.restore_failed(vat, reason, chunk)

    def connect(self, client: int) -> None:
        """A client has come; what is for it goes to the bridge's `send`."""
        self._clients[client] = self._host.connect(lambda text: self._bridge.send(client, text))

    def receive(self, client: int, text: str) -> None:
        """A client has sent a text."""
        self._clients[client].receive(text)

    def disconnect(self, client: int) -> None:
        """A client has gone."""
        self._clients.pop(client).close()
