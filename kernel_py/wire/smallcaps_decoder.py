"""Smallcaps text to passable values. The format is described in `kernel_py.wire.smallcaps`.

The JSON parser has made fresh lists and dicts; they are decoded in place, so that what needs no
decoding costs no more than a look.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

from kernel_py.wire import canonical
from kernel_py.wire.capdata import CapData
from kernel_py.wire.culprit import Culprit, index_step, key_step
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.limits import Limits
from kernel_py.wire.numbers import parse_bigint
from kernel_py.wire.passable import (
    RemoteError,
    Symbol,
    Tagged,
    Undefined,
    find_iface_fault,
    find_symbol_fault,
    make_remote_error,
)
from kernel_py.wire.smallcaps_encoder import utf16_order

SlotToValue = Callable[[str, "str | None", bool], object]

_CONSTANTS: Final[dict[str, object]] = {
    "#undefined": Undefined,
    "#NaN": math.nan,
    "#Infinity": math.inf,
    "#-Infinity": -math.inf,
}
_SLOT = re.compile(r"[$&](0|[1-9][0-9]{0,8})(?:\.(.*))?", re.DOTALL)
_HEX = re.compile(r"\*((?:[0-9a-f]{2})*+)")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_json = json.JSONDecoder(parse_int=float, parse_constant=_refuse_constant)
_scan: Callable[[str, int], tuple[Any, int]] = _json.scan_once  # type: ignore[attr-defined]


def parse_body(data: CapData, limits: Limits) -> Any:
    """The JSON of a body, with every number a float.

    Raises:
        MarshalError: it is not smallcaps, not JSON, or exceeds a limit.
    """
    body = data.body
    if body[:1] != "#":
        raise MarshalError(f"the body is not smallcaps, which begins with '#': {body!r:.80}")
    if len(body) > limits.body_chars_max:
        raise MarshalError(f"the body has {len(body):,} characters; the limit is {limits.body_chars_max:,}")
    if len(data.slots) > limits.slots_max:
        raise MarshalError(f"there are {len(data.slots):,} references; the limit is {limits.slots_max:,}")
    try:
        # An error is no container, but an object in JSON.
        canonical.check_depth(body, limits.passable_depth_max + 1)
        if not body.isascii():
            body.encode()
        return _parse_json(body)
    except RecursionError:
        raise MarshalError(_say_too_deep(limits.passable_depth_max)) from None
    except ValueError as error:  # JSON's errors, and Unicode's
        raise MarshalError(f"the body is not JSON: {error}") from None


def _parse_json(body: str) -> Any:
    try:
        value, end = _scan(body, 1)
    except (ValueError, StopIteration):
        end = 0
    if end != len(body):  # there are spaces around it, or it is not JSON
        return _json.decode(body[1:])
    return value


class Decoder:
    """Decodes the JSON of one body; discarded afterwards."""

    __slots__ = ("_limits", "_room", "_slot_to_value", "_slots", "_values")

    def __init__(self, slots: tuple[str, ...], slot_to_value: SlotToValue, limits: Limits) -> None:
        self._slots = slots
        self._slot_to_value = slot_to_value
        self._limits = limits
        self._room = limits.passable_depth_max
        self._values: dict[int, tuple[str, str | None, object]] = {}

    def decode(self, encoding: Any) -> object:
        """The value of what `parse_body` returned, which becomes part of it.

        Raises:
            Culprit: it is not smallcaps.
        """
        kind = type(encoding)
        if kind is str:
            return self._decode_special(encoding) if "!" <= encoding < "." else encoding
        if kind is list:
            self._decode_array(encoding)
        elif kind is dict:
            return self._decode_object(encoding)
        return encoding

    def _decode_array(self, array: list[Any]) -> None:
        self._enter()
        index = 0
        try:
            for index, item in enumerate(array):
                kind = type(item)
                if kind is str:
                    if "!" <= item < ".":
                        array[index] = self._decode_special(item)
                elif kind is list:
                    self._decode_array(item)
                elif kind is dict:
                    array[index] = self._decode_object(item)
        except Culprit as culprit:
            culprit.pass_out_of(array, index_step(index))
            raise
        self._room += 1

    def _decode_object(self, encoding: dict[str, Any]) -> object:
        record = encoding
        order: list[str] | None = None
        for key in encoding:
            # From "!" to "-" a key means something else; a digit may begin an array index; "." and "/" do no harm.
            if "!" <= key < ":":
                if "#tag" in encoding:
                    return self._decode_tagged(encoding)
                if "#error" in encoding:
                    return self._decode_error(encoding)
                record, order = _unescape_keys(encoding)
                break
        self._enter()
        name = ""
        try:
            for name, item in record.items():
                kind = type(item)
                if kind is str:
                    if "!" <= item < ".":
                        record[name] = self._decode_special(item)
                elif kind is list:
                    self._decode_array(item)
                elif kind is dict:
                    record[name] = self._decode_object(item)
        except Culprit as culprit:
            culprit.pass_out_of(record, key_step(name))
            raise
        self._room += 1
        return record if order is None else {name: record[name] for name in order}

    def _decode_tagged(self, encoding: dict[str, Any]) -> Tagged:
        if len(encoding) != 2 or "payload" not in encoding:
            raise Culprit(f"a tagged value has '#tag' and 'payload', and this one {list(encoding)!r:.200}")
        self._enter()
        tag = self._decode_text(encoding["#tag"], "tag")
        try:
            payload = self.decode(encoding["payload"])
        except Culprit as culprit:
            culprit.pass_out_of(encoding, ".payload")
            raise
        self._room += 1
        return Tagged(tag, payload)

    def _decode_error(self, encoding: dict[str, Any]) -> RemoteError:
        message = self._decode_text(encoding.pop("#error"), "an error's message")
        name = self._decode_text(encoding.pop("name", None), "an error's name")
        error_id = self._decode_text(encoding.pop("errorId"), "an error's id") if "errorId" in encoding else None
        if "message" in encoding:
            raise Culprit("an error has the property 'message'; its text belongs under '#error'")
        error = make_remote_error(name, message, error_id)
        if encoding:
            self._decode_extras(error, encoding)
        return error

    def _decode_extras(self, error: RemoteError, extras: dict[str, Any]) -> None:
        """Take in what later versions of Endo add to an error; all but its cause is then dropped."""
        self._enter()
        for key, item in extras.items():
            try:
                value = self.decode(item)
            except Culprit as culprit:
                culprit.pass_out_of(extras, f".{key:.60}")
                raise
            if key == "cause" and isinstance(value, RemoteError):
                error.__cause__ = value
        self._room += 1

    def _decode_text(self, encoding: object, what: str) -> str:
        value = self.decode(encoding) if type(encoding) is str else None
        if type(value) is not str:
            raise Culprit(f"{what} is a string, not {encoding!r:.80}")
        return value

    def _decode_special(self, text: str) -> object:
        marker = text[0]
        if marker in "+-":
            try:
                return parse_bigint(text, self._limits.bigint_digits_max)
            except (ValueError, OverflowError) as error:
                raise Culprit(f"{text!r:.80} is {error}") from None
        if marker == "!":
            return text[1:]
        if marker in "$&":
            return self._decode_reference(text, marker)
        if marker == "#" and text in _CONSTANTS:
            return _CONSTANTS[text]
        if marker == "%":
            fault = find_symbol_fault(text[1:])
            if fault is not None:
                raise Culprit(fault)
            return Symbol(text[1:])
        if marker == "*" and _HEX.fullmatch(text):
            return bytes.fromhex(text[1:])
        raise Culprit(f"{text!r:.80} is not smallcaps")

    def _decode_reference(self, text: str, marker: str) -> object:
        parsed = _SLOT.fullmatch(text)
        if parsed is None:
            raise Culprit(f"{text!r:.80} is not a reference to a slot")
        index = int(parsed[1])
        iface: str | None = parsed[2]
        known = self._values.get(index)
        if known is not None:
            known_marker, known_iface, value = known
            if marker != known_marker:
                raise Culprit(f"{text!r:.80}: slot {index} is both a promise and a remotable")
            if iface is not None and known_iface is not None and iface != known_iface:
                raise Culprit(f"{text!r:.80}: slot {index} has another interface, {known_iface!r:.80}, before")
            return value
        if index >= len(self._slots):
            raise Culprit(f"{text!r:.80}: there are only {len(self._slots)} slots")
        if iface is not None:
            fault = "a promise has no interface" if marker == "&" else find_iface_fault(iface)
            if fault is not None:
                raise Culprit(f"{text!r:.80}: {fault}")
        value = self._slot_to_value(self._slots[index], iface, marker == "&")
        self._values[index] = marker, iface, value
        return value

    def _enter(self) -> None:
        self._room -= 1
        if self._room < 0:
            raise Culprit(_say_too_deep(self._limits.passable_depth_max))


def _unescape_keys(encoding: dict[str, Any]) -> tuple[dict[str, Any], list[str] | None]:
    """A record with its keys unescaped, in the order of the walk; and their order in the text, if it is another.

    The walk decides which mention of a remotable has its interface, so decoding follows it as well.
    """
    record: dict[str, Any] = {}
    for key, item in encoding.items():
        name = key
        if "!" <= key < ".":
            if key[0] != "!":
                raise Culprit(f"it has the key {key!r:.80}, which has no meaning")
            name = key[1:]
        if name in record:
            raise Culprit(f"it has the key {name!r:.80} twice")
        record[name] = item
    order = list(record)
    walk = sorted(order, key=utf16_order)
    return (record, None) if walk == order else ({name: record[name] for name in walk}, order)


def _say_too_deep(depth_max: int) -> str:
    return f"it is nested more than {depth_max} deep"
