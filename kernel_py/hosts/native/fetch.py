"""The service ``fetch`` on CPython: HTTP by the standard library, each request in a thread.

Follows redirects itself, and asks the cluster's rules about each. No proxies, no cookies, no credentials.
"""

from __future__ import annotations

import asyncio
import http.client
import time
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin

from kernel_py.core.services.fetch import FETCH, Fetch, Url, check_request, decode_body, parse_fetch, parse_url
from kernel_py.hosts.services import Service
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits

_REDIRECTS = (301, 302, 303, 307, 308)
_KEPT_BY_REDIRECTS = (307, 308)
_CHUNK_BYTES = 65_536


class FetchError(OSError):
    """The request failed, or its answer is too large. Arrives as an OSError."""


class NativeFetch:
    """Carries out the calls of the service."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits

    async def __call__(self, method: str, args: list[Any], kwargs: dict[str, Any], config: Any) -> object:
        del method
        return await asyncio.to_thread(self.fetch, parse_fetch(*args, **kwargs), config)

    def fetch(self, request: Fetch, config: dict[str, Any]) -> dict[str, Any]:
        """Carry out a request and its redirects.

        Raises:
            PermissionError: the rules do not allow it, or one of its redirects.
            FetchError: there is no answer, or it is over a limit.
        """
        deadline = time.monotonic() + self._limits.fetch_seconds_max
        for _ in range(self._limits.fetch_redirects_max + 1):
            url = check_request(request.url, request.method, config)
            try:
                status, headers, body = self._exchange(url, request, deadline)
            except (OSError, http.client.HTTPException) as error:
                raise FetchError(f"{request.url}: {str(error) or type(error).__name__}") from error
            if status not in _REDIRECTS or "location" not in headers:
                content = body if request.as_bytes else decode_body(body, headers.get("content-type", ""))
                return {"status": status, "url": request.url, "headers": headers, "body": content}
            request = _redirect(request, status, headers["location"])
        raise FetchError(f"{request.url}: more than {self._limits.fetch_redirects_max} redirects")

    def _exchange(self, url: Url, request: Fetch, deadline: float) -> tuple[int, dict[str, str], bytes]:
        connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = connect(url.host.strip("[]"), int(url.port), timeout=_left(deadline))
        try:
            connection.request(request.method, url.path, request.body, request.headers)
            response = connection.getresponse()
            headers = _join_headers(response.getheaders())
            size = sum(len(name) + len(value) for name, value in headers.items())
            if size > self._limits.fetch_headers_bytes_max:
                raise FetchError(f"the headers have more than {self._limits.fetch_headers_bytes_max:,} bytes")
            return response.status, headers, self._read(connection, response, deadline)
        finally:
            connection.close()

    def _read(
        self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, deadline: float
    ) -> bytes:
        body = bytearray()
        while True:
            if connection.sock is not None:
                connection.sock.settimeout(_left(deadline))
            chunk = response.read1(_CHUNK_BYTES)
            if not chunk:
                return bytes(body)
            body += chunk
            if len(body) > self._limits.fetch_body_bytes_max:
                raise FetchError(f"the body has more than {self._limits.fetch_body_bytes_max:,} bytes")


def make_fetch(limits: Limits = DEFAULT_LIMITS) -> Service:
    """The service, to be given to a host."""
    return Service(FETCH, NativeFetch(limits))


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise FetchError("it takes too long")
    return left


def _join_headers(pairs: list[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _redirect(request: Fetch, status: int, location: str) -> Fetch:
    """The request to follow a redirect with, as browsers make it. What is secret stays with its origin."""
    if status not in _KEPT_BY_REDIRECTS and request.method not in {"GET", "HEAD"}:
        request = replace(request, method="GET", body=None)
    try:
        there = parse_fetch(urljoin(request.url, location))
    except ValueError as error:
        raise FetchError(f"{request.url}: redirected to {location!r:.200}: {error}") from None
    headers = request.headers
    if _origin(there.url) != _origin(request.url):
        headers = {name: value for name, value in headers.items() if name != "authorization"}
    return replace(request, url=there.url, headers=headers)


def _origin(url: str) -> tuple[str, str, str]:
    return parse_url(url)[:3]
