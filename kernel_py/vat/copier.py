"""Copies of passables that stay inside the vat.

A message from an object to another of the same vat carries what it would carry to another vat: data as it was
at the time of the send, references as they are. So it does not matter where the receiver lives, and an argument
that is not passable fails in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import CoroutineType
from typing import Any

from kernel_py.vat.exo import find_iface
from kernel_py.vat.loop import Future, VatLoop
from kernel_py.vat.presence import Presence, iface_of
from kernel_py.vat.promise import Promise, promise_for
from kernel_py.wire.capdata import CapData
from kernel_py.wire.limits import Limits
from kernel_py.wire.smallcaps import Marshal

_PLAIN = frozenset({type(None), bool, int, float, str, bytes})


@dataclass(frozen=True, slots=True)
class Packed:
    """A copy of a passable. Slots are indices into `references`."""

    data: CapData
    references: tuple[object, ...]


class Copier:
    def __init__(self, loop: VatLoop, limits: Limits) -> None:
        self._loop = loop
        self._references: list[object] | tuple[object, ...] = ()
        self._slots: dict[int, str] = {}
        self._marshal = Marshal(value_to_slot=self._value_to_slot, slot_to_value=self._slot_to_value, limits=limits)

    def pack(self, value: object, path: str = "") -> Packed:
        """Copy `value`, called `path` in messages, for later.

        Raises:
            MarshalError: something in it is not passable.
        """
        references: list[object] = []
        self._references = references
        try:
            return Packed(self._marshal.serialize(value, path), tuple(references))
        finally:
            self._references = ()
            self._slots.clear()

    def unpack(self, packed: Packed) -> object:
        """Another copy of what was packed."""
        self._references = packed.references
        try:
            return self._marshal.unserialize(packed.data)
        finally:
            self._references = ()

    def copy(self, value: object, path: str) -> object:
        """`value` as it would arrive. Raises as `pack` does."""
        return value if type(value) in _PLAIN else self.unpack(self.pack(value, path))

    def _value_to_slot(self, value: Any) -> tuple[str, str | None] | None:
        if isinstance(value, Presence):
            iface: str | None = iface_of(value)
        elif isinstance(value, (Promise, Future, CoroutineType)):
            iface = None
            value = value if isinstance(value, Promise) else promise_for(self._loop, value)
            value.mark_handled()  # whoever gets it can look at it
        else:
            iface = find_iface(value)
            if iface is None:
                return None
        slot = self._slots.get(id(value))  # `_references` keeps it alive, so that the identity stays its own
        if slot is None:
            slot = self._slots[id(value)] = str(len(self._references))
            assert isinstance(self._references, list)
            self._references.append(value)
        return slot, iface

    def _slot_to_value(self, slot: str, iface: str | None, is_promise: bool) -> object:  # noqa: ARG002, FBT001
        return self._references[int(slot)]
