"""A host boundary for tests: realms in this process, storage that takes time, clients that ask again.

Everything above the boundary is real: the kernel, the host, the vats' sessions. The heap of a realm is what made it so:
the texts that the vat was given, as if it had not been replayed. To be restored is to be given them again.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from kernel_py.core.store import Delta, MemoryBackend
from kernel_py.hosts.host import Client, KernelHost
from kernel_py.hosts.memory import run_now
from kernel_py.hosts.services import Service
from kernel_py.vat.session import VatSession
from kernel_py.wire import canonical, protocol
from kernel_py.wire.errors import StoreError
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from kernel_py.wire.snapshots import HeapImage, digest_heap, dump_pages, pack_chunk, parse_pages, unpack_chunk

PIECE_BYTES = 500


class SlowBackend(MemoryBackend):
    """Takes time to commit; can be told to fail, and knows whether it is being written."""

    def __init__(self, commit_s: float = 0.01) -> None:
        super().__init__()
        self.commit_s = commit_s
        self.commits = 0
        self.fails_with: str | None = None

    async def commit(self, delta: Delta) -> None:
        await asyncio.sleep(self.commit_s)
        if self.fails_with is not None:
            raise StoreError(self.fails_with)
        await super().commit(delta)
        self.commits += 1


class Realm:
    """One vat's realm: it outlives the host, and takes texts one after the other."""

    def __init__(self, world: World, vat: str, incarnation: int) -> None:
        self.world = world
        self.vat = vat
        self.incarnation = incarnation
        self.session = VatSession(base=world.base)
        self.heap: list[str] = []
        self.is_hung = False
        self.inbox: deque[Callable[[], None]] = deque()
        self.is_alive = True
        self.delay_s = world.realm_s
        self.port = world.epoch

    def connect(self) -> None:
        """A new port: texts of the old one are gone, and the realm says hello on the new one."""
        self.port = self.world.epoch
        self._later(lambda port: self._send(port, self.session.hello()))

    def post(self, text: str) -> None:
        self._later(lambda port: self._receive(port, text))

    def _later(self, action: Callable[[int], None]) -> None:
        port = self.port
        self.inbox.append(lambda: action(port))
        asyncio.get_running_loop().call_later(self.delay_s, self._run)

    def _run(self) -> None:
        """Take the oldest text: timers that are due together fire in any order."""
        action = self.inbox.popleft()
        if self.is_alive and not self.is_hung:
            action()

    def _receive(self, port: int, texts: str) -> None:
        if port != self.port:
            return
        replies: list[str] = []
        for text in texts.split("\n"):
            if text.startswith('["deliver"') and '\\"hang\\"' in text:
                self.is_hung = True
                return
            if text.startswith('["deliver"') and '\\"die\\"' in text:
                self.world.kill_realm(self.vat)
                return
            replies += self.session.receive(text)
            replies += self._note(text)
        if replies:
            self._send(port, "\n".join(replies))

    def _note(self, text: str) -> list[str]:
        """Add a text to the heap; what the realm says besides its session."""
        match json.loads(text):
            case ["replay", entries]:
                self.heap += [protocol.dump_deliver(e["n"], e["t"], canonical.dump(e["d"])) for e in entries]
            case ["deliver", *_]:
                self.heap.append(text)
            case ["start" | "upgrade", _]:
                self.heap.append(text)
            case ["snapshot", "take"]:
                self.world.image(self)
            case ["snapshot", "check"]:
                image, delivered = self.take_image(), json.loads(self.session.hello())[1]["delivered"]
                return [canonical.dump(["digest", delivered, image.digest])]
        return []

    def take_image(self) -> HeapImage:
        litter = ["litter"] if self.world.littered == self.vat else []
        heap = "\n".join([*litter, *self.heap, protocol.dump_snapshot()]).encode()
        pieces = [heap[start : start + PIECE_BYTES] for start in range(0, len(heap), PIECE_BYTES)]
        packed = list(map(pack_chunk, pieces))
        pages = dump_pages((str(place), chunk) for place, (chunk, _) in enumerate(packed))
        return HeapImage(self.world.base, len(heap), pages, dict(packed))

    def restore(self, heap: bytes) -> None:
        """Be what was taken, and say hello."""
        texts = heap.decode().split("\n")
        for text in texts:
            if text.startswith('["deliver"'):
                self.session.receive(protocol.dump_go(json.loads(text)[1] - 1))
            self.session.receive(text)
        self.heap = texts[:-1]
        self._later(lambda port: self._send(port, self.session.hello()))

    def _send(self, port: int, text: str) -> None:
        if port == self.port == self.world.epoch and self.world.host is not None:
            self.world.host.vat_text(self.vat, text)


class World:
    """Everything outside the host: realms, storage, clients, and the power to kill each of them."""

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        realm_s: float = 0.001,
        commit_s: float = 0.01,
        services: Sequence[Service] = (),
    ) -> None:
        self.backend = SlowBackend(commit_s)
        self.limits = limits
        self.realm_s = realm_s
        self.realms: dict[str, Realm] = {}
        self.created: list[str] = []
        self.host: KernelHost | None = None
        self.epoch = 0
        self.tasks: list[asyncio.Task[None]] = []
        self.busy: list[bool] = []
        self.services = services
        self.base = "log-1"
        self.littered = ""
        self.refuses = ""
        self.realms_most = 0
        self.restored: list[tuple[str, int]] = []
        self.due_ms: int | None = None

    # Workers

    def create(self, vat: str, incarnation: int, kind: str) -> None:
        del kind
        self.created.append(vat)
        self.realms[vat] = Realm(self, vat, incarnation)
        self.realms[vat].connect()
        self.realms_most = max(self.realms_most, len(self.realms))

    def post(self, vat: str, text: str) -> None:
        if vat in self.realms:
            self.realms[vat].post(text)

    def image(self, realm: Realm) -> None:
        """The realm hands its heap over to whichever host there is by then."""
        image, port = realm.take_image(), realm.port

        def hand_over() -> None:
            if self.host is not None and self.realms.get(realm.vat) is realm and realm.port == port == self.epoch:
                if self.refuses:
                    self.host.heap_not_imaged(realm.vat, self.refuses)
                else:
                    self.host.heap_imaged(realm.vat, image)

        asyncio.get_running_loop().call_later(realm.delay_s, hand_over)

    def restore(self, vat: str, snapshot: str, start: str) -> None:
        fields = json.loads(snapshot)
        assert json.loads(start)[1]["incarnation"] == fields["incarnation"]
        self.restored.append((vat, fields["delivered"]))
        realm = self.realms[vat]
        pieces: list[bytes] = []
        for _, chunk in parse_pages(fields["pages"]):
            try:
                pieces.append(unpack_chunk(chunk, run_now(self.backend.read_chunk(chunk))))
            except StoreError as error:
                asyncio.get_running_loop().call_soon(self._fail_restore, realm, str(error), chunk)
                return
        assert digest_heap(fields["base"], fields["memory_bytes"], fields["pages"]) == fields["digest"]
        realm.restore(b"".join(pieces))

    def _fail_restore(self, realm: Realm, reason: str, chunk: str) -> None:
        if self.host is not None and self.realms.get(realm.vat) is realm:
            self.host.restore_failed(realm.vat, reason, chunk)

    def destroy(self, vat: str) -> None:
        realm = self.realms.pop(vat, None)
        if realm is not None:
            realm.is_alive = False

    # The world's doings

    def kill_realm(self, vat: str) -> None:
        self.destroy(vat)
        if self.host is not None:
            self.host.vat_lost(vat, "the realm was killed")

    def kill_host(self) -> None:
        """As the browser kills a service worker: between any two steps, and without a word to anyone."""
        if self.host is not None:
            self.host.close()
        self.host = None
        self.epoch += 1
        for task in self.tasks:
            task.cancel()
        self.tasks = []

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(coroutine))

    def _note_due(self, due_ms: int | None) -> None:
        self.due_ms = due_ms

    async def start(self) -> KernelHost:
        self.epoch += 1
        epoch = self.epoch
        loop = asyncio.get_running_loop()
        host = KernelHost(
            backend=self.backend,
            workers=self,
            clock_ms=lambda: int(loop.time() * 1000),
            seed=lambda: "seed",
            on_busy=self.busy.append,
            spawn=self._spawn,
            on_due=self._note_due,
            services=self.services,
            limits=self.limits,
        )
        self.host = host
        host.living([(vat, realm.incarnation) for vat, realm in self.realms.items()])
        for realm in self.realms.values():
            realm.connect()
        await host.boot()
        assert epoch == self.epoch or self.host is not host
        return host


class Asker:
    """A client that asks again, with the same key, until it is answered."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.waiting: dict[str, tuple[str, asyncio.Future[dict[str, Any]]]] = {}
        self.events: list[dict[str, Any]] = []
        self.pieces: list[dict[str, Any]] = []
        self.client: Client | None = None
        self._keys = 0

    def connect(self, *, subscribe: bool = False) -> None:
        assert self.world.host is not None
        self.client = self.world.host.connect(self._take)
        if subscribe:
            self.client.receive(json.dumps({"jsonrpc": "2.0", "id": "subscribe", "method": "subscribe"}))
        for text, _ in list(self.waiting.values()):
            self.client.receive(text)

    def _take(self, text: str) -> None:
        message = json.loads(text)
        if message.get("method") in {"event", "archive"}:
            (self.events if message["method"] == "event" else self.pieces).append(message["params"])
            return
        waiting = self.waiting.pop(message["id"], None)
        if waiting is not None:
            waiting[1].set_result(message)
            self.notify("ack", {"id": message["id"]})

    def notify(self, method: str, params: dict[str, Any]) -> None:
        if self.client is not None:
            self.client.receive(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    @property
    def next_key(self) -> str:
        """The id of the next request."""
        return f"key-{self._keys + 1}"

    async def call(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """The whole JSON-RPC response."""
        key = self.next_key
        self._keys += 1
        text = json.dumps({"jsonrpc": "2.0", "id": key, "method": method, "params": params or {}})
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.waiting[key] = (text, future)
        if self.client is not None:
            self.client.receive(text)
        return await future

    async def result(self, method: str, params: dict[str, Any] | None = None) -> Any:
        response = await self.call(method, params)
        assert "result" in response, response
        return response["result"]

    async def launch(self, files: dict[str, str], **vats: dict[str, Any]) -> dict[str, Any]:
        config = {"bootstrap": next(iter(vats)), "vats": vats}
        return dict(await self.result("launch", {"config": config, "files": files}))

    async def send(self, target: str, method: str, args: str = "") -> str:
        """The settled value as Python text; a rejection's too."""
        return str((await self.result("send", {"target": target, "method": method, "args": args}))["value"])
