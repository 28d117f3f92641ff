"""CapData: a body of text and the references it mentions.

The body is smallcaps (``#`` and JSON); the kernel never looks into it. Slots are vrefs on the
vat's side and krefs on the kernel's; the same classes serve both.

JSON forms: ``{"body": text, "slots": [ref, ...]}`` and ``{"methargs": capdata, "result": ref or null}``.

Source: SwingSet ``capdata``; the reference, 1.4.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from kernel_py.wire.errors import IllegalSyscall
from kernel_py.wire.refs import InvalidRef, Vref, find_vpid, is_promise, parse_vref


class CapData(NamedTuple):
    """A serialised value. `slots` are refs in order of the body's indices; duplicates are allowed."""

    body: str
    slots: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"body": self.body, "slots": self.slots}


class Message(NamedTuple):
    """A method call, ``[method, [args...]]`` with ``{kwargs}`` at the end if any, and where its answer goes."""

    methargs: CapData
    result: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"methargs": self.methargs.to_json(), "result": self.result}


def parse_capdata(value: object) -> CapData:
    """Parse the JSON form, with vrefs as slots.

    Raises:
        IllegalSyscall: it is not capdata, or a slot is not a vref.
    """
    if isinstance(value, dict) and len(value) == 2:  # not a pattern: those of mappings copy, and cost ten times as much
        body, slots = value.get("body"), value.get("slots")
        if isinstance(body, str) and isinstance(slots, list):
            try:
                return CapData(body, tuple(map(parse_vref, slots)))
            except InvalidRef as error:
                raise IllegalSyscall(f"slots: {error}") from error
    raise IllegalSyscall(f"not capdata: {value!r:.200}")


def parse_message(value: object) -> Message:
    """Parse the JSON form, with vrefs as slots.

    Raises:
        IllegalSyscall: it is not a message.
    """
    if isinstance(value, dict) and len(value) == 2 and "methargs" in value and "result" in value:
        result = value["result"]
        return Message(parse_capdata(value["methargs"]), None if result is None else parse_promise(result))
    raise IllegalSyscall(f"not a message: {value!r:.200}")


def parse_promise(value: object) -> Vref:
    """Parse the vref of a promise, or raise IllegalSyscall."""
    vpid = find_vpid(value)
    if vpid is not None:
        return vpid
    try:
        vref = parse_vref(value)
    except InvalidRef as error:
        raise IllegalSyscall(str(error)) from error
    raise IllegalSyscall(f"not a promise: {vref}")


def parse_object(value: object) -> Vref:
    """Parse the vref of an object, or raise IllegalSyscall."""
    try:
        vref = parse_vref(value)
    except InvalidRef as error:
        raise IllegalSyscall(str(error)) from error
    if is_promise(vref):
        raise IllegalSyscall(f"not an object: {vref}")
    return vref
