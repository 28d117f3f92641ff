"""Forwarders: far objects that pass on what they are sent, until they are cut off.

    lent, revoker = make_revocable(purse)

A call of `lent` is a call of the purse: with its guards, if that is an object of this vat; as a message, if it is
another vat's or a promise. After ``revoker.revoke()`` every call raises PermissionError, and the forwarder holds
nothing any more. Both are far objects of the heap, and may be sent to others.

What goes through is passed on as it is: whoever got a reference in an answer keeps that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from kernel_py.vat.eventual import E
from kernel_py.vat.exo import Exo, find_iface
from kernel_py.vat.methods import get_method
from kernel_py.vat.presence import Presence
from kernel_py.vat.promise import Promise
from kernel_py.wire.passable import Undefined

_REVOKED: Final = object()


class Forwarder(Exo):
    """Stands for another object. Made by `make_revocable`."""

    def __init__(self, target: object) -> None:
        self._target = target

    def _find_method_(self, name: str) -> Callable[..., Any]:
        """What a message calls, in place of methods of its own; see `kernel_py.vat.methods.find_method`."""
        if self._target is _REVOKED:
            return _refuse
        if isinstance(self._target, (Presence, Promise)):
            return cast("Callable[..., Any]", getattr(E(self._target), name))
        return get_method(self._target, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._target is _REVOKED:
            return _refuse()
        if isinstance(self._target, (Presence, Promise)):
            return E(self._target)(*args, **kwargs)
        return get_method(self._target, Undefined)(*args, **kwargs)


class Revoker(Exo):
    """Cuts a forwarder off."""

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder

    def revoke(self) -> None:
        """For good; again, it does nothing."""
        self._forwarder._target = _REVOKED  # noqa: SLF001 (the two are one thing)


def _refuse(*_args: object, **_kwargs: object) -> Any:
    raise PermissionError("revoked")


def make_revocable(target: object) -> tuple[Forwarder, Revoker]:
    """A forwarder to `target`, and what cuts it off.

    Args:
        target: an object or function that other vats can call, another vat's, or a promise for one.

    Raises:
        TypeError: it is neither.
    """
    if find_iface(target) is None and not isinstance(target, (Presence, Promise)):
        raise TypeError(f"only what other vats can call, or will, has forwarders; not {target!r:.200}")
    forwarder = Forwarder(target)
    return forwarder, Revoker(forwarder)
