"""Methods: what a message to a far object calls, and the guards around it.

Owns the rule of what is callable from outside: functions that an object's class defines under a name
without a leading underscore. Never attributes of the instance, properties, nested classes, or anything
with a leading underscore. A far function is called without a method name and has no methods.

The annotations of what is called are its guards: arguments are checked before the call, the result when it is there,
which for an ``async`` method is when it has settled. They are read at the first call, once for each function; a
function without any is called as it is. A call that the vat's own code makes directly is not checked.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from functools import partial, partialmethod
from types import FunctionType, MethodType
from typing import Any, Final, cast

from kernel_py.vat.annotations import read_annotation, read_result
from kernel_py.vat.exo import IFACE_PREFIX, FacetView, FarFunction, find_iface
from kernel_py.vat.guards import EVENTUAL, Guard
from kernel_py.wire.passable import Undefined

_SIGNATURE: Final = "_guarded_signature_"


def get_method(target: object, method: object) -> Callable[..., Any]:
    """What a message to `target` calls, with its guards around it.

    Args:
        method: the method's name, or `Undefined` to call a far function itself.

    Raises:
        AttributeError: there is no such method, or it is not callable from outside.
        TypeError: `method` is no name, `target` is no function, or its annotations cannot be read.
    """
    if type(method) is str:
        if not method.startswith("_"):
            bound = find_method(target, method)
            if bound is not None:
                return bound
        raise AttributeError(f"{_name(target)} has no method {method!r:.100}; {_offer(target)}")
    if method is Undefined:
        function = target.function if type(target) is FarFunction else target
        if callable(function):
            return _guard_call(function)
        raise TypeError(f"{_name(target)} is not a function; {_offer(target)}")
    raise TypeError(f"a method's name is text, not {type(method).__name__}")


def find_method(target: object, name: str) -> Callable[..., Any] | None:
    """What a class defines under `name`, bound to `target`, with its guards; None if it is no method."""
    cls = type(target)
    if cls is FunctionType or cls is FarFunction:
        return None
    if cls is FacetView:
        view = cast("FacetView", target)
        return find_method(view.exo, name) if name in view.methods else None
    for klass in cls.__mro__:
        member = klass.__dict__.get(name)
        if member is not None:
            if type(member) is FunctionType:
                signature = getattr(member, _SIGNATURE, None)
                if signature is None or signature.function is not member:
                    signature = Signature.of(member, klass, is_method=True)
                bound = MethodType(member, target)
                return signature.around(bound) if signature.is_guarded else bound
            if not _is_method(member):
                return None
            return _guard_member(member, member.__get__(target, cls), klass)
    find = getattr(cls, "_find_method_", None)  # of a forwarder, whose methods are another object's
    return None if find is None else cast("Callable[..., Any]", find(target, name))


def _is_method(member: object) -> bool:
    if isinstance(member, (FunctionType, staticmethod, classmethod, partialmethod)):
        return True
    if isinstance(member, (type, partial)) or not callable(member):  # a partial binds in some versions of Python only
        return False
    return hasattr(type(member), "__get__") and not hasattr(type(member), "__set__")


def _guard_member(member: object, bound: Callable[..., Any], owner: type) -> Callable[..., Any]:
    """`bound`, which `member` of a class became, with the guards of the function behind it."""
    function = inspect.unwrap(cast("Callable[..., Any]", getattr(member, "__func__", member)))
    if not isinstance(function, FunctionType):
        return bound
    return Signature.of(function, owner, is_method=not isinstance(member, staticmethod)).around(bound)


def _guard_call(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function, bound method or callable object, with its guards."""
    if isinstance(function, FunctionType):
        return Signature.of(function, None, is_method=False).around(function)
    if isinstance(function, MethodType):
        return _guard_member(function, function, type(function.__self__))
    call = inspect.getattr_static(type(function), "__call__", None)
    if isinstance(call, FunctionType):
        return Signature.of(call, type(function), is_method=True).around(MethodType(call, function))
    return function


class Signature:
    """The guards of one function.

    Attributes:
        is_guarded: whether there are any.
    """

    __slots__ = (
        "_name",
        "_named",
        "_others",
        "_positional",
        "_rest",
        "_result",
        "_result_path",
        "function",
        "is_guarded",
    )

    @classmethod
    def of(cls, function: FunctionType, owner: type | None, *, is_method: bool) -> Signature:
        """The signature of `function`, remembered with it.

        Args:
            owner: the class that it is defined in, if any.
            is_method: its first parameter is bound.

        Raises:
            TypeError: its annotations cannot be read.
        """
        found = getattr(function, _SIGNATURE, None)
        if not isinstance(found, Signature) or found.function is not function:
            found = cls(function, owner, is_method=is_method)
            setattr(function, _SIGNATURE, found)
        return found

    def __init__(self, function: FunctionType, owner: type | None, *, is_method: bool) -> None:
        inner: Any = inspect.unwrap(function)
        code = inner.__code__
        self.function: Callable[..., Any] = function
        self._name = name = inner.__name__
        try:
            hints = typing.get_type_hints(
                inner, localns=None if owner is None else dict(vars(owner)), include_extras=True
            )
        except Exception as error:
            raise TypeError(f"{name}: its annotations cannot be read, so it cannot be called: {error}") from error
        guards = {key: read_annotation(hint, owner) for key, hint in hints.items() if key != "return"}
        names = list(code.co_varnames)
        named = names[: code.co_argcount + code.co_kwonlyargcount]
        extra = names[len(named) :]
        self._rest = guards.get(extra.pop(0)) if code.co_flags & inspect.CO_VARARGS else None
        self._others = guards.get(extra.pop(0)) if code.co_flags & inspect.CO_VARKEYWORDS else None
        self._positional = [(f"{name}({key})", guards.get(key)) for key in named[is_method : code.co_argcount]]
        self._named = {key: guards.get(key) for key in named[code.co_posonlyargcount :]}
        self._result_path = f"{name}() result"
        self._result = read_result(hints["return"], owner) if "return" in hints else None
        self.is_guarded = self._result is not None or any(guard is not None for guard in guards.values())

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, called in the way of this signature, with the guards around it."""
        if not self.is_guarded:
            return function

        def call(*args: Any, **kwargs: Any) -> Any:
            self._check_arguments(args, kwargs)
            value = function(*args, **kwargs)
            if self._result is None:
                return value
            if isinstance(value, EVENTUAL):
                return self._check_later(value, self._result)
            self._result.check(value, self._result_path)
            return value

        return call

    def _check_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Check what there is; that it is what the function takes, the call itself finds out."""
        for (path, guard), value in zip(self._positional, args, strict=False):
            if guard is not None:
                guard.check(value, path)
        if self._rest is not None:
            for index in range(len(self._positional), len(args)):
                self._rest.check(args[index], f"{self._name}(args[{index}])")
        for key, value in kwargs.items():
            guard = self._named.get(key, self._others)
            if guard is not None:
                guard.check(value, f"{self._name}({key})")

    async def _check_later(self, eventual: Any, result: Guard) -> Any:
        value: Any = eventual
        while isinstance(value, EVENTUAL):
            value = await value
        result.check(value, self._result_path)
        return value


def _name(target: object) -> str:
    iface = find_iface(target)
    return type(target).__name__ if iface is None else iface.removeprefix(IFACE_PREFIX)


def _offer(target: object) -> str:
    """What can be called instead."""
    if isinstance(target, (FunctionType, FarFunction)):
        return "it is a function, to be called itself"
    if isinstance(target, FacetView):
        return f"it has: {', '.join(sorted(target.methods))}"
    names = sorted({name for klass in type(target).__mro__ for name in klass.__dict__ if not name.startswith("_")})
    methods = [name for name in names if _is_callable(target, name)]
    return f"it has: {', '.join(methods)}" if methods else "it has no methods"


def _is_callable(target: object, name: str) -> bool:
    try:
        return find_method(target, name) is not None
    except TypeError:  # its annotations cannot be read
        return True
