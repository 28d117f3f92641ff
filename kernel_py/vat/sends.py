"""Eventual sends: where a message goes that the vat's code writes with `E`.

* To an object of another vat, or a promise that the kernel or another vat settles: a `send` syscall, at once. What
  is sent to a promise waits for it in the kernel, or goes ahead to the vat that settles it.
* To an object of this vat: a call in a later job, with a copy of the arguments.
* To a promise that this vat settles: to whatever it follows or becomes, in a later job.

Invariant: messages to one target, through one reference to it, arrive in the order in which they were sent.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import Any, NamedTuple

from kernel_py.vat.batch import Batch
from kernel_py.vat.copier import Copier, Packed
from kernel_py.vat.exo import find_iface
from kernel_py.vat.loop import Future, VatLoop
from kernel_py.vat.methods import get_method
from kernel_py.vat.presence import Presence, vref_of
from kernel_py.vat.promise import Promise, State, promise_for
from kernel_py.vat.slots import Slots
from kernel_py.wire.capdata import CapData, Message
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.limits import Limits
from kernel_py.wire.refs import Vref
from kernel_py.wire.smallcaps import Marshal
from kernel_py.wire.syscalls import Send, Subscribe

Call = list[Any]
"""A message's ``[method, args]`` or ``[method, args, kwargs]``."""


class _Local(NamedTuple):
    """A message on its way inside the vat."""

    packed: Packed
    result: Promise[Any]
    wants_result: bool


class Sends:
    """The owner of the vat's loop: what `E` hands messages to.

    Args:
        after_mention: told which references a syscall has mentioned, after it was made.
    """

    def __init__(
        self,
        loop: VatLoop,
        slots: Slots,
        batch: Batch,
        marshal: Marshal,
        *,
        limits: Limits,
        after_mention: Callable[[tuple[str, ...]], None],
    ) -> None:
        self._loop = loop
        self._slots = slots
        self._batch = batch
        self._marshal = marshal
        self._method_chars_max = limits.method_chars_max
        self._after_mention = after_mention
        self._copier = Copier(loop, limits)

    def send(self, target: object, method: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Promise[Any]:
        """Send a message; the promise of its result.

        Raises:
            MarshalError: an argument is not passable, or the message is over a limit. Nothing is sent.
        """
        result = self._send(target, self._make_call(method, args, kwargs), wants_result=True)
        assert result is not None
        return result

    def send_only(self, target: object, method: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Send a message whose result nobody wants. Raises as `send` does."""
        self._send(target, self._make_call(method, args, kwargs), wants_result=False)

    def _make_call(self, method: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        if type(method) is str and len(method) > self._method_chars_max:
            raise MarshalError(f"a method's name has at most {self._method_chars_max} characters", "method")
        return [method, args, kwargs] if kwargs else [method, args]

    def _send(self, target: object, call: Call, *, wants_result: bool) -> Promise[Any] | None:
        vref = self._find_kernel_target(target)
        if vref is not None:
            return self._send_to_kernel(vref, call, wants_result=wants_result)
        if isinstance(target, (Future, CoroutineType)):
            target = promise_for(self._loop, target)
        try:
            packed = self._copier.pack(call)
        except MarshalError as error:
            raise _name_argument(error) from None
        result: Promise[Any] = Promise(self._loop)
        self._send_here(target, _Local(packed, result, wants_result))
        return result

    # To the kernel -----------------------------------------------------------------------------

    def _find_kernel_target(self, target: object) -> Vref | None:
        """The reference to send to, if it is for the kernel to find who gets the message."""
        if isinstance(target, Presence):
            return vref_of(target)
        if isinstance(target, Promise) and target.vpid in self._slots.imported:
            target.mark_handled()  # if it is rejected, so is what is sent to it
            return Vref(target.vpid)
        return None

    def _send_to_kernel(self, target: Vref, call: Call, *, wants_result: bool) -> Promise[Any] | None:
        slots = self._slots
        slots.begin()
        try:
            data = self._serialize(call)
            vpid = slots.make_vpid() if wants_result else None
            self._batch.send(Send(target, Message(data, vpid)))
        except BaseException:
            slots.undo()
            raise
        if data.slots:
            self._after_mention(data.slots)
        if vpid is None:
            return None
        result: Promise[Any] = Promise(self._loop)
        slots.register_promise(vpid, result)
        slots.imported[vpid] = result
        self._batch.subscribe(Subscribe(vpid))
        return result

    def _serialize(self, call: Call) -> CapData:
        try:
            return self._marshal.serialize(call)
        except MarshalError as error:
            raise _name_argument(error) from None

    # Inside the vat ----------------------------------------------------------------------------

    def _send_here(self, target: object, message: _Local) -> None:
        if isinstance(target, Promise):
            target.post(lambda promise: self._send_on(promise, message))
        else:
            self._loop.enqueue(self._call, target, message)

    def _send_on(self, promise: Promise[Any], message: _Local) -> None:
        """The promise to which `message` was sent follows another one now, or has settled."""
        match promise.state:
            case State.PENDING:
                target: object = promise.followed
            case State.FULFILLED:
                target = promise.value
            case State.REJECTED:
                message.result.reject(promise.value)
                return
        vref = self._find_kernel_target(target)
        if vref is not None:
            try:
                call: Any = self._copier.unpack(message.packed)
                message.result.resolve(self._send_to_kernel(vref, call, wants_result=message.wants_result))
            except MarshalError as error:
                message.result.reject(error)
        else:
            self._send_here(target, message)

    def _call(self, target: object, message: _Local) -> None:
        result = message.result
        try:
            if find_iface(target) is None:
                raise TypeError(f"{target!r:.100} is data, and cannot be sent to")
            method, args, kwargs = parse_call(self._copier.unpack(message.packed))
            value = get_method(target, method)(*args, **kwargs)
            if isinstance(value, (Future, CoroutineType)):
                self._loop.as_future(value).add_done_callback(lambda future: self._finish_call(future, result))
            else:
                self._settle(result, value)
        except BaseException as error:  # noqa: BLE001 (whatever it is, it is the call's outcome)
            result.reject(error)

    def _finish_call(self, future: Future[Any], result: Promise[Any]) -> None:
        try:
            self._settle(result, future.result())
        except BaseException as error:  # noqa: BLE001 (whatever it is, it is the call's outcome)
            result.reject(error)

    def _settle(self, result: Promise[Any], value: object) -> None:
        result.resolve(value if isinstance(value, Promise) else self._copier.copy(value, "result"))


def parse_call(value: object) -> tuple[object, list[Any], dict[str, Any]]:
    """A message's method and arguments.

    Raises:
        MarshalError: it is no message. Another vat made it: it may be anything.
    """
    match value:
        case [method, list(args)]:
            return method, args, {}
        case [method, list(args), dict(kwargs)]:
            return method, args, kwargs
        case _:
            raise MarshalError("a message is [method, [args...]] or [method, [args...], {kwargs}]")


def _name_argument(error: MarshalError) -> MarshalError:
    """`error`, with the path as the sender wrote it: ``args[0]`` instead of ``[1][0]``."""
    text = str(error).removeprefix(f"{error.path}: ") if error.path else str(error)
    for prefix, name in (("[1]", "args"), ("[2]", "kwargs")):
        if error.path.startswith(prefix):
            return MarshalError(text, name + error.path[len(prefix) :])
    return MarshalError(text, "args")
