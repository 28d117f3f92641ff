"""Passables described in neutral JSON, so that neither codec has to trust the other.

The forms are in ``smallcaps.mjs`` beside this file.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

from kernel_py.wire.passable import RemoteError, Symbol, Tagged, Undefined, make_remote_error
from kernel_py.wire.smallcaps import Marshal

JAVASCRIPT_ERRORS = (
    *("Error", "TypeError", "RangeError", "SyntaxError", "ReferenceError"),
    *("EvalError", "URIError", "AggregateError"),
)


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

    def slot_to_value(slot: str, iface: str | None, is_promise: bool) -> object:
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


def build(description: list[Any]) -> object:  # noqa: C901 - a case for each kind
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


def describe(value: object) -> list[Any]:  # noqa: C901 - a case for each kind
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
