"""Cranks: a queue item becomes a delivery, a reply becomes changes of the kernel's state.

Each half is one transaction. `begin_next` translates an item to the vat's references and moves it to
``inflight``; `complete` validates the whole batch, then applies it. A batch with one illegal syscall
is illegal as a whole: `complete` raises and the caller drops the transaction.

A vat's c-list changes only here, between its own deliveries, so parallel cranks cannot interfere.

Several deliveries may be in flight to one vat, which it carries out one after the other; each is still a crank of its
own. `may_begin` says which may follow without waiting for the replies to those before: what it lets pass is
translated as it would have been after them. That fails only where a reply may change the c-list entries
that the translation finds:
    * promises that the vat decides leave the c-list when it resolves them: what mentions one waits, and so does a
      message whose result the vat knows already, because it decides it from the dispatch on;
    * a message to such a promise, for a pipelining vat, waits for the same reason;
    * a notify takes promises from the c-list that a syscall made before it may still mention: it waits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kernel_py.core import kmarshal, schema
from kernel_py.core.garbage import Garbage
from kernel_py.core.interceptors import Part
from kernel_py.core.outputs import Deliver
from kernel_py.core.promises import Promises
from kernel_py.core.queues import message_mentions
from kernel_py.core.references import Learned
from kernel_py.core.schema import (
    NO_MARK,
    Inflight,
    ItemKind,
    KernelPromise,
    Mark,
    PromiseState,
    QueuedMessage,
    QueueItem,
    Vat,
    VatCounters,
    VatState,
    inflight_row,
)
from kernel_py.core.shared import Shared
from kernel_py.core.transcripts import annotate_entry, seal_entry
from kernel_py.wire import canonical, protocol
from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import DeliveryFault, IllegalSyscall, KernelBug
from kernel_py.wire.limits import Limits
from kernel_py.wire.refs import ROOT_VREF, Kref, Vref, is_promise
from kernel_py.wire.syscalls import (
    Exit,
    RefOp,
    RefSyscall,
    Resolve,
    Send,
    Subscribe,
    Syscall,
    check_size,
    mentioned_vrefs,
    parse_syscall,
)

Where = tuple[str, int]
"""A vat and the number of its delivery."""

Handlers = Mapping[str, Callable[[Where, Any], Exit | None]]
"""What carries out a syscall, by its name. Called once the whole batch is known to be well-formed; it checks what the
vat may, and raises IllegalSyscall. It returns an exit that the vat asked for."""

_NAMES: dict[type[Syscall], str] = {Send: "send", Subscribe: "subscribe", Resolve: "resolve", Exit: "exit"}

_FOLLOWED = (ItemKind.MESSAGE, ItemKind.NOTIFY)
"""What other deliveries may go ahead after: their replies change no entries but those that `may_begin` looks at."""

_CLEAN = (ItemKind.REAP, ItemKind.OPTIONS)
"""What does not count towards the next bringOutYourDead: nothing of the vat's code runs in it."""

_IFACE = re.compile(r'"\$(\d{1,6})\.Alleged: ([^"\\]{1,100})"')


class Cranks:
    """Dispatch and completion over one state."""

    def __init__(
        self, shared: Shared, promises: Promises, garbage: Garbage, choose_handlers: Callable[[Handlers], Handlers]
    ) -> None:
        self._state = shared.state
        self._references = shared.references
        self._queues = shared.queues
        self._log = shared.log
        self._limits = shared.limits
        self._promises = promises
        self._garbage = garbage
        self._counters: Mapping[str, VatCounters] = shared.state.view(schema.COUNTERS)
        self._inflight: Mapping[str, Inflight] = shared.state.view(schema.INFLIGHT)
        self._vats: Mapping[str, Vat] = shared.state.view(schema.VATS)
        self._marks: Mapping[str, Mark] = shared.state.view(schema.MARKS)
        self._interceptors = shared.interceptors
        self._handlers = choose_handlers(
            {
                "send": self._apply_send,
                "subscribe": self._apply_subscribe,
                "resolve": self._apply_resolve,
                "exit": self._apply_exit,
                **dict.fromkeys([op.value for op in RefOp], self._apply_collection),
            }
        )
        self.begin_upgrade: Callable[[str], CapData]
        self.retire_old: Callable[[str], None]

    # --- dispatch -------------------------------------------------------------------------------

    def may_begin(self, vat: str, item: QueueItem) -> bool:
        """Whether the head of the vat's queue may be dispatched now. See the module's docstring."""
        if self._vats[vat].state is VatState.PAUSED:
            return False
        delivered, dispatched, *_ = self._counters[vat]
        if dispatched == delivered:
            return True
        if item.kind is not ItemKind.MESSAGE or dispatched - delivered >= self._limits.deliveries_inflight_max:
            return False
        message: QueuedMessage = item.payload
        if self._inflight[inflight_row(vat, delivered + 1)].attempts > 1:
            return False  # it may have been the cause of a host fault: it goes alone
        last = self._inflight[inflight_row(vat, dispatched)]
        body_chars = max(len(message.body), len(last.text))
        if last.kind not in _FOLLOWED or body_chars > self._limits.inflight_body_chars_max:
            return False
        if message.result is not None and self._references.find_entry(vat, message.result) is not None:
            return False
        return not any(self._promises.is_decided_by(vat, kref) for kref in message_mentions(message))

    def begin_next(self, vat: str, now_ms: int) -> bool:
        """Turn the head of an idle vat's queue into a delivery, or into nothing if it has become moot.

        Returns:
            whether it was a message or notify, and became a delivery: others can be begun in the same transaction.
        """
        item = self._queues.take_head(vat)
        number = self._counters[vat].dispatched + 1
        learned = Learned()
        result: str | None = None
        delivery: list[Any] | None
        match item.kind:
            case ItemKind.MESSAGE if self._references.find_owner(item.payload.target) != vat:
                delivery = None  # the vat has abandoned it, or it was revoked
                self._promises.send(item.payload)
                self._queues.release(item.kind, item.payload)
            case ItemKind.MESSAGE:
                delivery = self._translate_message(vat, number, item.payload, learned)
                result = item.payload.result
                self._queues.release(item.kind, item.payload)
            case ItemKind.PIPELINED:
                message = self._promises.take_pipelined(vat, item.payload)
                delivery = None
                if message is not None:
                    delivery = self._translate_message(vat, number, message, learned)
                    result = message.result
                    self._queues.release(ItemKind.MESSAGE, message)
                self._queues.release(item.kind, item.payload)
            case ItemKind.OPTIONS:
                delivery = ["changeVatOptions", item.payload]
            case ItemKind.NOTIFY:
                delivery = self._translate_notify(vat, number, item.payload, learned)
            case ItemKind.START:
                body, slots = item.payload
                delivery = ["startVat", self._data_to_vat(vat, CapData(body, slots), learned)]
                self._queues.release(item.kind, item.payload)
            case ItemKind.COLLECT:
                delivery = self._garbage.begin(vat)
            case ItemKind.REAP:
                delivery = ["bringOutYourDead"]
            case ItemKind.UPGRADE:
                delivery = ["startVat", self._data_to_vat(vat, self.begin_upgrade(vat), learned)]
        if delivery is None:
            self._queues.offer(vat)
            return False
        text = canonical.dump(delivery)
        delivered, _, next_object, next_promise, head, tail, dirt, chain = self._counters[vat]
        inflight = Inflight(
            number,
            now_ms,
            text,
            1,
            ItemKind.MESSAGE if item.kind is ItemKind.PIPELINED else item.kind,
            item.sequence,
            result,
            tuple(learned.imports),
            tuple(learned.reached),
            next_object,
            next_promise,
            tuple(learned.passing),
        )
        self._state.set(schema.INFLIGHT, inflight_row(vat, number), inflight)
        counters = VatCounters(delivered, number, next_object, next_promise, head, tail, dirt, chain)
        self._state.set(schema.COUNTERS, vat, counters)
        self._queues.offer(vat)
        self._log.outbox.deliveries.append(Deliver(vat, number, protocol.dump_deliver(number, now_ms, text)))
        return item.kind in _FOLLOWED

    def _data_to_vat(self, vat: str, data: CapData, learned: Learned) -> dict[str, Any]:
        slots = [self._references.kref_to_vref(vat, kref, learned) for kref in data.slots]
        return {"body": data.body, "slots": slots}

    def _translate_message(self, vat: str, number: int, message: QueuedMessage, learned: Learned) -> list[Any]:
        call = CapData(message.body, message.slots)
        self._log.message("Got", (vat, number), message.target, call, message.result)
        target = self._references.kref_to_vref(vat, message.target, learned)
        methargs = self._data_to_vat(vat, call, learned)
        result = None
        if message.result is not None:
            self._promises.set_decider(message.result, vat)
            result = self._references.kref_to_vref(vat, message.result, learned)
        return ["message", target, {"methargs": methargs, "result": result}]

    def _translate_notify(self, vat: str, number: int, first: str, learned: Learned) -> list[Any] | None:
        """One delivery for all the notifies at the head of the queue, as far as it has room; None if all are moot."""
        room = _Room(self._limits)
        room.take(self._references.get_promise(first))
        kpids = [first, *self._queues.take_notifies(vat, lambda kpid: room.admit(self._references.get_promise(kpid)))]
        batch = self._find_settled(vat, kpids, room)
        delivery: list[Any] | None = None
        if batch:
            self._log.notified((vat, number), list(batch))
            delivery = ["notify", self._data_of_settled(vat, batch, learned)]
        for kpid in batch:
            self._references.delete_entry(vat, kpid)
        for kpid in kpids:
            self._references.drop_hold(kpid)
        return delivery

    def _find_settled(self, vat: str, kpids: list[str], room: _Room) -> dict[str, KernelPromise]:
        """The settlements among `kpids` that the vat waits for, and what they mention, depth first.

        Mentioned promises for which there is no room are left out: to the vat they are promises like others, and
        subscribing to them brings their settlement at once.
        """
        batch: dict[str, KernelPromise] = {}
        due = {kpid for kpid in kpids if self._references.find_entry(vat, kpid) is not None}
        stack = [kpid for kpid in reversed(kpids) if kpid in due]
        while stack:
            kpid = stack.pop()
            promise = self._references.get_promise(kpid)
            if kpid in batch or promise.state is PromiseState.UNRESOLVED:
                continue
            if kpid not in due and not room.admit(promise):
                continue
            batch[kpid] = promise
            if not room.is_full:
                stack.extend(kref for kref in reversed(promise.slots) if kref[1] == "p")
        return batch

    def _data_of_settled(self, vat: str, batch: dict[str, KernelPromise], learned: Learned) -> list[Any]:
        """The settlements in the vat's references. They leave the c-list, so none of them is an import to undo."""
        resolutions: list[Any] = []
        for kpid, promise in batch.items():
            vpid = self._references.kref_to_vref(vat, kpid, learned)
            data = self._data_to_vat(vat, CapData(promise.body, promise.slots), learned)
            resolutions.append([vpid, promise.state is PromiseState.REJECTED, data])
        passing = [kref for kref in learned.imports if kref in batch]
        learned.passing += [f"{self._references.kref_to_vref(vat, kref, learned)} {kref}" for kref in passing]
        learned.imports[:] = [kref for kref in learned.imports if kref not in batch]
        return resolutions

    # --- completion -----------------------------------------------------------------------------

    def complete(self, vat: str, done: protocol.Done) -> tuple[ItemKind, Exit | None]:
        """Apply a vat's reply. Returns what kind of delivery it answers, and the exit it asked for.

        An exit's information has krefs; but that of a failure still has vrefs, since the batch is to be dropped.

        Raises:
            VatFault: the reply is illegal, or says that the delivery failed. The transaction must be dropped.
        """
        delivered, dispatched = self._counters[vat][:2]
        if done.number != delivered + 1 or delivered == dispatched:
            raise IllegalSyscall(f"a reply to delivery {done.number}, which is not the next that was sent")
        inflight = self._inflight[inflight_row(vat, done.number)]
        if done.error is not None:
            raise DeliveryFault(done.error)
        batch = parse_batch(done.syscalls, self._limits)
        if dispatched != done.number:
            _check_known(batch, inflight)
        names = self._names_of(vat, inflight)
        if inflight.kind is ItemKind.UPGRADE:
            self.retire_old(vat)
        leave = self._apply_batch((vat, done.number), batch)
        entry = protocol.dump_transcript_entry(
            done.number, inflight.time_ms, inflight.text, canonical.dump(done.syscalls), None
        )
        crank = self._state.next_number(schema.CRANKS)
        names.update(self._references.take_exports())
        _, _, next_object, next_promise, head, tail, dirt, chain = self._counters[vat]
        mark = self._marks.get(vat, NO_MARK)
        noted = annotate_entry(entry, crank, names, mark[1:3] if mark.delivered == delivered > 0 else None)
        sealed, chain = seal_entry(noted, chain)
        self._state.append_transcript(vat, done.number, sealed)
        dirt += inflight.kind not in _CLEAN
        counters = VatCounters(done.number, dispatched, next_object, next_promise, head, tail, dirt, chain)
        self._state.set(schema.COUNTERS, vat, counters)
        reap_interval = self._vats[vat].reap_interval
        if reap_interval and counters.dirt >= reap_interval:
            self._garbage.reap(vat)
        self._state.delete(schema.INFLIGHT, inflight_row(vat, done.number))
        self._queues.offer(vat)
        return inflight.kind, leave

    def _names_of(self, vat: str, inflight: Inflight) -> dict[str, str]:
        """The krefs, by vref, of what the delivery was the first to mention to the vat: the log is made from them."""
        names = {}
        for item in inflight.passing:
            vref, _, kref = item.partition(" ")
            names[vref] = kref
        for kref in inflight.imports:
            entry = self._references.find_entry(vat, kref)
            if entry is not None:
                names[entry.vref] = kref
        if inflight.kind is ItemKind.START:
            names[ROOT_VREF] = self._state.get(schema.VATS, vat).root
        return names

    def _apply_batch(self, where: Where, syscalls: Sequence[Syscall]) -> Exit | None:
        leave: Exit | None = None
        is_watched = self._interceptors.is_on(Part.SYSCALLS)
        for syscall in syscalls:
            name = syscall.op.value if isinstance(syscall, RefSyscall) else _NAMES[type(syscall)]
            handle = self._handlers[name]
            if is_watched:
                asked = self._interceptors.call(Part.SYSCALLS, name, handle, where, syscall)
            else:
                asked = handle(where, syscall)
            if leave is None:
                leave = asked
        return leave

    def _apply_subscribe(self, where: Where, syscall: Subscribe) -> None:
        vat = where[0]
        self._promises.subscribe(vat, self._references.vref_to_kref(vat, syscall.promise))

    def _apply_exit(self, where: Where, syscall: Exit) -> Exit:
        if not syscall.is_failure and _is_promise(syscall.info):
            raise IllegalSyscall("cannot leave with a promise")
        info = self.data_to_kernel(where[0], syscall.info)
        return syscall if syscall.is_failure else Exit(syscall.is_failure, info)

    def _apply_collection(self, where: Where, syscall: RefSyscall) -> None:
        self._garbage.apply(where[0], syscall, self._find_ahead(*where))

    def _find_ahead(self, vat: str, number: int) -> frozenset[str]:
        """The references in what the vat was given after delivery `number`."""
        rows = (inflight_row(vat, later) for later in range(number + 1, self._counters[vat].dispatched + 1))
        messages = (canonical.load(self._inflight[row].text) for row in rows)
        return frozenset(vref for message in messages for vref in (message[1], *message[2]["methargs"]["slots"]))

    def data_to_kernel(self, vat: str, data: CapData) -> CapData:
        """Capdata in the kernel's references; what the vat has made itself and mentions first is registered.

        Raises:
            IllegalSyscall: it mentions what the vat does not hold.
        """
        if not data.slots:
            return data
        ifaces = _find_ifaces(data)
        slots = tuple(
            self._references.vref_to_kref(vat, Vref(slot), ifaces.get(index, ""))
            for index, slot in enumerate(data.slots)
        )
        return CapData(data.body, slots)

    def _apply_send(self, where: Where, syscall: Send) -> None:
        vat = where[0]
        target = self._references.vref_to_kref(vat, syscall.target)
        data = self.data_to_kernel(vat, syscall.message.methargs)
        result: str | None = None
        if syscall.message.result is not None:
            result = self._add_result(vat, Vref(syscall.message.result), target)
        self._log.message("Sent", where, target, data, result)
        self._promises.send(QueuedMessage(target, data.body, data.slots, result))

    def _add_result(self, vat: str, vpid: Vref, target: Kref) -> str:
        """The result of a send; a pipelining vat may name a promise that it decides, and hands that on."""
        kpid = self._references.find_kref(vat, vpid) if self._vats[vat].is_pipelining else None
        if kpid is None:
            return self._references.add_result(vat, vpid)
        if not self._promises.is_decided_by(vat, kpid):
            raise IllegalSyscall(f"a send's result must be new, or a promise that the vat decides, not {vpid}")
        if not self._promises.hand_on(kpid, target):
            raise IllegalSyscall(f"{vpid} is handed on to a promise that no vat decides")
        return kpid

    def _apply_resolve(self, where: Where, syscall: Resolve) -> None:
        vat = where[0]
        resolutions = syscall.resolutions
        kpids: dict[Kref, None] = {}
        for resolution in resolutions:
            kpid = self._references.vref_to_kref(vat, Vref(resolution.promise))
            promise = self._references.get_promise(kpid)
            if promise.decider != vat or promise.state is not PromiseState.UNRESOLVED or kpid in kpids:
                raise IllegalSyscall(f"the vat may not resolve {resolution.promise}: it does not decide it")
            if not resolution.is_reject and _is_promise(resolution.data):
                raise IllegalSyscall(f"cannot resolve {resolution.promise} to a promise")
            kpids[kpid] = None
        datas = [self.data_to_kernel(vat, resolution.data) for resolution in resolutions]
        for kpid, resolution, data in zip(kpids, resolutions, datas, strict=True):
            self._log.settled(where, kpid, data, is_reject=resolution.is_reject)
            self._promises.settle(kpid, data, is_reject=resolution.is_reject)
        for kpid in kpids:
            self._references.delete_entry(vat, kpid)

    # --- undoing a dispatch ---------------------------------------------------------------------

    def rewind(self, vat: str) -> Inflight:
        """Forget the one dispatch in flight: the vat was put back to before it, so it never saw the imports."""
        delivered, dispatched = self._counters[vat][:2]
        if dispatched != delivered + 1:
            raise KernelBug(f"{vat} has {dispatched - delivered} deliveries in flight: only one can be rewound")
        return self._undo_last(vat)

    def recall(self, vat: str) -> None:
        """Take back all that is in flight but the first: the vat was put back to before it, and will not see them."""
        while self._counters[vat].dispatched > self._counters[vat].delivered + 1:
            row = inflight_row(vat, self._counters[vat].dispatched)
            item = self._recover_item(vat, self._inflight[row])
            self._queues.put_back(vat, item)
            self._undo_last(vat)

    def _recover_item(self, vat: str, inflight: Inflight) -> QueueItem:
        """The queue item from which a message in flight was made. All that it mentions is still in the c-list."""
        match canonical.load(inflight.text):
            case ["message", target, {"methargs": {"body": body, "slots": slots}}]:
                pass
            case _:
                raise KernelBug(f"{vat} was given something but messages ahead: {inflight.text:.200}")
        krefs = [self._references.vref_to_kref(vat, Vref(vref)) for vref in (target, *slots)]
        message = QueuedMessage(krefs[0], body, tuple(krefs[1:]), inflight.result)
        return QueueItem(inflight.sequence, ItemKind.MESSAGE, message)

    def _undo_last(self, vat: str) -> Inflight:
        counters = self._counters[vat]
        row = inflight_row(vat, counters.dispatched)
        inflight = self._inflight[row]
        if inflight.result is not None:
            self._promises.set_decider(inflight.result, None)
        for kref in inflight.imports:
            self._references.delete_entry(vat, kref)
        for kref in inflight.reached:
            self._references.set_unreachable(vat, kref)
        self._state.delete(schema.INFLIGHT, row)
        self._state.set(schema.COUNTERS, vat, counters._replace(dispatched=counters.dispatched - 1))
        self._queues.offer(vat)
        return inflight


class _Room:
    """What one notify may still carry. It may be overdrawn by one settlement, so the first always fits."""

    __slots__ = ("_body_chars", "_promises", "_slots")

    def __init__(self, limits: Limits) -> None:
        self._promises = limits.notify_batch_max
        self._body_chars = limits.body_chars_max
        self._slots = limits.slots_max

    def admit(self, promise: KernelPromise) -> bool:
        """Take it, unless the room is full."""
        if self.is_full:
            return False
        self.take(promise)
        return True

    def take(self, promise: KernelPromise) -> None:
        self._promises -= 1
        self._body_chars -= len(promise.body)
        self._slots -= len(promise.slots)

    @property
    def is_full(self) -> bool:
        return self._promises <= 0 or self._body_chars <= 0 or self._slots <= 0


def parse_batch(values: list[Any], limits: Limits) -> list[Syscall]:
    """Parse and size-check every syscall of a batch.

    Raises:
        IllegalSyscall: one of them is malformed; the message says which.
    """
    syscalls: list[Syscall] = []
    for index, value in enumerate(values):
        try:
            syscall = parse_syscall(value)
        except IllegalSyscall as error:
            raise IllegalSyscall(f"syscall {index}: {error}") from error
        excess = check_size(syscall, limits)
        if excess is not None:
            raise IllegalSyscall(f"syscall {index}: {excess}")
        syscalls.append(syscall)
    return syscalls


def _check_known(batch: list[Syscall], inflight: Inflight) -> None:
    """A vat that was given deliveries ahead may not make use of them before their turn: they may yet be recalled."""
    for syscall in batch:
        for vref in mentioned_vrefs(syscall):
            if vref[1] == "-":
                first_unknown = inflight.next_promise if vref[0] == "p" else inflight.next_object
                if int(vref[2:]) >= first_unknown:
                    raise IllegalSyscall(f"{vref} was given to this vat in a later delivery")


def _is_promise(data: CapData) -> bool:
    return len(data.slots) == 1 and is_promise(Vref(data.slots[0])) and kmarshal.find_single_slot(data) is not None


def _find_ifaces(data: CapData) -> dict[int, str]:
    """Interface names by slot index, as the body's text shows them; only ever displayed."""
    return {int(index): name for index, name in _IFACE.findall(data.body)}
