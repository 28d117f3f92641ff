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
* A field's annotation is its guard: a value that does not fit it is refused at the assignment.
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

from abc import ABCMeta
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

from kernel_py.vat import schema
from kernel_py.vat.exo import facet as facet_of_methods
from kernel_py.vat.fields import field, make_fields
from kernel_py.vat.representative import Representative, define
from kernel_py.vat.shapes import Shape
from kernel_py.wire.refs import Vref

if TYPE_CHECKING:
    from kernel_py.vat.vdata import Vdata

__all__ = ["Durable", "Facet", "FacetOf", "Virtual", "facet", "field"]


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
        cls._fields_ = cls._fields_ | make_fields(cls)
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
    def _shapes_(cls) -> dict[str, Shape]:
        return {name: field.shape() for name, field in cls._fields_.items()}

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
