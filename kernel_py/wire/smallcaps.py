"""Smallcaps: passable values as capdata, and back.

Byte-exact with ``@endo/marshal`` 1.10 (``serializeBodyFormat: 'smallcaps'``) in both directions.
A body is ``#`` and JSON in which values that JSON lacks are strings with a special first character:

| passable                         | in the body                                               |
|----------------------------------|-----------------------------------------------------------|
| null, true, false                | as in JSON                                                |
| number                           | JSON number as ECMAScript writes it; -0 as ``0``          |
| undefined, NaN, infinities       | ``"#undefined"`` ``"#NaN"`` ``"#Infinity"`` ``"#-Infinity"`` |
| bigint                           | ``"+7"`` ``"-7"`` ``"+0"``                                |
| string                           | itself, behind ``!`` if it begins with one of ``!"#$%&'()*+,-`` |
| symbol                           | ``"%foo"`` ``"%@@asyncIterator"``                         |
| byteArray                        | ``"*00ff"``, lowercase hexadecimal                        |
| array                            | array                                                     |
| record                           | object; keys escaped as strings are, in canonical order   |
| tagged                           | ``{"#tag":tag,"payload":...}``                            |
| remotable                        | ``"$0.Alleged: Counter"``, mentioned again ``"$0"``       |
| promise                          | ``"&1"``                                                  |
| error                            | ``{"#error":message,"errorId":id,"name":name}``, the id if there is one |

Invariants:
* Equal values have equal bodies.
* Records are walked in the order of their keys' UTF-16 code units. They are written in the order in
  which JavaScript enumerates the result: keys that are array indices first, by number.
* Slots, and ids of errors, are numbered in the order of the walk; a slot occurs once. So the mention
  of a remotable that has its interface need not be the first in the text: ``{"2":"$0","10":"$0.Alleged: X"}``.
* A body is always well-formed Unicode: lone surrogates are escaped, as JSON.stringify does. A str
  that spells a character beyond U+FFFF as two surrogates is the same text as that character.

Decoding accepts JSON that is not in canonical form (spaces, another order of keys, a needless
``!``); in all else it is as strict as the table.

Source: the reference, section 5; ``encodeToSmallcaps.js``; byteArray, which 1.10 leaves out,
as later versions of Endo write it (endo#3226).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from json.encoder import encode_basestring as _quote_any
from typing import Any, Final, NoReturn

from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import MarshalError, cut_middle
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from kernel_py.wire.numbers import format_bigint, format_number, parse_bigint
from kernel_py.wire.passable import RemoteError, Symbol, Tagged, Undefined, make_remote_error

ValueToSlot = Callable[[object], "tuple[str, str | None] | None"]
SlotToValue = Callable[[str, "str | None", bool], object]
ErrorId = Callable[[BaseException], "str | None"]

_quote: Callable[[str], str] = _quote_any

# A string needs an escape exactly if `"!" <= text < "."`: its first character is one of !"#$%&'()*+,-
_CONSTANTS: Final[dict[str, object]] = {
    "#undefined": Undefined,
    "#NaN": math.nan,
    "#Infinity": math.inf,
    "#-Infinity": -math.inf,
}
_WELL_KNOWN_SYMBOLS: Final = frozenset(
    "@@" + name
    for name in (
        "asyncDispose",
        "asyncIterator",
        "dispose",
        "hasInstance",
        "isConcatSpreadable",
        "iterator",
        "match",
        "matchAll",
        "replace",
        "search",
        "species",
        "split",
        "toPrimitive",
        "toStringTag",
        "unscopables",
    )
)
_ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_ARRAY_INDEX_MAX = 2**32 - 2
_SLOT = re.compile(r"[$&](0|[1-9][0-9]{0,8})(?:\.(.*))?", re.DOTALL)
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_IFACE_PREFIXES = ("Alleged: ", "DebugName: ")
_SHAPES_MAX = 1_000
_PATH_STEPS_MAX = 12

_ADVICE: Final[dict[str, str]] = {
    "set": "use a list",
    "frozenset": "use a list",
    "bytearray": "use bytes(value)",
    "memoryview": "use bytes(value)",
    "complex": "use a list of two floats",
    "ellipsis": "use Undefined or None",
    "function": "pass a far object with a method instead",
    "method": "pass the object that it belongs to instead",
    "builtin_function_or_method": "pass a far object with a method instead",
    "type": "pass its name or a far object instead",
    "module": "pass a far object instead",
    "coroutine": "await it and pass the result",
    "generator": "use list(value)",
    "Decimal": "use str(value)",
    "Fraction": "use a list of two ints",
    "dict_keys": "use list(value)",
    "dict_values": "use list(value)",
    "dict_items": "use list(value)",
    "range": "use list(value)",
}
_BUILTINS: Final[tuple[type, ...]] = (int, str, float, bytes, list, tuple, dict)


def keep_error_id(error: BaseException) -> str | None:
    """The default `error_id`: a remote error keeps the id it came with, any other has none."""
    return error.error_id if isinstance(error, RemoteError) else None


class Marshal:
    """Turns passables into capdata and back.

    Args:
        value_to_slot: called for each mention of a value that is not passed by copy. Returns
            ``(slot, iface)`` for a remotable, with its interface such as ``Alleged: Counter``;
            ``(slot, None)`` for a promise; None if it is neither.
        slot_to_value: called as ``slot_to_value(slot, iface, is_promise)`` once for each slot that
            the body mentions, in the order of the walk. `iface` is None if the body gives none.
        error_id: the id to write into an error, or None.
        limits: bounds on depth, size and slots; also on the text of errors.

    What the callbacks raise passes through. Both may have been called for part of a value that
    turns out not to be passable.
    """

    __slots__ = ("_error_id", "_limits", "_slot_to_value", "_value_to_slot")

    def __init__(
        self,
        *,
        value_to_slot: ValueToSlot,
        slot_to_value: SlotToValue,
        error_id: ErrorId = keep_error_id,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._value_to_slot = value_to_slot
        self._slot_to_value = slot_to_value
        self._error_id = error_id
        self._limits = limits

    def serialize(self, value: object, path: str = "") -> CapData:
        """Encode a passable value.

        Args:
            value: what to pass.
            path: what to call `value` in messages: "args" gives ``args[0]['owner']``.

        Raises:
            MarshalError: something in it is not passable, or it exceeds a limit; `path` leads to it.
        """
        encoder = _Encoder(self._value_to_slot, self._error_id, self._limits)
        try:
            body = "#" + encoder.encode(value)
            if not body.isascii():
                body = _well_formed(body)
            if len(body) > self._limits.body_chars_max:
                raise _Fault(_too_long("the encoded value has", self._limits.body_chars_max))
        except _Fault as fault:
            raise fault.as_marshal_error(path) from None
        return CapData(body, tuple(encoder.slots))

    def unserialize(self, data: CapData) -> object:
        """Decode capdata.

        Raises:
            MarshalError: it is not well-formed smallcaps, or exceeds a limit.
        """
        encoding = _parse_body(data, self._limits)
        decoder = _Decoder(data.slots, self._slot_to_value, self._limits.passable_depth_max)
        try:
            return decoder.decode(encoding)
        except _Fault as fault:
            raise fault.as_marshal_error("") from None


class _Fault(Exception):
    """A fault found in depth; the containers around it add themselves as it passes outwards."""

    def __init__(self, message: str, *, is_too_deep: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.is_too_deep = is_too_deep
        self.steps: list[tuple[object, str]] = []

    def within(self, container: object, step: str) -> _Fault:
        """This fault, seen from the container in which `step` leads towards it."""
        self.steps.append((container, step))
        return self

    def as_marshal_error(self, root: str) -> MarshalError:
        containers = [container for container, _ in reversed(self.steps)]
        steps = [step for _, step in reversed(self.steps)]
        message = self.message
        if self.is_too_deep:
            for length, container in enumerate(containers):
                if any(container is outer for outer in containers[:length]):
                    del steps[length:]
                    message = "it contains itself; a passable value is a tree"
                    break
        if len(steps) > _PATH_STEPS_MAX:
            steps[_PATH_STEPS_MAX:] = ["..."]
        return MarshalError(message, root + "".join(steps))


class _Encoder:
    """Encodes one value; discarded afterwards."""

    __slots__ = ("_error_id", "_indices", "_limits", "_room", "_value_to_slot", "slots")

    def __init__(self, value_to_slot: ValueToSlot, error_id: ErrorId, limits: Limits) -> None:
        self._value_to_slot = value_to_slot
        self._error_id = error_id
        self._limits = limits
        self._room = limits.passable_depth_max
        self._indices: dict[str, int] = {}
        self.slots: list[str] = []

    def encode(self, value: Any) -> str:
        kind = type(value)
        if kind is str:
            return _quote("!" + value if "!" <= value < "." else value)
        if kind is int:
            return _encode_int(value)
        if kind is list or kind is tuple:
            return self._encode_array(value)
        if kind is dict:
            return self._encode_record(value)
        if kind is float:
            return _encode_float(value)
        if value is None:
            return "null"
        if kind is bool:
            return "true" if value else "false"
        return self._encode_other(value)

    def _encode_array(self, array: list[object] | tuple[object, ...]) -> str:
        self._enter()
        parts: list[str] = []
        try:
            for item in array:
                parts.append(self.encode(item))  # noqa: PERF401 - `parts` says which one failed
        except _Fault as fault:
            raise fault.within(array, f"[{len(parts)}]") from None
        self._room += 1
        return f"[{self._join(parts)}]"

    def _encode_record(self, record: dict[Any, object]) -> str:
        self._enter()
        parts: list[str] = []
        shape = _find_shape(tuple(record))
        try:
            for key, prefix in shape.walk:
                parts.append(prefix + self.encode(record[key]))
        except _Fault as fault:
            raise fault.within(record, _step(shape.walk[len(parts)][0])) from None
        self._room += 1
        if shape.order is not None:
            parts = [parts[position] for position in shape.order]
        return f"{{{self._join(parts)}}}"

    def _encode_other(self, value: Any) -> str:
        kind = type(value)
        if kind is bytes:
            return f'"*{value.hex()}"'
        if value is Undefined:
            return '"#undefined"'
        if kind is Tagged:
            return self._encode_tagged(value)
        if kind is Symbol:
            return _encode_symbol(value)
        found = self._value_to_slot(value)
        if found is not None:
            return self._encode_slot(*found)
        if isinstance(value, BaseException):
            return self._encode_error(value)
        raise _Fault(_explain(value))

    def _encode_slot(self, slot: str, iface: str | None) -> str:
        marker = "&" if iface is None else "$"
        index = self._indices.get(slot)
        if index is not None:
            return f'"{marker}{index}"'
        index = len(self.slots)
        if index >= self._limits.slots_max:
            raise _Fault(f"more than {self._limits.slots_max:,} references in one value")
        self._indices[slot] = index
        self.slots.append(slot)
        if iface is None:
            return f'"&{index}"'
        _check_iface(iface)
        return _quote(f"${index}.{iface}")

    def _encode_tagged(self, tagged: Tagged) -> str:
        self._enter()
        if type(tagged.tag) is not str:
            raise _Fault(f"a tag is a str, not {_a(type(tagged.tag).__name__)}").within(tagged, ".tag")
        try:
            payload = self.encode(tagged.payload)
        except _Fault as fault:
            raise fault.within(tagged, ".payload") from None
        self._room += 1
        return f'{{"#tag":{_encode_text(tagged.tag)},"payload":{payload}}}'

    def _encode_error(self, error: BaseException) -> str:
        name, message = describe_error(error)
        error_id = self._error_id(error)
        message = _encode_text(cut_middle(message, self._limits.error_chars_max))
        id_property = "" if error_id is None else f'"errorId":{_encode_text(error_id)},'
        return f'{{"#error":{message},{id_property}"name":{_encode_text(name)}}}'

    def _enter(self) -> None:
        self._room -= 1
        if self._room < 0:
            raise _Fault(_too_deep(self._limits.passable_depth_max), is_too_deep=True)

    def _join(self, parts: list[str]) -> str:
        """Join a container's parts; stop what doubles at every level before it fills the memory."""
        text = ",".join(parts)
        if len(text) > self._limits.body_chars_max:
            raise _Fault(_too_long("the encoded value has", self._limits.body_chars_max))
        return text


def describe_error(error: BaseException) -> tuple[str, str]:
    """The name and message under which an exception passes: its type's name and its ``str()``."""
    if isinstance(error, RemoteError):
        return error.name, error.message
    name = type(error).__name__
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - an exception whose __str__ fails must not hide what it was raised for
        message = f"({name} whose text cannot be made)"
    return name, str.__str__(message)


def _encode_text(text: str) -> str:
    return _quote("!" + text if "!" <= text < "." else text)


def _encode_int(value: int) -> str:
    try:
        return f'"{format_bigint(value)}"'
    except OverflowError as error:
        raise _Fault(f"{error} is not passable; use bytes or str") from None


def _encode_float(value: float) -> str:
    if math.isfinite(value):
        return format_number(value)
    if math.isnan(value):
        return '"#NaN"'
    return '"#Infinity"' if value > 0 else '"#-Infinity"'


def _encode_symbol(symbol: Symbol) -> str:
    if type(symbol.name) is not str:
        raise _Fault(f"a symbol's name is a str, not {_a(type(symbol.name).__name__)}")
    _check_symbol(symbol.name)
    return _quote("%" + symbol.name)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What there is to know about records with certain keys.

    Attributes:
        walk: the keys in the order of the walk, each with its text up to the value.
        order: positions in `walk` in the order of the text; None if it is the same.
    """

    walk: tuple[tuple[str, str], ...]
    order: tuple[int, ...] | None


_shapes: dict[tuple[object, ...], _Shape] = {}


def _find_shape(keys: tuple[object, ...]) -> _Shape:
    """The shape of records with these keys, in whatever order; remembered, since records repeat."""
    shape = _shapes.get(keys)
    if shape is None:
        shape = _make_shape(keys)
        if len(_shapes) >= _SHAPES_MAX:
            _shapes.clear()
        _shapes[keys] = shape
    return shape


def _make_shape(keys: tuple[object, ...]) -> _Shape:
    names: dict[bytes, str] = {}
    for key in keys:
        if type(key) is not str:
            raise _Fault(f"a record's keys are str, and {key!r:.80} is {_a(type(key).__name__)}")
        if names.setdefault(_utf16(key), key) is not key:
            raise _Fault("two of a record's keys are the same text, spelt with and without surrogates")
    walk = [names[units] for units in sorted(names)]
    indices = [position for position, key in enumerate(walk) if _is_array_index(key)]
    order = None
    if indices:
        indices.sort(key=lambda position: int(walk[position]))
        order = (*indices, *(position for position, key in enumerate(walk) if not _is_array_index(key)))
    return _Shape(tuple((key, _encode_text(key) + ":") for key in walk), order)


def _is_array_index(key: str) -> bool:
    """Whether JavaScript enumerates this key before others, by number."""
    return _ARRAY_INDEX.fullmatch(key) is not None and int(key) <= _ARRAY_INDEX_MAX


def _utf16(text: str) -> bytes:
    """Bytes that order as the text's UTF-16 code units do."""
    return text.encode("utf-16-be", "surrogatepass")


def _well_formed(body: str) -> str:
    """Escape the body's lone surrogates, and join those that are pairs."""
    try:
        body.encode()
    except UnicodeEncodeError:
        joined = body.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return joined.encode("utf-8", "backslashreplace").decode()
    return body


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_load = json.JSONDecoder(parse_int=float, parse_constant=_refuse_constant).decode


def _parse_body(data: CapData, limits: Limits) -> Any:
    body = data.body
    if not body.startswith("#"):
        raise MarshalError(f"the body is not smallcaps: it should begin with '#', and is {body!r:.80}")
    if len(body) > limits.body_chars_max:
        raise MarshalError(_too_long("the body has", limits.body_chars_max))
    if len(data.slots) > limits.slots_max:
        raise MarshalError(f"more than {limits.slots_max:,} references in one value")
    try:
        if not body.isascii():
            body.encode()
        return _load(body[1:])
    except RecursionError:
        raise MarshalError(_too_deep(limits.passable_depth_max)) from None
    except ValueError as error:  # JSON's errors, and those of Unicode
        raise MarshalError(f"the body is not JSON: {error}") from None


class _Decoder:
    """Decodes one body's JSON; discarded afterwards."""

    __slots__ = ("_depth_max", "_room", "_slot_to_value", "_slots", "_values")

    def __init__(self, slots: tuple[str, ...], slot_to_value: SlotToValue, depth_max: int) -> None:
        self._slots = slots
        self._slot_to_value = slot_to_value
        self._depth_max = depth_max
        self._room = depth_max
        self._values: dict[int, tuple[str, str | None, object]] = {}

    def decode(self, encoding: Any) -> object:
        kind = type(encoding)
        if kind is str:
            return self._decode_special(encoding) if "!" <= encoding < "." else encoding
        if kind is list:
            return self._decode_array(encoding)
        if kind is dict:
            return self._decode_object(encoding)
        return encoding

    def _decode_array(self, array: list[Any]) -> list[object]:
        self._enter()
        values: list[object] = []
        try:
            for item in array:
                values.append(self.decode(item))  # noqa: PERF401 - `values` says which one failed
        except _Fault as fault:
            raise fault.within(array, f"[{len(values)}]") from None
        self._room += 1
        return values

    def _decode_object(self, encoding: dict[str, Any]) -> object:
        self._enter()
        if "#tag" in encoding:
            value: object = self._decode_tagged(encoding)
        elif "#error" in encoding:
            value = self._decode_error(encoding)
        else:
            value = self._decode_record(encoding)
        self._room += 1
        return value

    def _decode_record(self, encoding: dict[str, Any]) -> dict[str, object]:
        if encoding and "0" <= next(iter(encoding)) < ":":
            return self._decode_indexed_record(encoding)
        return self._decode_properties(encoding)

    def _decode_indexed_record(self, encoding: dict[str, Any]) -> dict[str, object]:
        """Decode a record whose text may have another order than the walk."""
        walked = self._decode_properties({key: encoding[key] for key in sorted(encoding, key=_utf16)})
        return {name: walked[name] for name in (key[1:] if key[:1] == "!" else key for key in encoding)}

    def _decode_properties(self, encoding: dict[str, Any]) -> dict[str, object]:
        record: dict[str, object] = {}
        for key, item in encoding.items():
            name = key
            if "!" <= key < ".":
                if key[0] != "!":
                    raise _Fault(f"unknown kind of record: it has the key {key!r:.80}")
                name = key[1:]
                if name in record or (name in encoding and not "!" <= name < "."):
                    raise _Fault(f"the key {name!r:.80} is there twice")
            try:
                record[name] = self.decode(item)
            except _Fault as fault:
                raise fault.within(encoding, _step(name)) from None
        return record

    def _decode_tagged(self, encoding: dict[str, Any]) -> Tagged:
        if len(encoding) != 2 or "payload" not in encoding:
            raise _Fault(f"a tagged value has '#tag' and 'payload', and this one {list(encoding)!r:.200}")
        tag = self._decode_text(encoding["#tag"], "a tag")
        try:
            return Tagged(tag, self.decode(encoding["payload"]))
        except _Fault as fault:
            raise fault.within(encoding, ".payload") from None

    def _decode_error(self, encoding: dict[str, Any]) -> RemoteError:
        rest = dict(encoding)
        message = self._decode_text(rest.pop("#error"), "an error's message")
        name = self._decode_text(rest.pop("name", None), "an error's name")
        error_id = self._decode_text(rest.pop("errorId"), "an error's id") if "errorId" in rest else None
        error = make_remote_error(name, message, error_id)
        if "message" in rest:
            raise _Fault("an error has the property 'message'; its text belongs to '#error'")
        for key, item in rest.items():  # of later versions: checked, and its references taken in
            try:
                value = self.decode(item)
            except _Fault as fault:
                raise fault.within(encoding, f".{key}") from None
            if key == "cause" and isinstance(value, RemoteError):
                error.__cause__ = value
        return error

    def _decode_text(self, encoding: object, what: str) -> str:
        value = self.decode(encoding) if type(encoding) is str else None
        if type(value) is not str:
            raise _Fault(f"{what} is a string, not {encoding!r:.80}")
        return value

    def _decode_special(self, text: str) -> object:
        marker = text[0]
        if marker in "+-":
            try:
                return parse_bigint(text)
            except (ValueError, OverflowError) as error:
                raise _Fault(f"bad bigint {text!r:.80}: {error}") from None
        if marker == "!":
            return text[1:]
        if marker in "$&":
            return self._decode_slot(text)
        if marker == "#" and text in _CONSTANTS:
            return _CONSTANTS[text]
        if marker == "%":
            _check_symbol(text[1:])
            return Symbol(text[1:])
        if marker == "*" and _HEX.fullmatch(text, 1):
            return bytes.fromhex(text[1:])
        raise _Fault(f"{text!r:.80} is not smallcaps")

    def _decode_slot(self, text: str) -> object:
        parsed = _SLOT.fullmatch(text)
        if parsed is None:
            raise _Fault(f"bad reference {text!r:.80}")
        index = int(parsed[1])
        iface: str | None = parsed[2]
        marker = text[0]
        known = self._values.get(index)
        if known is not None:
            known_marker, known_iface, value = known
            if marker != known_marker or (iface != known_iface and iface is not None and known_iface is not None):
                raise _Fault(f"{text!r:.80} is another reference elsewhere in the value")
            return value
        if index >= len(self._slots):
            raise _Fault(f"{text!r:.80} refers to slot {index}, and there are {len(self._slots)}")
        if iface is not None:
            if marker == "&":
                raise _Fault(f"a promise with an interface: {text!r:.80}")
            _check_iface(iface)
        value = self._slot_to_value(self._slots[index], iface, marker == "&")
        self._values[index] = marker, iface, value
        return value

    def _enter(self) -> None:
        self._room -= 1
        if self._room < 0:
            raise _Fault(_too_deep(self._depth_max))


def _check_iface(iface: str) -> None:
    if not (iface == "Remotable" or iface.startswith(_IFACE_PREFIXES)):
        raise _Fault(f"bad interface {iface!r:.80}: it is 'Alleged: <name>', 'DebugName: <name>' or 'Remotable'")


def _check_symbol(name: str) -> None:
    if name.startswith("@@") and not name.startswith("@@@@") and name not in _WELL_KNOWN_SYMBOLS:
        raise _Fault(f"{name!r:.80} is not a well-known symbol; for a registered one, write {'@@' + name!r:.80}")


def _step(key: object) -> str:
    return f"[{key!r:.60}]"


def _too_deep(depth_max: int) -> str:
    return f"it is nested more than {depth_max} deep"


def _too_long(what: str, chars_max: int) -> str:
    return f"{what} more than {chars_max:,} characters; send it in pieces"


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _explain(value: object) -> str:
    """Why `value` is not passable, and what to do about it."""
    name = type(value).__name__
    for builtin in _BUILTINS:
        if isinstance(value, builtin):
            use = f"{builtin.__name__}(value)"
            return f"{_a(name)}, a kind of {builtin.__name__}, would not arrive as what it is; use {use}"
    advice = _ADVICE.get(name)
    if advice is None:
        advice = "pass a reference by making it an Exo, or its data as a dict"
    return f"{_a(name)} is not passable; {advice}"
