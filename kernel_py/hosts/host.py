"""The asynchronous host: a kernel, its realms, its storage and its clients.

Owns the order in which the kernel's outputs become effects. Used by every host whose realms and storage are
asynchronous; the shell around it supplies `Workers`, a `Backend`, a clock and a way to start tasks.

Invariants:
    * Responses, events and calls of services leave only after the commit of the delta they came with (output commit).
      Deliveries do not wait.
    * One commit at a time; what accumulates meanwhile is one delta in the next (group commit).
    * While nothing can be stored nothing leaves but answers to queries, and nothing is begun: every client is told why.
      The commit is tried again from time to time; whenever the host is stopped, the stored state is consistent.
    * What happens to one realm delays only deliveries to its vat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any

from kernel_py.core import control
from kernel_py.core.archive import check_archive, export_archive, replace_by_archive
from kernel_py.core.cluster_config import DEFAULT_KIND, VAT_KINDS
from kernel_py.core.events import dump_event
from kernel_py.core.interceptors import Interceptors, Part
from kernel_py.core.kernel import Kernel
from kernel_py.core.outputs import Commit, Invoke
from kernel_py.core.parts import DEFAULT_PARTS, Parts
from kernel_py.core.store import Backend
from kernel_py.hosts.realms import Realms, Workers
from kernel_py.hosts.services import Service
from kernel_py.hosts.sources import Sources
from kernel_py.hosts.transfers import Incoming, send_archive
from kernel_py.hosts.travel import Travels, is_detached
from kernel_py.wire.errors import KernelBug, KernelError, RequestError, StoreError
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from kernel_py.wire.snapshots import HeapImage

TIMER_SECONDS_MAX = 86_400
"""The loop's timer is set anew after so long: a browser's holds no more than 24 days."""


RETRY_SECONDS = 5
"""What could not be stored is tried again after so long, or when somebody asks for something."""

Source = tuple[str, str, str, Mapping[str, str]]
"""Where a request names it, the worker kind, the main file, and all files."""


class Client:
    """One connection of a panel or script. `receive` never raises."""

    def __init__(self, host: KernelHost, send: Callable[[str], None]) -> None:
        self._host = host
        self.send = send
        self.is_subscribed = False
        self.incoming = Incoming()

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
        on_vats: Callable[[list[str]], None] = lambda _: None,
        services: Sequence[Service] = (),
        limits: Limits = DEFAULT_LIMITS,
        kinds: tuple[str, ...] = VAT_KINDS,
        is_serial: bool = False,
        parts: Parts = DEFAULT_PARTS,
        sources: Sources | None = None,
    ) -> None:
        """Make a host.

        Args:
            seed: gives random text; used once, for a new kernel.
            on_busy: told when work begins and when none is left; while busy the host must be kept alive.
            spawn: starts a task.
            kinds: worker kinds that `workers` can make.
            on_due: told when the next timer is due, whenever that changes; if the host is not there by then, something
                must start it again. It is told before the commit that makes the timer durable begins.
            on_vats: told which vats there are, after a start and when some are gone for good and it is durable.
            services: those of the host, besides the kernel's own.
            is_serial: one delivery in flight at a time over all vats.
            parts: what the kernel is built from.
            sources: what looks at vats' sources before they are run; by default nothing does.
        """
        self.interceptors = Interceptors()
        self._backend = self.interceptors.wrap(Part.STORE, backend)
        self._clock_ms = self.interceptors.wrap_function(Part.CLOCK, "now_ms", clock_ms)
        self._seed = seed
        self._on_busy = on_busy
        self._spawn = spawn
        self._on_due = on_due
        self._on_vats = on_vats
        self._services = {service.declared.name: service for service in services}
        self._limits = limits
        self._kinds = kinds
        self._is_serial = is_serial
        self._parts = parts
        self._sources = sources
        shared_workers = self.interceptors.wrap(Part.WORKERS, workers)
        self._travels = Travels(
            backend=self._backend,
            workers=shared_workers,
            settled=self._settled,
            spawn=spawn,
            on_change=self._set_busy,
            sources=sources,
            limits=limits,
        )
        self._realms = Realms(
            backend=self._backend,
            workers=shared_workers,
            spawn=spawn,
            clock_ms=self._clock_ms,
            settled=self._settled,
            check=self._pump,
            sources=sources,
            limits=limits,
        )
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
        self._shortage = ""
        self._unstored: Commit | None = None
        self._retry: asyncio.TimerHandle | None = None
        self.store_failure: StoreError | None = None
        self.failure: KernelError | None = None
        self.status: dict[str, Any] = {}

    # --- start ----------------------------------------------------------------------------------

    async def boot(self) -> None:
        """Load the state and go on from there. If that fails every request is answered with the reason."""
        try:
            texts = await self._backend.load()
            declared = [service.declared for service in self._services.values()]
            self._kernel = Kernel(
                texts,
                seed=self._seed(),
                limits=self._limits,
                is_serial=self._is_serial,
                kinds=self._kinds,
                services=declared,
                parts=self._parts,
                interceptors=self.interceptors,
            )
        except KernelError as error:
            self._fail(error)
            self._run_early()
            return
        self._kernel.shortage = self._shortage
        self._on_vats(self._kernel.living_vats())
        self._observe()
        self._realms.begin(self._kernel)
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
        self._realms.living(realms)

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
        try:
            call = control.parse_call(text, self._limits)
        except RequestError as error:
            client.send(control.dump_error(None, control.INVALID_REQUEST, error))
            return
        if call.method == "ping":
            client.send(control.dump_result(call.key, {}))
        elif not self._is_early(lambda: self._take_call(client, call)):
            self._take_call(client, call)

    def _take_call(self, client: Client, call: control.Call) -> None:
        match call.method:
            case "subscribe":
                client.is_subscribed = True
                self._observe()
                client.send(control.dump_result(call.key, {}))
            case "ack":
                self._acknowledge(call.params.get("id"))
            case "archive":
                with suppress(RequestError):  # the import will say that it is missing
                    client.incoming.take(call.params)
            case _ if not call.key:
                refusal = RequestError(f"{call.method!r:.100} needs an id: its answer would be lost")
                client.send(control.dump_error(None, control.INVALID_REQUEST, refusal))
            case _ if call.method in control.WAREHOUSE and self.failure is None:
                client.send(self._move(call))
                self._pump()
            case _ if call.method in control.TRAVEL and self.failure is None:
                self._travels.begin(self.kernel, call, client.send)
            case "export":
                self._spawn(send_archive(call.key, client.send, self.export))
            case "import":
                self._spawn(client.incoming.put(call, client.send, self.replace))
            case _ if self._sources is not None and (wanted := self._find_sources(call)):
                self._spawn(self._check(self._sources, client, call, wanted))
            case _:
                self._request(client, call)

    def _move(self, call: control.Call) -> str:
        """Carry out a request about which vats are in memory."""
        try:
            vat = self.kernel.parse_living_vat(call)
        except RequestError as error:
            return control.dump_error(call.key, control.INVALID_PARAMS, error)
        result: dict[str, Any] = {}
        match call.method:
            case "provideVat":
                self._realms.provide(vat)
            case "keepVat":
                self._realms.keep(vat, is_kept=call.params["keep"])
            case _:
                result["evicted"] = self._realms.evict(vat)
        return control.dump_result(call.key, result)

    def _find_sources(self, call: control.Call) -> list[Source]:
        """What a request asks to be made vats of, as far as its form is right: all else is for the kernel to say."""
        kernel = self._kernel
        if kernel is None or self.failure is not None:
            return []
        match call.method, call.params:
            case "launch", {"config": {"vats": dict(vats)}, "files": dict(files)}:
                return [
                    (f"config.vats.{name}.source", vat.get("kind", DEFAULT_KIND), vat["source"], files)
                    for name, vat in vats.items()
                    if isinstance(vat, dict) and vat.get("source") in files
                ]
            case "upgradeVat", {"vat": str(vat), "files": dict(files)} if kernel.is_alive(vat):
                record = kernel.get_vat(vat)
                source = call.params.get("source", record.sources[-1][2])
                return [("params.source", record.kind, source, files)] if source in files else []
            case _:
                return []

    async def _check(self, sources: Sources, client: Client, call: control.Call, wanted: list[Source]) -> None:
        """Look at what is to become a vat; then carry the request out, or refuse it."""
        for path, kind, source, files in wanted:
            try:
                await sources.check(kind, source, files)
            except KernelError as error:
                refusal = RequestError(str(error), path)
                client.send(control.dump_error(call.key, control.INVALID_PARAMS, refusal))
                return
        self._request(client, call)

    def _request(self, client: Client, call: control.Call) -> None:
        if self.failure is not None:
            client.send(control.dump_error(call.key, control.SERVER_ERROR, self.failure))
            return
        if self.store_failure is not None:
            client.send(self._answer_unstored(call, self.store_failure))
            return
        self._askers.setdefault(call.key, []).append(client)
        self.kernel.look_at_clock(self._clock_ms())
        self.kernel.request(call, self._describe())
        self._pump()

    def _answer_unstored(self, call: control.Call, failure: StoreError) -> str:
        """Answer a query from what is in memory; refuse anything else."""
        if call.method in control.QUERIES:
            return self.kernel.query(call, self._describe())
        self._try_again()
        return control.dump_error(call.key, control.SERVER_ERROR, failure)

    def _acknowledge(self, key: object) -> None:
        if isinstance(key, str) and self.failure is None and self.store_failure is None:
            self.kernel.acknowledge(key)
            self._pump()

    def _describe(self) -> dict[str, Any]:
        store_failure = "" if self.store_failure is None else str(self.store_failure)
        kernel = self.status | self._realms.describe_warehouse() | {"store_failure": store_failure}
        return {"kernel": kernel, "vats": self._realms.describe()}

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

    def storage_is(self, storage: dict[str, Any], shortage: str) -> None:
        """How full the storage is, for the status, and why it is too full for new work; "" while it is not."""
        self.status["storage"] = {**storage, "shortage": shortage}
        self._shortage = shortage
        if self._kernel is not None:
            self._kernel.shortage = shortage

    # --- realms ---------------------------------------------------------------------------------

    def vat_text(self, vat: str, text: str) -> None:
        """Take what a vat's realm says: one text of the protocol a line. Whatever it is, it cannot harm but the vat."""
        if is_detached(vat):
            self._travels.take_texts(vat, text)
        else:
            self._take_in(lambda: self._realms.take_texts(vat, text))

    def vat_lost(self, vat: str, reason: str) -> None:
        """The vat's realm died or could not be made. The delivery in flight is tried again."""
        if is_detached(vat):
            self._travels.lose(vat, reason)
        else:
            self._take_in(lambda: self._realms.lose(vat, reason))

    def heap_imaged(self, vat: str, image: HeapImage) -> None:
        """The vat's realm has handed its heap over, because it was told "snapshot"."""
        self._take_in(lambda: self._realms.heap_imaged(vat, image))

    def heap_not_imaged(self, vat: str, reason: str) -> None:
        """The vat's realm was told "snapshot", and cannot hand its heap over."""
        if not is_detached(vat):
            self._take_in(lambda: self._realms.heap_not_imaged(vat, reason))

    def restore_failed(self, vat: str, reason: str, chunk: str = "") -> None:
        """The vat's realm could not be restored: it comes back from another snapshot, or from its start.

        Args:
            chunk: the one that is missing or damaged, if that is why.
        """
        if is_detached(vat):
            self._travels.lose(vat, reason)
        else:
            self._take_in(lambda: self._realms.restore_failed(vat, reason, chunk))

    def _take_in(self, action: Callable[[], None]) -> None:
        """Take an input, and do what comes of it; one that comes before `boot` is through waits for that."""
        if not self._is_early(lambda: self._take_in(action)) and self.failure is None:
            self.kernel.look_at_clock(self._clock_ms())
            action()
            self._pump()

    async def _settled(self) -> None:
        """Wait until what has happened so far is durable: transcripts are read from the backend."""
        if self._is_committing or self._is_exporting:
            await self._next_commit()

    def _next_commit(self) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._durability_waiters.append(waiter)
        return waiter

    # --- the pump -------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Dispatch what can be, carry out what may be at once, and see to the commit of the rest."""
        kernel = self._kernel
        if kernel is None or self.failure is not None or self.store_failure is not None:
            return
        try:
            kernel.dispatch(self._clock_ms())
            actions = kernel.take_actions()
        except KernelBug as error:
            self._fail(error)
            return
        self._realms.carry_out(actions)
        self._realms.admit()
        self._set_timer(kernel.next_due_ms)
        if not self._is_committing and not self._is_exporting:
            self._is_committing = True
            self._spawn(self._commit(kernel))
        self._set_busy()

    async def _commit(self, kernel: Kernel) -> None:
        """Make durable what there is, let out what waited for it, and again until nothing is left."""
        try:
            while not self._is_exporting and (commit := self._unstored or kernel.take_commit()):
                waiters, self._durability_waiters = self._durability_waiters, []
                if commit.delta and not await self._store(commit):
                    self._durability_waiters = waiters + self._durability_waiters
                    return
                if commit.delta.transcript_drops:
                    self._on_vats(kernel.living_vats())
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
            if self.store_failure is None:
                _release(self._durability_waiters)
                self._durability_waiters = []
            self._set_busy()

    async def _store(self, commit: Commit) -> bool:
        """Make a commit's delta durable. Returns whether it is; if not, it is kept, and tried again later."""
        try:
            await self._backend.commit(commit.delta)
        except StoreError as error:
            self._unstored = commit
            self.store_failure = StoreError(f"{error}; nothing new is begun until it can be stored")
            for key in list(self._askers):
                self._answer(key, control.dump_error(key, control.SERVER_ERROR, self.store_failure))
            self._retry = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._try_again)
            return False
        if self.store_failure is not None:
            self._unstored = self.store_failure = None
            asyncio.get_running_loop().call_soon(self._pump)
        return True

    def _try_again(self) -> None:
        """Try to store what could not be stored."""
        if self.store_failure is not None and not self._is_committing and not self._is_exporting:
            if self._retry is not None:
                self._retry.cancel()
            self._is_committing = True
            self._spawn(self._commit(self.kernel))

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

    async def replace(self, archive: list[bytes]) -> int:
        """Put an archive in the place of the whole state, and go on with it. Returns the number of parts.

        There is no kernel meanwhile; what comes in is kept for the next one.

        Raises:
            StoreError: the archive is damaged, and all is as before; or the storage cannot be written, and the host has
                stopped.
        """
        if self._is_exporting:
            raise StoreError("the state is being exported or imported already")
        self._is_exporting = True
        try:
            if self._is_committing:
                await self._next_commit()
            check_archive(archive)
            self._leave()
            return await replace_by_archive(self._backend, archive, self._limits)
        finally:
            self._is_exporting = False
            if self._kernel is None:
                await self.boot()
            else:
                self._pump()

    def _leave(self) -> None:
        """The kernel is no more: end its realms, and answer whoever waits for it."""
        gone = RequestError("the kernel's state was replaced by another, before this was answered")
        for key in list(self._askers):
            self._answer(key, control.dump_error(key, control.SERVER_ERROR, gone))
        self._realms.end()
        self._travels.end()
        self._set_timer(None)
        self._kernel = self.failure = None

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
        self._realms.close()
        self._travels.close()
        if self._retry is not None:
            self._retry.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._pump()

    def _set_busy(self) -> None:
        is_up = self._kernel is not None and self.failure is None and self.store_failure is None
        is_busy = is_up and (self._is_committing or self._is_exporting or self._travels.is_busy or self.kernel.is_busy)
        if is_busy != self._is_busy:
            self._is_busy = is_busy
            self._on_busy(is_busy)


def _release(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
