"""The asynchronous host: a kernel, its realms, its storage and its clients.

Owns the order in which the kernel's outputs become effects. Used by every host whose realms and storage are
asynchronous; the shell around it supplies `Workers`, a `Backend`, a clock and a way to start tasks.

Invariants:
    * Responses, events and calls of services leave only after the commit of the delta they came with (output commit).
      Deliveries do not wait.
    * One commit at a time; what accumulates meanwhile is one delta in the next (group commit).
    * A failed commit stops the host: nothing more leaves, and every client is told. The stored state is consistent.
    * What happens to one realm delays only deliveries to its vat.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Protocol

from kernel_py.core import control
from kernel_py.core.archive import export_archive
from kernel_py.core.cluster_config import VAT_KINDS
from kernel_py.core.events import dump_event
from kernel_py.core.kernel import Incarnation, Kernel
from kernel_py.core.outputs import Invoke
from kernel_py.core.store import Backend
from kernel_py.hosts.links import Link, LinkState, is_reusable
from kernel_py.hosts.services import Service
from kernel_py.wire import protocol
from kernel_py.wire.errors import HostFault, IllegalSyscall, KernelBug, KernelError, RequestError, StoreError
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits

REPLAY_CHARS_MAX = 1_000_000
"""Transcript text sent to a realm in one message."""

TIMER_SECONDS_MAX = 86_400
"""The loop's timer is set anew after so long: a browser's holds no more than 24 days."""

REPLAY_ENTRIES_READ = 1_000
"""Transcript entries read from the backend at a time."""


class Workers(Protocol):
    """Makes realms. Calls return at once; what comes of them arrives as `KernelHost.vat_text` or `vat_lost`."""

    def create(self, vat: str, incarnation: int, kind: str) -> None:
        """Begin to make a fresh realm; its hello follows."""

    def post(self, vat: str, text: str) -> None:
        """Send texts, one a line, to the vat's realm. Lost without a sign if the realm is gone."""

    def destroy(self, vat: str) -> None:
        """End the vat's realm at once, hung or not. Idempotent; nothing of it arrives afterwards."""


class Client:
    """One connection of a panel or script. `receive` never raises."""

    def __init__(self, host: KernelHost, send: Callable[[str], None]) -> None:
        self._host = host
        self.send = send
        self.is_subscribed = False

    def receive(self, text: str) -> None:
        """Take a JSON-RPC text; responses come through `send`, now or later."""
        self._host.receive(self, text)

    def close(self) -> None:
        """The connection is gone. Requests go on; another client may ask for their results."""
        self._host.disconnect(self)


class KernelHost:
    """Runs one kernel. Call `boot` once before anything else has an effect."""

    def __init__(
        self,
        *,
        backend: Backend,
        workers: Workers,
        clock_ms: Callable[[], int],
        seed: Callable[[], str],
        on_busy: Callable[[bool], None],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        on_due: Callable[[int | None], None] = lambda _: None,
        services: Sequence[Service] = (),
        limits: Limits = DEFAULT_LIMITS,
        kinds: tuple[str, ...] = VAT_KINDS,
    ) -> None:
        """Make a host.

        Args:
            seed: gives random text; used once, for a new kernel.
            on_busy: told when work begins and when none is left; while busy the host must be kept alive.
            spawn: starts a task.
            kinds: worker kinds that `workers` can make.
            on_due: told when the next timer is due, whenever that changes; if the host is not there by then, something
                must start it again. It is told before the commit that makes the timer durable begins.
            services: those of the host, besides the kernel's own.
        """
        self._backend = backend
        self._workers = workers
        self._clock_ms = clock_ms
        self._seed = seed
        self._on_busy = on_busy
        self._spawn = spawn
        self._on_due = on_due
        self._services = {service.declared.name: service for service in services}
        self._limits = limits
        self._kinds = kinds
        self._links: dict[str, Link] = {}
        self._clients: dict[Client, None] = {}
        self._askers: dict[str, list[Client]] = {}
        self._kernel: Kernel | None = None
        self._durability_waiters: list[asyncio.Future[None]] = []
        self._due_ms: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._early: list[Callable[[], None]] = []
        self._is_committing = False
        self._is_exporting = False
        self._is_busy = False
        self.failure: KernelError | None = None
        self.status: dict[str, Any] = {}

    # --- start ----------------------------------------------------------------------------------

    async def boot(self) -> None:
        """Load the state and go on from there. If that fails every request is answered with the reason."""
        try:
            texts = await self._backend.load()
            declared = [service.declared for service in self._services.values()]
            self._kernel = Kernel(texts, seed=self._seed(), limits=self._limits, kinds=self._kinds, services=declared)
        except KernelError as error:
            self._fail(error)
            self._run_early()
            return
        self._observe()
        for vat in list(self._links):
            if vat not in self._kernel.living_vats():
                del self._links[vat]
                self._workers.destroy(vat)
        self._kernel.look_at_clock(self._clock_ms())
        self._kernel.redeliver()
        self._run_early()
        self._pump()

    def _run_early(self) -> None:
        early, self._early = self._early, []
        for action in early:
            action()

    def _is_early(self, action: Callable[[], None]) -> bool:
        """Keep an input that came before `boot` was through; it is taken up then."""
        if self._kernel is None and self.failure is None:
            self._early.append(action)
            return True
        return False

    def living(self, realms: list[tuple[str, int]]) -> None:
        """Realms found alive after a start, as (vat, incarnation); each says hello. Call before `boot`."""
        for vat, _ in realms:
            link = self._link(vat)
            if link.can("reconnect"):
                link.step("reconnect")

    @property
    def kernel(self) -> Kernel:
        if self._kernel is None:
            raise KernelBug("the host has not booted")
        return self._kernel

    def _fail(self, error: KernelError) -> None:
        """Stop for good: tell every client why, and answer every later request with it."""
        if self.failure is None:
            self.failure = error
            for key in list(self._askers):
                self._answer(key, control.dump_error(key, control.SERVER_ERROR, error))
            self._set_busy()

    # --- clients --------------------------------------------------------------------------------

    def connect(self, send: Callable[[str], None]) -> Client:
        """Add a client; `send` takes texts for it and must not raise."""
        client = Client(self, send)
        self._clients[client] = None
        return client

    def disconnect(self, client: Client) -> None:
        self._clients.pop(client, None)
        for key in [key for key, askers in self._askers.items() if client in askers]:
            self._askers[key].remove(client)
            if not self._askers[key]:
                del self._askers[key]
        self._observe()

    def receive(self, client: Client, text: str) -> None:
        """Take a client's text."""
        if self._is_early(lambda: self.receive(client, text)):
            return
        try:
            call = control.parse_call(text, self._limits)
        except RequestError as error:
            client.send(control.dump_error(None, control.INVALID_REQUEST, error))
            return
        match call.method:
            case "ping":
                client.send(control.dump_result(call.key, {}))
            case "subscribe":
                client.is_subscribed = True
                self._observe()
                client.send(control.dump_result(call.key, {}))
            case "ack":
                self._acknowledge(call.params.get("id"))
            case _ if not call.key:
                refusal = RequestError(f"{call.method!r:.100} needs an id: its answer would be lost")
                client.send(control.dump_error(None, control.INVALID_REQUEST, refusal))
            case _:
                self._request(client, call)

    def _request(self, client: Client, call: control.Call) -> None:
        if self.failure is not None:
            client.send(control.dump_error(call.key, control.SERVER_ERROR, self.failure))
            return
        self._askers.setdefault(call.key, []).append(client)
        self.kernel.look_at_clock(self._clock_ms())
        self.kernel.request(call, self._describe())
        self._pump()

    def _acknowledge(self, key: object) -> None:
        if isinstance(key, str) and self.failure is None:
            self.kernel.acknowledge(key)
            self._pump()

    def _describe(self) -> dict[str, Any]:
        vats = {
            vat: {"realm": link.state.value, "memory_bytes": link.memory_bytes, "fault": link.reason}
            for vat, link in self._links.items()
        }
        return {"kernel": self.status, "vats": vats}

    def _observe(self) -> None:
        if self._kernel is not None:
            self._kernel.observe(is_observed=any(client.is_subscribed for client in self._clients))

    def _answer(self, key: str, text: str) -> None:
        for client in self._askers.pop(key, []):
            client.send(text)

    def _publish(self, event: dict[str, Any]) -> None:
        text = f'{{"jsonrpc":"2.0","method":"event","params":{dump_event(event)}}}'
        for client in self._clients:
            if client.is_subscribed:
                client.send(text)

    # --- realms ---------------------------------------------------------------------------------

    def vat_text(self, vat: str, text: str) -> None:
        """Take what a vat's realm says: one text of the protocol a line. Whatever it is, it cannot harm but the vat."""
        if self._is_early(lambda: self.vat_text(vat, text)):
            return
        link = self._links.get(vat)
        if link is None or self.failure is not None:
            return
        generation = link.generation
        self.kernel.look_at_clock(self._clock_ms())
        for line in text.split("\n"):
            # What comes after the realm's end, or the vat's, is of no interest.
            if link.generation == generation and self.kernel.is_alive(vat):
                self._take_line(vat, link, line)
        self._pump()

    def _take_line(self, vat: str, link: Link, text: str) -> None:
        try:
            message = protocol.parse_vat_text(text, self._limits)
            match message:
                case protocol.Done():
                    self._take_done(vat, link, message)
                case protocol.Hello():
                    self._take_hello(vat, link, message)
                case protocol.Ready(delivered=delivered):
                    self._take_ready(vat, link, delivered)
                case protocol.Failed(error=error):
                    self._take_failed(vat, link, error)
        except IllegalSyscall as fault:
            self.kernel.fault(vat, fault)

    def vat_lost(self, vat: str, reason: str) -> None:
        """The vat's realm died or could not be made. The delivery in flight is tried again."""
        if self._is_early(lambda: self.vat_lost(vat, reason)):
            return
        link = self._links.get(vat)
        if link is not None and self.failure is None:
            self._lose(vat, link, HostFault(reason))
            self._pump()

    def _link(self, vat: str) -> Link:
        return self._links.setdefault(vat, Link())

    def _take_done(self, vat: str, link: Link, done: protocol.Done) -> None:
        if link.state is not LinkState.READY or not link.sent:
            raise IllegalSyscall(f"a reply to delivery {done.number}, which was not sent")
        link.sent.popleft()
        link.failures = 0
        link.memory_bytes = done.usage.memory_bytes
        self.kernel.complete(vat, done)
        if done.poison is not None:
            self._abandon(vat, link)

    def _take_hello(self, vat: str, link: Link, hello: protocol.Hello) -> None:
        if link.state is not LinkState.CREATING:
            raise IllegalSyscall(f"a hello from a realm that is {link.state}")
        if hello.vat is None:
            link.step("load")
            self._spawn(self._load(vat, link, link.generation))
            return
        kernel = self.kernel
        record = kernel.get_vat(vat)
        delivered, dispatched = kernel.get_delivered(vat), kernel.get_dispatched(vat)
        if hello.vat == vat and is_reusable(hello, record.incarnation, delivered, dispatched):
            link.step("found")
            self._flush(vat, link)
        else:
            self._recreate(vat, link)

    async def _load(self, vat: str, link: Link, generation: int) -> None:
        """Give a fresh realm its source and its past."""
        try:
            life, delivered = self.kernel.get_life(vat), self.kernel.get_delivered(vat)
            await self._settled()
            for incarnation in life:
                async for text in self._read_incarnation(vat, incarnation):
                    if link.generation != generation:
                        return
                    self._workers.post(vat, text)
            link.step("replay")
            self._workers.post(vat, protocol.dump_go(delivered))
        except KernelError as error:
            if link.generation == generation and vat in self._links:
                self._break(vat, link, str(error))

    async def _read_incarnation(self, vat: str, incarnation: Incarnation) -> AsyncIterator[str]:
        """The texts that let a realm live through one incarnation."""
        files = json.loads(await self._backend.read_bundle(incarnation.bundle))
        spec = self.kernel.get_spec(vat, incarnation, files)
        yield protocol.dump_upgrade(spec) if incarnation.number else protocol.dump_start(spec)
        for first in range(incarnation.first, incarnation.last + 1, REPLAY_ENTRIES_READ):
            last = min(first + REPLAY_ENTRIES_READ - 1, incarnation.last)
            for batch in _batches(await self._backend.read_transcript(vat, first, last)):
                yield protocol.dump_replay(batch)

    async def _settled(self) -> None:
        """Wait until what has happened so far is durable: transcripts are read from the backend."""
        if self._is_committing or self._is_exporting:
            await self._next_commit()

    def _next_commit(self) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._durability_waiters.append(waiter)
        return waiter

    def _take_ready(self, vat: str, link: Link, delivered: int) -> None:
        if link.state is not LinkState.REPLAYING or delivered != self.kernel.get_delivered(vat):
            raise IllegalSyscall(f"unexpected: ready at delivery {delivered}")
        link.step("ready")
        self._flush(vat, link)

    def _take_failed(self, vat: str, link: Link, error: str) -> None:
        if link.state is LinkState.REPLAYING:
            self._break(vat, link, error)
        else:
            self._recreate(vat, link)

    def _break(self, vat: str, link: Link, reason: str) -> None:
        """The vat cannot be brought back; it stays as it is recorded, and says so in the status."""
        link.step("break")
        link.reason = reason
        link.generation += 1
        self._workers.destroy(vat)

    def _restart(self, vat: str) -> None:
        """The vat's realm is to be made anew; a broken one is tried again."""
        link = self._links.get(vat)
        if link is None or not self.kernel.is_alive(vat):
            return
        if link.state is LinkState.BROKEN:
            link.step("mend")
            link.reason = ""
        self._abandon(vat, link)
        link.waiting.extend(delivery.text for delivery in self.kernel.get_inflight(vat))
        if link.waiting:
            self._create(vat, link)

    def _recreate(self, vat: str, link: Link) -> None:
        """The realm is not where the record is: rewind the vat by replaying it in a new one."""
        self._workers.destroy(vat)
        link.waiting.extendleft(reversed(link.sent))
        link.sent.clear()
        link.step("lost")
        link.generation += 1
        if link.waiting:
            self._create(vat, link)

    def _abandon(self, vat: str, link: Link) -> None:
        """End the realm; the kernel knows what is to be delivered to the next one."""
        self._workers.destroy(vat)
        if link.can("lost"):
            link.step("lost")
        link.generation += 1
        link.sent.clear()
        link.waiting.clear()

    def _lose(self, vat: str, link: Link, fault: HostFault) -> None:
        if not link.can("lost"):
            return
        had_delivery = bool(link.sent or link.waiting)
        self._abandon(vat, link)
        link.failures += 1
        if had_delivery:
            self.kernel.worker_died(vat, fault)

    def _create(self, vat: str, link: Link) -> None:
        record = self.kernel.get_vat(vat)
        link.step("create")
        self._workers.create(vat, record.incarnation, record.kind)

    def _flush(self, vat: str, link: Link) -> None:
        if link.waiting:
            self._workers.post(vat, "\n".join(link.waiting))
            link.sent.extend(link.waiting)
            link.waiting.clear()

    # --- the pump -------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Dispatch what can be, carry out what may be at once, and see to the commit of the rest."""
        kernel = self._kernel
        if kernel is None or self.failure is not None:
            return
        try:
            kernel.dispatch(self._clock_ms())
            actions = kernel.take_actions()
        except KernelBug as error:
            self._fail(error)
            return
        for vat in actions.stops:
            link = self._links.pop(vat, None)
            if link is not None:
                link.generation += 1
            self._workers.destroy(vat)
        for vat in dict.fromkeys(actions.restarts):  # an upgrade that is stopped asks for it twice
            self._restart(vat)
        self._set_timer(kernel.next_due_ms)
        vats: dict[str, Link] = {}
        for delivery in actions.deliveries:
            if delivery.vat not in actions.restarts and kernel.is_inflight(delivery.vat, delivery.number):
                link = vats[delivery.vat] = self._link(delivery.vat)
                link.waiting.append(delivery.text)
        for vat, link in vats.items():
            if link.state is LinkState.READY:
                self._flush(vat, link)
            elif link.can("create"):
                self._create(vat, link)
        if not self._is_committing and not self._is_exporting:
            self._is_committing = True
            self._spawn(self._commit(kernel))
        self._set_busy()

    async def _commit(self, kernel: Kernel) -> None:
        """Make durable what there is, let out what waited for it, and again until nothing is left."""
        try:
            while not self._is_exporting and (commit := kernel.take_commit()):
                waiters, self._durability_waiters = self._durability_waiters, []
                if commit.delta:
                    await self._backend.commit(commit.delta)
                _release(waiters)
                for response in commit.responses:
                    self._answer(response.key, response.text)
                for event in commit.events:
                    self._publish(event)
                for invoke in commit.invokes:
                    self._spawn(self._carry_out(kernel, invoke))
                if kernel.has_leftovers:
                    self._pump()
        except KernelError as error:
            self._fail(error)
        finally:
            self._is_committing = False
            _release(self._durability_waiters)
            self._durability_waiters = []
            self._set_busy()

    async def export(self, write: Callable[[bytes], object]) -> int:
        """Write an archive of the state as it is stored now; commits wait meanwhile. Returns the number of parts.

        Raises:
            StoreError: the storage cannot be read. What was written is no archive.
        """
        if self._is_exporting:
            raise StoreError("the state is being exported already")
        self._is_exporting = True
        try:
            if self._is_committing:
                await self._next_commit()
            return await export_archive(self._backend, write)
        finally:
            self._is_exporting = False
            self._pump()

    # --- services and time ----------------------------------------------------------------------

    async def _carry_out(self, kernel: Kernel, invoke: Invoke) -> None:
        """Have a service carry out a call that is durable, and tell the kernel what came of it."""
        handler = self._services[invoke.service].handler
        try:
            value = await handler(invoke.method, invoke.args, invoke.kwargs, invoke.config)
        except Exception as error:  # noqa: BLE001 (the caller gets whatever the service raises)
            self._answer_call(kernel, lambda error=error: kernel.service_failed(invoke.call, error))  # type: ignore[misc]
        else:
            self._answer_call(kernel, lambda: kernel.service_answered(invoke.call, value))

    def _answer_call(self, kernel: Kernel, answer: Callable[[], None]) -> None:
        if self.failure is None:
            kernel.look_at_clock(self._clock_ms())
            answer()
            self._pump()

    def _set_timer(self, due_ms: int | None) -> None:
        if due_ms != self._due_ms:
            self._due_ms = due_ms
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._on_due(due_ms)
        if due_ms is not None and self._timer is None:
            delay_s = max(0, due_ms - self._clock_ms()) / 1000
            self._timer = asyncio.get_running_loop().call_later(min(delay_s, TIMER_SECONDS_MAX), self._ring)

    def close(self) -> None:
        """The host's process goes on without it: no timer fires any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._pump()

    def _set_busy(self) -> None:
        is_up = self._kernel is not None and self.failure is None
        is_busy = is_up and (self._is_committing or self._is_exporting or self.kernel.is_busy)
        if is_busy != self._is_busy:
            self._is_busy = is_busy
            self._on_busy(is_busy)


def _release(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def _batches(entries: list[str]) -> list[list[str]]:
    """`entries` in groups of at most REPLAY_CHARS_MAX characters, or of one."""
    batches: list[list[str]] = []
    room = 0
    for entry in entries:
        if not batches or len(entry) > room:
            batches.append([])
            room = REPLAY_CHARS_MAX
        batches[-1].append(entry)
        room -= len(entry)
    return batches
