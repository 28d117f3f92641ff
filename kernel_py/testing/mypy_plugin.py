"""The mypy plugin: ``E(purse).deposit(5)`` has the types of ``Purse.deposit``, and gives a promise of its result.

Name it in mypy's settings: ``plugins = ["kernel_py.testing.mypy_plugin"]``.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy.checker import TypeChecker
from mypy.nodes import Decorator, FuncBase
from mypy.plugin import AttributeContext, MethodSigContext, Plugin
from mypy.types import (
    AnyType,
    CallableType,
    FunctionLike,
    Instance,
    Overloaded,
    ProperType,
    Type,
    UninhabitedType,
    get_proper_type,
)

_SEND = "kernel_py.vat.eventual.Send"
_EVENTUAL = frozenset({
    "kernel_py.vat.promise.Promise", "typing.Coroutine", "types.CoroutineType", "typing.Awaitable",
    "_asyncio.Future", "_asyncio.Task",
})  # fmt: skip
_UNKNOWN = frozenset({"builtins.object", "kernel_py.vat.presence.Presence"})


class EventualSends(Plugin):
    """Types messages by the class of their target."""

    def get_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
        module, _, name = fullname.rpartition(".")
        return _type_method if module == _SEND and not name.startswith("_") else None

    def get_method_signature_hook(self, fullname: str) -> Callable[[MethodSigContext], FunctionLike] | None:
        return _type_call if fullname == f"{_SEND}.__call__" else None


def plugin(version: str) -> type[Plugin]:  # noqa: ARG001 (mypy's signature)
    return EventualSends


def _type_method(context: AttributeContext) -> Type:
    """The type of ``E(target).method``."""
    usual = get_proper_type(context.default_attr_type)
    target = _target_of(context.type)
    name = getattr(context.context, "name", "")
    if target is None or not isinstance(usual, CallableType):
        return usual
    member = _member(target, name, context)
    if isinstance(member, FunctionLike) and _is_method(target, name):
        return _promise(member, usual.ret_type)
    if not isinstance(member, AnyType):
        context.api.fail(f'"{name}" is no method: only methods can be called from outside', context.context)
    return usual


def _type_call(context: MethodSigContext) -> FunctionLike:
    """The type of ``E(function)``."""
    target = _target_of(context.type)
    if isinstance(target, Instance) and target.type.get("__call__"):
        target = _member(target, "__call__", context)
    usual = context.default_signature
    return _promise(target, usual.ret_type) if isinstance(target, FunctionLike) else usual


def _member(target: ProperType, name: str, context: AttributeContext | MethodSigContext) -> ProperType:
    """What `name` is of an object of that type, bound to it; complains if it is nothing."""
    assert isinstance(context.api, TypeChecker)
    return get_proper_type(context.api.expr_checker.analyze_external_member_access(name, target, context.context))


def _target_of(message: Type) -> ProperType | None:
    """What a message is sent to; None if nothing is known of it."""
    message = get_proper_type(message)
    if not isinstance(message, Instance) or not message.args:
        return None
    target = get_proper_type(message.args[0])
    if isinstance(target, AnyType | UninhabitedType):  # the latter of what has any attribute
        return None
    return None if isinstance(target, Instance) and target.type.fullname in _UNKNOWN else target


def _is_method(target: ProperType, name: str) -> bool:
    """Whether the class defines it as a function: an attribute that holds one cannot be called from outside."""
    found = target.type.get(name) if isinstance(target, Instance) else None
    return found is None or isinstance(found.node, FuncBase | Decorator)


def _promise(function: FunctionLike, promise: Type) -> FunctionLike:
    """`function`, with a promise of its result; `promise` is that of anything."""
    if isinstance(function, Overloaded):
        return Overloaded([_promise_one(item, promise) for item in function.items])
    assert isinstance(function, CallableType)
    return _promise_one(function, promise)


def _promise_one(function: CallableType, promise: Type) -> CallableType:
    promise = get_proper_type(promise)
    assert isinstance(promise, Instance)
    result = get_proper_type(function.ret_type)
    while isinstance(result, Instance) and result.type.fullname in _EVENTUAL:
        result = get_proper_type(result.args[-1])
    return function.copy_modified(ret_type=promise.copy_modified(args=[result]))
