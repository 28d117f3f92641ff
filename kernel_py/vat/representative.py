"""Representatives: what stands in the heap for an object, facet or collection that lives in the vat store.

A representative holds nothing of its own but its name. It may be let go at any time and made again when it is needed,
and nobody can tell: while one lives there is no other for the same name, its hash is that of the name, and no attribute
can be set on it that is not kept in the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from kernel_py.vat.exo import IFACE_PREFIX, Exo
from kernel_py.vat.loop import running_vat_loop
from kernel_py.vat.shapes import Shape
from kernel_py.wire.refs import Vref

if TYPE_CHECKING:
    from kernel_py.vat.vdata import Vdata


class Representative(Exo):
    """Base of the classes whose instances live in the vat store.

    Each subclass is a kind. Durable kinds are found again by name in the vat's next incarnation. Names of the
    machinery end with an underscore as well as beginning with one: those that only begin with one are for vat code.
    """

    _is_markable_ = False
    _is_durable_: ClassVar[bool]
    _base_kind_: ClassVar[str]
    _kind_name_: ClassVar[str]
    _fields_: ClassVar[dict[str, Any]] = {}
    _facets_: ClassVar[dict[str, Any]] = {}

    _vref_: Vref
    _vdata_: Vdata

    def __init_subclass__(cls, *, kind: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._kind_name_ = kind or cls.__name__
        cls._far_iface_ = IFACE_PREFIX + cls._kind_name_

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: ARG004 (they are for __init__)
        return running_vat_loop().vdata.create(cls)  # type: ignore[no-any-return]

    @classmethod
    def _make_(cls, vdata: Vdata, vref: Vref) -> Self:
        """The representative of what `vref` names."""
        self = object.__new__(cls)
        self.__dict__.update(_vref_=vref, _vdata_=vdata)
        return self

    @classmethod
    def _shapes_(cls) -> dict[str, Shape]:
        """The shapes of what instances keep, by name: of an object's fields, or of a collection's keys and values."""
        raise NotImplementedError

    @classmethod
    def _create_(cls, vdata: Vdata, base: Vref) -> None:
        """Make the records of a new instance."""
        raise NotImplementedError

    @classmethod
    def _delete_(cls, vdata: Vdata, base: Vref) -> None:
        """Delete the records of an instance, which nothing reaches any more."""
        raise NotImplementedError

    def __setattr__(self, name: str, value: object) -> None:
        if not hasattr(type(getattr(type(self), name, None)), "__set__"):
            raise AttributeError(
                f"{type(self).__name__} has no field {name!r}: what is kept must be a field, annotated in the class"
            )
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._vref_}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> str:
        raise TypeError(f"a {type(self).__name__} is a reference, and has no copy")


library: Final[dict[str, type[Representative]]] = {}
"""Kinds that are no vat's own: classes of modules outside the vats' files, which Python imports once. By name."""


def define(cls: type[Representative]) -> None:
    """`cls` is complete: it is a kind of the vat that runs, if it is in one of that vat's files."""
    vdata = find_running_vdata()
    if vdata is not None and cls.__module__.partition(".")[0] == vdata.vat:
        vdata.kinds.define(cls)
    else:
        library[cls._kind_name_] = cls


def find_running_vdata() -> Vdata | None:
    try:
        vdata: Vdata = running_vat_loop().vdata
    except RuntimeError:
        return None
    return vdata
