"""Keys of collections as text whose byte order is the order of the keys.

The form is encodePassable's of Endo (``legacyOrdered``), for scalars:

| key           | text                                                                              |
|---------------|-----------------------------------------------------------------------------------|
| ``bool``      | ``bfalse`` ``btrue``                                                              |
| ``float``     | ``f`` and the bits in hexadecimal: the sign bit flipped, or all if it is negative |
| ``int``       | ``p1:7`` ``p2:12`` ``p~11:10000000000``; negative, in ten's complement, ``n9:9``  |
| a reference   | ``r0000000001:o-50``: the ordinal of its first insertion into the collection      |
| ``str``       | ``s`` and itself                                                                  |
| ``None``      | ``v``                                                                             |
| `Symbol`      | ``y`` and its name                                                                |
| `Undefined`   | ``z``                                                                             |

So keys are in order of type as in the table, then of value; NaN comes after infinity, -0.0 is 0.0, and text is in
the order of its code points. Unlike in a ``dict``, ``1``, ``1.0`` and ``True`` are three keys.

Every text begins with one of these letters, and so lies before "{"; a collection's own records begin with "|".

Source: encodePassable.js; the reference, 5.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable
from typing import Final

from kernel_py.wire.errors import MarshalError
from kernel_py.wire.passable import Symbol, Undefined, UndefinedType, find_symbol_fault

FIRST: Final = " "
"""Before every key's text."""
LAST: Final = "{"
"""After every key's text, and before the collection's own records."""

_SIGN = 1 << 63
_ALL_BITS = (1 << 64) - 1
_NAN = "ffff8000000000000"
_BITS_PER_DIGIT_MAX = 4
_FIRST_SURROGATE = 0xD800
_AFTER_SURROGATES = 0xE000

SCALARS: Final[dict[type, tuple[str, str]]] = {
    bool: ("b", "c"),
    float: ("f", "g"),
    int: ("n", "q"),
    str: ("s", "t"),
    type(None): ("v", "w"),
    Symbol: ("y", "z"),
    UndefinedType: ("z", "{"),
}
"""The types of keys that are no references, and between which texts their keys are."""
REFERENCES: Final = ("r", "s")


def encode_key(key: object, chars_max: int) -> str | None:
    """The text of a key; None if it is no scalar, and so a reference or nothing that can be a key.

    Raises:
        MarshalError: it is too long, or text that has no UTF-8.
    """
    encode = _ENCODERS.get(type(key))
    if encode is None:
        return None
    if type(key) is int and key.bit_length() > chars_max * _BITS_PER_DIGIT_MAX:
        raise MarshalError(f"a key has at most {chars_max} characters, and this number has more digits")
    text = encode(key)
    if len(text) > chars_max:
        raise MarshalError(f"a key has at most {chars_max} characters, not {len(text):,}")
    return text


def encode_reference(ordinal: int, vref: str) -> str:
    """The text of a reference that was the `ordinal`-th to come into its collection."""
    return f"r{ordinal:010}:{vref}"


def decode_key(text: str, slot_to_value: Callable[[str], object]) -> object:
    """The key of a text that these functions made.

    Args:
        slot_to_value: gives the object of a vref.
    """
    match text[0]:
        case "s":
            return text[1:]
        case "p":
            return int(text[text.index(":") + 1 :])
        case "n":
            digits = text[text.index(":") + 1 :]
            return int(digits) - 10 ** len(digits)
        case "r":
            return slot_to_value(text[text.index(":") + 1 :])
        case "f":
            return _decode_float(text)
        case "b":
            return text == "btrue"
        case "v":
            return None
        case "y":
            return Symbol(text[1:])
        case _:
            return Undefined


def find_vref(text: str) -> str | None:
    """The vref in the text of a reference; None for the other keys."""
    return text[text.index(":") + 1 :] if text[0] == "r" else None


def after_prefix(text: str) -> str:
    """The least text after all that begin with `text`, a key's text."""
    text = text.rstrip(chr(sys.maxunicode))
    following = ord(text[-1]) + 1
    return text[:-1] + chr(_AFTER_SURROGATES if following == _FIRST_SURROGATE else following)


def _encode_float(number: float) -> str:
    if math.isnan(number):
        return _NAN
    [bits] = struct.unpack(">Q", struct.pack(">d", number + 0.0))  # -0.0 + 0.0 is 0.0
    return f"f{bits ^ (_ALL_BITS if bits & _SIGN else _SIGN):016x}"


def _decode_float(text: str) -> float:
    bits = int(text[1:], 16)
    [number] = struct.unpack(">d", struct.pack(">Q", bits ^ (_SIGN if bits & _SIGN else _ALL_BITS)))
    return float(number)


def _encode_int(number: int) -> str:
    digits = str(abs(number))
    count = len(digits)
    more = len(str(count)) - 1  # marks how many digits the count itself has
    if number >= 0:
        return f"p{'~' * more}{count}:{digits}"
    return f"n{'#' * more}{10 ** (more + 1) - count}:{10**count + number:0{count}}"


def _encode_str(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise MarshalError("text with lone surrogates cannot be a key") from None
    return "s" + text


def _encode_symbol(symbol: Symbol) -> str:
    fault = find_symbol_fault(symbol.name)
    if fault is not None:
        raise MarshalError(fault)
    return "y" + _encode_str(symbol.name)[1:]


_ENCODERS: Final[dict[type, Callable[..., str]]] = {
    bool: lambda key: "btrue" if key else "bfalse",
    float: _encode_float,
    int: _encode_int,
    str: _encode_str,
    type(None): lambda _: "v",
    Symbol: _encode_symbol,
    UndefinedType: lambda _: "z",
}
