"""Liveslots: turns deliveries into calls of a vat's objects, and what they do into syscalls.

Owns the order of syscalls, which is part of the contract with the kernel:

* *message in*: `subscribe` for each new promise in the arguments, in the order in which they are decoded; then the
  call; then one `resolve` for the result, when it is there.
* *send to a presence or a kernel promise*: `send`; one `resolve` for argument promises whose settlement the kernel once
  knew, and for all such that these mention; then this vat's other new promises are followed, by name; `subscribe` to
  the result, wanted or not.
* *a promise of this vat that the kernel knows settles*: one `resolve` for it and for all that it mentions as above.
* *a promise is watched* (`watch_promise`): if this vat settles it, `subscribe` to it.
* *notify in*: each known promise settles, unknown ones are ignored; at the end, `subscribe` to the promises that the
  data brought and left pending, by name.

* *bringOutYourDead*: `dropImports`, `retireImports`, `retireExports`, as far as there is need of them.

Every promise that a `resolve` or notify settles loses its name. If it is sent again it gets a new one, and is resolved
under it right after the `send`.

Source: liveslots.js; the reference, 4.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import CoroutineType
from typing import Any, cast

from kernel_py.vat import schema
from kernel_py.vat.batch import Batch
from kernel_py.vat.collections import DurableMap
from kernel_py.vat.collector import Collect, Collector, collect_heap
from kernel_py.vat.counters import Counters
from kernel_py.vat.exo import find_iface
from kernel_py.vat.loop import Future, VatLoop
from kernel_py.vat.methods import get_method
from kernel_py.vat.pillars import NOTHING, Inheritance
from kernel_py.vat.presence import Presence, iface_of, vref_of
from kernel_py.vat.promise import Promise, State, promise_for
from kernel_py.vat.representative import Representative
from kernel_py.vat.sends import Sends, parse_call
from kernel_py.vat.slots import Slots, unknown_reference
from kernel_py.vat.store import VatStore
from kernel_py.vat.vdata import Vdata
from kernel_py.vat.watching import Watches
from kernel_py.wire.capdata import Message
from kernel_py.wire.deliveries import (
    BringOutYourDead,
    ChangeVatOptions,
    DeliverMessage,
    Delivery,
    Notify,
    RefDelivery,
    StartVat,
    StopVat,
)
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.limits import Limits
from kernel_py.wire.passable import RemoteError
from kernel_py.wire.refs import Vref, is_promise, is_vat_allocated
from kernel_py.wire.smallcaps import Marshal
from kernel_py.wire.syscalls import Exit, Resolution, Subscribe

Report = Callable[[str, BaseException | None], None]
"""Tells the console of an error: what it is, and the exception."""

_FIRST_ERROR_NUMBER = 70001


class Liveslots:
    """The object layer of one incarnation of a vat.

    Args:
        inheritance: what the last incarnation's `end` gave.
        collect: lets Python's collector take what it can.
    """

    def __init__(
        self,
        vat: str,
        store: VatStore,
        loop: VatLoop,
        *,
        limits: Limits,
        report: Report,
        inheritance: Inheritance = NOTHING,
        collect: Collect = collect_heap,
    ) -> None:
        self._vat = vat
        self._loop = loop
        self._report = report
        self._error_count = inheritance.error_count
        self._collected: list[str] | None = None
        self._counters = Counters(store)
        self.slots = Slots(self._counters)
        self.batch = Batch(limits)
        self.vdata = Vdata(vat, store, self._counters, self.slots, limits)
        self.vdata.pillars.inherit(inheritance)
        self._collector = Collector(self.slots, self.vdata, collect)
        self._watches = Watches(self.vdata, self._publish, report)
        self.marshal = Marshal(
            value_to_slot=self._value_to_slot,
            slot_to_value=self._slot_to_value,
            error_id=self._make_error_id,
            limits=limits,
        )
        self._sends = Sends(
            loop, self.slots, self.batch, self.marshal, limits=limits, after_mention=self._after_mention
        )
        loop.owner = self._sends
        loop.vdata = self.vdata
        loop.watches = self._watches

    # An incarnation ----------------------------------------------------------------------------

    def start(self) -> DurableMap[Any, Any]:
        """Begin the incarnation, before any of the vat's code runs; its baggage."""
        self.vdata.start()
        baggage = self.vdata.provide_root(schema.BAGGAGE)
        self._watches.provide_table()
        return baggage

    def finish_start(self, root: object) -> None:
        """The vat's code has built its root.

        Raises:
            TypeError: it has not defined all durable kinds that there are objects of, or not so that they fit.
        """
        undefined = self.vdata.kinds.list_undefined()
        if undefined:
            raise TypeError(
                f"the durable kinds {', '.join(undefined)} of the last incarnation are not defined in this one; "
                'define their classes, under new names as class X(Durable, kind="the old name")'
            )
        self.vdata.kinds.insist_on_types()
        self.slots.export_root(root)
        self._watches.start(self._inherit_promise)

    def end(self) -> Inheritance:
        """End the incarnation: nothing that is left of its code has an effect. What the next one inherits."""
        self.vdata.close()
        self._loop.end_tasks()
        return dataclasses.replace(self.vdata.pillars.bequeath(), error_count=self._error_count)

    # Deliveries --------------------------------------------------------------------------------

    def dispatch(self, delivery: Delivery) -> None:
        """Begin to carry out any delivery but startVat; the rest follows from running the loop.

        Raises:
            MarshalError: it names what this vat does not have: the kernel and the vat disagree.
        """
        match delivery:
            case DeliverMessage(target, message):
                self._deliver_message(target, message)
            case Notify(resolutions):
                self._deliver_notify(resolutions)
            case RefDelivery(op, vrefs):
                self._collector.deliver(op, vrefs)
            case BringOutYourDead():
                for syscall in self._collector.bring_out_your_dead():
                    self.batch.refs(syscall)
            case StopVat() | ChangeVatOptions():
                pass
            case StartVat():
                raise MarshalError("this vat has been started already")

    def finish(self) -> None:
        """Write back, at the end of a delivery, what is kept in memory during it."""
        self.vdata.flush()
        self._counters.flush()

    def _deliver_message(self, target: Vref, message: Message) -> None:
        if is_promise(target):
            receiver: object = self.slots.find_promise(target)
        else:
            receiver = self._find_export(target)
        if receiver is None:
            raise unknown_reference(target)
        result = message.result
        try:
            method, args, kwargs = parse_call(self.marshal.unserialize(message.methargs))
            if isinstance(receiver, Promise):
                value: object = self._sends.send(receiver, method, tuple(args), kwargs)
            else:
                value = get_method(receiver, method)(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 (whatever it is, it is the call's outcome)
            self._settle_result(result, State.REJECTED, error)
            return
        if isinstance(value, (Promise, Future, CoroutineType)):
            self._follow_result(result, value)
        else:
            self._settle_result(result, State.FULFILLED, value)

    def _settle_result(self, vpid: str | None, state: State, value: object) -> None:
        """Tell the kernel the outcome of a message whose result it called `vpid`."""
        if vpid is None:
            if state is State.REJECTED:
                self._report("a call whose result nobody wants failed", value)  # type: ignore[arg-type]
            return
        promise = self.slots.imported.pop(vpid, None)
        if promise is None:
            self._resolve(vpid, state, value)
            return
        # The vat held this promise as another's; now it was the one to settle it.
        if state is State.REJECTED:
            promise.reject(value)
        else:
            promise.resolve(value)
        promise.is_known = True
        self._resolve(vpid, state, value)

    def _follow_result(self, vpid: str | None, eventual: object) -> None:
        """Tell the kernel the outcome of `eventual`, a promise or the like, once it is there."""
        if vpid is None:
            promise: Promise[Any] = Promise(self._loop)
            promise.resolve(eventual)
            return
        known = self.slots.imported.pop(vpid, None)
        if known is None:
            known = Promise(self._loop)
            self.slots.register_promise(vpid, known)
        known.resolve(eventual)
        self._export_promise(vpid, known)

    def _deliver_notify(self, resolutions: tuple[Resolution, ...]) -> None:
        self._collected = []
        for resolution in resolutions:
            promise = self.slots.imported.get(resolution.promise)
            if promise is None:
                continue
            try:
                value = self.marshal.unserialize(resolution.data)
                is_reject = resolution.is_reject
            except MarshalError as error:
                value, is_reject = error, True
            promise.is_known = True
            if is_reject:
                promise.reject(value)
            else:
                promise.resolve(value)
        for resolution in resolutions:
            if resolution.promise in self.slots.imported:
                self.slots.forget_promise(resolution.promise)
        collected, self._collected = self._collected, None
        for vpid in sorted(collected):
            if vpid in self.slots.imported:
                self.batch.subscribe(Subscribe(Vref(vpid)))

    def _find_export(self, target: Vref) -> object | None:
        """The object or facet of this vat that the kernel can send to by that name."""
        if not schema.is_stored(target):
            return cast("object", self.slots.find(target))
        if not self.vdata.pillars.is_exported(target):
            return None
        return cast("object", self.vdata.provide(target))

    # Syscalls ----------------------------------------------------------------------------------

    def exit(self, reason: object, *, is_failure: bool) -> None:
        """Ask the kernel to end this vat when the delivery is over.

        Raises:
            MarshalError: `reason` is not passable, or over a limit.
            TypeError: `reason` is a promise, and the vat has not failed.
        """
        if isinstance(reason, Promise) and not is_failure:
            raise TypeError("the reason of a vat's end is not a promise: await it first")
        self.slots.begin()
        try:
            info = self.marshal.serialize(reason, "reason")
        except BaseException:
            self.slots.undo()
            raise
        self.batch.exit(Exit(is_failure, info))
        self._after_mention(info.slots)

    # Settlements -------------------------------------------------------------------------------

    def _publish(self, promise: Promise[Any]) -> str:
        """Let the kernel know `promise`, and tell how it settles, whatever becomes of this incarnation; its vpid."""
        vpid = self.slots.name_promise(promise)
        if vpid not in self.slots.imported:
            if vpid not in self.slots.exported:
                self._export_promise(vpid, promise)
            self.batch.subscribe(Subscribe(Vref(vpid)))
        return vpid

    def _inherit_promise(self, vpid: str) -> Promise[Any]:
        """The promise that an earlier incarnation knew as `vpid`: from now on, the kernel settles it."""
        promise: Promise[Any] = Promise(self._loop)
        self.slots.register_promise(vpid, promise)
        self.slots.imported[vpid] = promise
        return promise

    def _export_promise(self, vpid: str, promise: Promise[Any]) -> None:
        """This vat will tell the kernel how `promise` settles."""
        self.slots.exported[vpid] = promise
        promise.react(self._settle_exported)

    def _settle_exported(self, promise: Promise[Any]) -> None:
        vpid = promise.vpid
        if vpid is not None and self.slots.exported.get(vpid) is promise:
            promise.is_known = True
            self._resolve(vpid, promise.state, promise.value)

    def _resolve(self, vpid: str, state: State, value: object) -> None:
        """Tell the kernel how the promise it calls `vpid` settled, and all promises mentioned that it once knew."""
        first = self._make_resolution(vpid, state, value)
        if first.data.slots:
            self._append_resolutions(self._collect([first], first.data.slots), ())
        else:
            self.batch.resolve(first)
            self.slots.forget_promise(vpid)

    def _after_mention(self, mentioned: tuple[str, ...]) -> None:
        """A syscall has mentioned these: note the exports, resolve the known settlements, follow the new promises."""
        self._note_exports(mentioned)
        self._append_resolutions(self._collect([], mentioned), mentioned)

    def _collect(self, resolutions: list[Resolution], mentioned: tuple[str, ...]) -> list[Resolution]:
        """Add the known settlements that `mentioned` leads to, depth first."""
        done = {resolution.promise for resolution in resolutions}
        stack = [iter(mentioned)]
        while stack:
            slot = next(stack[-1], None)
            if slot is None:
                stack.pop()
            elif slot not in done and is_promise(Vref(slot)):
                promise = self.slots.find_promise(slot)
                if promise is not None and promise.is_known and promise.state is not State.PENDING:
                    done.add(slot)
                    resolution = self._make_resolution(slot, promise.state, promise.value)
                    resolutions.append(resolution)
                    stack.append(iter(resolution.data.slots))
        return resolutions

    def _make_resolution(self, vpid: str, state: State, value: object) -> Resolution:
        """One settlement as capdata; what cannot be passed becomes a rejection that says so."""
        self.slots.begin()
        try:
            data = self.marshal.serialize(value, "result")
        except MarshalError as error:
            self.slots.undo()
            return Resolution(vpid, is_reject=True, data=self.marshal.serialize(error))
        self._note_exports(data.slots)
        return Resolution(vpid, state is State.REJECTED, data)

    def _append_resolutions(self, resolutions: list[Resolution], mentioned: tuple[str, ...]) -> None:
        """Make the resolve, and follow the promises of this vat that are new to the kernel in it or in `mentioned`."""
        slots = self.slots
        promises = [slot for slot in mentioned if slot[0] == "p"]
        if resolutions:
            self.batch.resolve(*resolutions)
            for resolution in resolutions:
                slots.forget_promise(resolution.promise)
                promises += [slot for slot in resolution.data.slots if slot[0] == "p"]
        for slot in sorted(promises):
            promise = slots.find_promise(slot)
            if promise is not None and slot not in slots.imported and slot not in slots.exported:
                self._export_promise(slot, promise)

    # References --------------------------------------------------------------------------------

    def _note_exports(self, mentioned: tuple[str, ...]) -> None:
        """A syscall has mentioned these: the kernel reaches those that are this vat's."""
        for slot in mentioned:
            if schema.is_stored(slot):
                self.vdata.pillars.export(slot)
            elif slot.startswith("o+"):
                self.slots.retain(Vref(slot))

    def _value_to_slot(self, value: object) -> tuple[str, str | None] | None:
        if isinstance(value, Presence):
            return vref_of(value), iface_of(value)
        if isinstance(value, Promise):
            value.mark_handled()  # whoever gets it can look at it
            return self.slots.name_promise(value), None
        if isinstance(value, (Future, CoroutineType)):
            return self.slots.name_promise(promise_for(self._loop, value)), None
        iface = find_iface(value)
        if isinstance(value, Representative):
            return self.vdata.get_vref(value), iface
        return None if iface is None else (self.slots.name_export(value), iface)

    def _slot_to_value(self, slot: str, iface: str | None, is_promise_wanted: bool) -> object:  # noqa: FBT001
        vref = Vref(slot)
        if is_promise(vref) is not is_promise_wanted:
            raise MarshalError(f"the body takes {slot} for {'a promise' if is_promise_wanted else 'an object'}")
        if is_promise_wanted:
            promise = self.slots.find_promise(slot)
            return self._import_promise(vref) if promise is None else promise
        if is_vat_allocated(vref):
            value = self.vdata.provide(slot) if schema.is_stored(slot) else self.slots.find(slot)
            if value is None:
                raise unknown_reference(slot)
            return value
        return self.slots.provide_presence(vref, iface)

    def _import_promise(self, vpid: Vref) -> Promise[Any]:
        if is_vat_allocated(vpid) and not self._counters.is_inherited("promiseID", int(vpid[2:])):
            raise unknown_reference(vpid)
        promise: Promise[Any] = Promise(self._loop)
        promise.mark_handled()  # whoever sent for its result is asked to look at it, not this vat
        self.slots.register_promise(vpid, promise)
        self.slots.imported[vpid] = promise
        if self._collected is None:
            self.batch.subscribe(Subscribe(vpid))
        else:
            self._collected.append(vpid)
        return promise

    def _make_error_id(self, error: BaseException) -> str | None:
        """An id by which the console of this delivery and whoever gets the error can find each other."""
        if isinstance(error, RemoteError):
            if (
                error.error_id is not None and error.__traceback__ is not None
            ):  # it was raised here as well, by an await
                self._report(error.error_id, error)
            return error.error_id
        error_id = f"error:liveSlots:{self._vat}#{_FIRST_ERROR_NUMBER + self._error_count}"
        self._error_count += 1
        self._report(error_id, error)
        return error_id
