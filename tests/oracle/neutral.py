"""Passables described in neutral JSON, and the oracle that speaks for @endo/marshal.

The forms are in ``smallcaps.mjs`` beside this file.
"""

from __future__ import annotations

import json
import math
import random
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernel_py.wire.capdata import CapData
from kernel_py.wire.passable import RemoteError, Symbol, Tagged, Undefined, make_remote_error
from kernel_py.wire.smallcaps import Marshal

ORACLE = Path(__file__).with_name("smallcaps.mjs")
JAVASCRIPT_ERRORS = (
    "Error", "TypeError", "RangeError", "SyntaxError", "ReferenceError", "EvalError", "URIError", "AggregateError",
)  # fmt: skip


@dataclass(frozen=True)
class Remotable:
    """Stands for far object `number`, whose slot is ``o-<number>``."""

    number: int
    iface: str


@dataclass(frozen=True)
class Promise:
    """Stands for promise `number`, whose slot is ``p-<number>``."""

    number: int


def make_marshal(*, ids: bool = False) -> Marshal:
    """A marshal over the stand-ins. With `ids`, errors are numbered as the oracle does, from one."""
    ids_given: list[str] = []

    def value_to_slot(value: object) -> tuple[str, str | None] | None:
        match value:
            case Remotable(number, iface):
                return f"o-{number}", iface
            case Promise(number):
                return f"p-{number}", None
            case _:
                return None

    def slot_to_value(slot: str, iface: str | None, is_promise: bool) -> object:  # noqa: FBT001 - the interface
        number = int(slot[2:])
        assert is_promise == slot.startswith("p")
        assert (iface is None) == is_promise
        return Promise(number) if iface is None else Remotable(number, iface)

    def error_id(error: BaseException) -> str | None:
        ids_given.append(f"error:oracle#{len(ids_given) + 1}")
        return ids_given[-1]

    return Marshal(
        value_to_slot=value_to_slot,
        slot_to_value=slot_to_value,
        error_id=error_id if ids else lambda error: None,
    )


def text_to_hex(text: str) -> str:
    return text.encode("utf-16-be", "surrogatepass").hex()


def hex_to_text(digits: str) -> str:
    return bytes.fromhex(digits).decode("utf-16-be", "surrogatepass")


def build(description: list[Any]) -> object:
    """The value that `description` describes."""
    match description:
        case ["null"]:
            return None
        case ["undefined"]:
            return Undefined
        case ["boolean", value]:
            return value
        case ["number", bits]:
            return struct.unpack(">d", bytes.fromhex(bits))[0]
        case ["bigint", digits]:
            return int(digits)
        case ["string", text]:
            return hex_to_text(text)
        case ["symbol", text]:
            return Symbol(hex_to_text(text))
        case ["array", items]:
            return [build(item) for item in items]
        case ["record", items]:
            return {hex_to_text(key): build(item) for key, item in items}
        case ["tagged", tag, payload]:
            return Tagged(hex_to_text(tag), build(payload))
        case ["remotable", number, iface]:
            return Remotable(number, hex_to_text(iface))
        case ["promise", number]:
            return Promise(number)
        case ["error", name, message]:
            return make_remote_error(hex_to_text(name), hex_to_text(message), None)
        case _:
            raise ValueError(description)


def describe(value: object) -> list[Any]:
    """The description of `value`."""
    match value:
        case None:
            return ["null"]
        case bool():
            return ["boolean", value]
        case int():
            return ["bigint", str(value)]
        case float():
            return ["number", struct.pack(">d", math.nan if math.isnan(value) else value).hex()]
        case str():
            return ["string", text_to_hex(value)]
        case Symbol(name):
            return ["symbol", text_to_hex(name)]
        case list() | tuple():
            return ["array", [describe(item) for item in value]]
        case dict():
            return ["record", [[text_to_hex(key), describe(item)] for key, item in value.items()]]
        case Tagged(tag, payload):
            return ["tagged", text_to_hex(tag), describe(payload)]
        case Remotable(number, iface):
            return ["remotable", number, text_to_hex(iface)]
        case Promise(number):
            return ["promise", number]
        case RemoteError():
            return ["error", text_to_hex(value.name), text_to_hex(value.message)]
        case _:
            assert value is Undefined
            return ["undefined"]


def normalize(description: list[Any], *, error_names: tuple[str, ...] | None = None) -> list[Any]:
    """`description` without what equal values may differ in: the order of keys, the sign of zero.

    With `error_names`, any other error's name becomes ``Error``: all that Endo keeps of it.
    """
    match description:
        case ["number", "8000000000000000"]:
            return ["number", "0" * 16]
        case ["number", _]:
            return describe(build(description))  # one NaN
        case ["array", items]:
            return ["array", [normalize(item, error_names=error_names) for item in items]]
        case ["record", items]:
            return ["record", sorted([key, normalize(item, error_names=error_names)] for key, item in items)]
        case ["tagged", tag, payload]:
            return ["tagged", tag, normalize(payload, error_names=error_names)]
        case ["error", name, message] if error_names is not None and hex_to_text(name) not in error_names:
            return ["error", text_to_hex("Error"), message]
        case _:
            return description


# Random values -------------------------------------------------------------------------------

_NAMES = ("", "a", "__proto__", "constructor", "toString", "hasOwnProperty", "then", "length", "payload", "name",
          "#tag", "#error", "!", "!#tag", "!!", "$0", "&0", "+1", "-1")  # fmt: skip
_INDICES = ("0", "1", "2", "3", "10", "11", "20", "100", "01", "00", "-0", "1e3", "1.0", "٣", "²", "4294967293", "4294967294",
            "4294967295", "4294967296", "9007199254740991", "99999999999999999999")  # fmt: skip
_TEXTS = ("#undefined", "#NaN", "%foo", "*00", "(", ")", "'", '"', ",", "!\0", "\u2028", "\ufeff", "\x7f", "\\", "\\ud800",
          "\ud800", "\udfff", "\ud83d\ude00", "\ude00\ud83d", "😀", "é", "é", ".", "/", " ", "\n\r\t\b\f\v")  # fmt: skip
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
_NUMBERS = (0.0, -0.0, 0.1, 0.5, 1e15, 1e16, 1e17, 1e20, 1e21, 1e22, 1e23, 1e-4, 1e-5, 1e-6, 1e-7, 5e-324, 2.2250738585072014e-308,
            2.225073858507201e-308, 1.7976931348623157e308, 2.0**53, 2.0**53 + 2, 123456789012345680000.0, 0.000001234,
            math.nan, math.inf, -math.inf, 4.35, 9007199254740993.0, 295147905179352830000.0)  # fmt: skip
_SURROGATES = [chr(code) for code in (0xD800, 0xDBFF, 0xDC00, 0xDFFF)]


class Maker:
    """Makes random descriptions, the same for the same seed."""

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
        magnitude = pick.choice(
            (0, 1, 9, 10, 2**53, 2**64, pick.getrandbits(8), pick.getrandbits(200), 10**600 - pick.getrandbits(1))
        )
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


# The oracle ----------------------------------------------------------------------------------


def ask(
    *,
    encode: list[dict[str, Any]] | None = None,
    decode: list[CapData] | None = None,
    make: tuple[int, int] = (0, 0),
) -> dict[str, list[Any]]:
    """Ask @endo/marshal to encode descriptions, decode capdata, and make values of its own.

    Args:
        encode: records ``{"value": description, "ids": bool}``.
        decode: capdata, answered by descriptions or by ``{"refused": why}``.
        make: a seed, and how many values to make of it.
    """
    request = {
        "encode": encode or [],
        "decode": [data.to_json() for data in decode or []],
        "make": {"seed": make[0], "count": make[1]},
    }
    process = subprocess.run(
        ["node", str(ORACLE)],
        input=json.dumps(request),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr[-4000:]
    answer: dict[str, list[Any]] = json.loads(process.stdout)
    return answer
