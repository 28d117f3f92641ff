"""The service ``fetch``: HTTP, limited to what the cluster file names.

    fetch.fetch(url, *, method="GET", headers={}, body=None, as_bytes=False)
        {"status": 200, "url": url, "headers": {...}, "body": text or bytes}

Owns the rules; a host carries requests out. Hosts, schemes and methods are compared as text, so a URL must be written
plainly: ASCII, without a user's name, in none of the ways in which parsers disagree. The rules hold for each redirect
again, so the host must follow them itself, or not at all.

An answer with a status such as 404 is an answer. What fails is a PermissionError if the rules do not allow it, else an
OSError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from kernel_py.core.services.service import HostService, shown

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
SCHEMES = ("https", "http")

CONFIG: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["hosts"],
    "additionalProperties": False,
    "properties": {
        "hosts": {
            "type": "array",
            "description": "Hosts by name, in lower case; with a port, as example.com:8443, if it is not the scheme's.",
            "items": {"type": "string", "pattern": r"^(?:[a-z0-9.\-]+|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?$(?!\n)"},
        },
        "schemes": {
            "type": "array",
            "description": "Default: https alone.",
            "items": {"type": "string", "enum": list(SCHEMES)},
        },
        "methods": {
            "type": "array",
            "description": "Default: GET alone.",
            "items": {"type": "string", "enum": list(METHODS)},
        },
    },
}
"""What a cluster file says of it."""

_DEFAULT_PORTS = {"https": "443", "http": "80"}
_URL = re.compile(
    r"(https?)://([a-z0-9.\-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?((?:[/?][!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]*)?)",
)
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,8000}")
_FORBIDDEN_HEADER = re.compile(
    "accept-(charset|encoding)|access-control-.*|connection|content-length|cookie2?|date|dnt|expect|host|keep-alive|"
    "origin|referer|set-cookie|te|trailer|transfer-encoding|upgrade|via|proxy-.*|sec-.*"
)
"""What a browser keeps for itself, in lower case; other hosts do as well."""


class Url(NamedTuple):
    """A URL taken apart. `port` is as text, the scheme's own if the URL has none; `path` includes the query."""

    scheme: str
    host: str
    port: str
    path: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """A request to be carried out. `headers` have names in lower case."""

    url: str
    method: str
    headers: dict[str, str]
    body: bytes | None
    as_bytes: bool


def parse_url(url: object) -> Url:
    """Take a URL apart.

    Raises:
        TypeError: it is not text.
        ValueError: it is not a plainly written http or https URL.
    """
    if not isinstance(url, str):
        raise TypeError(f"a URL is text, not {shown(url)}")
    plain = url.partition("#")[0]
    scheme, colon, rest = plain.partition("://")
    authority = re.match("[^/?]*", rest)
    assert authority is not None
    lowered = f"{scheme.lower()}{colon}{authority[0].lower()}{rest[authority.end() :]}"
    found = _URL.fullmatch(lowered)
    if found is None:
        raise ValueError(f"not a plain http or https URL: {shown(url)}")
    scheme, host, port, path = found.groups(default="")
    return Url(
        scheme, host, str(int(port)) if port else _DEFAULT_PORTS[scheme], path if path[:1] == "/" else f"/{path}"
    )


def check_request(url: object, method: object, config: dict[str, Any]) -> Url:
    """Whether the cluster's rules allow a request; for each redirect as well.

    Raises:
        PermissionError: they do not.
    """
    parsed = parse_url(url)
    schemes, methods = config.get("schemes", ["https"]), config.get("methods", ["GET"])
    if parsed.scheme not in schemes:
        raise PermissionError(f"{parsed.scheme} is not allowed to this vat; {', '.join(schemes)} is")
    port = parsed.port
    names = [f"{parsed.host}:{port}", *([parsed.host] if port == _DEFAULT_PORTS[parsed.scheme] else [])]
    if not any(name in config["hosts"] for name in names):
        raise PermissionError(f"the host {names[-1]} is not allowed to this vat; {', '.join(config['hosts'])} is")
    if method not in methods:
        raise PermissionError(f"the method {shown(method)} is not allowed to this vat; {', '.join(methods)} is")
    return parsed


def parse_fetch(
    url: object,
    *,
    method: object = "GET",
    headers: object = None,
    body: object = None,
    as_bytes: object = False,
) -> Fetch:
    """A request from the arguments of a call.

    Raises:
        TypeError, ValueError: they are wrong.
    """
    parsed = parse_url(url)
    if not isinstance(method, str):
        raise TypeError(f"a method is text, not {shown(method)}")
    if not isinstance(as_bytes, bool):
        raise TypeError(f"as_bytes is a bool, not {shown(as_bytes)}")
    if isinstance(body, str):
        body = body.encode("utf-8", "replace")
    if body is not None and not isinstance(body, bytes):
        raise TypeError(f"a body is text or bytes, not {shown(body)}")
    if body is not None and method in {"GET", "HEAD"}:
        raise ValueError(f"a request with the method {method} has no body")
    if headers is not None and not isinstance(headers, dict):
        raise TypeError(f"headers are a dict, not {shown(headers)}")
    checked = {str(name).lower(): _parse_header(name, value) for name, value in (headers or {}).items()}
    return Fetch(write_url(parsed), method, checked, body, as_bytes)


def write_url(url: Url) -> str:
    """A URL in its plain form."""
    port = "" if url.port == _DEFAULT_PORTS[url.scheme] else f":{url.port}"
    return f"{url.scheme}://{url.host}{port}{url.path}"


def _parse_header(name: str, value: object) -> str:
    if not _HEADER_NAME.fullmatch(name) or _FORBIDDEN_HEADER.fullmatch(name.lower()):
        raise ValueError(f"the header {shown(name)} cannot be set")
    if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
        raise ValueError(f"the header {name} is plain text, not {shown(value)}")
    return value.strip(" ")


def check_call(method: str, args: list[Any], kwargs: dict[str, Any], config: Any) -> None:
    """Refuse a call before it leaves the kernel."""
    del method
    request = parse_fetch(*args, **kwargs)
    check_request(request.url, request.method, config)


def decode_body(body: bytes, content_type: str) -> str:
    """Text of a body by the charset of its type; what does not decode is replaced."""
    found = re.search(r"charset=\"?([A-Za-z0-9_\-]{1,40})", content_type)
    try:
        return body.decode(found[1] if found else "utf-8", "replace")
    except (LookupError, UnicodeError):
        return body.decode("utf-8", "replace")


FETCH: Final = HostService("fetch", ("fetch",), CONFIG, check_call)
"""The service as the kernel knows it. Not idempotent: a request may have been a POST."""
