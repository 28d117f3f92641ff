"""Far objects: what a vat lets others call.

Owns the rule of what is callable from outside: functions that an object's class defines under a name
without a leading underscore. Never attributes of the instance, properties, nested classes, or anything
with a leading underscore. A far function is called without a method name and has no methods.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial, partialmethod
from types import FunctionType, MethodType
from typing import Any, Final, TypeVar, cast

from kernel_py.wire.passable import Undefined

IFACE_PREFIX: Final = "Alleged: "
_MARK: Final = "_far_iface_"

T = TypeVar("T")


class Exo:
    """Base of classes whose instances may be called from other vats.

    Methods without a leading underscore are callable, with positional and keyword arguments, and may
    be ``async``. Everything else, attributes and properties among it, is private to the vat.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._far_iface_ = IFACE_PREFIX + cls.__name__

    _far_iface_ = IFACE_PREFIX + "Exo"
    _is_markable_ = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class FarFunction:
    """A far function made of a callable that cannot be marked itself, such as a bound method."""

    def __init__(self, function: Callable[..., Any], iface: str) -> None:
        self._function = function
        self._far_iface_ = iface

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<far {self._function!r}>"


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
    elif isinstance(target, Exo) and iface is None:
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


def get_method(target: object, method: object) -> Callable[..., Any]:
    """What a message to `target` calls.

    Args:
        method: the method's name, or `Undefined` to call a far function itself.

    Raises:
        AttributeError: there is no such method, or it is not callable from outside.
        TypeError: `method` is no name, or `target` is no function.
    """
    if type(method) is str:
        if not method.startswith("_"):
            bound = find_method(target, method)
            if bound is not None:
                return bound
        raise AttributeError(f"{_name(target)} has no method {method!r:.100}; {_offer(target)}")
    if method is Undefined:
        if callable(target):
            return target
        raise TypeError(f"{_name(target)} is not a function; {_offer(target)}")
    raise TypeError(f"a method's name is text, not {type(method).__name__}")


def find_method(target: object, name: str) -> Callable[..., Any] | None:
    """What a class defines under `name`, bound to `target`; None if it is no method."""
    cls = type(target)
    if cls is FunctionType or cls is FarFunction:
        return None
    for klass in cls.__mro__:
        member = klass.__dict__.get(name)
        if member is not None:
            if type(member) is FunctionType:
                return MethodType(member, target)
            if not _is_method(member):
                return None
            return cast("Callable[..., Any]", member.__get__(target, cls))
    return None


def _is_method(member: object) -> bool:
    if isinstance(member, (FunctionType, staticmethod, classmethod, partialmethod)):
        return True
    if isinstance(member, (type, partial)) or not callable(member):  # a partial binds in some versions of Python only
        return False
    return hasattr(type(member), "__get__") and not hasattr(type(member), "__set__")


def _name(target: object) -> str:
    iface = find_iface(target)
    return type(target).__name__ if iface is None else iface.removeprefix(IFACE_PREFIX)


def _offer(target: object) -> str:
    """What can be called instead."""
    if isinstance(target, (FunctionType, FarFunction)):
        return "it is a function, to be called itself"
    names = sorted({name for klass in type(target).__mro__ for name in klass.__dict__ if not name.startswith("_")})
    methods = [name for name in names if find_method(target, name) is not None]
    return f"it has: {', '.join(methods)}" if methods else "it has no methods"
