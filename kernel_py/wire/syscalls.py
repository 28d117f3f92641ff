r"""Syscalls: what a vat may ask of the kernel. Parsed here once, for form only.

| JSON                                                    | class            |
|---------------------------------------------------------|------------------|
| ``["send", target, {methargs, result}]``                | `Send`           |
| ``["subscribe", vpid]``                                 | `Subscribe`      |
| ``["resolve", [[vpid, is_reject, capdata], ...]]``      | `Resolve`        |
| ``["exit", is_failure, capdata]``                       | `Exit`           |
| ``["dropImports" \| "retireImports" \| "retireExports" \| "abandonExports", [vref, ...]]`` | `RefSyscall` |

``vatstore*`` syscalls are served inside the realm and never reach the kernel; a batch that
contains one is illegal. Whether the vat holds what it names is the kernel's to check.

Source: SwingSet ``VatSyscallObject``; the reference, 1.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from kernel_py.wire.capdata import CapData, Message, parse_capdata, parse_message, parse_object, parse_promise
from kernel_py.wire.errors import IllegalSyscall
from kernel_py.wire.limits import Limits
from kernel_py.wire.refs import InvalidRef, Vref, parse_vref


class Send(NamedTuple):
    target: Vref
    message: Message

    def to_json(self) -> list[Any]:
        return ["send", self.target, self.message.to_json()]


class Subscribe(NamedTuple):
    promise: Vref

    def to_json(self) -> list[Any]:
        return ["subscribe", self.promise]


class Resolution(NamedTuple):
    """One promise settled: rejected with `data` if `is_reject`, else fulfilled with it."""

    promise: str
    is_reject: bool
    data: CapData

    def to_json(self) -> list[Any]:
        return [self.promise, self.is_reject, self.data.to_json()]


class Resolve(NamedTuple):
    resolutions: tuple[Resolution, ...]

    def to_json(self) -> list[Any]:
        return ["resolve", [resolution.to_json() for resolution in self.resolutions]]


@dataclass(frozen=True, slots=True)
class Exit:
    is_failure: bool
    info: CapData

    def to_json(self) -> list[Any]:
        return ["exit", self.is_failure, self.info.to_json()]


class RefOp(StrEnum):
    DROP_IMPORTS = "dropImports"
    RETIRE_IMPORTS = "retireImports"
    RETIRE_EXPORTS = "retireExports"
    ABANDON_EXPORTS = "abandonExports"


@dataclass(frozen=True, slots=True)
class RefSyscall:
    op: RefOp
    vrefs: tuple[Vref, ...]

    def to_json(self) -> list[Any]:
        return [self.op.value, list(self.vrefs)]


Syscall = Send | Subscribe | Resolve | Exit | RefSyscall

_REF_OPS = frozenset(op.value for op in RefOp)


def parse_resolution(value: object) -> Resolution:
    match value:
        case [promise, bool(is_reject), data]:
            return Resolution(parse_promise(promise), is_reject, parse_capdata(data))
        case _:
            raise IllegalSyscall(f"not a resolution: {value!r:.200}")


def parse_syscall(value: object) -> Syscall:
    """Parse one syscall's JSON form.

    Raises:
        IllegalSyscall: it is none of the forms above.
    """
    match value:
        case ["send", target, message]:
            try:
                return Send(parse_vref(target), parse_message(message))
            except InvalidRef as error:
                raise IllegalSyscall(f"send target: {error}") from error
        case ["subscribe", promise]:
            return Subscribe(parse_promise(promise))
        case ["resolve", [*resolutions]]:
            return Resolve(tuple(map(parse_resolution, resolutions)))
        case ["exit", bool(is_failure), info]:
            return Exit(is_failure, parse_capdata(info))
        case [str(op), [*vrefs]] if op in _REF_OPS:
            return RefSyscall(RefOp(op), tuple(map(parse_object, vrefs)))
        case _:
            raise IllegalSyscall(f"unknown or malformed syscall: {value!r:.200}")


def mentioned_vrefs(syscall: Syscall) -> Iterator[str]:
    """Every reference in a syscall, in the order in which it stands there, with repetitions."""
    match syscall:
        case Send(target=target, message=message):
            yield target
            yield from message.methargs.slots
            if message.result is not None:
                yield message.result
        case Subscribe(promise=promise):
            yield promise
        case Resolve(resolutions=resolutions):
            for resolution in resolutions:
                yield resolution.promise
                yield from resolution.data.slots
        case Exit(info=info):
            yield from info.slots
        case RefSyscall(vrefs=vrefs):
            yield from vrefs


def check_size(syscall: Syscall, limits: Limits) -> str | None:
    """Say which limit `syscall` exceeds, or None. Both sides use it: the vat to refuse, the kernel to punish."""
    match syscall:
        case Send(message=message):
            body_chars, slots = len(message.methargs.body), len(message.methargs.slots)
        case Subscribe():
            return None
        case Resolve(resolutions=resolutions):
            body_chars = slots = 0
            for resolution in resolutions:
                body_chars += len(resolution.data.body)
                slots += len(resolution.data.slots)
        case Exit(info=info):
            body_chars, slots = len(info.body), len(info.slots)
        case RefSyscall(vrefs=vrefs):
            body_chars, slots = 0, len(vrefs)
    if body_chars > limits.body_chars_max:
        return _over("characters of body", body_chars, limits.body_chars_max)
    if slots > limits.slots_max:
        return _over("references", slots, limits.slots_max)
    return None


def _over(what: str, count: int, count_max: int) -> str:
    return f"{count:,} {what} in one syscall, the limit is {count_max:,}"
