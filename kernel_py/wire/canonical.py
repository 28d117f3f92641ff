"""The one JSON form: compact, no ASCII escaping of printable text, keys in the order given.

Everything that is stored or compared as text is made here. Records are built with a fixed key
order, so keys need no sorting; maps whose order is not fixed are passed through `dump_sorted`.
Lone surrogates, which have no UTF-8, are escaped.

No text of others reaches the JSON parser before `check_depth`: the parser recurses on the machine's stack, and
in WebAssembly running out of that is not an exception but the end of the interpreter. A vat that
sent 20,000 brackets would take the kernel with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import accumulate
from json.encoder import c_make_encoder, encode_basestring, encode_basestring_ascii  # type: ignore[attr-defined]
from typing import Any

DEPTH_MAX = 400
"""Nesting of JSON: twice that of a passable, and far below what any JavaScript engine's stack holds."""

# Possessive, and matching an unfinished string as well, so that its time is linear in any text.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def _refuse(value: object) -> None:
    raise TypeError(f"{type(value).__name__} is not JSON")


def _make_encoder(escape: Callable[[str], str], *, sort_keys: bool) -> Callable[[Any], str]:
    """An encoder in C, made once: ``json.dumps`` makes one per call, which costs more than the encoding."""
    encode = c_make_encoder(None, _refuse, escape, None, ":", ",", sort_keys, False, False)  # noqa: FBT003
    return lambda value: "".join(encode(value, 0))


_encode = _make_encoder(encode_basestring, sort_keys=False)
_encode_ascii = _make_encoder(encode_basestring_ascii, sort_keys=False)
_encode_sorted = _make_encoder(encode_basestring_ascii, sort_keys=True)


def dump(value: Any) -> str:
    """`value` as compact JSON, keys in insertion order. The text is always valid UTF-8."""
    text = _encode(value)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return _encode_ascii(value)
    return text


def dump_sorted(value: Any) -> str:
    """`value` as compact ASCII JSON with every object's keys sorted."""
    return _encode_sorted(value)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_scan = _decoder.scan_once  # type: ignore[attr-defined]


def _decode(text: str) -> Any:
    try:
        value, end = _scan(text, 0)
    except (ValueError, StopIteration):
        end = -1
    if end != len(text):  # there are spaces around it, or it is not JSON
        return _decoder.decode(text)
    return value


def load(text: str) -> Any:
    """Parse JSON text; NaN and infinities are refused.

    Raises:
        ValueError: the text is not JSON.
        RecursionError: it nests too deeply.
    """
    check_depth(text, DEPTH_MAX)
    return _decode(text)


def load_own(text: str) -> Any:
    """Parse JSON text that `dump` made of something which was not deep: nobody else has had it since."""
    return _decode(text)


def check_depth(text: str, depth_max: int) -> None:
    """Make sure that a JSON parser will not nest deeper than `depth_max` in `text`, be it JSON or not.

    Raises:
        RecursionError: it might.
    """
    if text.count("[") + text.count("{") <= depth_max:
        return
    brackets = _STRING.sub("", text).encode("utf-8", "replace").translate(None, _NOT_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > depth_max:
        raise RecursionError(f"JSON nested more than {depth_max} deep")
