"""The one JSON form: compact, no ASCII escaping of printable text, keys in the order given.

Everything that is stored or compared as text is made here. Records are built with a fixed key
order, so keys need no sorting; maps whose order is not fixed are passed through `dump_sorted`.
Lone surrogates, which have no UTF-8, are escaped.
"""

from __future__ import annotations

import json
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_encode_ascii = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode
_encode_sorted = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False, sort_keys=True).encode


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


def load(text: str) -> Any:
    """Parse JSON text; NaN and infinities are refused.

    Raises:
        ValueError: the text is not JSON.
        RecursionError: it nests too deeply.
    """
    return json.loads(text, parse_constant=_refuse_constant)
