"""Random passables, described in neutral JSON; the same for the same seed."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable
from typing import Any

from tests.oracle.neutral import JAVASCRIPT_ERRORS, text_to_hex

_NAMES = (
    *("", "a", "__proto__", "constructor", "toString", "hasOwnProperty", "then", "length", "payload", "name"),
    *("#tag", "#error", "!", "!#tag", "!!", "$0", "&0", "+1", "-1"),
)
_INDICES = (
    *("0", "1", "2", "3", "10", "11", "20", "100", "01", "00", "-0", "1e3", "1.0", "٣", "²"),
    *("4294967293", "4294967294", "4294967295", "4294967296", "9007199254740991", "99999999999999999999"),
)
_TEXTS = (
    *("#undefined", "#NaN", "%foo", "*00", "(", ")", "'", '"', ",", ".", "/", " ", "!\0", "\n\r\t\b\f\v", "\x7f"),
    *("\u2028", "\ufeff", "é", "e\u0301", "😀", "\\", "\\ud800", "\ud800", "\udfff", "\ud83d\ude00", "\ude00\ud83d"),
)
_SYMBOLS = (
    "",
    "foo",
    "@@iterator",
    "@@asyncIterator",
    "@@toStringTag",
    "@@@@iterator",
    "@@@@",
    "@",
    "#",
    "\ud800",
    "😀",
)
_NUMBERS = (
    *(0.0, -0.0, 0.1, 0.5, 4.35, 0.000001234, math.nan, math.inf, -math.inf),
    *(
        1e15,
        1e16,
        1e17,
        1e20,
        1e21,
        1e22,
        1e23,
        1e-4,
        1e-5,
        1e-6,
        1e-7,
        123456789012345680000.0,
        295147905179352830000.0,
    ),
    *(5e-324, 2.225073858507201e-308, 2.2250738585072014e-308, 1.7976931348623157e308, 2.0**53, 2.0**53 + 2, 2.0**63),
)
_SURROGATES = [chr(code) for code in (0xD800, 0xDBFF, 0xDC00, 0xDFFF)]


_DAMAGE = (
    *'"\\[]{}:,#!$&%*+-.0123456789 eu\n\ud800é',
    "null",
    "#undefined",
    '"#tag":"t"',
    '"#error":""',
    "\\u0021",
    "@@",
)


class Maker:
    """Makes descriptions, as many as it is asked for."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def make(self) -> list[Any]:
        pick = self._random
        if pick.random() < 0.03:  # at the root Endo passes errors of any name
            return ["error", self._text(), self._text()]
        return self._value(pick.choice((0, 1, 1, 2, 2, 3, 4, 6)))

    def _value(self, depth: int) -> list[Any]:
        if depth <= 0:
            return self._leaf()
        match self._random.randrange(5):
            case 0:
                return self._leaf()
            case 1 | 2:
                return ["array", [self._value(depth - 1) for _ in range(self._random.randrange(5))]]
            case 3:
                names = dict.fromkeys(self._name() for _ in range(self._random.randrange(7)))
                return ["record", [[name, self._value(depth - 1)] for name in names]]
            case _:
                return ["tagged", self._name(), self._value(depth - 1)]

    def _leaf(self) -> list[Any]:
        pick = self._random
        makers: list[Callable[[], list[Any]]] = [
            lambda: pick.choice([["null"], ["undefined"], ["boolean", True], ["boolean", False]]),
            lambda: ["number", struct.pack(">d", self._number()).hex()],
            lambda: ["number", struct.pack(">d", self._number()).hex()],
            lambda: ["bigint", str(self._integer())],
            lambda: ["string", self._text()],
            lambda: ["string", self._text()],
            lambda: ["string", self._name()],
            lambda: ["symbol", text_to_hex(pick.choice(_SYMBOLS))],
            lambda: self._remotable(100 + pick.randrange(8)),
            lambda: self._remotable(100 + pick.randrange(1000)),
            lambda: ["promise", 100 + pick.randrange(8)],
            lambda: ["error", text_to_hex(pick.choice(JAVASCRIPT_ERRORS)), self._text()],
        ]
        return pick.choice(makers)()

    def _remotable(self, number: int) -> list[Any]:
        ifaces = ("Remotable", f"Alleged: counter {number}", f'DebugName: "\ud800\n.{number}', "Alleged: ")
        return ["remotable", number, text_to_hex(ifaces[number % len(ifaces)])]

    def _number(self) -> float:
        pick = self._random
        match pick.randrange(6):
            case 0:
                return pick.choice(_NUMBERS)
            case 1:
                return float(pick.randrange(-1000, 1000))
            case 2:
                return pick.uniform(-1, 1) * 10.0 ** pick.randrange(-12, 26)
            case 3:
                return float(pick.choice((1, -1)) * pick.getrandbits(pick.randrange(1, 80)))
            case 4:
                return pick.choice((1, -1)) * math.ldexp(1, pick.randrange(-1074, 1024))
            case _:
                return float(struct.unpack(">d", pick.randbytes(8))[0])

    def _integer(self) -> int:
        pick = self._random
        long = 10**600 - pick.getrandbits(1)
        magnitude = pick.choice((0, 1, 9, 10, 2**53, 2**64, pick.getrandbits(8), pick.getrandbits(200), long))
        return pick.choice((1, -1)) * magnitude

    def _name(self) -> str:
        pick = self._random
        match pick.randrange(4):
            case 0:
                return text_to_hex(pick.choice(_NAMES))
            case 1:
                return text_to_hex(pick.choice(_INDICES))
            case 2:
                return text_to_hex(str(pick.randrange(40)))
            case _:
                return self._text()

    def _text(self) -> str:
        return text_to_hex("".join(self._piece() for _ in range(self._random.randrange(4))))

    def _piece(self) -> str:
        pick = self._random
        match pick.randrange(6):
            case 0:
                return pick.choice(_TEXTS)
            case 1:
                return chr(pick.randrange(0x21, 0x2E))
            case 2:
                return pick.choice(_SURROGATES)
            case 3:
                return chr(pick.randrange(0x10000, 0x110000))
            case 4:
                return chr(pick.randrange(0x300))
            case _:
                return "".join(pick.choices("abcdefgh .-", k=3))


def damage(body: str, chance: random.Random) -> str:
    """Another text that is nearly `body`."""
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(body) + 1)
        end = min(len(body), at + chance.randrange(1, 5))
        match chance.randrange(4):
            case 0:
                body = body[:at] + body[end:]
            case 1:
                body = body[:at] + chance.choice(_DAMAGE) + body[at:]
            case 2:
                body = body[:at] + chance.choice(_DAMAGE) + body[end:]
            case _:
                body = body[:at] + body[at:end] + body[at:]
    return body
