"""Far objects: what a vat lets others refer to. `kernel_py.vat.methods` says what of them can be called.

Owns the mark by which a far object is known, and facets: views of one exo that offer some of its methods.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any, Final, TypeVar, cast

IFACE_PREFIX: Final = "Alleged: "
_MARK: Final = "_far_iface_"

T = TypeVar("T")


class Exo:
    """Base of classes whose instances may be called from other vats.

    Methods without a leading underscore are callable, with positional and keyword arguments, and may
    be ``async``. Everything else, attributes and properties among it, is private to the vat. What a message brings,
    and what the method gives, must fit the method's annotations; see `kernel_py.vat.annotations`.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._far_iface_ = IFACE_PREFIX + cls.__name__
        for name, member in list(vars(cls).items()):
            if isinstance(member, FacetOfMethods):
                if not cls._is_markable_:
                    raise TypeError(f"{cls.__name__}.{name}: what lives in the vat store has facets with classes")
                member.insist_on_methods(cls, name)

    _far_iface_ = IFACE_PREFIX + "Exo"
    _is_markable_ = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def facet(*methods: str) -> Any:
    """A facet of an exo, to be handed out in its stead: a far object that offers these methods of it, and no others.

        class Purse(Exo):
            depositor = facet("deposit", "get_currency")

    ``purse.depositor`` is one object, always the same one of that purse, and lives as long as it does. To others it is
    a ``Purse depositor``.
    """
    return FacetOfMethods(methods)


class FacetOfMethods:
    """A descriptor that gives an exo's facet of some methods."""

    def __init__(self, methods: Iterable[str]) -> None:
        self._methods = frozenset(methods)
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def insist_on_methods(self, owner: type, name: str) -> None:
        """Raise TypeError if a method that it names could not be called."""
        for method in sorted(self._methods):
            if method.startswith("_") or not callable(getattr(owner, method, None)):
                raise TypeError(f"the facet {owner.__name__}.{name} names {method!r}, which is no public method of it")

    def __get__(self, exo: Any, owner: type) -> Any:
        if exo is None:
            return self
        view = exo.__dict__[self._name] = FacetView(exo, self._methods, f"{find_iface(exo)} {self._name}")
        return view  # from now on found in the instance, before this is asked


class FacetView:
    """A facet of one exo."""

    def __init__(self, exo: object, methods: frozenset[str], iface: str) -> None:
        self.exo = exo
        self.methods = methods
        self._far_iface_ = iface

    def __repr__(self) -> str:
        return f"<{self._far_iface_.removeprefix(IFACE_PREFIX)}>"


class FarFunction:
    """A far function made of a callable that cannot be marked itself, such as a bound method."""

    def __init__(self, function: Callable[..., Any], iface: str) -> None:
        self.function = function
        self._far_iface_ = iface

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<far {self.function!r}>"


def far(target: T, iface: str | None = None) -> T:
    """Let other vats call `target`: the public methods of an instance, or a function itself.

    Args:
        target: an instance of any class, or a function. Usable as a decorator of functions.
        iface: the name under which others see it; by default that of its class, or the function's.

    Returns:
        `target`, marked; a bound method or builtin function comes back wrapped.

    Raises:
        TypeError: it is a class, is passed by copy anyway, or can carry no mark.
    """
    if isinstance(target, type):
        raise TypeError(f"{target.__name__} is a class: derive it from Exo, or mark its instances")
    if isinstance(target, Exo) and not target._is_markable_:
        raise TypeError(f"a {type(target).__name__} lives in the vat store: its class names it, and no mark is kept")
    if isinstance(target, FunctionType):
        text = IFACE_PREFIX + (iface or target.__name__)
    elif isinstance(target, (Exo, FacetView)) and iface is None:
        return target
    elif type(target).__module__ == "builtins" and callable(target):
        return cast("T", FarFunction(target, IFACE_PREFIX + (iface or str(getattr(target, "__name__", "function")))))
    else:
        text = IFACE_PREFIX + (iface or type(target).__name__)
    try:
        weakref.ref(target)
        object.__setattr__(target, _MARK, text)  # also where the class forbids ordinary assignment
    except (AttributeError, TypeError):
        raise TypeError(
            f"a {type(target).__name__} cannot be marked as far; derive its class from Exo, or pass it by copy"
        ) from None
    return target


def find_iface(value: object) -> str | None:
    """The wire form of the interface of a far object of this vat, such as ``Alleged: Counter``; None for all else."""
    try:
        iface = object.__getattribute__(value, "__dict__").get(_MARK)
    except AttributeError:
        return None
    if iface is not None and not isinstance(value, type):
        return cast("str", iface)
    return type(value)._far_iface_ if isinstance(value, Exo) else None
