"""Kinds: which class stands for which number in the names of virtual and durable objects.

Owns the numbers of kinds, and the descriptors of durable ones, by which the next incarnation finds its classes again.
A class becomes a kind of the vat when it is defined; it gets a number with its first instance. The eight
collection types have the numbers 2 to 9.

When a durable kind is defined again, in a new incarnation:

    * its class is found by name, or by the name in ``class X(Durable, kind="name")``: among those that the vat's files
      define, then among those of the libraries that have been imported;
    * it is of the same base: an object, a map, a set, a weak map or a weak set;
    * no field is lost. A new one has a default; what older objects have in it is written down now, and does not change
      if the default does later;
    * the type of a field, as its annotation says it, has not become narrower, nor that of a collection's keys or
      values (`kernel_py.vat.shapes`): what is there already would not fit it;
    * no facet is lost. New ones get the next numbers, by name.

Every durable kind must have been defined again by the end of startVat. Only then are the types compared, and the
descriptors written at the end of the delivery: a class may mention others that come after it.

Source: virtualObjectManager.js; the reference, 4.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from kernel_py.vat import schema
from kernel_py.vat.counters import Counters
from kernel_py.vat.representative import Representative, library
from kernel_py.vat.shapes import covers, describe_shape
from kernel_py.vat.store import VatStore
from kernel_py.wire import canonical

_STORE_KINDS: Final = (
    ("scalarMapStore", False, "map"),
    ("scalarWeakMapStore", False, "weak map"),
    ("scalarSetStore", False, "set"),
    ("scalarWeakSetStore", False, "weak set"),
    ("scalarDurableMapStore", True, "map"),
    ("scalarDurableWeakMapStore", True, "weak map"),
    ("scalarDurableSetStore", True, "set"),
    ("scalarDurableWeakSetStore", True, "weak set"),
)
_FIRST_STORE_KIND: Final = 2


@dataclass(slots=True)
class Kind:
    """A kind of this vat.

    Attributes:
        missing: by field, what objects have in it that were made before it was there: capdata as JSON text.
        facets: the facets' names, in the order of their numbers.
    """

    number: int
    cls: type[Representative]
    missing: dict[str, str | None] = field(default_factory=dict)
    facets: list[str] = field(default_factory=list)


class Kinds:
    """The kinds of one incarnation of a vat.

    Args:
        serialize_default: the capdata, as JSON text, of a field's default value.
    """

    def __init__(self, store: VatStore, counters: Counters, serialize_default: Callable[[object, str], str]) -> None:
        self._store = store
        self._counters = counters
        self._serialize_default = serialize_default
        self._kinds: dict[type[Representative], Kind] = {}
        self._classes: dict[str, type[Representative]] = {}
        self._durable: dict[str, type[Representative]] = {}
        self._descriptors: dict[str, dict[str, Any]] = {}
        self._unwritten: list[Kind] = []
        key = store.get_next_key(schema.KINDS)
        while key is not None and key.startswith(schema.KINDS):
            if key.endswith(".descriptor"):
                text = store.get(key)
                assert text is not None
                descriptor = canonical.load(text)
                self._descriptors[descriptor["tag"]] = descriptor
            key = store.get_next_key(key)

    def add_store_kinds(self, classes: list[type[Representative]]) -> None:
        """Give the collection types their numbers, those of SwingSet."""
        numbers: dict[str, int] = {}
        for number, (name, is_durable, base) in enumerate(_STORE_KINDS, _FIRST_STORE_KIND):
            numbers[name] = number
            [cls] = [cls for cls in classes if (cls._is_durable_, cls._base_kind_) == (is_durable, base)]
            self._add(Kind(number, cls))
        if self._store.get(schema.STORE_KINDS) is None:
            self._store.set(schema.STORE_KINDS, canonical.dump(numbers))

    def define(self, cls: type[Representative]) -> None:
        """`cls` is a kind of this vat.

        Raises:
            TypeError: a durable kind of that name is there already, or was another in the last incarnation.
        """
        if cls in self._kinds or not cls._is_durable_:
            return
        name = cls._kind_name_
        known = self._durable.get(name)
        if known is cls:
            return
        if known is not None:
            raise TypeError(
                f"there is a durable kind {name!r} already, {known.__module__}.{known.__qualname__}: "
                f'give the other one another name, as in class {cls.__name__}(..., kind="...")'
            )
        descriptor = self._descriptors.get(name)
        if descriptor is not None:
            self._redefine(cls, descriptor)
        self._durable[name] = cls

    def provide(self, cls: type[Representative]) -> Kind:
        """The kind of a class, which gets its number now if it has none."""
        kind = self._kinds.get(cls)
        if kind is None:
            self.define(cls)
            kind = self._kinds.get(cls) or self._start(cls)
        return kind

    def list_classes(self) -> dict[str, type[Representative]]:
        """The vat's own kinds by name; for people."""
        own = [cls for cls, kind in self._kinds.items() if kind.number >= _FIRST_STORE_KIND + len(_STORE_KINDS)]
        return self._durable | {cls._kind_name_: cls for cls in own}

    def get(self, cls: type[Representative]) -> Kind:
        return self._kinds[cls]

    def find_class(self, vref: str) -> type[Representative] | None:
        """The class of what a vref names, if it names something of a kind that is defined."""
        prefix = vref.partition("/")[0]
        if prefix not in self._classes:
            self._define_from_library()
        return self._classes.get(prefix)

    def insist_on_types(self) -> None:
        """What the objects of earlier incarnations keep fits the classes of this one.

        Raises:
            TypeError: it does not.
        """
        for name in sorted(self._descriptors):
            cls = self._durable[name]
            descriptor, shapes = self._descriptors[name], cls._shapes_()
            for each, before in descriptor["shapes"].items():
                if not covers(shapes[each], before):
                    was, is_now = describe_shape(before), describe_shape(shapes[each])
                    raise TypeError(
                        f"{each!r} of the durable kind {name!r} was {was}, and cannot become {is_now}: objects that "
                        "have it exist, and would not fit a type that is not wider"
                    )
            for each, new in cls._fields_.items():
                if each not in descriptor["fields"] and new.has_default:
                    new.check(new.default, f"the default of {name}.{each}")

    def flush(self) -> None:
        """Write the descriptors of what is new. Called at the end of a delivery."""
        for kind in self._unwritten:
            self._write(kind)
        self._unwritten.clear()

    def list_undefined(self) -> list[str]:
        """The durable kinds of earlier incarnations that have no class yet."""
        self._define_from_library()
        return sorted(name for name in self._descriptors if name not in self._durable)

    def _define_from_library(self) -> None:
        for name in sorted(self._descriptors):
            if name not in self._durable and name in library:
                self.define(library[name])

    def _add(self, kind: Kind) -> None:
        self._kinds[kind.cls] = kind
        self._classes[schema.make_kind(is_durable=kind.cls._is_durable_, number=kind.number)] = kind.cls

    def _start(self, cls: type[Representative]) -> Kind:
        """Number a kind that is new to the vat."""
        kind = Kind(
            self._counters.next("kindID"),
            cls,
            missing=dict.fromkeys(cls._fields_),
            facets=sorted(cls._facets_),
        )
        self._add(kind)
        if cls._is_durable_:
            self._unwritten.append(kind)
        return kind

    def _redefine(self, cls: type[Representative], descriptor: dict[str, Any]) -> None:
        name = descriptor["tag"]
        if descriptor["base"] != cls._base_kind_:
            was, is_now = (
                f"{'an' if base == 'object' else 'a'} {base}" for base in (descriptor["base"], cls._base_kind_)
            )
            raise TypeError(f"the durable kind {name!r} was {was}, and cannot become {is_now}")
        fields: dict[str, str | None] = descriptor["fields"]
        facets: list[str] = descriptor["facets"]
        lost = [f"field {each!r}" for each in fields if each not in cls._fields_]
        lost += [f"facet {each!r}" for each in facets if each not in cls._facets_]
        if lost:
            raise TypeError(f"the durable kind {name!r} has lost its {', '.join(lost)}: objects that have it exist")
        kind = Kind(descriptor["kindID"], cls, missing=dict(fields), facets=list(facets))
        for each in cls._fields_.values():
            if each.name not in fields:
                kind.missing[each.name] = self._make_missing(name, each)
        kind.facets += sorted(each for each in cls._facets_ if each not in facets)
        self._add(kind)
        self._unwritten.append(kind)

    def _make_missing(self, name: str, new: Any) -> str | None:
        if new.has_default:
            return self._serialize_default(new.default, f"{name}.{new.name}")
        if new.default_factory is not None:
            return None
        raise TypeError(
            f"the field {new.name!r} of the durable kind {name!r} is new and has no default, which objects need that "
            f"were made before"
        )

    def _write(self, kind: Kind) -> None:
        cls = kind.cls
        value = {
            "kindID": kind.number,
            "tag": cls._kind_name_,
            "base": cls._base_kind_,
            "fields": kind.missing,
            "shapes": cls._shapes_(),
            "facets": kind.facets,
        }
        text = canonical.dump(value)
        if text != self._store.get(schema.descriptor(kind.number)):
            self._store.set(schema.descriptor(kind.number), text)
