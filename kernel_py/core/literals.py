"""Arguments as people and scripts write them at the control interface: Python literals and kernel references.

Owns the form; nothing in it is ever evaluated. What the text can make Python's own parser do is bounded before
that parser sees it.
"""

from __future__ import annotations

import ast
import io
import token
import tokenize
import warnings
from keyword import iskeyword
from typing import Any

from kernel_py.core.kmarshal import Ref
from kernel_py.wire.errors import RequestError
from kernel_py.wire.passable import Symbol, Tagged, Undefined
from kernel_py.wire.refs import InvalidRef, parse_kref

_NAMES = {"inf": float("inf"), "nan": float("nan"), "Undefined": Undefined}


def parse_arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Parse call arguments written as Python literals: ``3, 'x', ko23, [1.5, None], amount=5``.

    Names of kernel references stand for what they name; ``Tagged(tag, payload)``, ``Symbol(name)``, ``inf``,
    ``nan`` and ``Undefined`` are known.

    Raises:
        RequestError: it is anything else. The path is ``args``.
    """
    call = _parse(f"f({text}\n)")
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise RequestError("write only arguments, separated by commas", "args")
    args = [_evaluate(node, f"args[{index}]") for index, node in enumerate(call.args)]
    kwargs: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise RequestError("** is not a literal; write name=value", "args")
        if keyword.arg in kwargs:
            raise RequestError(f"{keyword.arg!r:.80} is given twice", "args")
        kwargs[keyword.arg] = _evaluate(keyword.value, f"args[{keyword.arg!r}]")
    return args, kwargs


def _parse(text: str) -> ast.expr:
    try:
        _check_tokens(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as of the escapes in '\\d', which stand for themselves
            return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        reason = error.msg
    except tokenize.TokenError as error:
        reason = error.args[0]
    except (ValueError, RecursionError, MemoryError) as error:
        reason = str(error)
    raise RequestError(f"not Python literals: {reason}; write for example 3, 'x', ko23, amount=5", "args")


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
    raise RequestError(f"{_source(node)!r:.80} is not a literal", path)


def _key(node: ast.expr | None, path: str) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise RequestError("a record's keys are strings", path)


def _text(node: ast.expr, path: str) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise RequestError(f"{_source(node)!r:.80} is not a string", path)


def _source(node: ast.expr) -> str:
    try:
        return ast.unparse(node)
    except ValueError:  # an integer of more digits than Python writes
        return "a very large number"
