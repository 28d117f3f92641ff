"""Services of the browser's: ``fetch``, and those that are written in TypeScript.

Owns the form in which calls cross to JavaScript (``web/src/kernel/services.ts``): JSON, in which bytes are
``{"$bytes": base64}`` and an int is a number, so it must be one that JavaScript holds exactly. A number without a
fraction comes back as an int. References do not cross.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable
from typing import Any, Protocol

from pyodide.ffi import JsException

from kernel_py.core.services.fetch import FETCH, decode_body, parse_fetch
from kernel_py.core.services.service import HostService
from kernel_py.hosts.services import Service
from kernel_py.wire import canonical
from kernel_py.wire.limits import DEFAULT_LIMITS

_EXACT_INT_MAX = 2**53 - 1
_BYTES = "$bytes"


class ServiceBridge(Protocol):
    """Services in JavaScript. Promises are rejected with what went wrong."""

    def fetchUrl(self, text: str) -> Awaitable[str]: ...  # noqa: N802 (JavaScript's name)

    def callService(self, name: str, text: str) -> Awaitable[str]: ...  # noqa: N802 (JavaScript's name)


def make_services(bridge: ServiceBridge, declared: str) -> list[Service]:
    """All services that a browser has.

    Args:
        declared: JSON list of those written in TypeScript, as [name, methods, config schema, is idempotent].
    """
    services = [Service(FETCH, _Fetch(bridge))]
    for name, methods, config_schema, is_idempotent in json.loads(declared):
        service = HostService(name, tuple(methods), config_schema, is_idempotent=is_idempotent)
        services.append(Service(service, _Bridged(bridge, name)))
    return services


class _Fetch:
    """Carries out requests. The rules were asked before the call left the kernel; redirects are not followed."""

    def __init__(self, bridge: ServiceBridge) -> None:
        self._bridge = bridge

    async def __call__(self, method: str, args: list[Any], kwargs: dict[str, Any], config: Any) -> object:
        del method, config
        request = parse_fetch(*args, **kwargs)
        text = canonical.dump({
            "url": request.url,
            "method": request.method,
            "headers": request.headers,
            "body": None if request.body is None else base64.b64encode(request.body).decode(),
            "bodyBytesMax": DEFAULT_LIMITS.fetch_body_bytes_max,
            "headersBytesMax": DEFAULT_LIMITS.fetch_headers_bytes_max,
            "secondsMax": DEFAULT_LIMITS.fetch_seconds_max,
        })  # fmt: skip
        try:
            answer = json.loads(await self._bridge.fetchUrl(text))
        except JsException as error:
            raise OSError(f"{request.url}: {error}") from None
        body = base64.b64decode(answer["body"])
        headers = answer["headers"]
        content = body if request.as_bytes else decode_body(body, headers.get("content-type", ""))
        return {"status": answer["status"], "url": request.url, "headers": headers, "body": content}


class _Bridged:
    """Carries out calls of a service written in TypeScript."""

    def __init__(self, bridge: ServiceBridge, name: str) -> None:
        self._bridge = bridge
        self._name = name

    async def __call__(self, method: str, args: list[Any], kwargs: dict[str, Any], config: Any) -> object:
        call = {"method": method, "args": _to_json(args), "kwargs": _to_json(kwargs), "config": config}
        try:
            answer = await self._bridge.callService(self._name, canonical.dump(call))
        except JsException as error:
            raise RuntimeError(str(error)) from None
        return json.loads(answer, object_hook=_from_json)


def _to_json(value: object) -> object:
    match value:
        case bool() | float() | str() | None:
            return value
        case int() if abs(value) <= _EXACT_INT_MAX:
            return value
        case bytes():
            return {_BYTES: base64.b64encode(value).decode()}
        case list():
            return [_to_json(item) for item in value]
        case dict():
            return {name: _to_json(item) for name, item in value.items()}
        case _:
            raise TypeError(f"this service takes no {type(value).__name__}")


def _from_json(fields: dict[str, Any]) -> object:
    return base64.b64decode(fields[_BYTES]) if fields.keys() == {_BYTES} else fields
