r"""Promises: values that are not there yet, shared by many waiters and passed between vats.

Owns the life of a promise inside its vat:

    PENDING --resolve(value)--> FULFILLED
       |  \\--reject(error)---> REJECTED
       \\--resolve(promise)--> PENDING, following that promise, until it settles

Invariants:
    * A promise settles once; later attempts are ignored.
    * Every await waits on a future of its own: cancelling one waiter cancels nothing for the others.
    * What happens because a promise settled happens in a later job, in the order of asking.
    * A promise is never fulfilled with a promise, future or coroutine: it follows it.

Which promises the kernel knows, and by what name, is `kernel_py.vat.slots`'s business; the fields
`vpid` and `is_known` here belong to it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from enum import Enum, auto
from types import CoroutineType, TracebackType
from typing import Any, Generic, TypeVar, cast

from kernel_py.vat.loop import CancelledError, Future, VatLoop, VatTask, running_vat_loop
from kernel_py.wire.passable import RemoteError, Tagged, make_remote_error

T = TypeVar("T")

_CONTAINERS = (list, dict, Tagged)
Reaction = Callable[["Promise[Any]"], object]


class State(Enum):
    PENDING = auto()
    FULFILLED = auto()
    REJECTED = auto()


class VatUpgraded(RemoteError):
    """A promise's vat was upgraded before it settled it: nobody will. Whoever wants the result must ask again.

    Attributes:
        incarnation_number: the incarnation that was to settle it.
    """

    def __init__(self, message: str, incarnation_number: int) -> None:
        super().__init__(message, name="VatUpgraded")
        self.incarnation_number = incarnation_number

    def __reduce__(self) -> tuple[object, ...]:
        return VatUpgraded, (self.message, self.incarnation_number)


class Promise(Generic[T]):
    """A value that is there already, later, or never. ``await`` it, pass it, or send to it with ``E``.

    Attributes:
        vpid: the name under which the kernel knows it now, or None.
        is_known: whether the kernel knows how it settled.
    """

    __slots__ = (
        "__weakref__",
        "_followed",
        "_is_forwarding",
        "_is_handled",
        "_loop",
        "_mail",
        "_reactions",
        "_state",
        "_traceback",
        "_value",
        "is_known",
        "vpid",
    )

    def __init__(self, loop: VatLoop) -> None:
        self._loop = loop
        self._state = State.PENDING
        self._value: Any = None
        self._traceback: TracebackType | None = None
        self._followed: Promise[Any] | None = None
        self._reactions: list[Reaction | Future[None]] = []
        self._mail: list[Reaction] | None = None
        self._is_forwarding = False
        self._is_handled = False
        self.vpid: str | None = None
        self.is_known = False

    # For vat code ------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, T]:
        self._is_handled = True
        if self._state is State.PENDING:
            waiter: Future[None] = self._loop.create_future()
            self._reactions.append(waiter)
            try:
                yield from waiter
            finally:
                if self._state is State.PENDING:  # the waiter was cancelled
                    self._reactions.remove(waiter)
        if self._state is State.REJECTED:
            raise self.error().with_traceback(self._traceback)
        return cast("T", self._value)

    def __del__(self) -> None:
        # Another vat can make a chain of settled promises of any length. Taking it down by recursion, as Python does,
        # overflows the stack of a WebAssembly realm.
        if isinstance(self._value, _CONTAINERS):
            loop = self._loop
            loop.graves.append(self._value)
            self._value = None
            loop.dig()

    def __repr__(self) -> str:
        match self._state:
            case State.PENDING:
                return "<Promise pending>"
            case State.FULFILLED:
                return f"<Promise fulfilled: {self._value!r:.100}>"
            case State.REJECTED:
                return f"<Promise rejected: {self._value!r:.100}>"

    def __copy__(self) -> Promise[T]:
        return self

    def __deepcopy__(self, memo: object) -> Promise[T]:
        return self

    def __reduce__(self) -> str:
        raise TypeError("a promise is a reference, and has no copy")

    # For the vat's machinery -------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._state

    @property
    def value(self) -> Any:
        """What it was fulfilled or rejected with; None while it is pending."""
        return self._value

    @property
    def followed(self) -> Promise[Any] | None:
        """The promise that this one, still pending, will settle like."""
        return self._followed

    def error(self) -> BaseException:
        """What awaiting a rejected promise raises. Other vats may reject with what is not an error."""
        match self._value:
            case BaseException():
                return self._value
            case {"name": "vatUpgraded", "incarnationNumber": int(number), "upgradeMessage": str(message)}:
                return VatUpgraded(message, number)
            case _:
                pass
        return make_remote_error("Error", f"rejected with {self._value!r:.200}", None)

    def unhandled_error(self) -> BaseException | None:
        return None if self._is_handled else self.error()

    def mark_handled(self) -> None:
        """Somebody will learn how it settles."""
        self._is_handled = True

    def react(self, reaction: Reaction) -> None:
        """Call `reaction` with this promise, in a later job, once it has settled."""
        self._is_handled = True
        if self._state is State.PENDING:
            self._reactions.append(reaction)
        else:
            self._loop.enqueue(reaction, self)

    def post(self, forward: Reaction) -> None:
        """Leave a message: call `forward` with this promise, in a later job, once it has settled or follows another.

        What was posted first is forwarded first. A message that was forwarded to the promise that this one follows is
        on its way from there before this one settles, so that none sent later can overtake it.
        """
        self._is_handled = True
        if self._mail is None:
            self._mail = []
        self._mail.append(forward)
        self._forward_mail()

    def resolve(self, value: object) -> None:
        """Fulfil with `value`; or follow it, if it is a promise, a future or a coroutine."""
        if self._state is not State.PENDING or self._followed is not None:
            if isinstance(value, CoroutineType):
                value.close()  # nobody will run it, and Python would complain when it is collected
            return
        if isinstance(value, Promise):
            self._follow(value)
        elif isinstance(value, (Future, CoroutineType)):
            self._follow(promise_for(self._loop, value))
        else:
            self._settle(State.FULFILLED, value)

    def reject(self, error: object) -> None:
        """Reject with `error`, an exception unless it comes from another vat."""
        if self._state is State.PENDING and self._followed is None:
            self._settle(State.REJECTED, error)

    def settle_like(self, future: Future[Any]) -> None:
        """Settle as `future`, which is done, did."""
        # Asked for, not raised: this frame would be in the traceback, and with it the future.
        try:
            error = future.exception()
        except CancelledError as cancelled:
            error = cancelled
        if error is None:
            self.resolve(future.result())
        else:
            self.reject(error)

    def _follow(self, other: Promise[Any]) -> None:
        link: Promise[Any] | None = other
        while link is not None:
            if link is self:
                self._settle(State.REJECTED, TypeError("a promise was resolved with itself: it could never settle"))
                return
            link = link.followed
        self._followed = other
        self._forward_mail()
        other.react(self._adopt)

    def _adopt(self, other: Promise[Any]) -> None:
        self._followed = None
        self._settle(other.state, other.value)

    def _forward_mail(self) -> None:
        is_forwardable = self._state is not State.PENDING or self._followed is not None
        if is_forwardable and self._mail is not None and not self._is_forwarding:
            self._is_forwarding = True
            self._loop.enqueue(self._empty_mail)

    def _empty_mail(self) -> None:
        self._is_forwarding = False
        mail, self._mail = self._mail, None
        for forward in mail or ():
            forward(self)

    def _settle(self, state: State, value: object) -> None:
        self._state = state
        self._value = value
        if state is State.REJECTED:
            if isinstance(value, BaseException):
                self._traceback = value.__traceback__
            if not self._is_handled:
                self._loop.note_failure(self)
        self._forward_mail()
        reactions, self._reactions = self._reactions, []
        for reaction in reactions:
            if not isinstance(reaction, Future):
                self._loop.enqueue(reaction, self)
            elif not reaction.done():
                reaction.set_result(None)


class Resolver(Generic[T]):
    """The power to settle one promise. Held by whoever made the promise; not passable."""

    __slots__ = ("_promise",)

    def __init__(self, promise: Promise[T]) -> None:
        self._promise = promise

    def resolve(self, value: object = None) -> None:
        """Fulfil the promise with `value`, or let it follow `value` if that is a promise. Ignored if it is settled."""
        self._promise.resolve(value)

    def reject(self, error: BaseException | str) -> None:
        """Reject the promise with an exception; text stands for one of that text. Ignored if it is settled."""
        self._promise.reject(error if isinstance(error, BaseException) else Exception(error))


def make_promise() -> tuple[Promise[Any], Resolver[Any]]:
    """A new promise and the power to settle it."""
    promise: Promise[Any] = Promise(running_vat_loop())
    return promise, Resolver(promise)


def promise_for(loop: VatLoop, eventual: Future[Any] | Coroutine[Any, Any, Any]) -> Promise[Any]:
    """The promise that settles as a future, task or coroutine of this vat does.

    The same for the same one, until it is rejected: then a future or task gets another that is rejected likewise, and a
    coroutine, which cannot be run again, one that says so.
    """
    promises: Any = eventual.promises if isinstance(eventual, VatTask) else loop.promises
    known = promises.get(eventual)
    if known is not None:
        return cast("Promise[Any]", known)
    promise: Promise[Any] = Promise(loop)
    promises[eventual] = promise

    def settle(future: Future[Any]) -> None:
        promise.settle_like(future)
        if promise.state is State.REJECTED:
            # Its traceback may lead to what the entry hangs on, and neither would ever go.
            promises.pop(eventual, None)

    loop.as_future(eventual).add_done_callback(settle)
    return promise
