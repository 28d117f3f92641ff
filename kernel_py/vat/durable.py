"""Virtual and durable objects: classes whose instances live in the vat store.

    class Purse(Durable):
        owner: str
        balance: int = 0

        def deposit(self, amount):
            self.balance += amount
            return self.balance

    purse = Purse(owner="alice")

Annotated names are fields, kept in the vat store; methods without a leading underscore can be called from other vats.
A `Durable` is there again in the vat's next incarnation, whose code defines the class anew; a `Virtual` one is
merely out of the heap while nobody uses it. There may be millions of either.

* Without an ``__init__`` of its own a class takes its fields as arguments, as a dataclass does. One of its own assigns
  them, and is called once in an object's life, not when it is faulted in.
* A field's default may be a list or dict: every object has a value of its own.
* What is read is frozen: a list is a tuple, a dict a read-only mapping. Assign to change it, or use a collection.
* Nothing else can be set on an instance: it would be gone with the heap.

A *facet* is another far object over the same state, with less power, or with other:

    class Deposits(Facet):
        def deposit(self, amount):
            return self.of.deposit(amount)

    class Purse(Durable):
        balance: int = 0
        deposits = facet(Deposits)

``purse.deposits`` is the facet of that purse, to be given away without the purse. Whoever holds a facet keeps
the whole object alive.

Source: virtualObjectManager.js; the reference, 4.3.
"""

from __future__ import annotations

import inspect
import sys
from abc import ABCMeta
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, dataclass_transform

from kernel_py.vat import schema
from kernel_py.vat.annotations import make_guard
from kernel_py.vat.exo import facet as facet_of_methods
from kernel_py.vat.representative import Representative, define
from kernel_py.wire.refs import Vref

if TYPE_CHECKING:
    from kernel_py.vat.vdata import Vdata

_ABSENT: Any = object()
_AS_TEXT: Final[dict[str, Any]] = {"format": 4} if sys.version_info >= (3, 14) else {}
"""Annotations as they are written: since Python 3.14 they are evaluated when asked for, and may not be known yet."""


class Field:
    """One field of a kind: a descriptor that reads and writes the state."""

    def __init__(self, default: object, default_factory: Callable[[], object] | None, guard: Any) -> None:
        self.name = ""
        self.default = default
        self.default_factory = default_factory
        self.guard = None if guard is None else make_guard(guard)

    @property
    def has_default(self) -> bool:
        return self.default is not _ABSENT

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else instance._vdata_.states.read(instance, self)

    def __set__(self, instance: Any, value: object) -> None:
        instance._vdata_.states.write(instance, self, value)

    def __delete__(self, instance: object) -> None:
        raise AttributeError(f"the field {self.name!r} cannot be deleted; set it to None")


def field(
    default: object = _ABSENT, *, default_factory: Callable[[], object] | None = None, guard: object = None
) -> Any:
    """A field of a virtual or durable object, with more to say than its default.

    Args:
        default: the value for objects that are not given one.
        default_factory: called to make that value, such as `DurableMap`.
        guard: a type or pattern that each value assigned must fit; or an object whose ``check(value, path)`` raises if
            it does not like the value.
    """
    if default is not _ABSENT and default_factory is not None:
        raise TypeError("a field has a default or a default_factory, not both")
    return Field(default, default_factory, guard)


class Facet(Representative):
    """Base of the classes of facets.

    Attributes:
        of: the object that it is a facet of.
    """

    of: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: ARG004
        raise TypeError(f"a facet comes with its object: declare {cls.__name__} with facet({cls.__name__}) in a class")

    def __hash__(self) -> int:
        return hash(self._vref_)


class FacetOf:
    """A descriptor that gives an object's facet of one name."""

    def __init__(self, cls: type[Facet]) -> None:
        self.cls = cls
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        made: dict[str, Facet] = instance._made_facets_
        facet = made.get(self.name)
        if facet is None:
            vdata: Vdata = instance._vdata_
            number = vdata.kinds.get(type(instance)).facets.index(self.name)
            facet = self.cls._make_(vdata, schema.make_facet(instance._vref_, number))
            facet.__dict__["of"] = instance
            made[self.name] = facet
        return facet

    def __set__(self, instance: object, value: object) -> None:
        raise AttributeError(f"the facet {self.name!r} cannot be replaced")


def facet(*what: Any) -> Any:
    """Declare a facet, under the name that this is assigned to.

    Args:
        what: in a virtual or durable class, the facet's class. In any other exo's class, names of methods that it
            offers; see `kernel_py.vat.exo.facet`.
    """
    match what:
        case [type() as cls]:
            return FacetOf(cls)
        case _:
            return facet_of_methods(*what)


class _ObjectType(ABCMeta):
    """Completes instances after their ``__init__``."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        instance = super().__call__(*args, **kwargs)
        instance._vdata_.states.complete(instance)
        return instance


@dataclass_transform(field_specifiers=(field,))
class _Object(Representative, metaclass=_ObjectType):
    """What virtual and durable objects have in common."""

    _base_kind_ = "object"
    _is_base_: ClassVar[bool] = True
    _made_facets_: dict[str, Facet]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "_is_base_" in cls.__dict__:
            return
        cls._is_base_ = False
        fields = dict(cls._fields_)
        for name in _list_annotated(cls):
            given = cls.__dict__.get(name, _ABSENT)
            made = given if isinstance(given, Field) else Field(given, None, None)
            made.name = name
            fields[name] = made
            setattr(cls, name, made)
        cls._fields_ = fields
        cls._facets_ = cls._facets_ | {
            name: value for name, value in cls.__dict__.items() if isinstance(value, FacetOf)
        }
        define(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if cls._is_base_:
            raise TypeError(f"derive a class from {cls.__name__}")
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **values: Any) -> None:
        cls = type(self)
        names = list(cls._fields_)
        if len(args) > len(names):
            raise TypeError(f"{cls.__name__}() takes {len(names)} fields, not {len(args)}")
        for name, value in zip(names, args, strict=False):
            if name in values:
                raise TypeError(f"{cls.__name__}() got the field {name!r} twice")
            setattr(self, name, value)
        for name, value in values.items():
            if name not in cls._fields_:
                raise TypeError(f"{cls.__name__}() has no field {name!r}; it has: {', '.join(names) or 'none'}")
            setattr(self, name, value)

    def __hash__(self) -> int:
        return hash(self._vref_)

    @classmethod
    def _make_(cls, vdata: Vdata, vref: Vref) -> Self:
        self = super()._make_(vdata, vref)
        self.__dict__["_made_facets_"] = {}
        return self

    @classmethod
    def _create_(cls, vdata: Vdata, base: Vref) -> None:
        vdata.states.create(base)

    @classmethod
    def _delete_(cls, vdata: Vdata, base: Vref) -> None:
        vdata.states.delete(base)


class Durable(_Object):
    """Base of classes whose instances are kept across the vat's incarnations. See the module's docstring."""

    _is_durable_ = True
    _is_base_ = True


class Virtual(_Object):
    """Base of classes whose instances are kept in the vat store, until the vat's next incarnation."""

    _is_durable_ = False
    _is_base_ = True


def _list_annotated(cls: type) -> list[str]:
    """The names that the class itself annotates, but for class variables and double underscores."""
    found = inspect.get_annotations(cls, **_AS_TEXT)
    return [
        name
        for name, annotation in found.items()
        if not name.startswith("__") and not str(annotation).removeprefix("typing.").startswith("ClassVar")
    ]
