"""A host's realms: which vats are in memory, and how each gets there and stays at the kernel's record.

Owns the links (`kernel_py.hosts.links`), and when heaps are looked at. What a realm says can harm nothing but its vat.

A heap is looked at between deliveries, when none is in flight: by policy (`Limits.snapshot_deliveries`), so that a vat
that comes back has little to do again. The vat is then as after a replay, and is told to go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from kernel_py.core.kernel import Kernel
from kernel_py.core.outputs import Actions
from kernel_py.core.schema import Snapshot
from kernel_py.core.store import Backend
from kernel_py.hosts.links import Link, LinkState, is_reusable
from kernel_py.hosts.loading import Loading
from kernel_py.hosts.sources import Sources
from kernel_py.hosts.warehouse import Warehouse
from kernel_py.wire import canonical, protocol
from kernel_py.wire.errors import HostFault, IllegalSyscall, KernelBug, KernelError
from kernel_py.wire.limits import Limits
from kernel_py.wire.snapshots import HeapImage


class Workers(Protocol):
    """Makes realms. Calls return at once; what comes of them arrives as `KernelHost.vat_text` or `vat_lost`."""

    def create(self, vat: str, incarnation: int, kind: str) -> None:
        """Begin to make a fresh realm; its hello follows."""

    def post(self, vat: str, text: str) -> None:
        """Send texts, one a line, to the vat's realm. Lost without a sign if the realm is gone."""

    def restore(self, vat: str, snapshot: str, start: str) -> None:
        """Put a snapshot's pages into the memory of the vat's fresh realm; its next hello follows, or `restore_failed`.

        Called only where the realm's hello had a base.

        Args:
            snapshot: JSON object of `kernel_py.core.schema.Snapshot`. Its chunks are durable.
            start: the "start" of the incarnation that it is of, for realms whose memory does not hold the vat's source.
        """

    def destroy(self, vat: str) -> None:
        """End the vat's realm at once, hung or not. Idempotent; nothing of it arrives afterwards."""


class Realms:
    """The realms of one kernel.

    Args:
        clock_ms: the time.
        settled: waits until what has happened so far is durable.
        check: has `admit` called.
        sources: makes ready what realms need.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        workers: Workers,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        clock_ms: Callable[[], int],
        settled: Callable[[], Awaitable[None]],
        check: Callable[[], None],
        sources: Sources | None,
        limits: Limits,
    ) -> None:
        self._backend = backend
        self._workers = workers
        self._spawn = spawn
        self._clock_ms = clock_ms
        self._settled = settled
        self._check = check
        self._sources = sources
        self._limits = limits
        self._warehouse = Warehouse(limits)
        self._timer: asyncio.TimerHandle | None = None
        self._kernel: Kernel | None = None
        self._links: dict[str, Link] = {}

    def living(self, realms: list[tuple[str, int]]) -> None:
        """Realms found alive after a start, as (vat, incarnation); each says hello. Call before `begin`."""
        for vat, _ in realms:
            link = self._link(vat)
            if link.can("reconnect"):
                link.step("reconnect")

    def begin(self, kernel: Kernel) -> None:
        """The kernel is there; realms of vats that are no more are ended."""
        self._kernel = kernel
        living = dict.fromkeys(kernel.living_vats())
        for vat in list(self._links):
            if vat in living:
                self._warehouse.came_in(vat, self._clock_ms())
            else:
                del self._links[vat]
                self._workers.destroy(vat)
        self._warehouse.begin([vat for vat in kernel.get_recent() if vat in living and vat not in self._links])

    def end(self) -> None:
        """The kernel is no more, and neither are its realms; another may `begin`."""
        for vat, link in self._links.items():
            link.generation += 1
            self._workers.destroy(vat)
        self._links.clear()
        self._warehouse = Warehouse(self._limits)
        self._kernel = None

    @property
    def kernel(self) -> Kernel:
        if self._kernel is None:
            raise KernelBug("the host has not booted")
        return self._kernel

    def describe_warehouse(self) -> dict[str, int]:
        """For the status: how many vats are in memory, may be, and wait."""
        return self._warehouse.describe()

    def describe(self) -> dict[str, Any]:
        """The status of each vat's realm."""
        return {
            vat: {
                "realm": link.state.value,
                "memory_bytes": link.memory_bytes,
                "fault": link.reason,
                # The number of the delivery after which it was restored; None if it lived through all of them.
                "restored": None if link.snapshot is None else link.snapshot.delivered,
                "meter": link.meter,
            }
            for vat, link in self._links.items()
        }

    def carry_out(self, actions: Actions) -> None:
        """Do to the realms what the kernel asks for."""
        kernel = self.kernel
        for vat in actions.stops:
            link = self._links.pop(vat, None)
            if link is not None:
                link.generation += 1
            self._warehouse.forget(vat)
            self._workers.destroy(vat)
        for vat in dict.fromkeys(actions.restarts):  # an upgrade that is stopped asks for it twice
            self._restart(vat)
        vats: dict[str, Link] = {}
        for delivery in actions.deliveries:
            if delivery.vat not in actions.restarts and kernel.is_inflight(delivery.vat, delivery.number):
                link = vats[delivery.vat] = self._link(delivery.vat)
                link.waiting.append(delivery.text)
        for vat, link in vats.items():
            if link.state is LinkState.READY:
                self._flush(vat, link)
            elif link.can("create"):
                self._warehouse.want(vat)

    # --- what realms say ------------------------------------------------------------------------

    def take_texts(self, vat: str, texts: str) -> None:
        """A realm has spoken: one text of the protocol a line."""
        link = self._links.get(vat)
        if link is None:
            return
        generation = link.generation
        for line in texts.split("\n"):
            # What comes after the realm's end, or the vat's, is of no interest.
            if link.generation == generation and self.kernel.is_alive(vat):
                self._take_line(vat, link, line)

    def lose(self, vat: str, reason: str) -> None:
        """A realm died or could not be made. The delivery in flight is tried again."""
        link = self._links.get(vat)
        if link is not None:
            self._lose(vat, link, HostFault(reason))

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
                case protocol.Digest():
                    self._take_digest(vat, link, message)
                case protocol.Seen():
                    raise IllegalSyscall("the answer to a look, and there was none")
                case protocol.Failed(error=error):
                    self._take_failed(vat, link, error)
        except IllegalSyscall as fault:
            self.kernel.fault(vat, fault)

    def _link(self, vat: str) -> Link:
        return self._links.setdefault(vat, Link())

    def _take_done(self, vat: str, link: Link, done: protocol.Done) -> None:
        if link.state is not LinkState.READY or not link.sent:
            raise IllegalSyscall(f"a reply to delivery {done.number}, which was not sent")
        link.sent.popleft()
        link.failures = 0
        link.memory_bytes = done.usage.memory_bytes
        link.meter = done.usage.meter
        self._warehouse.used(vat, self._clock_ms(), done.usage.memory_bytes)
        self.kernel.complete(vat, done)
        if done.poison is not None:
            self._abandon(vat, link)
        elif not link.sent and self.kernel.is_alive(vat):
            if not link.waiting:
                self._warehouse.rested(vat)
            self._flush(vat, link)

    def _take_hello(self, vat: str, link: Link, hello: protocol.Hello) -> None:
        if link.state is LinkState.RESTORING and link.snapshot is not None:
            self._take_restored(vat, link, link.snapshot, hello)
            return
        if link.state is not LinkState.CREATING:
            raise IllegalSyscall(f"a hello from a realm that is {link.state}")
        link.base = hello.base
        if hello.vat is None:
            link.step("load")
            self._spawn(self._load(vat, link, link.generation))
        elif is_reusable(hello, self.kernel, vat):
            link.step("found")
            self._plan_look(vat, link)
            if hello.marked == hello.delivered > 0:  # "go" may not have reached it
                link.step("replay")
                self._workers.post(vat, protocol.dump_go(hello.delivered))
            else:
                self._flush(vat, link)
        else:
            self._recreate(vat, link)

    def _take_restored(self, vat: str, link: Link, snapshot: Snapshot, hello: protocol.Hello) -> None:
        if (hello.vat, hello.incarnation, hello.delivered) == (vat, snapshot.incarnation, snapshot.delivered):
            link.step("load")
            self._spawn(self._replay(vat, link, link.generation))
        else:
            self.restore_failed(vat, f"the restored realm says that it is {hello.vat} after {hello.delivered}")

    async def _load(self, vat: str, link: Link, generation: int) -> None:
        """Restore a fresh realm from the newest snapshot that fits, or let it live from the start."""
        link.snapshot = self.kernel.find_snapshot(vat, link.base) if link.base else None
        if link.snapshot is None:
            await self._replay(vat, link, generation)
            return
        try:
            loading = Loading(self.kernel, self._backend, vat, link.snapshot, sources=self._sources)
            await self._settled()
            start = protocol.dump_start(await loading.read_first())
        except KernelError as error:
            self._break_loading(vat, link, generation, error)
            return
        if link.generation == generation:
            link.step("restore")
            self._workers.restore(vat, canonical.dump(link.snapshot._asdict()), start)

    async def _replay(self, vat: str, link: Link, generation: int) -> None:
        """Give a realm its source and its past, or what is left of it after the snapshot it was restored from."""
        try:
            loading = Loading(self.kernel, self._backend, vat, link.snapshot, sources=self._sources)
            link.marks = loading.marks
            await self._settled()
            async for text in loading.read_texts():
                if link.generation != generation:
                    return
                self._workers.post(vat, text)
            link.step("replay")
            self._workers.post(vat, protocol.dump_go(loading.delivered))
        except KernelError as error:
            self._break_loading(vat, link, generation, error)

    def _break_loading(self, vat: str, link: Link, generation: int, error: KernelError) -> None:
        if link.generation == generation and vat in self._links:
            self._break(vat, link, str(error))

    def _take_ready(self, vat: str, link: Link, delivered: int) -> None:
        if link.state is not LinkState.REPLAYING or delivered != self.kernel.get_delivered(vat):
            raise IllegalSyscall(f"unexpected: ready at delivery {delivered}")
        link.step("ready")
        self._plan_look(vat, link)
        self._flush(vat, link)

    def _take_failed(self, vat: str, link: Link, error: str) -> None:
        if link.state in {LinkState.RESTORING, LinkState.REPLAYING} and link.snapshot is not None:
            self._drop_snapshot(vat, link, link.snapshot, error)
        elif link.state is LinkState.REPLAYING:
            self._break(vat, link, error)
        else:
            self._lose(vat, link, HostFault(error))

    def _break(self, vat: str, link: Link, reason: str) -> None:
        """The vat cannot be brought back; it stays as it is recorded, and says so in the status."""
        link.step("break")
        link.reason = reason
        link.generation += 1
        self._warehouse.left(vat)
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
            self._warehouse.want(vat)

    def _recreate(self, vat: str, link: Link) -> None:
        """The realm is not where the record is: rewind the vat by replaying it in a new one."""
        self._workers.destroy(vat)
        link.waiting.extendleft(reversed(link.sent))
        link.sent.clear()
        self._end(vat, link)

    def _abandon(self, vat: str, link: Link) -> None:
        """End the realm; the kernel knows what is to be delivered to the next one."""
        self._workers.destroy(vat)
        if link.can("lost"):
            link.step("lost")
        link.generation += 1
        link.is_leaving = False
        self._warehouse.left(vat)
        link.sent.clear()
        link.waiting.clear()

    def _lose(self, vat: str, link: Link, fault: HostFault) -> None:
        if not link.can("lost"):
            return
        if link.state is LinkState.RESTORING and link.snapshot is not None and link.failures:
            self.kernel.snapshot_unusable(vat, link.snapshot.delivered, f"the realm died of it: {fault}")
        # A delivery that the realm was never given has not killed it; but nobody waits for ever for a realm.
        is_suspect = bool(link.sent) or link.failures >= self._limits.delivery_attempts_max
        had_delivery = bool(link.sent or link.waiting)
        self._abandon(vat, link)
        link.failures += 1
        if had_delivery:
            self.kernel.worker_died(vat, fault, is_suspect=is_suspect)

    def _create(self, vat: str, link: Link) -> None:
        record = self.kernel.get_vat(vat)
        self._warehouse.came_in(vat, self._clock_ms())
        link.step("create")
        self._workers.create(vat, record.incarnation, record.kind)

    def _flush(self, vat: str, link: Link) -> None:
        if link.is_due(self.kernel.get_delivered(vat)):
            if not link.sent:
                self._look(vat, link)
        elif self._warehouse.is_turn_over(vat):
            if not link.sent:
                self._evict(vat, link)
        elif link.waiting:
            if not link.sent:
                self._warehouse.began(vat, self._clock_ms())
            self._workers.post(vat, "\n".join(link.waiting))
            link.sent.extend(link.waiting)
            link.waiting.clear()

    # --- the warehouse --------------------------------------------------------------------------

    def admit(self) -> None:
        """Let in who waits and has room; send away who must go. Called after every input."""
        now_ms = self._clock_ms()
        if self._limits.vats_preloaded_max and not self.kernel.is_busy:
            self.kernel.note_recent(self._warehouse.list_recent())
        if not self._warehouse.needs_check(now_ms):
            return
        for vat in self._warehouse.list_leaving(now_ms, self._is_busy):
            self._evict(vat, self._links[vat])
        while (waiting := self._warehouse.find_next(now_ms, self._is_busy)) is not None:
            self._bring_in(waiting)
        preload = self._warehouse.find_preload(now_ms, self._is_busy)
        if preload is not None:
            self._bring_in(preload)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ms = self._warehouse.plan_check(now_ms, self._is_busy)
        if due_ms is not None:
            self._timer = asyncio.get_running_loop().call_later((due_ms - now_ms) / 1000, self._check)

    def close(self) -> None:
        """Nothing is done any more by itself."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def provide(self, vat: str) -> None:
        """Have a living vat in memory although nothing is delivered to it."""
        if self._link(vat).can("create"):
            self._warehouse.want(vat)

    def evict(self, vat: str) -> bool:
        """Send a vat away, if it is at rest. Returns whether it was."""
        link = self._links.get(vat)
        if link is None or self._is_busy(vat):
            return False
        self._evict(vat, link)
        return True

    def keep(self, vat: str, *, is_kept: bool) -> None:
        """Do not send a vat away but for want of memory; or treat it as all others."""
        if is_kept:
            self._warehouse.pinned[vat] = None
            self.provide(vat)
        else:
            self._warehouse.pinned.pop(vat, None)

    def _is_busy(self, vat: str) -> bool:
        link = self._links.get(vat)
        return link is None or link.state is not LinkState.READY or bool(link.sent or link.waiting)

    def _bring_in(self, vat: str) -> None:
        link = self._link(vat)
        if link.can("create"):
            self._create(vat, link)
        else:
            self._warehouse.forget_wish(vat)

    def _evict(self, vat: str, link: Link) -> None:
        """End the realm of a vat at rest, after a last look at its heap if it has one."""
        delivered = self.kernel.get_delivered(vat)
        newest = self.kernel.find_snapshot(vat, link.base) if link.base else None
        is_behind = newest is None or newest.delivered < delivered
        if link.base and is_behind and self.kernel.get_mark(vat).delivered < delivered:
            link.is_leaving = True
            self._warehouse.leaving(vat, is_leaving=True)
            self._look(vat, link)
        else:
            self._leave(vat, link)

    def _leave(self, vat: str, link: Link) -> None:
        self._workers.destroy(vat)
        self._end(vat, link)
        if not link.waiting and not link.reason:
            del self._links[vat]

    def _end(self, vat: str, link: Link) -> None:
        """The realm is ended; another is wanted if there is something to do."""
        link.step("lost")
        link.generation += 1
        link.is_leaving = False
        self._warehouse.left(vat)
        if link.waiting:
            self._warehouse.want(vat)

    # --- heaps ----------------------------------------------------------------------------------

    def _plan_look(self, vat: str, link: Link) -> None:
        """Set after which delivery the heap is wanted next."""
        if link.base:
            newest, limits = self.kernel.find_snapshot(vat, link.base), self._limits
            incarnation = self.kernel.get_life(vat)[-1]
            is_first = newest is None or newest.incarnation != incarnation.number
            interval = limits.snapshot_first_deliveries if is_first else limits.snapshot_deliveries
            link.due_at = max(self.kernel.get_mark(vat).delivered, incarnation.first - 1) + interval

    def _look(self, vat: str, link: Link) -> None:
        link.step("look")
        self._workers.post(vat, protocol.dump_snapshot())

    def heap_imaged(self, vat: str, image: HeapImage) -> None:
        """The vat's realm has handed its heap over, as "snapshot" asked for."""
        self._end_look(vat, lambda: self.kernel.snapshot_taken(vat, image))

    def heap_not_imaged(self, vat: str, reason: str) -> None:
        """The vat's realm was asked for its heap, and cannot hand it over."""
        self._end_look(vat, lambda: self._give_up_heap(vat, reason))

    def _give_up_heap(self, vat: str, reason: str) -> None:
        self._links[vat].base = ""
        self.kernel.heap_marked(vat, reason)

    def _end_look(self, vat: str, action: Callable[[], None]) -> None:
        link = self._links.get(vat)
        if link is None or link.state is not LinkState.IMAGING:
            return
        try:
            action()
        except HostFault as fault:
            self._give_up_heap(vat, str(fault))
        self._spawn(self._go_on(vat, link, link.generation))

    async def _go_on(self, vat: str, link: Link, generation: int) -> None:
        """Not before the snapshot is durable: a vat whose store is in a file writes over the last one then."""
        await self._settled()
        if link.generation != generation:
            return
        is_leaving, link.is_leaving = link.is_leaving, False
        self._warehouse.leaving(vat, is_leaving=False)
        if is_leaving and (not link.waiting or self._warehouse.is_turn_over(vat)):
            self._leave(vat, link)
            self.admit()
            return
        link.step("replay")
        self._workers.post(vat, protocol.dump_go(self.kernel.get_delivered(vat)))

    def restore_failed(self, vat: str, reason: str, chunk: str = "") -> None:
        """The vat's realm could not be restored: it comes back from another snapshot, or from its start.

        Args:
            chunk: the one that is missing or damaged, if that is why.
        """
        link = self._links.get(vat)
        if link is None or link.state is not LinkState.RESTORING or link.snapshot is None:
            return
        self._drop_snapshot(vat, link, link.snapshot, reason, chunk)

    def _drop_snapshot(self, vat: str, link: Link, snapshot: Snapshot, reason: str, chunk: str = "") -> None:
        link.reason = f"the snapshot after delivery {snapshot.delivered} could not be used: {reason}"
        link.snapshot = None
        self.kernel.snapshot_unusable(vat, snapshot.delivered, reason, chunk)
        self._recreate(vat, link)

    def _take_digest(self, vat: str, link: Link, digest: protocol.Digest) -> None:
        """The heap of a vat that is being replayed, where it was looked at before: it should be the same."""
        base, expected = link.marks.pop(digest.delivered, ("", ""))
        if expected and base == link.base and digest.digest != expected:
            link.reason = f"the heap after delivery {digest.delivered} differs from its record"
            self.kernel.heap_differs(vat, digest.delivered, expected, digest.digest)
