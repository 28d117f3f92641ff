"""What may be fetched: the rules of a cluster file, and URLs that parsers might read in two ways."""

from __future__ import annotations

from typing import Any

import pytest

from kernel_py.core import jsonschema
from kernel_py.core.services.fetch import CONFIG, Fetch, check_call, check_request, decode_body, parse_fetch, parse_url
from kernel_py.wire.errors import RequestError

RULES = {
    "hosts": ["example.com", "example.com:8443", "[::1]:80"],
    "schemes": ["https", "http"],
    "methods": ["GET", "POST"],
}


@pytest.mark.parametrize(
    "url, parts",
    [
        ("https://example.com", ("https", "example.com", "443", "/")),
        ("HTTP://Example.COM:8080/A?b=C#d", ("http", "example.com", "8080", "/A?b=C")),
        ("https://example.com?x", ("https", "example.com", "443", "/?x")),
        ("https://example.com:0443/%20", ("https", "example.com", "443", "/%20")),
        ("http://[::1]/", ("http", "[::1]", "80", "/")),
    ],
)
def test_a_url_is_taken_apart(url: str, parts: tuple[str, ...]) -> None:
    assert parse_url(url) == parts


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https:example.com",
        "https:///example.com",
        "https://user@example.com/",
        "https://example.com@evil.com/",
        "https://evil.com\\@example.com/",
        "https://evil.com\\.example.com/",
        "https://example.com /",
        " https://example.com/",
        "https://example.com/\n",
        "https://example.com/a b",
        "https://exa\tmple.com/",
        "https://ex\u0430mple.com/",
        "https://example.com/\u00e4",
        "https://example%2ecom/",
        "https://example.com:/",
        "https://example.com:port/",
        "https://example.com:123456/",
        "https://[::1/",
        "https://ⓔxample.com/",
    ],
)
def test_a_url_that_is_not_plain_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not a plain http or https URL"):
        parse_url(url)


@pytest.mark.parametrize(
    "url", ["https://example.com/x", "https://example.com:443/", "http://example.com:8443/", "http://[::1]/"]
)
def test_what_the_rules_name_is_allowed(url: str) -> None:
    assert check_request(url, "POST", RULES)


@pytest.mark.parametrize(
    "url, method, reason",
    [
        ("https://evil.com/", "GET", "the host evil.com is not allowed to this vat; example.com, example.com:8443"),
        ("https://sub.example.com/", "GET", "the host sub.example.com is not allowed"),
        ("https://example.com.evil.com/", "GET", "the host example.com.evil.com is not allowed"),
        ("https://example.com./", "GET", "the host example.com. is not allowed"),
        ("https://example.com:444/", "GET", "the host example.com:444 is not allowed"),
        ("https://[::1]/", "GET", "is not allowed"),
        ("https://example.com/", "DELETE", "the method 'DELETE' is not allowed to this vat; GET, POST is"),
        ("https://example.com/", "get", "the method 'get' is not allowed"),
    ],
)
def test_what_the_rules_do_not_name_is_not_allowed(url: str, method: str, reason: str) -> None:
    with pytest.raises(PermissionError) as caught:
        check_request(url, method, RULES)
    assert reason in str(caught.value)


def test_by_default_only_https_and_get_are_allowed() -> None:
    rules = {"hosts": ["example.com"]}
    assert check_request("https://example.com/", "GET", rules)
    for url, method in (("http://example.com/", "GET"), ("https://example.com/", "POST")):
        with pytest.raises(PermissionError):
            check_request(url, method, rules)


@pytest.mark.parametrize(
    "args, kwargs, error",
    [
        ([], {}, TypeError),
        ([7], {}, TypeError),
        (["https://example.com/", "GET"], {}, TypeError),
        (["https://example.com/"], {"timeout": 5}, TypeError),
        (["https://example.com/"], {"method": 5}, TypeError),
        (["https://example.com/"], {"headers": ["a"]}, TypeError),
        (["https://example.com/"], {"as_bytes": 1}, TypeError),
        (["https://example.com/"], {"method": "POST", "body": {}}, TypeError),
        (["https://example.com/"], {"body": "x"}, ValueError),
        (["https://example.com/"], {"headers": {"a b": "x"}}, ValueError),
        (["https://example.com/"], {"headers": {"a": 5}}, ValueError),
        (["https://example.com/"], {"headers": {"a": "x\r\nHost: evil"}}, ValueError),
        (["https://example.com/"], {"headers": {"Host": "evil.com"}}, ValueError),
        (["https://example.com/"], {"headers": {"Content-Length": "0"}}, ValueError),
        (["https://example.com/"], {"headers": {"Transfer-Encoding": "chunked"}}, ValueError),
        (["https://evil.com/"], {}, PermissionError),
    ],
)
def test_a_wrong_call_never_leaves_the_kernel(args: list[Any], kwargs: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        check_call("fetch", args, kwargs, RULES)


def test_a_request_in_full() -> None:
    headers = {"Content-Type": "text/plain", "X-A": " b "}
    request = parse_fetch("https://EXAMPLE.com:443#top", method="POST", headers=headers, body="é", as_bytes=True)
    expected = {"content-type": "text/plain", "x-a": "b"}
    assert request == Fetch("https://example.com/", "POST", expected, "é".encode(), as_bytes=True)


@pytest.mark.parametrize(
    "config, path",
    [
        ({}, "config"),
        ({"hosts": "example.com"}, "config.hosts"),
        ({"hosts": ["*"]}, "config.hosts[0]"),
        ({"hosts": ["https://example.com"]}, "config.hosts[0]"),
        ({"hosts": ["Example.com"]}, "config.hosts[0]"),
        ({"hosts": ["example.com\n"]}, "config.hosts[0]"),
        ({"hosts": [], "schemes": ["ftp"]}, "config.schemes[0]"),
        ({"hosts": [], "methods": ["CONNECT"]}, "config.methods[0]"),
        ({"hosts": [], "redirects": 5}, "config.redirects"),
    ],
)
def test_wrong_rules_are_refused(config: Any, path: str) -> None:
    with pytest.raises(RequestError) as caught:
        jsonschema.validate(config, CONFIG, "config")
    assert caught.value.path == path


@pytest.mark.parametrize(
    "body, content_type, text",
    [
        (b"\xc3\xa9", "", "é"),
        (b"\xe9", 'text/html; charset="latin-1"', "é"),
        (b"\xe9", "text/html; charset=UTF-8", "\ufffd"),
        (b"\xc3\xa9", "text/html; charset=no-such", "é"),
        (b"x", "text/html; charset=idna2008", "x"),
        (b"eA==", "text/plain; charset=base64", "eA=="),
    ],
)
def test_text_is_decoded_by_its_type(body: bytes, content_type: str, text: str) -> None:
    assert decode_body(body, content_type) == text
