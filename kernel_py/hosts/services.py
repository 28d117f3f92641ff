"""Services of the host's: what the kernel knows of each, with the function that carries out its calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kernel_py.core.services.service import HostService

Handler = Callable[[str, list[Any], dict[str, Any], Any], Awaitable[object]]
"""``await handler(method, args, kwargs, config)`` returns a passable, or raises what the caller gets."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service to give to a host.

    A handler is called once the call is durable, and not before; many calls may be under way at once. It sees objects
    as `kernel_py.core.kmarshal.Ref`, and may answer with those that it was given.
    """

    declared: HostService
    handler: Handler
