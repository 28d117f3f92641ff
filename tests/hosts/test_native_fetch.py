"""Fetching natively, from a server in this process."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kernel_py.core.services.fetch import parse_fetch
from kernel_py.hosts.native.fetch import FetchError, NativeFetch, make_fetch
from kernel_py.wire.limits import DEFAULT_LIMITS
from tests.hosts.native_driver import open_kernel, run_native, send

pytestmark = pytest.mark.native


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as its path says, and notes what it was asked."""

    asked: list[tuple[str, str, dict[str, str], bytes]]

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(length)
        self.asked.append((self.command, self.path, dict(self.headers), body))
        kind, _, rest = self.path[1:].partition("/")
        if kind == "redirect":
            status, _, location = rest.partition("/")
            self.reply(int(status), b"moved", {"Location": location})
        elif kind == "bytes":
            self.reply(200, b"x" * int(rest), {})
        elif kind == "headers":
            self.reply(200, b"", {f"X-{n}": "v" * 1_000 for n in range(int(rest))})
        else:
            self.reply(
                404 if kind == "missing" else 200, body or b"caf\xe9", {"Content-Type": "text/plain; charset=latin-1"}
            )

    do_GET = do_POST = do_PUT = do_HEAD = answer  # noqa: N815 (http.server's names)

    def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class Server:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        handler = type("NotingHandler", (Handler,), {"asked": self.asked})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.host = f"127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    pair = Server(), Server()
    yield pair
    for server in pair:
        server.close()


@pytest.fixture
def server(servers: tuple[Server, Server]) -> Server:
    servers[0].asked.clear()
    return servers[0]


@pytest.fixture
def other(servers: tuple[Server, Server]) -> Server:
    servers[1].asked.clear()
    return servers[1]


def fetch(server: Server, path: str, *also: Server, limits: Any = DEFAULT_LIMITS, **options: Any) -> dict[str, Any]:
    rules = {
        "hosts": [server.host, *(each.host for each in also)],
        "schemes": ["http"],
        "methods": ["GET", "POST", "HEAD"],
    }
    return NativeFetch(limits).fetch(parse_fetch(f"http://{server.host}{path}", **options), rules)


def test_an_answer_has_status_headers_and_text(server: Server) -> None:
    answer = fetch(server, "/a?b=1")
    assert answer["status"] == 200
    assert answer["url"] == f"http://{server.host}/a?b=1"
    assert answer["headers"]["content-type"] == "text/plain; charset=latin-1"
    assert answer["body"] == "café"
    assert server.asked[0][:2] == ("GET", "/a?b=1")


def test_bytes_are_given_if_asked_for(server: Server) -> None:
    assert fetch(server, "/a", as_bytes=True)["body"] == b"caf\xe9"


def test_a_body_and_headers_are_sent(server: Server) -> None:
    assert fetch(server, "/a", method="POST", headers={"X-Y": "z"}, body=b"hi")["body"] == "hi"
    method, _, headers, body = server.asked[0]
    assert (method, headers["x-y"], body) == ("POST", "z", b"hi")


def test_an_answer_of_failure_is_an_answer(server: Server) -> None:
    assert fetch(server, "/missing")["status"] == 404


def test_a_redirect_to_an_allowed_host_is_followed(server: Server, other: Server) -> None:
    answer = fetch(server, f"/redirect/302/http://{other.host}/there", other)
    assert (answer["url"], answer["status"]) == (f"http://{other.host}/there", 200)
    assert fetch(server, "/redirect/301//here")["url"] == f"http://{server.host}/here"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_a_forbidden_host_is_not_followed(server: Server, other: Server, status: int) -> None:
    with pytest.raises(PermissionError, match=f"the host {other.host} is not allowed"):
        fetch(server, f"/redirect/{status}/http://{other.host}/there")
    assert len(server.asked) == 1
    assert other.asked == []


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "https://127.0.0.1/", "http://user@127.0.0.1/", "http://[::/"]
)
def test_a_redirect_to_what_is_not_allowed_or_not_a_url_fails(server: Server, location: str) -> None:
    with pytest.raises(OSError, match=r"not a plain http|not allowed|redirected"):
        fetch(server, f"/redirect/302/{location}")


def test_a_redirected_post_becomes_a_get_unless_it_is_to_be_kept(server: Server) -> None:
    assert fetch(server, "/redirect/302//a", method="POST", body="x")["body"] == "café"
    assert fetch(server, "/redirect/307//a", method="POST", body="x")["body"] == "x"
    assert [method for method, *_ in server.asked] == ["POST", "GET", "POST", "POST"]


def test_credentials_stay_with_their_origin(server: Server, other: Server) -> None:
    headers = {"Authorization": "secret", "X-Y": "z"}
    fetch(server, f"/redirect/302/http://{other.host}/there", other, headers=headers)
    assert "authorization" in server.asked[0][2]
    assert "authorization" not in other.asked[0][2]
    assert other.asked[0][2]["x-y"] == "z"


def test_redirects_come_to_an_end(server: Server) -> None:
    with pytest.raises(FetchError, match="more than 10 redirects"):
        fetch(server, "/redirect/302/" * 11 + "/a")
    assert fetch(server, "/redirect/302/" * 10 + "/a")["status"] == 200


def test_what_is_too_large_is_cut_off(server: Server) -> None:
    limits = replace(DEFAULT_LIMITS, fetch_body_bytes_max=1_000, fetch_headers_bytes_max=2_000)
    assert len(fetch(server, "/bytes/1000", limits=limits)["body"]) == 1_000
    with pytest.raises(FetchError, match="the body has more than 1,000 bytes"):
        fetch(server, "/bytes/1001", limits=limits)
    with pytest.raises(FetchError, match="the headers have more than 2,000 bytes"):
        fetch(server, "/headers/2", limits=limits)


def test_what_takes_too_long_is_given_up(server: Server) -> None:
    with pytest.raises(FetchError, match="it takes too long"):
        fetch(server, "/a", limits=replace(DEFAULT_LIMITS, fetch_seconds_max=0))


def test_a_server_that_is_not_there_is_an_oserror(servers: tuple[Server, Server]) -> None:
    rules = {"hosts": ["127.0.0.1:1"], "schemes": ["http"]}
    with pytest.raises(FetchError, match=r"http://127\.0\.0\.1:1/: "):
        NativeFetch().fetch(parse_fetch("http://127.0.0.1:1/"), rules)


def test_as_a_service_it_runs_beside_the_loop(server: Server) -> None:
    handler = make_fetch().handler
    rules = {"hosts": [server.host], "schemes": ["http"]}
    answer = asyncio.run(_call(handler, [f"http://{server.host}/a"], rules))
    assert answer["body"] == "café"


async def _call(handler: Any, args: list[Any], rules: Any) -> Any:
    return await handler("fetch", args, {}, rules)


VAT = """
from kernel_py.vat import E, Exo

class Reader(Exo):
    def bootstrap(self, vats, services):
        self.services = services

    async def read(self, url):
        await E(self.services["timer"]).delay(0.05)
        return (await E(self.services["fetch"]).fetch(url))["body"]

def build_root_object(powers, parameters, baggage):
    return Reader()
"""


def test_a_vat_in_a_process_of_its_own_waits_and_fetches(server: Server, other: Server, tmp_path: Path) -> None:
    services = ["timer", {"fetch": {"hosts": [server.host], "schemes": ["http"]}}]
    config = {"bootstrap": "vat", "services": services, "vats": {"vat": {"source": "vat.py"}}}

    async def main() -> None:
        async with open_kernel(tmp_path) as kernel:
            launched = await kernel.request("launch", {"config": config, "files": {"vat.py": VAT}})
            assert await send(kernel, launched["root"], "read", f"'http://{server.host}/a'") == "'café'"
            assert "is not allowed" in await send(kernel, launched["root"], "read", f"'http://{other.host}/a'")
        assert other.asked == []

    run_native(main())
