"""What a kernel service is.

A *local* service is a part of the kernel: it carries out a call inside the crank that makes it, against the kernel's
state, and what it does is undone with that crank. A *host's* service has effects outside: its calls leave the kernel
with the commit that holds them, and are answered later.

What a vat calls a service with may be anything. A method checks all of it before it changes anything, and
raises what its caller is to get: TypeError, ValueError and the like. Nothing that it raises reaches the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kernel_py.core import kmarshal
from kernel_py.core.schema import ServiceObject
from kernel_py.wire.errors import cut_middle


@dataclass(frozen=True, slots=True)
class LocalCall:
    """Where a call came in.

    Attributes:
        target: kref of the service object that was called, and `record`, what it is.
        result: kpid of the answer's promise, or None if nobody waits.
    """

    target: str
    record: ServiceObject
    result: str | None


Method = Callable[..., object]
"""Called as ``method(call, *args, **kwargs)``. Returns `LATER`, or a passable with a `Ref` for each object."""

LATER: Final = object()
"""Returned by a method that settles the call's result by itself, now or later; it has taken hold of what it keeps."""

_SHOWN_CHARS_MAX = 200

NO_CONFIG: Final[dict[str, Any]] = {"type": "object", "additionalProperties": False, "properties": {}}
"""Config schema of a service that has nothing to configure."""


class LocalService(Protocol):
    """A service that is part of the kernel.

    Attributes:
        config_schema: what a cluster file may say of it, in the JSON Schema of `kernel_py.core.jsonschema`.
        methods: by kind of object, then by name.
    """

    name: str
    config_schema: dict[str, Any]
    methods: Mapping[str, Mapping[str, Method]]


def _free(method: str, args: list[Any], kwargs: dict[str, Any]) -> int:
    del method, args, kwargs
    return 0


def _accept(method: str, args: list[Any], kwargs: dict[str, Any], config: Any) -> None:
    del method, args, kwargs, config


@dataclass(frozen=True, slots=True)
class HostService:
    """A service of the host's, as the kernel knows it. The host has the function that carries out its calls.

    Attributes:
        methods: names of its methods.
        config_schema: what a cluster file may say of it.
        check: ``check(method, args, kwargs, config)`` raises what the caller gets if the call must not be made.
        is_idempotent: whether a call that may or may not have been carried out is simply made again. Otherwise it is
            rejected as interrupted.
        gas: ``gas(method, args, kwargs)`` is what a call costs the vat that makes it (`kernel_py.core.meter`), whoever
            carries it out. Not called with what `check` refuses.
    """

    name: str
    methods: tuple[str, ...]
    config_schema: dict[str, Any]
    check: Callable[[str, list[Any], dict[str, Any], Any], None] = _accept
    is_idempotent: bool = False
    gas: Callable[[str, list[Any], dict[str, Any]], int] = _free


def parse_seconds(value: object, what: str, seconds_max: int) -> int:
    """Seconds as a vat gives them, in milliseconds, rounded up.

    Raises:
        TypeError: it is not a number.
        ValueError: it is negative, not finite or too long.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} is a number of seconds, not {shown(value)}")
    if not 0 <= value <= seconds_max:
        raise ValueError(f"{what} is from 0 to {seconds_max:,} seconds, not {shown(value)}")
    return math.ceil(value * 1000)


def shown(value: object) -> str:
    """A value of a vat's, short enough for a message to it."""
    return cut_middle(kmarshal.show(value), _SHOWN_CHARS_MAX)
