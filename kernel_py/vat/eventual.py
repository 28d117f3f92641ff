"""E: eventual sends.

``E(target).method(*args, **kwargs)`` sends a message and gives a promise for its result, at once and
always: nothing of the target runs before the caller's job is over. `target` may be a presence, a
far object of this vat, or a promise, future or coroutine for one of these.

    balance = await E(purse).balance()
    await E(E(bank).open("alice")).deposit(payment)   # the second send does not wait for the first's answer
    E.send_only(log).note("started")                  # no answer, and no promise of one
    answer = await E(function)(1, 2)                  # a far function

To mypy, with the plugin `kernel_py.testing.mypy_plugin`, a message has the methods of its target's class, and gives
promises of what they return. To other type checkers and editors ``E(target)`` is `target`: they know its methods and
what these take.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, final, overload

from kernel_py.vat.loop import running_vat_loop
from kernel_py.vat.promise import Promise, State
from kernel_py.wire.passable import Undefined

T = TypeVar("T")

MYPY = False
"""True to mypy alone."""


class Sender(Protocol):
    """What the running vat's loop has as its owner."""

    def send(self, target: object, method: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Promise[Any]:
        """Send a message; the promise of its result."""

    def send_only(self, target: object, method: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Send a message whose result nobody wants."""


class Send(Generic[T]):
    """A message being written: knows its target, then its method."""

    __slots__ = ("_deliver", "_target")

    def __init__(self, target: object, deliver: Callable[..., Any]) -> None:
        self._target = target
        self._deliver = deliver

    def __getattr__(self, method: str) -> Callable[..., Promise[Any]]:
        if method.startswith("_"):
            raise AttributeError(f"{method}: names with a leading underscore cannot be called from outside")
        target, deliver = self._target, self._deliver
        return lambda *args, **kwargs: deliver(target, method, args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Promise[Any]:
        result: Promise[Any] = self._deliver(self._target, Undefined, args, kwargs)
        return result

    def __repr__(self) -> str:
        return f"E({self._target!r})"


@final
class _Eventual:
    """The type of `E`."""

    __slots__ = ()

    if MYPY or not TYPE_CHECKING:

        @overload
        def __call__(self, target: Awaitable[T]) -> Send[T]: ...

        @overload
        def __call__(self, target: T) -> Send[T]: ...

        def __call__(self, target: object) -> Send[Any]:
            """Write a message to `target`: ``E(target).method(...)``, or ``E(target)(...)`` for a far function."""
            sender: Sender = running_vat_loop().owner
            return Send(target, sender.send)

    else:

        def __call__(self, target: Awaitable[T] | T) -> T: ...

    def send_only(self, target: object) -> Any:
        """As ``E(target)``, for a message whose result nobody wants: sends it, and gives None."""
        sender: Sender = running_vat_loop().owner
        return Send(target, sender.send_only)

    def when(
        self,
        value: object,
        on_fulfilled: Callable[[Any], object] | None = None,
        on_rejected: Callable[[BaseException], object] | None = None,
    ) -> Promise[Any]:
        """A promise for `value`, or for what a function makes of its outcome, in a later job.

        Args:
            value: a promise, a future, a coroutine, or any other value.
            on_fulfilled: called with the value. Without it, the value itself is the result.
            on_rejected: called with the exception. Without it, the result is rejected likewise.
        """
        loop = running_vat_loop()
        source: Promise[Any] = Promise(loop)
        result: Promise[Any] = Promise(loop)

        def react(settled: Promise[Any]) -> None:
            is_rejected = settled.state is State.REJECTED
            function = on_rejected if is_rejected else on_fulfilled
            try:
                if function is not None:
                    result.resolve(function(settled.error() if is_rejected else settled.value))
                elif is_rejected:
                    result.reject(settled.value)
                else:
                    result.resolve(settled.value)
            except BaseException as error:  # noqa: BLE001 (it is the outcome)
                result.reject(error)

        source.react(react)
        source.resolve(value)
        return result

    def __repr__(self) -> str:
        return "E"


E: Final = _Eventual()
