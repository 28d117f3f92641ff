"""Collections in the vat store: maps, sets, weak maps, weak sets; each durable, or merely virtual.

    accounts = DurableMap()                    # like a dict
    accounts["alice"] = purse
    for name, purse in accounts.between("a", "c").items(): ...

Keys are scalars (bool, float, int, str, None, `Symbol`, `Undefined`) and references: far objects and presences.
Iteration is lazy and in the order of the keys, by type and then by value (`kernel_py.vat.keys`); references come in
the order of their insertion. Entries may be removed meanwhile, also by others while one waits; adding a key ends an
iteration with a RuntimeError, as it does in a dict. Values are kept as copies, and come back frozen.

A weak collection has references as keys, does not keep them alive, and cannot be listed: an entry goes when its
key does.

Guards belong to a class, so that the next incarnation has them as well:

    class Accounts(DurableMap, key=str, value=Purse):
        '''Purses by their owners' names.'''

They are types and patterns, as in annotations of methods, or objects with a ``check(value, path)``, which is called
with each key and value that is put in, and raises if it does not like it.

Source: collectionManager.js; the reference, 4.4.
"""

from __future__ import annotations

from collections.abc import (
    Container,
    ItemsView,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    MutableSet,
    ValuesView,
)
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar, cast

from kernel_py.vat import keys, schema
from kernel_py.vat.annotations import make_guard
from kernel_py.vat.guards import Guard
from kernel_py.vat.representative import Representative, define
from kernel_py.vat.shapes import Shape
from kernel_py.wire import canonical
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.refs import Vref

if TYPE_CHECKING:
    from kernel_py.vat.vdata import Vdata

K = TypeVar("K")
V = TypeVar("V")

_OPEN: Any = object()
_NULL: Final = '{"body":"#null","slots":[]}'


class _Collection(Representative):
    """What all collections have in common: entries, by the text of their key."""

    _key_guard_: ClassVar[Any] = None
    _value_guard_: ClassVar[Any] = None
    _number_: int
    _prefix_: str

    def __init_subclass__(cls, *, key: object = None, value: object = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if key is not None:
            cls._key_guard_ = make_guard(key)
        if value is not None:
            cls._value_guard_ = make_guard(value)
        if cls.__module__ != __name__:
            define(cls)

    @classmethod
    def _make_(cls, vdata: Vdata, vref: Vref) -> Self:
        self = super()._make_(vdata, vref)
        number = _number_of(vref)
        self.__dict__.update(_number_=number, _prefix_=schema.collection(number), _additions_=0)
        return self

    @classmethod
    def _shapes_(cls) -> dict[str, Shape]:
        guards = {"key": cls._key_guard_, "value": cls._value_guard_}
        return {name: guard.shape() if isinstance(guard, Guard) else None for name, guard in guards.items()}

    @classmethod
    def _create_(cls, vdata: Vdata, base: Vref) -> None:
        ref = schema.find_stored_ref(base)
        assert ref is not None
        text = canonical.dump({"kindID": ref.kind, "isDurable": ref.is_durable, "isWeak": _is_weak(cls)})
        vdata.store.set(schema.collection(ref.instance) + schema.SCHEMATA, text)

    @classmethod
    def _delete_(cls, vdata: Vdata, base: Vref) -> None:
        delete_collection(vdata, _number_of(base), is_weak=_is_weak(cls))

    # Entries -----------------------------------------------------------------------------------

    def _find_(self, key: object) -> str | None:
        """The store's key for an entry; None if there cannot be one."""
        vdata = self._vdata_
        text = None if _is_weak(type(self)) else keys.encode_key(key, vdata.limits.key_chars_max)
        if text is None:
            vref = vdata.find_key_vref(key, is_durable=self._is_durable_, names=False)
            ordinal = None if vref is None else vdata.store.get(schema.ordinal(self._number_, vref))
            if vref is None or ordinal is None:
                return None
            text = keys.encode_reference(int(ordinal), vref)
        return self._prefix_ + text

    def _put_(self, key: object, value: object) -> None:
        """Set an entry's value, making the entry if there is none."""
        vdata = self._vdata_
        cls = type(self)
        if cls._key_guard_ is not None:
            cls._key_guard_.check(key, f"key of {cls.__name__}")
        if cls._value_guard_ is not None:
            cls._value_guard_.check(value, _path(self, key))
        name = self._find_(key)
        data = vdata.serialize(value, _path(self, key), is_durable=self._is_durable_)
        before = None if name is None else vdata.store.get(name)
        if before is None:
            name = self._add_(key)
            vdata.pillars.hold(data.slots)
        else:
            vdata.pillars.replace(canonical.load(before)["slots"], data.slots)
        assert name is not None
        vdata.store.set(name, canonical.dump(data.to_json()))

    def _add_(self, key: object) -> str:
        """A new key: count it, and give a reference its ordinal. The store's key for the entry."""
        vdata = self._vdata_
        text = None if _is_weak(type(self)) else keys.encode_key(key, vdata.limits.key_chars_max)
        if text is None:
            vref = vdata.find_key_vref(key, is_durable=self._is_durable_, names=True)
            assert vref is not None
            ordinal = vdata.cache.get_number(self._prefix_ + schema.NEXT_ORDINAL, 1)
            vdata.cache.set(self._prefix_ + schema.NEXT_ORDINAL, str(ordinal + 1))
            vdata.store.set(schema.ordinal(self._number_, vref), str(ordinal))
            text = keys.encode_reference(ordinal, vref)
            if _is_weak(type(self)):
                vdata.pillars.recognize(vref, self._number_)
            else:
                vdata.pillars.hold((vref,))
        self.__dict__["_additions_"] += 1
        self._count_(1)
        return self._prefix_ + text

    def _take_(self, key: object) -> str | None:
        """Remove an entry; its value's text, or None if there was none."""
        name = self._find_(key)
        text = None if name is None else self._vdata_.store.get(name)
        if name is not None and text is not None:
            self._remove_(name, text)
        return text

    def _remove_(self, name: str, text: str) -> None:
        self._vdata_.check_open()
        _remove(self._vdata_, self._number_, name, text, is_weak=_is_weak(type(self)))
        self._count_(-1)

    def _get_text_(self, key: object) -> str | None:
        name = self._find_(key)
        return None if name is None else self._vdata_.store.get(name)

    def _count_(self, change: int) -> None:
        """Keep the number of entries. Weak collections have none: it would tell when a key has died."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._vref_}>"


def _path(collection: _Collection, key: object) -> str:
    """An entry, for people."""
    return f"{type(collection).__name__}[{repr(key) if type(key) in keys.SCALARS else type(key).__name__}]"


def _number_of(base: str) -> int:
    return int(base[base.index("/") + 1 :])


def _remove(vdata: Vdata, number: int, name: str, text: str, *, is_weak: bool) -> None:
    """Delete an entry's records, and let go of what it mentions."""
    vdata.store.delete(name)
    vref = keys.find_vref(name.removeprefix(schema.collection(number)))
    if vref is not None:
        vdata.store.delete(schema.ordinal(number, vref))
        if is_weak:
            vdata.pillars.unrecognize(vref, number)
        else:
            vdata.pillars.release((vref,))
    if text != _NULL:
        vdata.pillars.release(canonical.load(text)["slots"])


def _is_weak(cls: type[_Collection]) -> bool:
    return cls._base_kind_.startswith("weak")


def delete_collection(vdata: Vdata, number: int, *, is_weak: bool) -> None:
    """Delete a collection's records, and let go of what they mention."""
    prefix = schema.collection(number)
    entry = vdata.store.get_first_entry(prefix, prefix + keys.LAST)
    while entry is not None:
        _remove(vdata, number, entry[0], entry[1], is_weak=is_weak)
        entry = vdata.store.get_first_entry(entry[0], prefix + keys.LAST)
    vdata.store.delete(prefix + schema.SCHEMATA)
    vdata.cache.set(prefix + schema.ENTRY_COUNT, None)
    vdata.cache.set(prefix + schema.NEXT_ORDINAL, None)


def remove_dead_key(vdata: Vdata, number: int, vref: str) -> None:
    """The object `vref`, a key of the weak collection `number`, is no more: neither is the entry."""
    ordinal = vdata.store.get(schema.ordinal(number, vref))
    assert ordinal is not None
    name = schema.collection(number) + keys.encode_reference(int(ordinal), vref)
    text = vdata.store.get(name)
    assert text is not None
    _remove(vdata, number, name, text, is_weak=True)


# Ranges ----------------------------------------------------------------------------------------


class _Range:
    """Some of the entries of a map or set: those whose keys' texts are in a range."""

    def __init__(self, collection: _Strong, low: str, high: str) -> None:
        self._collection = collection
        self._low = collection._prefix_ + low
        self._high = collection._prefix_ + high

    def __len__(self) -> int:
        return sum(1 for _ in self._scan_())

    def __contains__(self, key: object) -> bool:
        return self._get_text(key) is not None

    def __iter__(self) -> Iterator[Any]:
        return (self._decode_(name) for name, _ in self._scan_())

    def __reversed__(self) -> Iterator[Any]:
        return (self._decode_(name) for name, _ in self._scan_(is_reversed=True))

    def clear(self) -> None:
        """Remove these entries from the collection."""
        for name, text in self._scan_():
            self._collection._remove_(name, text)

    def _get_text(self, key: object) -> str | None:
        collection = self._collection
        name = collection._find_(key)
        if name is None or not self._low <= name < self._high:
            return None
        return collection._vdata_.store.get(name)

    def _decode_(self, name: str) -> object:
        collection = self._collection
        return keys.decode_key(name[len(collection._prefix_) :], collection._vdata_.provide_reference)

    def _scan_(self, *, is_reversed: bool = False) -> Iterator[tuple[str, str]]:
        """The entries' keys and values as the store has them, looked up one by one."""
        collection = self._collection
        store = collection._vdata_.store
        additions = collection.__dict__["_additions_"]
        low, high = self._low, self._high
        while True:
            if collection.__dict__["_additions_"] != additions:
                raise RuntimeError(f"a key was added to a {type(collection).__name__} during iteration")
            entry = store.get_last_entry(low, high) if is_reversed else store.get_first_entry(low, high)
            if entry is None:
                return
            yield entry
            if is_reversed:
                high = entry[0]
            else:
                low = entry[0] + "\0"  # the next text after it


class _Values(ValuesView[V]):
    """Values, of which each takes one look into the store."""

    _mapping: MapRange[Any, V]

    def __iter__(self) -> Iterator[V]:
        return (self._mapping._decode_value_(text) for _, text in self._mapping._scan_())


class _Items(ItemsView[K, V]):
    """Keys and values, of which each pair takes one look into the store."""

    _mapping: MapRange[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        mapping = self._mapping
        return ((cast("K", mapping._decode_(name)), mapping._decode_value_(text)) for name, text in mapping._scan_())


class MapRange(_Range, Mapping[K, V]):
    """The entries of a map in a range of keys: a read-only mapping that follows the map."""

    def values(self) -> ValuesView[V]:
        return _Values(self)

    def items(self) -> ItemsView[K, V]:
        return _Items(self)

    def __getitem__(self, key: K) -> V:
        text = self._get_text(key)
        if text is None:
            raise KeyError(key)
        return self._decode_value_(text)

    def _decode_value_(self, text: str) -> V:
        return cast("V", self._collection._vdata_.unserialize_text(text))

    def __repr__(self) -> str:
        return repr(dict(self))


class SetRange(_Range, AbstractSet[K]):
    """The members of a set in a range: a read-only set that follows it."""

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> AbstractSet[Any]:
        return set(it)

    def __repr__(self) -> str:
        return repr(list(self))


class _Strong(_Collection):
    """What maps and sets have in common: they can be counted, listed and searched."""

    _range_: ClassVar[Any]

    @classmethod
    def _create_(cls, vdata: Vdata, base: Vref) -> None:
        super()._create_(vdata, base)
        vdata.cache.set(schema.collection(_number_of(base)) + schema.ENTRY_COUNT, "0")

    def __len__(self) -> int:
        return self._vdata_.cache.get_number(self._prefix_ + schema.ENTRY_COUNT, 0)

    def __contains__(self, key: object) -> bool:
        return self._get_text_(key) is not None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._all_())

    def __reversed__(self) -> Iterator[Any]:
        return cast("Iterator[Any]", reversed(self._all_()))

    def clear(self) -> None:
        self._all_().clear()

    def between(self, start: object = _OPEN, stop: object = _OPEN) -> Any:
        """The entries with keys from `start` on and before `stop`; without one of them, from the first or to the last.

        The order is that of all keys: by type, then by value.
        """
        low, high = keys.FIRST, keys.LAST
        if start is not _OPEN:
            low = self._encode_bound_(start)
        if stop is not _OPEN:
            high = self._encode_bound_(stop)
        return self._range_(self, low, high)

    def starting_with(self, prefix: str) -> Any:
        """The entries whose keys are texts that begin with `prefix`."""
        low = self._encode_bound_(prefix)
        return self._range_(self, low, keys.after_prefix(low))

    def of_type(self, kind: type) -> Any:
        """The entries whose keys are of type `kind`: bool, float, int, str, ...; `object` for references."""
        low, high = keys.REFERENCES if kind is object else keys.SCALARS[kind]
        return self._range_(self, low, high)

    def _all_(self) -> Any:
        return self._range_(self, keys.FIRST, keys.LAST)

    def _encode_bound_(self, bound: object) -> str:
        text = keys.encode_key(bound, self._vdata_.limits.key_chars_max)
        if text is None:
            raise MarshalError(f"a bound is a scalar, not {type(bound).__name__}")
        return text

    def _count_(self, change: int) -> None:
        key = self._prefix_ + schema.ENTRY_COUNT
        self._vdata_.cache.set(key, str(self._vdata_.cache.get_number(key, 0) + change))


# The eight types -------------------------------------------------------------------------------


class _Map(_Strong, MutableMapping[K, V]):
    _base_kind_ = "map"
    _range_ = MapRange

    def __init__(self, entries: Mapping[K, V] | Iterable[tuple[K, V]] = (), /, **named: V) -> None:
        self.update(entries, **named)

    def __getitem__(self, key: K) -> V:
        text = self._get_text_(key)
        if text is None:
            raise KeyError(key)
        return cast("V", self._vdata_.unserialize_text(text))

    def __setitem__(self, key: K, value: V) -> None:
        self._put_(key, value)

    def __delitem__(self, key: K) -> None:
        if self._take_(key) is None:
            raise KeyError(key)

    def values(self) -> ValuesView[V]:
        return cast("ValuesView[V]", self._all_().values())

    def items(self) -> ItemsView[K, V]:
        return cast("ItemsView[K, V]", self._all_().items())


class _Set(_Strong, MutableSet[K]):
    _base_kind_ = "set"
    _range_ = SetRange

    def __init__(self, members: Iterable[K] = (), /) -> None:
        self.update(members)

    def add(self, value: K) -> None:
        self._put_(value, None)

    def discard(self, value: K) -> None:
        self._take_(value)

    def update(self, members: Iterable[K]) -> None:
        """Add all `members`."""
        for member in members:
            self.add(member)

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> AbstractSet[Any]:
        return set(it)


class _Weak(_Collection, Container[K]):
    """What weak collections have in common."""

    def __contains__(self, key: object) -> bool:
        return self._get_text_(key) is not None

    def __hash__(self) -> int:
        return hash(self._vref_)


class _WeakMap(_Weak[K], Container[K]):
    _base_kind_ = "weak map"

    def __init__(self, entries: Mapping[K, Any] | Iterable[tuple[K, Any]] = (), /) -> None:
        self.update(entries)

    def __getitem__(self, key: K) -> Any:
        text = self._get_text_(key)
        if text is None:
            raise KeyError(key)
        return self._vdata_.unserialize_text(text)

    def __setitem__(self, key: K, value: object) -> None:
        self._put_(key, value)

    def __delitem__(self, key: K) -> None:
        if self._take_(key) is None:
            raise KeyError(key)

    def get(self, key: K, default: Any = None) -> Any:
        text = self._get_text_(key)
        return default if text is None else self._vdata_.unserialize_text(text)

    def setdefault(self, key: K, default: object = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: K, default: Any = _OPEN) -> Any:
        """Remove an entry; its value."""
        text = self._get_text_(key)
        if text is None:
            if default is _OPEN:
                raise KeyError(key)
            return default
        value = self._vdata_.unserialize_text(text)
        del self[key]
        return value

    def update(self, entries: Mapping[K, Any] | Iterable[tuple[K, Any]]) -> None:
        """Add all `entries`."""
        for key, value in entries.items() if isinstance(entries, Mapping) else entries:
            self[key] = value


class _WeakSet(_Weak[K], Container[K]):
    _base_kind_ = "weak set"

    def __init__(self, members: Iterable[K] = (), /) -> None:
        self.update(members)

    def add(self, value: K) -> None:
        self._put_(value, None)

    def discard(self, value: K) -> None:
        self._take_(value)

    def remove(self, value: K) -> None:
        if self._take_(value) is None:
            raise KeyError(value)

    def update(self, members: Iterable[K]) -> None:
        """Add all `members`."""
        for member in members:
            self.add(member)


class VirtualMap(_Map[K, V]):
    """A dict in the vat store, until the vat's next incarnation."""

    _is_durable_ = False


class VirtualSet(_Set[K]):
    """A set in the vat store, until the vat's next incarnation."""

    _is_durable_ = False


class VirtualWeakMap(_WeakMap[K]):
    """A map whose entries go when their key does, in the vat store until the vat's next incarnation."""

    _is_durable_ = False


class VirtualWeakSet(_WeakSet[K]):
    """A set whose members go when nothing else reaches them, in the vat store until the vat's next incarnation."""

    _is_durable_ = False


class DurableMap(_Map[K, V]):
    """A dict in the vat store, kept across the vat's incarnations."""

    _is_durable_ = True


class DurableSet(_Set[K]):
    """A set in the vat store, kept across the vat's incarnations."""

    _is_durable_ = True


class DurableWeakMap(_WeakMap[K]):
    """A map whose entries go when their key does, kept across the vat's incarnations."""

    _is_durable_ = True


class DurableWeakSet(_WeakSet[K]):
    """A set whose members go when nothing else reaches them, kept across the vat's incarnations."""

    _is_durable_ = True


COLLECTIONS: Final[list[type[Representative]]] = [
    VirtualMap,
    VirtualWeakMap,
    VirtualSet,
    VirtualWeakSet,
    DurableMap,
    DurableWeakMap,
    DurableSet,
    DurableWeakSet,
]
