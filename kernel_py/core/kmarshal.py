"""The kernel's own marshalling: errors it raises for vats, and values at the control interface.

Owns the form in which people read results; `kernel_py.core.literals` owns that in which they write arguments. The
kernel never looks into the bodies that vats exchange; this is for what it says and shows itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kernel_py.wire import canonical
from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import MarshalError, cut_middle
from kernel_py.wire.limits import DEFAULT_LIMITS
from kernel_py.wire.passable import Tagged, make_remote_error
from kernel_py.wire.smallcaps import Marshal


@dataclass(frozen=True, slots=True)
class Ref:
    """A kernel object or promise in a decoded value. Shown as ``<Counter ko20>`` or ``<promise kp41>``."""

    kref: str
    iface: str = ""

    def __repr__(self) -> str:
        name = self.iface.removeprefix("Alleged: ") or ("promise" if self.kref[1] == "p" else "object")
        return f"<{name} {self.kref}>"


def _value_to_slot(value: object) -> tuple[str, str | None] | None:
    if not isinstance(value, Ref):
        return None
    return (value.kref, None) if value.kref[1] == "p" else (value.kref, value.iface or "Remotable")


def _slot_to_value(slot: str, iface: str | None, is_promise: bool) -> Ref:  # noqa: FBT001 -- Marshal's signature
    return Ref(slot, "" if is_promise else (iface or ""))


_DECIMAL_BITS_MAX = 10_000
"""Above it, an integer is shown in hexadecimal: in decimal it takes long, and Python refuses more than 4,300 digits."""

_REFERENCE = re.compile(r"[$&]0(?:\.|\Z)")
_REFERENCE_CHARS_MAX = 10_000

_marshal = Marshal(value_to_slot=_value_to_slot, slot_to_value=_slot_to_value)


def serialize(value: object, path: str = "") -> CapData:
    """Capdata with krefs as slots, from a value that mentions `Ref`s.

    Raises:
        MarshalError: it is not passable.
    """
    return _marshal.serialize(value, path)


def serialize_error(message: str, name: str = "Error") -> CapData:
    """Capdata of an error that the kernel itself rejects a promise with."""
    return _marshal.serialize(make_remote_error(name, message, None))


def serialize_exception(error: Exception) -> CapData:
    """Capdata of an exception, to reject a promise with."""
    return _marshal.serialize(error)


def serialize_call(method: str, args: list[Any], kwargs: dict[str, Any] | None = None) -> CapData:
    """The methargs of a message that the kernel itself sends."""
    return _marshal.serialize([method, args, kwargs] if kwargs else [method, args], "message")


def unserialize_call(data: CapData) -> tuple[str, list[Any], dict[str, Any]]:
    """Method, arguments and keyword arguments of a methargs capdata, with a `Ref` for each reference.

    Raises:
        TypeError: it is not a call of a method; `MarshalError` is one.
    """
    match _marshal.unserialize(data):
        case [str(method), [*args]]:
            return method, args, {}
        case [str(method), [*args], dict(kwargs)]:
            return method, args, kwargs
        case _:
            raise TypeError(f"not a call of a method: {method_of(data.body)}")


def render(data: CapData) -> str:
    """`data` as Python would write it; for people. Never fails."""
    try:
        return show(_marshal.unserialize(data))
    except (MarshalError, RecursionError) as error:
        return f"<undecodable: {error}>"


def show(value: object) -> str:
    """A decoded value as Python would write it; for people."""
    return cut_middle(_render(value), DEFAULT_LIMITS.error_chars_max)


def _render(value: object) -> str:
    match value:
        case int() if value.bit_length() > _DECIMAL_BITS_MAX:
            return f"{value:#x}"
        case BaseException():
            return f"{getattr(value, 'name', type(value).__name__)}({str(value)!r})"
        case list():
            return f"[{', '.join(map(_render, value))}]"
        case dict():
            return f"{{{', '.join(f'{key!r}: {_render(item)}' for key, item in value.items())}}}"
        case Tagged(tag=tag, payload=payload):
            return f"Tagged({tag!r}, {_render(payload)})"
        case _:
            return repr(value)


def find_single_slot(data: CapData) -> str | None:
    """The slot, if `data` is a reference and nothing else, whatever its body calls it. Never fails."""
    if len(data.slots) != 1 or len(data.body) > _REFERENCE_CHARS_MAX:
        return None
    try:
        mark = canonical.load(data.body[1:])
    except (ValueError, RecursionError):
        return None
    is_reference = data.body[0] == "#" and isinstance(mark, str) and _REFERENCE.match(mark) is not None
    return data.slots[0] if is_reference else None


def method_of(body: str) -> str:
    """The method named in a methargs body, for messages to people; "()" for a plain call."""
    try:
        methargs = canonical.load(body[1:])
        method = methargs[0]
    except (ValueError, LookupError, TypeError, RecursionError):
        return "?"
    return str(method).removeprefix("!")[:100] if isinstance(method, str) and method != "#undefined" else "()"


def arguments_of(call: CapData) -> tuple[list[str], dict[str, str]]:
    """Arguments and keyword arguments of a methargs capdata, each as Python would write it. Never fails."""
    try:
        match _marshal.unserialize(call):
            case [_, [*args]]:
                return [_render(arg) for arg in args], {}
            case [_, [*args], {**kwargs}]:
                return [_render(arg) for arg in args], {str(name): _render(value) for name, value in kwargs.items()}
            case _:
                return [f"<not a call: {call.body:.200}>"], {}
    except (MarshalError, RecursionError) as error:
        return [f"<undecodable: {error}>"], {}
