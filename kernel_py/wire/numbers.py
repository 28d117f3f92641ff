"""Numbers as text, the way ECMAScript writes them.

Owns the text of a JavaScript number (``Number.prototype.toString``) and of a BigInt. Python and
JavaScript agree on the digits of a float (the shortest that read back as the same float); they
differ in when they write an exponent and in how.

Integers are converted in pieces, so that neither direction depends on the interpreter's own limit on
such conversions (``sys.set_int_max_str_digits``), which any code in a vat can change; the caller's limit
bounds the work, which grows with the square of the digits, instead.

Source: ECMA-262, Number::toString; JSON.stringify, which writes -0 as 0.
"""

from __future__ import annotations

import re

_PIECE_DIGITS = 500
"""Digits converted in one step: below 640, the least limit that the interpreter can be given."""
_PIECE = 10**_PIECE_DIGITS
_BITS_SMALL = 1_600
"""Every integer of so many bits has fewer digits than a piece."""
_BITS_PER_DIGIT = 3.33
"""A little more than log2(10)."""

_BIGINT = re.compile(r"\+0|[+-][1-9][0-9]*+")

_POINT_EXPONENT_MAX = 21
_POINT_EXPONENT_MIN = -6


def format_number(number: float) -> str:
    """The text of a finite float as JSON.stringify writes it: ``5``, ``0.1``, ``1e-7``, ``100000000000000000000``."""
    text = repr(number)
    if text.endswith(".0"):
        return "0" if text == "-0.0" else text[:-2]
    return _move_exponent(text) if "e" in text else text


def _move_exponent(text: str) -> str:
    """Rewrite Python's exponent form as ECMAScript would."""
    mantissa, _, exponent_text = text.partition("e")
    sign = "-" if mantissa[0] == "-" else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).rstrip("0")
    point = int(exponent_text) + 1  # the value is 0.<digits> times ten to the power of `point`
    if len(digits) <= point <= _POINT_EXPONENT_MAX:
        return sign + digits.ljust(point, "0")
    if _POINT_EXPONENT_MIN < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if 0 < point <= _POINT_EXPONENT_MAX:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    dotted = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{sign}{dotted}e{point - 1:+d}"


def format_bigint(number: int, digits_max: int) -> str:
    """The decimal text of an integer, always signed: ``+7``, ``-7``, ``+0``.

    Raises:
        OverflowError: it has more than `digits_max` digits.
    """
    bits = number.bit_length()
    if bits <= _BITS_SMALL:
        return f"{number:+d}"
    text = "" if bits > digits_max * _BITS_PER_DIGIT else _format_in_pieces(number)
    if not 0 < len(text) - 1 <= digits_max:
        raise OverflowError(f"an integer of more than {digits_max:,} digits")
    return text


def _format_in_pieces(number: int) -> str:
    pieces: list[str] = []
    rest = abs(number)
    while rest >= _PIECE:
        rest, piece = divmod(rest, _PIECE)
        pieces.append(f"{piece:0{_PIECE_DIGITS}d}")
    pieces.append(str(rest))
    pieces.append("-" if number < 0 else "+")
    return "".join(reversed(pieces))


def parse_bigint(text: str, digits_max: int) -> int:
    """Read what `format_bigint` writes, and nothing else.

    Raises:
        ValueError: it is not a signed decimal without needless zeros.
        OverflowError: it has more than `digits_max` digits.
    """
    if _BIGINT.fullmatch(text) is None:
        raise ValueError("not a signed decimal number in its shortest form")
    if len(text) <= _PIECE_DIGITS:
        return int(text)
    digits = text[1:]
    if len(digits) > digits_max:
        raise OverflowError(f"an integer of more than {digits_max:,} digits")
    first = len(digits) % _PIECE_DIGITS
    number = int(digits[:first] or "0")
    for start in range(first, len(digits), _PIECE_DIGITS):
        number = number * _PIECE + int(digits[start : start + _PIECE_DIGITS])
    return -number if text[0] == "-" else number
