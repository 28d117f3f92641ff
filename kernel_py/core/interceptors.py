"""Interceptors: what may stand between the kernel and its parts while it runs, to observe, fake or refuse calls.

Every call of a part goes through one `Interceptors`, which the kernel and its host share. It is asked at each call, and
nothing is looked up before: so what is switched on holds for every call from then on, however deep in a chain of
deliveries it is made, and in every vat; and what is switched off is gone with the next call.

| part | methods | on whose behalf |
|---|---|---|
| store | those of `kernel_py.core.store.Backend`; answers are awaitable | the vat whose transcript is read |
| clock | now_ms | |
| workers | create, post, restore, destroy | the worker's vat |
| syscalls | send, subscribe, resolve, exit, and the four of collection | the vat that made it |
| services | service.method | the vat whose crank has made the call: that sent it, or settled what it was sent to |
| meter | charge | the same |
| crypto | digest, expand | the vat whose crank needs it |

An interceptor is no vat's code: it is as trusted as the part that it stands before, and may raise what that may.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self, TypeVar, cast

_T = TypeVar("_T")


class Part(StrEnum):
    STORE = "store"
    CLOCK = "clock"
    WORKERS = "workers"
    SYSCALLS = "syscalls"
    SERVICES = "services"
    METER = "meter"
    CRYPTO = "crypto"


@dataclass(frozen=True, slots=True)
class PartCall:
    """One call of a part.

    Attributes:
        vat: on whose behalf; "" if it is no vat's.
    """

    part: Part
    method: str
    vat: str
    arguments: tuple[Any, ...]


GoOn = Callable[..., Any]
Interceptor = Callable[[PartCall, GoOn], Any]
"""``interceptor(call, go_on)``: what it returns or raises is what the call does. ``go_on(*arguments)`` makes the call,
with other arguments if it likes; to the interceptors that were added before, and to the part itself in the end."""


class Switch:
    """One interceptor and the calls that it is for. Off at first. As a context manager, it is on within."""

    def __init__(self, owner: Interceptors, interceptor: Interceptor, part: Part, about: tuple[str, str]) -> None:
        self._owner = owner
        self._method, self._vat = about
        self.interceptor = interceptor
        self.part = part
        self.is_on = False

    def concerns(self, method: str, vat: str) -> bool:
        return self._method in {"", method} and self._vat in {"", vat}

    def on(self) -> None:
        """From the next call on."""
        self.is_on = True
        self._owner.update()

    def off(self) -> None:
        self.is_on = False
        self._owner.update()

    def __enter__(self) -> Self:
        self.on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.off()


class Interceptors:
    """Those of one kernel and its host.

    Attributes:
        vat: the vat whose crank is under way, or "". Set by the kernel.
    """

    def __init__(self) -> None:
        self.vat = ""
        self._switches: list[Switch] = []
        self._on: dict[Part, list[Switch]] = {}

    def add(self, interceptor: Interceptor, part: Part, *, method: str = "", vat: str = "") -> Switch:
        """A switch for calls of one part; of those, of one method and on behalf of one vat if they are given."""
        switch = Switch(self, interceptor, part, (method, vat))
        self._switches.append(switch)
        return switch

    def update(self) -> None:
        """Find out anew what is on."""
        self._on = {}
        for switch in self._switches:
            if switch.is_on:
                self._on.setdefault(switch.part, []).append(switch)

    def is_on(self, part: Part) -> bool:
        """Whether any call of the part may be intercepted: for callers that are in a hurry."""
        return part in self._on

    def call(self, part: Part, method: str, target: Callable[..., _T], *arguments: Any, vat: str | None = None) -> _T:
        """Call `target`, or what stands before it. Without `vat` it is on behalf of that whose crank is under way."""
        switches = self._on.get(part)
        if switches is not None:
            whose = self.vat if vat is None else vat
            for switch in switches:
                if switch.concerns(method, whose):
                    target = _put_before(switch.interceptor, part, method, whose, target)
        return target(*arguments)

    def wrap(self, part: Part, target: _T) -> _T:
        """Something with the methods of `target`, which pass through here."""
        return cast("_T", _Wrapped(self, part, target))

    def wrap_function(self, part: Part, method: str, target: Callable[..., _T]) -> Callable[..., _T]:
        """The same for a function."""
        return lambda *arguments: self.call(part, method, target, *arguments)


_VAT_COMES_FIRST = {
    Part.STORE: ("read_transcript",),
    Part.WORKERS: ("create", "post", "restore", "destroy"),
    Part.METER: ("charge", "find_spent"),
}
"""Methods that are on behalf of their first argument. Said here, since a part may be an object of JavaScript's."""


class _Wrapped:
    def __init__(self, interceptors: Interceptors, part: Part, target: object) -> None:
        self._interceptors = interceptors
        self._part = part
        self._target = target

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Made at the first use of each method, and kept."""
        method = getattr(self._target, name)
        call, part = self._interceptors.call, self._part
        if name in _VAT_COMES_FIRST.get(part, ()):
            made = lambda vat, *arguments: call(part, name, method, vat, *arguments, vat=vat)  # noqa: E731 (two forms)
        else:
            made = lambda *arguments: call(part, name, method, *arguments)  # noqa: E731
        setattr(self, name, made)
        return made


def _put_before(interceptor: Interceptor, part: Part, method: str, vat: str, target: GoOn) -> GoOn:
    return lambda *arguments: interceptor(PartCall(part, method, vat, arguments), target)
