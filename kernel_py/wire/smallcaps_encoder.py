"""Passable values to smallcaps text. The format is described in `kernel_py.wire.smallcaps`.

One table says how each type is encoded; a type that is not in it is a reference or an exception, or
not passable. Text is put together directly, because no JSON encoder writes numbers as ECMAScript does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring
from math import isfinite, isnan
from types import MappingProxyType
from typing import Any, Final

from kernel_py.wire.culprit import Culprit, index_step, key_step, name_type
from kernel_py.wire.errors import cut_middle
from kernel_py.wire.limits import Limits
from kernel_py.wire.numbers import format_bigint, format_number
from kernel_py.wire.passable import RemoteError, Symbol, Tagged, UndefinedType, find_iface_fault, find_symbol_fault

ValueToSlot = Callable[[object], "tuple[str, str | None] | None"]
ErrorId = Callable[[BaseException], "str | None"]

_quote: Final[Callable[[str], str]] = encode_basestring

_SMALL_INT = 10**15
_ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_ARRAY_INDEX_MAX = 2**32 - 2
_SHAPES_MAX = 1_000
_SHAPE_CHARS_MAX = 1_000

_ADVICE: Final[dict[str, str]] = {
    "bytearray": "use bytes(value)",
    "memoryview": "use bytes(value)",
    "set": "use a list",
    "frozenset": "use a list",
    "range": "use list(value)",
    "generator": "use list(value)",
    "dict_keys": "use list(value)",
    "dict_values": "use list(value)",
    "dict_items": "use list(value)",
    "complex": "use a list of two floats",
    "Decimal": "use str(value)",
    "Fraction": "use a list of two ints",
    "ellipsis": "use None or Undefined",
    "coroutine": "await it and pass the result",
    "function": "pass a far object with a method instead",
    "builtin_function_or_method": "pass a far object with a method instead",
    "method": "pass the object that it belongs to instead",
    "type": "pass its name, or a far object instead",
    "module": "pass a far object instead",
}
_PASSED_BY_COPY: Final[tuple[type, ...]] = (int, str, float, bytes, list, tuple, dict, Tagged, Symbol)


class Encoder:
    """Encodes one value; discarded afterwards.

    Attributes:
        slots: the slots of the references met so far, by index.
    """

    __slots__ = ("_error_id", "_indices", "_room", "_value_to_slot", "limits", "slots")

    def __init__(self, value_to_slot: ValueToSlot, error_id: ErrorId, limits: Limits) -> None:
        self._value_to_slot = value_to_slot
        self._error_id = error_id
        self.limits = limits
        self._room = limits.passable_depth_max
        self._indices: dict[str, int] = {}
        self.slots: list[str] = []

    def encode(self, value: object) -> str:
        """The JSON text of `value`, in which lone surrogates are not yet escaped.

        Raises:
            Culprit: a part of it is not passable, or the whole exceeds a limit.
        """
        return _ENCODERS.get(type(value), _encode_other)(self, value)

    def encode_array(self, array: list[object] | tuple[str, ...]) -> str:
        self._enter()
        parts: list[str] = []
        try:
            for item in array:
                # Not a comprehension: the length of `parts` tells which item failed.
                parts.append(_ENCODERS.get(type(item), _encode_other)(self, item))  # noqa: PERF401
        except Culprit as culprit:
            culprit.pass_out_of(array, index_step(len(parts)))
            raise
        self._room += 1
        return f"[{self._join(parts)}]"

    def encode_record(self, record: Mapping[Any, object]) -> str:
        self._enter()
        parts: list[str] = []
        for kind in map(type, record):
            if kind is not str:
                raise Culprit(_explain_keys(record))
        shape = _find_shape(tuple(record))
        try:
            for key, prefix in shape.walk:
                item = record[key]
                parts.append(prefix + _ENCODERS.get(type(item), _encode_other)(self, item))
        except Culprit as culprit:
            culprit.pass_out_of(record, key_step(shape.walk[len(parts)][0]))
            raise
        self._room += 1
        if shape.order is not None:
            parts = [parts[position] for position in shape.order]
        return f"{{{self._join(parts)}}}"

    def encode_tagged(self, tagged: Tagged) -> str:
        self._enter()
        if type(tagged.tag) is not str:
            raise Culprit(f"the tag of a tagged value is a str, not {name_type(tagged.tag)}")
        try:
            payload = self.encode(tagged.payload)
        except Culprit as culprit:
            culprit.pass_out_of(tagged, ".payload")
            raise
        self._room += 1
        return f'{{"#tag":{_encode_str(self, tagged.tag)},"payload":{payload}}}'

    def encode_reference(self, value: object) -> str | None:
        """The mention of a remotable or promise; None if `value` is neither."""
        found = self._value_to_slot(value)
        if found is None:
            return None
        slot, iface = found
        marker = "&" if iface is None else "$"
        index = self._indices.get(slot)
        if index is not None:
            return f'"{marker}{index}"'
        index = len(self.slots)
        if index >= self.limits.slots_max:
            raise Culprit(f"it is one reference too many; the limit is {self.limits.slots_max:,} in one value")
        self._indices[slot] = index
        self.slots.append(slot)
        if not iface:
            return f'"{marker}{index}"'
        fault = find_iface_fault(iface)
        if fault is not None:
            raise Culprit(fault)
        return _quote(f"${index}.{iface}")

    def encode_error(self, error: BaseException) -> str:
        name, message = describe_error(error)
        message = _encode_str(self, cut_middle(message, self.limits.error_chars_max))
        error_id = self._error_id(error)
        id_property = "" if error_id is None else f'"errorId":{_encode_str(self, error_id)},'
        return f'{{"#error":{message},{id_property}"name":{_encode_str(self, name)}}}'

    def _enter(self) -> None:
        self._room -= 1
        if self._room < 0:
            depth_max = self.limits.passable_depth_max
            raise Culprit(f"it is nested more than {depth_max} deep; pass it in pieces", is_too_deep=True)

    def _join(self, parts: list[str]) -> str:
        """Join a container's parts; stop what doubles at every level before it fills the memory."""
        text = ",".join(parts)
        if len(text) > self.limits.body_chars_max:
            raise Culprit(f"it takes more than {self.limits.body_chars_max:,} characters; pass it in pieces")
        return text


def describe_error(error: BaseException) -> tuple[str, str]:
    """The name and message under which an exception passes: its type's name and its ``str()``."""
    name = error.name if isinstance(error, RemoteError) and type(error.name) is str else type(error).__name__
    try:
        return name, str.__str__(str(error))
    except Exception:  # noqa: BLE001 - that its text cannot be made must not hide that it was raised
        return name, f"({name} whose text cannot be made)"


def _encode_str(_: Encoder, text: str) -> str:
    # True of a text exactly if its first character is one of !"#$%&'()*+,-
    return _quote("!" + text) if "!" <= text < "." else _quote(text)


def _encode_int(encoder: Encoder, number: int) -> str:
    if -_SMALL_INT < number < _SMALL_INT:
        return f'"+{number}"' if number >= 0 else f'"{number}"'
    try:
        return f'"{format_bigint(number, encoder.limits.bigint_digits_max)}"'
    except OverflowError as error:
        raise Culprit(f"{error} is not passable; use bytes") from None


def _encode_float(_: Encoder, number: float) -> str:
    if isfinite(number):
        return format_number(number)
    if isnan(number):
        return '"#NaN"'
    return '"#Infinity"' if number > 0 else '"#-Infinity"'


def _encode_symbol(_: Encoder, symbol: Symbol) -> str:
    if type(symbol.name) is not str:
        raise Culprit(f"the name of a symbol is a str, not {name_type(symbol.name)}")
    fault = find_symbol_fault(symbol.name)
    if fault is not None:
        raise Culprit(fault)
    return _quote("%" + symbol.name)


def _encode_other(encoder: Encoder, value: object) -> str:
    reference = encoder.encode_reference(value)
    if reference is not None:
        return reference
    if isinstance(value, BaseException):
        return encoder.encode_error(value)
    raise Culprit(_explain(value))


_ENCODERS: Final[dict[type, Callable[[Encoder, Any], str]]] = {
    type(None): lambda _, _null: "null",
    bool: lambda _, value: "true" if value else "false",
    int: _encode_int,
    float: _encode_float,
    str: _encode_str,
    bytes: lambda _, value: f'"*{value.hex()}"',
    list: Encoder.encode_array,
    tuple: Encoder.encode_array,
    dict: Encoder.encode_record,
    MappingProxyType: Encoder.encode_record,
    Tagged: Encoder.encode_tagged,
    Symbol: _encode_symbol,
    UndefinedType: lambda _, _undefined: '"#undefined"',
}


def _explain(value: object) -> str:
    """Why `value` is not passable, and what to do about it."""
    for kind in _PASSED_BY_COPY:
        if isinstance(value, kind):
            base = kind.__name__
            return f"{name_type(value)} is not passable, though it is a kind of {base}; use {base}(value)"
    advice = _ADVICE.get(type(value).__name__)
    if advice is None:
        advice = "pass a reference to it by making it an Exo, or its data as a dict"
    return f"{name_type(value)} is not passable; {advice}"


# Records -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shape:
    """What there is to know about records with certain keys.

    Attributes:
        walk: the keys in the order of the walk, each with its text up to the value.
        order: positions in `walk` in the order of the text; None if it is the same.
    """

    walk: tuple[tuple[str, str], ...]
    order: tuple[int, ...] | None


def _explain_keys(record: Mapping[Any, object]) -> str:
    key = next(key for key in record if type(key) is not str)
    return f"the keys of a record are str, and {key!r:.80} is {name_type(key)}; use str(key), or a list of pairs"


_shapes: dict[tuple[str, ...], _Shape] = {}


def _find_shape(keys: tuple[str, ...]) -> _Shape:
    """The shape of records with these keys, remembered because records are seldom the only ones of their kind."""
    shape = _shapes.get(keys)
    if shape is None:
        shape = _make_shape(keys)
        if sum(map(len, keys)) <= _SHAPE_CHARS_MAX:
            if len(_shapes) >= _SHAPES_MAX:
                _shapes.clear()
            _shapes[keys] = shape
    return shape


def _make_shape(keys: tuple[str, ...]) -> _Shape:
    names: dict[bytes, str] = {}
    for key in keys:
        if names.setdefault(utf16_order(key), key) is not key:
            raise Culprit("two of its keys are the same text, spelt with surrogates and without")
    walk = [names[units] for units in sorted(names)]
    indices = [position for position, key in enumerate(walk) if _is_array_index(key)]
    order = None
    if indices:
        indices.sort(key=lambda position: int(walk[position]))
        order = (*indices, *(position for position, key in enumerate(walk) if not _is_array_index(key)))
    return _Shape(tuple((key, _quote("!" + key if "!" <= key < "." else key) + ":") for key in walk), order)


def _is_array_index(key: str) -> bool:
    """Whether JavaScript enumerates this key before the others, by number."""
    return _ARRAY_INDEX.fullmatch(key) is not None and int(key) <= _ARRAY_INDEX_MAX


def utf16_order(text: str) -> bytes:
    """A sort key: orders texts as their UTF-16 code units do."""
    return text.encode("utf-16-be", "surrogatepass")
