"""Presences: objects of other vats, as a vat's code holds them."""

from __future__ import annotations

from typing import NoReturn

from kernel_py.vat.exo import IFACE_PREFIX
from kernel_py.wire.refs import Vref


class Presence:
    """A reference to an object of another vat. Send to it with ``E(presence).method(...)``.

    While one is held, the same reference arriving again is the same presence, so ``is`` compares objects.
    """

    __slots__ = ("__weakref__", "_iface", "_vref")

    def __init__(self, vref: Vref, iface: str) -> None:
        self._vref = vref
        self._iface = iface

    def __repr__(self) -> str:
        return f"<Presence {self._iface.removeprefix(IFACE_PREFIX)} {self._vref}>"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        what = self._iface.removeprefix(IFACE_PREFIX)
        raise AttributeError(f"{what} lives in another vat: use E(presence).{name}(...)")

    def __copy__(self) -> Presence:
        return self

    def __deepcopy__(self, memo: object) -> Presence:
        return self

    def __reduce__(self) -> str:
        raise TypeError("a presence is a reference, and has no copy")


def vref_of(presence: Presence) -> Vref:
    """The name by which the kernel knows the object."""
    return presence._vref  # noqa: SLF001


def iface_of(presence: Presence) -> str:
    """The interface that came with the reference, such as ``Alleged: Counter``."""
    return presence._iface  # noqa: SLF001
