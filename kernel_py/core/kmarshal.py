"""The kernel's own marshalling: errors it raises for vats, and values at the control interface.

Owns the Python-literal form in which people and scripts write arguments and read results. The
kernel never looks into the bodies that vats exchange; this is for what it says and shows itself.
"""

from __future__ import annotations

import ast
import io
import re
import token
import tokenize
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

from kernel_py.wire import canonical
from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import MarshalError, RequestError, cut_middle
from kernel_py.wire.limits import DEFAULT_LIMITS
from kernel_py.wire.passable import Symbol, Tagged, Undefined, make_remote_error
from kernel_py.wire.refs import InvalidRef, parse_kref
from kernel_py.wire.smallcaps import Marshal


@dataclass(frozen=True, slots=True)
class Ref:
    """A kernel object or promise in a decoded value. Shown as ``<Counter ko20>`` or ``<promise kp41>``."""

    kref: str
    iface: str = ""

    def __repr__(self) -> str:
        name = self.iface.removeprefix("Alleged: ") or ("promise" if self.kref[1] == "p" else "object")
        return f"<{name} {self.kref}>"


def _value_to_slot(value: object) -> tuple[str, str | None] | None:
    if not isinstance(value, Ref):
        return None
    return (value.kref, None) if value.kref[1] == "p" else (value.kref, value.iface or "Remotable")


def _slot_to_value(slot: str, iface: str | None, is_promise: bool) -> Ref:  # noqa: FBT001 -- Marshal's signature
    return Ref(slot, "" if is_promise else (iface or ""))


_DECIMAL_BITS_MAX = 10_000
"""Above it, an integer is shown in hexadecimal: in decimal it takes long, and Python refuses more than 4,300 digits."""

_REFERENCE = re.compile(r"[$&]0(?:\.|\Z)")
_REFERENCE_CHARS_MAX = 10_000

_marshal = Marshal(value_to_slot=_value_to_slot, slot_to_value=_slot_to_value)


def serialize(value: object, path: str = "") -> CapData:
    """Capdata with krefs as slots, from a value that mentions `Ref`s.

    Raises:
        MarshalError: it is not passable.
    """
    return _marshal.serialize(value, path)


def serialize_error(message: str, name: str = "Error") -> CapData:
    """Capdata of an error that the kernel itself rejects a promise with."""
    return _marshal.serialize(make_remote_error(name, message, None))


def serialize_call(method: str, args: list[Any], kwargs: dict[str, Any] | None = None) -> CapData:
    """The methargs of a message that the kernel itself sends."""
    return _marshal.serialize([method, args, kwargs] if kwargs else [method, args], "message")


def render(data: CapData) -> str:
    """`data` as Python would write it; for people. Never fails."""
    try:
        return cut_middle(_render(_marshal.unserialize(data)), DEFAULT_LIMITS.error_chars_max)
    except (MarshalError, RecursionError) as error:
        return f"<undecodable: {error}>"


def _render(value: object) -> str:
    match value:
        case int() if value.bit_length() > _DECIMAL_BITS_MAX:
            return f"{value:#x}"
        case BaseException():
            return f"{getattr(value, 'name', type(value).__name__)}({str(value)!r})"
        case list():
            return f"[{', '.join(map(_render, value))}]"
        case dict():
            return f"{{{', '.join(f'{key!r}: {_render(item)}' for key, item in value.items())}}}"
        case Tagged(tag=tag, payload=payload):
            return f"Tagged({tag!r}, {_render(payload)})"
        case _:
            return repr(value)


def find_single_slot(data: CapData) -> str | None:
    """The slot, if `data` is a reference and nothing else, whatever its body calls it. Never fails."""
    if len(data.slots) != 1 or len(data.body) > _REFERENCE_CHARS_MAX:
        return None
    try:
        mark = canonical.load(data.body[1:])
    except (ValueError, RecursionError):
        return None
    is_reference = data.body[0] == "#" and isinstance(mark, str) and _REFERENCE.match(mark) is not None
    return data.slots[0] if is_reference else None


def method_of(body: str) -> str:
    """The method named in a methargs body, for messages to people; "()" for a plain call."""
    try:
        methargs = canonical.load(body[1:])
        method = methargs[0]
    except (ValueError, LookupError, TypeError, RecursionError):
        return "?"
    return str(method).removeprefix("!")[:100] if isinstance(method, str) and method != "#undefined" else "()"


def arguments_of(call: CapData) -> tuple[list[str], dict[str, str]]:
    """Arguments and keyword arguments of a methargs capdata, each as Python would write it. Never fails."""
    try:
        match _marshal.unserialize(call):
            case [_, [*args]]:
                return [_render(arg) for arg in args], {}
            case [_, [*args], {**kwargs}]:
                return [_render(arg) for arg in args], {str(name): _render(value) for name, value in kwargs.items()}
            case _:
                return [f"<not a call: {call.body:.200}>"], {}
    except (MarshalError, RecursionError) as error:
        return [f"<undecodable: {error}>"], {}


_NAMES = {"inf": float("inf"), "nan": float("nan"), "Undefined": Undefined}


def parse_arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Parse call arguments written as Python literals: ``3, 'x', ko23, [1.5, None], amount=5``.

    Names of kernel references stand for what they name; ``Tagged(tag, payload)``, ``Symbol(name)``, ``inf``,
    ``nan`` and ``Undefined`` are known.

    Raises:
        RequestError: it is anything else. The path is ``args``.
    """
    call_text = f"f({text}\n)"
    try:
        _check_tokens(call_text)
        tree = ast.parse(call_text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise RequestError(f"not Python literals: {reason}; write for example 3, 'x', ko23, amount=5", "args") from None
    call = tree.body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise RequestError("write only arguments, separated by commas", "args")
    args = [_evaluate(node, f"args[{index}]") for index, node in enumerate(call.args)]
    kwargs: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise RequestError("** is not a literal; write name=value", "args")
        kwargs[keyword.arg] = _evaluate(keyword.value, f"args[{keyword.arg!r}]")
    return args, kwargs


_OPENING = frozenset("([{")
_BEFORE_A_VALUE = _OPENING | frozenset(",:=")
_OPERATORS = _BEFORE_A_VALUE | frozenset(")]}-")
_LITERAL_TOKENS = frozenset({
    token.NAME, token.NUMBER, token.STRING, token.OP, token.COMMENT, token.NL, token.NEWLINE, token.ENDMARKER
})  # fmt: skip


def _check_tokens(text: str) -> None:
    """Refuse what can nest without brackets: operators, attributes, calls of calls.

    Python limits the nesting of brackets. Beyond that its compiler recurses on the machine's stack, and
    in WebAssembly running out of that is not an exception but the end of the interpreter.
    """
    before = "("
    for item in tokenize.generate_tokens(io.StringIO(text).readline):
        word = item.string
        is_operator = item.type == token.OP
        is_after_value = before not in _BEFORE_A_VALUE
        if (
            item.type not in _LITERAL_TOKENS
            or (is_operator and word not in _OPERATORS)
            or (word == "-" and is_after_value)
            or (word in _OPENING and is_after_value and not (word == "(" and before.isidentifier()))
            or (iskeyword(word) and word not in {"None", "True", "False"})
        ):
            raise RequestError(f"{word!r:.80} does not belong in a literal", "args")
        if item.type not in {token.COMMENT, token.NL}:
            before = word if is_operator or item.type == token.NAME else "0"


def _evaluate(node: ast.expr, path: str) -> Any:
    match node:
        case ast.Constant(value=value) if not isinstance(value, complex) and value is not ...:
            return value
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_evaluate(element, f"{path}[{index}]") for index, element in enumerate(elements)]
        case ast.Dict(keys=keys, values=values):
            return {_key(key, path): _evaluate(value, f"{path}[...]") for key, value in zip(keys, values, strict=True)}
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = _evaluate(operand, path)
            if not isinstance(value, bool) and isinstance(value, int | float):
                return -value
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.Name(id=name):
            try:
                return Ref(parse_kref(name))
            except InvalidRef:
                raise RequestError(f"unknown name {name!r}: only references such as ko23 may be named", path) from None
        case ast.Call(func=ast.Name(id="Tagged"), args=[tag, payload], keywords=[]):
            return Tagged(_text(tag, path), _evaluate(payload, path))
        case ast.Call(func=ast.Name(id="Symbol"), args=[name_node], keywords=[]):
            return Symbol(_text(name_node, path))
        case _:
            pass
    raise RequestError(f"{ast.unparse(node)!r:.80} is not a literal", path)


def _key(node: ast.expr | None, path: str) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise RequestError("a record's keys are strings", path)


def _text(node: ast.expr, path: str) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise RequestError(f"{ast.unparse(node)!r:.80} is not a string", path)
