"""The kernel: a machine that takes replies, requests and the time, and gives deliveries and responses.

Sans-IO. The host calls one of the inputs (`request`, `complete`, `fault`, `worker_died`, ...), then
`dispatch`, then `take_actions`, which it carries out at once, and `take_commit`, of which it makes the
delta durable before it sends the responses and events.

Every input is one transaction or several; between them the state is consistent, so a host may be
killed between any two calls, or within one. A new `Kernel` over the stored state goes on from
there: `redeliver` gives again what was in flight.

Invariants:
    * A vat replies to its deliveries in their order; order per (sender, target) is that of the sends.
    * Nothing that a vat or a client says makes an input raise, except RequestError, which is the answer.
    * An exception from an input is a bug of ours (KernelBug): its transaction is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from kernel_py.core import jsonschema, kmarshal, schema
from kernel_py.core.bundles import Bundles
from kernel_py.core.cluster_config import VAT_KINDS
from kernel_py.core.clusters import Clusters
from kernel_py.core.commands import Commands
from kernel_py.core.control import (
    COMMANDS,
    GROWING,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    PARAMS,
    QUERIES,
    SERVER_ERROR,
    Call,
    Control,
    dump_error,
    dump_result,
)
from kernel_py.core.cranks import Cranks
from kernel_py.core.events import Log
from kernel_py.core.garbage import Garbage
from kernel_py.core.interceptors import Interceptors, Part
from kernel_py.core.migrations import migrate
from kernel_py.core.outputs import Actions, Commit, Deliver, Outbox, Respond
from kernel_py.core.parts import DEFAULT_PARTS, Parts
from kernel_py.core.promises import Promises
from kernel_py.core.queues import Queues
from kernel_py.core.references import References
from kernel_py.core.schema import ItemKind, PromiseState
from kernel_py.core.service_objects import ServiceObjects
from kernel_py.core.services.service import HostService
from kernel_py.core.services.vat_admin import VatAdminService
from kernel_py.core.shared import Shared
from kernel_py.core.state import KernelState
from kernel_py.core.upgrades import Upgrades
from kernel_py.core.vats import VatEnd, Vats
from kernel_py.wire import protocol
from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import HostFault, IllegalSyscall, KernelBug, RequestError, StoreError, VatFault, cut_middle
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from kernel_py.wire.snapshots import HeapImage

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One life of a vat.

    Attributes:
        number: 0 for the first.
        first, last: numbers of its first delivery that is to be replayed, and of its last that is complete; `last` may
            be below `first`.
        bundle: where its files are; `main` is the one that defines ``build_root_object``.
    """

    number: int
    first: int
    last: int
    bundle: str
    main: str


class Kernel:
    """One kernel over one state."""

    def __init__(
        self,
        texts: Mapping[str, str],
        *,
        seed: str,
        limits: Limits = DEFAULT_LIMITS,
        is_serial: bool = False,
        kinds: tuple[str, ...] = VAT_KINDS,
        services: Sequence[HostService] = (),
        parts: Parts = DEFAULT_PARTS,
        interceptors: Interceptors | None = None,
    ) -> None:
        """Start from a backend's map; an empty one makes a new kernel.

        Args:
            texts: what `Backend.load` returned.
            seed: random text; kept if the kernel is new, ignored otherwise.
            is_serial: one delivery in flight at a time over all vats, for reproducible runs.
            kinds: worker kinds that cluster files may name.
            services: those of the host, besides the kernel's own.
            parts: what the kernel is built from.
            interceptors: what may stand between kernel and parts, shared with the host.

        Raises:
            StoreError: the map was written by another version, or is corrupt.
        """
        self.shortage = ""  # why there is no room for new work; the host's to say
        changed = migrate(texts)
        self._limits = limits
        self._is_serial = is_serial
        self._outbox = Outbox()
        self._state = state = KernelState.load({**texts, **changed}, changed)
        self._log = Log(self._outbox)
        self._references = References(state, limits)
        self._queues = Queues(state, self._references)
        self.interceptors = interceptors or Interceptors()
        self._crypto = self.interceptors.wrap(Part.CRYPTO, parts.crypto())
        self._meter = self.interceptors.wrap(Part.METER, parts.meter(state, limits))
        shared = Shared(
            state,
            self._references,
            self._queues,
            self._log,
            limits,
            interceptors=self.interceptors,
            crypto=self._crypto,
            meter=self._meter,
        )
        self._promises = Promises(shared)
        self._garbage = Garbage(shared)
        bundles = Bundles(state, self._crypto)
        self._vats = Vats(shared, self._promises, self._garbage, bundles)
        self._cranks = Cranks(shared, self._promises, self._garbage, parts.syscalls)
        self._control = Control(shared, self._promises, self._vats)
        self._upgrades = Upgrades(shared, self._promises, self._cranks, bundles, self._answer)
        self._vat_admin = VatAdminService(
            shared, self._promises, vats=self._vats, bundles=bundles, upgrades=self._upgrades
        )
        local = [make(shared, self._promises) for make in parts.services]
        self._services = ServiceObjects(shared, self._promises, self._vat_admin, local=local, hosted=services)
        self._clusters = Clusters(
            shared,
            self._promises,
            vats=self._vats,
            bundles=bundles,
            services=self._services,
            vat_admin=self._vat_admin,
            answer=self._control.answer,
        )
        self._commands = Commands(
            shared,
            self._control,
            vats=self._vats,
            clusters=self._clusters,
            garbage=self._garbage,
            upgrades=self._upgrades,
            services=self._services,
            bundles=bundles,
        )
        self._commands.kinds = kinds
        self._vats.on_end = self._vat_ended
        self._vat_admin.end_vat = self._clusters.end_vat
        self._cranks.begin_upgrade = self._upgrades.begin
        self._cranks.retire_old = self._upgrades.retire_old
        if not texts:
            self._transact(lambda: self._initialize(seed))

    def _initialize(self, seed: str) -> None:
        self._state.set(schema.KERNEL, schema.VERSION, schema.SCHEMA_VERSION)
        self._state.set(schema.KERNEL, schema.SEED, seed)

    # --- transactions ---------------------------------------------------------------------------

    def _transact(self, action: Callable[[], _T]) -> _T:
        """Run `action`, collect what it freed, and keep everything; or nothing, if it raises."""
        marks = self._outbox.marks()
        self._state.begin()
        try:
            result = action()
            self._wake()
            for kref in self._references.settle_counts():
                self._garbage.note(kref)
        except BaseException:
            self._state.abort()
            self._outbox.rewind(marks)
            self._references.forget_counts()
            self._promises.take_waiting()
            self._promises.take_calls()
            raise
        self._state.commit()
        return result

    def _wake(self) -> None:
        """Carry out calls of services; tell requests, timers and clusters that what they wait for is settled."""
        while True:
            calls, waiting = self._promises.take_calls(), self._promises.take_waiting()
            if not calls and not waiting:
                return
            for message in calls:
                self._services.handle(message)
            for subscriber, kpid in waiting:
                self._tell(subscriber, kpid)

    def _tell(self, subscriber: str, kpid: str) -> None:
        key, timer = schema.find_request_key(subscriber), schema.find_timer(subscriber)
        if key is not None:
            self._control.promise_settled(key, kpid)
        elif timer is not None:
            self._services.timers.woken(timer, kpid)
        else:
            self._clusters.bootstrap_settled(subscriber)

    def _answer(self, request: str, result: dict[str, Any] | None, error: str) -> None:
        """Finish what a client or a vat asked for; see `schema.Upgrade.request`."""
        kpid = schema.find_awaiting(request)
        if kpid is None:
            self._control.answer(request, result, error)
            return
        data = kmarshal.serialize_error(error, "RuntimeError") if result is None else kmarshal.serialize(result)
        self._promises.settle(kpid, data, is_reject=result is None)
        self._references.drop_hold(kpid)

    def _vat_ended(self, vat: str, end: VatEnd) -> None:
        self._upgrades.vat_lost(vat, end)
        self._vat_admin.ended(vat, end)

    # --- inputs ---------------------------------------------------------------------------------

    def request(self, call: Call, host: dict[str, Any]) -> None:
        """Carry out a client's request; the response appears in the outbox, at once or later.

        A command whose key was seen before is not carried out again: its response is given again, if there is one.

        Args:
            host: the host's part of the status: ``{"kernel": {...}, "vats": {vat: {...}}}``.
        """
        try:
            if call.method in QUERIES:
                self._outbox.responses.append(Respond(call.key, dump_result(call.key, self._control.query(call, host))))
            elif call.method in COMMANDS:
                known = self._control.find_request(call.key)
                if known is None and self.shortage and call.method in GROWING:
                    shortage = StoreError(f"{call.method} needs room, and {self.shortage}")
                    self._outbox.responses.append(Respond(call.key, dump_error(call.key, SERVER_ERROR, shortage)))
                elif known is None:
                    self._transact(lambda: self._control.carry_out(call, self._commands.run))
                elif known.method != call.method:
                    used = f"the id {call.key} was used for a request of {known.method!r}"
                    raise RequestError(f"{used}; use one id for one request")
                elif known.response:
                    self._outbox.responses.append(Respond(call.key, known.response))
            else:
                methods = ", ".join((*COMMANDS, *QUERIES))
                error = RequestError(f"unknown request {call.method!r:.100}; known are: {methods}")
                self._outbox.responses.append(Respond(call.key, dump_error(call.key, METHOD_NOT_FOUND, error)))
        except RequestError as error:
            self._outbox.responses.append(Respond(call.key, dump_error(call.key, INVALID_PARAMS, error)))

    def query(self, call: Call, host: dict[str, Any]) -> str:
        """Answer a query at once, from what is in memory, though not all of that may be durable."""
        try:
            return dump_result(call.key, self._control.query(call, host))
        except RequestError as error:
            return dump_error(call.key, INVALID_PARAMS, error)

    def acknowledge(self, key: str) -> None:
        """A client has the response to `key`; forget it."""
        self._transact(lambda: self._control.acknowledge(key))

    def complete(self, vat: str, done: protocol.Done) -> None:
        """A vat replied. An illegal reply terminates it; a reply of a vat that is no more is ignored."""
        if not self._vats.is_alive(vat):
            return
        self.interceptors.vat = vat
        try:
            self._take_reply(vat, done)
        finally:
            self.interceptors.vat = ""

    def _take_reply(self, vat: str, done: protocol.Done) -> None:
        self._log.console((vat, done.number), done.usage.console)  # of a faulty delivery too, then above all
        try:
            if done.poison is not None:
                self._poisoned(vat, done.number, cut_middle(done.poison, self._limits.error_chars_max))
            else:
                self._transact(lambda: self._complete(vat, done))
        except _GaveUp as gave_up:
            self._log.fault(vat, VatFault.__name__, str(gave_up))
            self._transact(lambda info=gave_up.info: self._leave_failing(vat, info))  # type: ignore[misc]
        except VatFault as fault:
            self.fault(vat, fault)

    def _poisoned(self, vat: str, number: int, reason: str) -> None:
        """A delivery was stopped: its message is rejected, and the vat goes on from before it.

        A delivery that cannot be rejected ends the vat, or the upgrade that it is in.
        """
        first = self._find_first(vat)
        if first is None or first.number != number:
            raise IllegalSyscall(f"a reply to delivery {number}, which is not the next that was sent")
        self._log.fault(vat, "PoisonMessage", reason)
        self._outbox.restarts.append(vat)
        if first.kind is ItemKind.MESSAGE:
            self._transact(lambda: self._reject_inflight(vat, f"this message was stopped: {reason}"))
        else:
            self._transact(lambda: self._give_up(vat, VatEnd(f"{first.kind} was stopped: {reason}")))

    def _complete(self, vat: str, done: protocol.Done) -> None:
        kind, leave = self._cranks.complete(vat, done)
        if leave is not None:
            if leave.is_failure:
                raise _GaveUp(leave.info)
            self._wake()  # what the batch settled comes first, and may itself have ended the vat
            if self._vats.is_alive(vat):
                end = VatEnd(f"the vat is done: {_show(leave.info)}", is_failure=False, info=leave.info)
                self._clusters.end_vat(vat, end)
        elif kind is ItemKind.START:
            self._clusters.vat_started(vat)
        elif kind is ItemKind.UPGRADE:
            self._upgrades.complete(vat)

    def _leave_failing(self, vat: str, info: CapData) -> None:
        """The vat gave up, and its batch was dropped; what it said may mention what it has made."""
        first = self._find_first(vat)
        if first is not None and first.kind is ItemKind.UPGRADE:
            self._upgrades.undo(vat, str(_GaveUp(info)))
            return
        told = self._cranks.data_to_kernel(vat, info)
        self._references.take_exports()
        self._clusters.end_vat(vat, VatEnd(str(_GaveUp(told)), info=told))

    def fault(self, vat: str, fault: VatFault) -> None:
        """A vat broke the rules: end it, or the upgrade that it is in. Ignored if it is no more."""
        if self._vats.is_alive(vat):
            reason = cut_middle(str(fault), self._limits.error_chars_max)
            self._log.fault(vat, type(fault).__name__, reason)
            self._transact(lambda: self._give_up(vat, VatEnd(reason)))

    def _give_up(self, vat: str, end: VatEnd) -> None:
        first = self._find_first(vat)
        if first is not None and first.kind is ItemKind.UPGRADE:
            self._upgrades.undo(vat, end.reason)
        else:
            self._clusters.end_vat(vat, end)

    def worker_died(self, vat: str, fault: HostFault, *, is_suspect: bool = True) -> None:
        """The worker died under a delivery: try again, and after the last attempt reject the message.

        The vat is not to blame. The host has restored it, or will, to before the delivery. If more deliveries were in
        flight, any may be the cause: from then on they go one by one. A delivery that cannot be rejected (a start, a
        notify) ends the vat, or the upgrade that it is in, after the last attempt.

        Args:
            is_suspect: whether the delivery may have to do with it; if not, this was no attempt.
        """
        inflight = self._find_first(vat)
        if inflight is None:
            return
        reason = cut_middle(str(fault), self._limits.error_chars_max)
        self._log.fault(vat, type(fault).__name__, reason)
        if not is_suspect:
            self._transact(lambda: self._retry(vat, inflight, inflight.attempts))
        elif inflight.attempts < self._limits.delivery_attempts_max:
            self._transact(lambda: self._retry(vat, inflight, inflight.attempts + 1))
        elif inflight.kind is ItemKind.MESSAGE:
            error = f"the worker of {vat} died {inflight.attempts} times under this message: {reason}"
            self._transact(lambda: self._reject_inflight(vat, error))
        else:
            failed = f"{inflight.kind} failed {inflight.attempts} times: {reason}"
            self._transact(lambda: self._give_up(vat, VatEnd(failed)))

    def _find_first(self, vat: str) -> schema.Inflight | None:
        """The delivery that the vat replies to next."""
        counters = self._state.get(schema.COUNTERS, vat)
        if counters is None or counters.delivered == counters.dispatched:
            return None
        record = self._state.get(schema.INFLIGHT, schema.inflight_row(vat, counters.delivered + 1))
        assert isinstance(record, schema.Inflight)
        return record

    def _retry(self, vat: str, inflight: schema.Inflight, attempts: int) -> None:
        self._cranks.recall(vat)
        row = schema.inflight_row(vat, inflight.number)
        self._state.set(schema.INFLIGHT, row, inflight._replace(attempts=attempts))
        self._outbox.deliveries.append(_deliver(vat, inflight))

    def _reject_inflight(self, vat: str, error: str) -> None:
        self._cranks.recall(vat)
        inflight = self._cranks.rewind(vat)
        if inflight.result is not None:
            self._promises.settle(inflight.result, kmarshal.serialize_error(error), is_reject=True)

    def redeliver(self) -> None:
        """After a start from a stored state: give again every delivery whose outcome is unknown.

        Calls of the host's services are not made again, but rejected, unless their services are idempotent.
        """
        for call in self._services.interrupted():
            self._transact(lambda call=call: self._services.interrupt(call))  # type: ignore[misc]
        for vat in self._state.rows(schema.COUNTERS):
            self._outbox.deliveries.extend(self.get_inflight(vat))

    def snapshot_taken(self, vat: str, image: HeapImage) -> None:
        """The vat's realm has handed its heap over: as it was after the last delivery that is complete.

        Raises:
            HostFault: it cannot be kept. Tell `heap_marked`.
        """
        if self._vats.is_alive(vat):
            self._transact(lambda: self._vats.snapshots.take(vat, image))

    def heap_marked(self, vat: str, reason: str) -> None:
        """The vat's realm was to hand its heap over and has collected its garbage, but nothing came of it."""
        if self._vats.is_alive(vat):
            self._log.fault(vat, "NoSnapshot", cut_middle(reason, self._limits.error_chars_max))
            self._transact(lambda: self._vats.snapshots.mark(vat))

    def parse_living_vat(self, call: Call) -> str:
        """The vat that a request about realms names.

        Raises:
            RequestError: the request is malformed, or there is no such vat.
        """
        jsonschema.validate(call.params, PARAMS[call.method], "params")
        return self._control.parse_living_vat(call.params["vat"])

    def note_recent(self, vats: list[str]) -> None:
        """Keep for the host which vats were in memory last; no part of the kernel looks at it."""
        if vats != self.get_recent():
            self._transact(lambda: self._state.set(schema.KERNEL, schema.RECENT, vats))

    def get_recent(self) -> list[str]:
        """What `note_recent` was told last."""
        return list(self._state.get(schema.KERNEL, schema.RECENT) or [])

    def heap_differs(self, vat: str, delivered: int, expected: str, actual: str) -> None:
        """A vat that was replayed has another heap than it had, though it did the same: it goes on."""
        self._log.fault(vat, "HeapDiffers", f"after delivery {delivered}: expected {expected}, actual {actual}")

    def snapshot_unusable(self, vat: str, delivered: int, reason: str, chunk: str = "") -> None:
        """A realm could not be restored: the snapshot goes, and all others that need `chunk`, if that is to blame."""
        self._log.fault(vat, "SnapshotUnusable", f"after delivery {delivered}: {reason}")
        self._transact(lambda: self._drop_snapshots(vat, delivered, chunk))

    def _drop_snapshots(self, vat: str, delivered: int, chunk: str) -> None:
        snapshots = self._vats.snapshots
        if chunk:
            snapshots.drop_chunk(chunk)
        if delivered in snapshots.get_mark(vat).kept:
            snapshots.drop(vat, delivered)

    def service_answered(self, call: str, value: object) -> None:
        """A service of the host's has carried out a call. A value that is not passable rejects it."""
        self._transact(lambda: self._services.answered(call, value))

    def service_failed(self, call: str, error: Exception) -> None:
        """A service of the host's could not carry out a call: the caller gets `error`."""
        self._transact(lambda: self._services.failed(call, error))

    def look_at_clock(self, now_ms: int) -> None:
        """The host says what time it is, before an input to which that may matter: a reply, a request."""
        self._log.time_ms = now_ms

    def dispatch(self, now_ms: int) -> None:
        """Fire timers that are due, and turn queue items into deliveries, as long as there are some that may begin.

        After that, take one step of removing what terminated vats have left; while `has_leftovers`, call again.
        """
        self.look_at_clock(now_ms)
        while (timer := self._services.timers.find_next()) is not None and timer[0] <= now_ms:
            self._transact(lambda number=timer[1]: self._services.timers.fire(number))  # type: ignore[misc]
        while self._transact(lambda: self._begin(now_ms)):
            pass
        for vat in self._state.rows(schema.LEFTOVERS)[:1]:
            self._transact(lambda vat=vat: self._garbage.clean(vat))  # type: ignore[misc]

    def _begin(self, now_ms: int) -> bool:
        """Begin what may begin, up to what may make more of it. Returns whether it came to that.

        Messages and notifies change nothing of each other's, so one transaction does for all that are ready.
        """
        while not (self._is_serial and self._state.count(schema.INFLIGHT)):
            vat = self._queues.find_next(self._cranks.may_begin)
            if vat is None:
                return False
            if not self._cranks.begin_next(vat, now_ms):
                return True
        return False

    # --- outputs --------------------------------------------------------------------------------

    def take_actions(self) -> Actions:
        """What the host may do at once; it owns the lists."""
        return self._outbox.take_actions()

    def take_commit(self) -> Commit:
        """What the host must make durable since the last call, and what may leave after that; it owns it."""
        return self._outbox.take_commit(self._state.take_delta())

    @property
    def has_responses(self) -> bool:
        """Whether somebody waits for the next commit."""
        return bool(self._outbox.responses)

    def observe(self, *, is_observed: bool) -> None:
        """Make log events, or stop making them."""
        self._log.is_observed = is_observed

    @property
    def is_busy(self) -> bool:
        """Whether a delivery or a call of the host's services is in flight, or the kernel has something to do."""
        is_waiting = self._state.count(schema.INFLIGHT) > 0 or self._state.count(schema.CALLS) > 0
        return is_waiting or self.has_leftovers or self._queues.find_next(self._cranks.may_begin) is not None

    @property
    def next_due_ms(self) -> int | None:
        """When `dispatch` must be called because of a timer; None if there is no timer."""
        timer = self._services.timers.find_next()
        return None if timer is None else timer[0]

    @property
    def has_leftovers(self) -> bool:
        """Whether `dispatch` has something to remove."""
        return self._state.count(schema.LEFTOVERS) > 0

    # --- what hosts ask -------------------------------------------------------------------------

    def find_snapshot(self, vat: str, base: str, until: int | None = None) -> schema.Snapshot | None:
        """The newest snapshot of a living vat that a realm with this base can be restored from.

        Args:
            until: not one that was taken after a later delivery.
        """
        return self._vats.snapshots.find(vat, base, until)

    def get_mark(self, vat: str) -> schema.Mark:
        """Where a living vat's heap was last looked at."""
        return self._vats.snapshots.get_mark(vat)

    def get_chain(self, vat: str) -> str:
        """The hash of the last entry of a living vat's transcript."""
        return self._counters_of(vat).chain

    def get_life(self, vat: str, snapshot: schema.Snapshot | None = None) -> list[Incarnation]:
        """What a realm needs to become the vat: its incarnations, the oldest first.

        Args:
            snapshot: what the realm was restored from: the first incarnation is its, and what is before it is left out.
        """
        record = self._vats.get(vat)
        firsts = [first for first, _, _ in record.sources[1:]]
        lasts = [*(first - 1 for first in firsts), self.get_delivered(vat)]
        life = [
            Incarnation(number, first, last, bundle, main)
            for number, ((first, bundle, main), last) in enumerate(zip(record.sources, lasts, strict=True))
        ]
        if snapshot is None:
            return life
        begun, *later = life[snapshot.incarnation :]
        return [replace(begun, first=snapshot.delivered + 1), *later]

    def get_spec(self, vat: str, incarnation: Incarnation, files: dict[str, str]) -> protocol.VatSpec:
        """The specification of one incarnation; `files` come from its bundle."""
        seed = self._state.get(schema.KERNEL, schema.SEED)
        # A realm knows all that its vat's random numbers derive from; it must not know that of others.
        own = self._crypto.digest(f"vat {vat} {seed}")
        return protocol.VatSpec(vat, incarnation.number, self._vats.get(vat).name, own, incarnation.main, files)

    def get_vat(self, vat: str) -> schema.Vat:
        return self._vats.get(vat)

    def get_delivered(self, vat: str) -> int:
        """Number of the vat's last completed delivery."""
        return int(self._counters_of(vat).delivered)

    def _counters_of(self, vat: str) -> schema.VatCounters:
        counters = self._state.get(schema.COUNTERS, vat)
        if counters is None:
            raise KernelBug(f"{vat} has no deliveries: it was terminated")
        assert isinstance(counters, schema.VatCounters)
        return counters

    def get_gas_spent(self, vat: str) -> int:
        """What a living vat has spent on services."""
        return self._meter.find_spent(vat)

    def is_alive(self, vat: str) -> bool:
        return self._vats.is_alive(vat)

    def living_vats(self) -> list[str]:
        return self._vats.living()

    def get_inflight(self, vat: str) -> list[Deliver]:
        """What a living vat was given and has not answered, in order: what to give to a realm made anew."""
        counters = self._counters_of(vat)
        numbers = range(counters.delivered + 1, counters.dispatched + 1)
        rows = [self._state.get(schema.INFLIGHT, schema.inflight_row(vat, number)) for number in numbers]
        return [_deliver(vat, row) for row in rows]

    def is_inflight(self, vat: str, number: int) -> bool:
        """Whether the vat still owes the reply to a delivery."""
        return self._state.get(schema.INFLIGHT, schema.inflight_row(vat, number)) is not None

    def get_dispatched(self, vat: str) -> int:
        """Number of the last delivery that the vat was given."""
        return int(self._counters_of(vat).dispatched)

    def find_promise_state(self, kpid: str) -> PromiseState | None:
        promise = self._state.get(schema.PROMISES, kpid)
        return None if promise is None else promise.state


class _GaveUp(VatFault):
    """The vat left, and said that it failed: its batch is dropped.

    Attributes:
        info: what it said, in its own references.
    """

    def __init__(self, info: CapData) -> None:
        super().__init__(f"the vat gave up: {_show(info)}")
        self.info = info


def _show(info: CapData) -> str:
    return cut_middle(kmarshal.render(info), DEFAULT_LIMITS.error_chars_max)


def _deliver(vat: str, inflight: schema.Inflight) -> Deliver:
    return Deliver(vat, inflight.number, protocol.dump_deliver(inflight.number, inflight.time_ms, inflight.text))
