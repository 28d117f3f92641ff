"""Baggage: a small map in the vat store that is there again in the vat's next incarnation.

Keys are text; values are passables, stored as copies: what is read is a new copy, and changing it changes nothing
here until it is assigned again. References to objects of other vats may be stored; far objects and promises of this
vat, which live in its heap only, may not.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

from kernel_py.vat.presence import Presence, iface_of, vref_of
from kernel_py.vat.slots import Slots
from kernel_py.vat.store import VatStore
from kernel_py.wire import canonical
from kernel_py.wire.capdata import parse_capdata
from kernel_py.wire.limits import Limits
from kernel_py.wire.refs import Vref
from kernel_py.wire.smallcaps import Marshal

_PREFIX = "baggage."


class Baggage(MutableMapping[str, object]):
    """A persistent ``dict`` with text keys. Iterates in the order of the keys' UTF-8 bytes."""

    def __init__(self, store: VatStore, slots: Slots, limits: Limits) -> None:
        self._store = store
        self._slots = slots
        self._marshal = Marshal(value_to_slot=_value_to_slot, slot_to_value=self._slot_to_value, limits=limits)

    def __getitem__(self, key: str) -> object:
        text = self._store.get(_store_key(key))
        if text is None:
            raise KeyError(key)
        return self._marshal.unserialize(parse_capdata(canonical.load(text)))

    def __setitem__(self, key: str, value: object) -> None:
        name = _store_key(key)
        data = self._marshal.serialize(value, f"baggage[{key!r:.60}]")
        self._store.set(name, canonical.dump(data.to_json()))

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._store.delete(_store_key(key))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._store.get(_store_key(key)) is not None

    def __iter__(self) -> Iterator[str]:
        name = _PREFIX if "" in self else self._store.get_next_key(_PREFIX)
        while name is not None and name.startswith(_PREFIX):
            yield name.removeprefix(_PREFIX)
            name = self._store.get_next_key(name)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<Baggage {dict(self)!r:.500}>"

    def _slot_to_value(self, slot: str, iface: str | None, is_promise: bool) -> object:  # noqa: ARG002, FBT001
        return self._slots.provide_presence(Vref(slot), iface)


def _store_key(key: str) -> str:
    if type(key) is not str:
        raise TypeError(f"a key of baggage is text, not {type(key).__name__}")
    return _PREFIX + key


def _value_to_slot(value: object) -> tuple[str, str | None] | None:
    if isinstance(value, Presence):
        return vref_of(value), iface_of(value)
    return None
