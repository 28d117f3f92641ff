"""Kernel services in a real browser: time that outlives the service worker, and the network within its rules."""

from __future__ import annotations

import http.server
import json
import threading
from ast import literal_eval
from collections.abc import Iterator

import pytest

from e2e.conftest import Launch
from e2e.harness.control import Control
from e2e.harness.plain import PlainChromium

VAT = """
from kernel_py.vat import E, Exo

class Vat(Exo):
    def __init__(self):
        self.woken = []

    def bootstrap(self, vats, services):
        self.services = services

    async def sleep(self, seconds):
        before = await E(self.services["timer"]).now()
        return await E(self.services["timer"]).delay(seconds) - before

    async def repeat(self, seconds):
        await E(self.services["timer"]).repeat(seconds, seconds, self)

    def wake(self, time):
        self.woken.append(time)

    def read(self):
        return self.woken

    async def fetch(self, url, **options):
        try:
            return await E(self.services["fetch"]).fetch(url, **options)
        except Exception as error:
            return [isinstance(error, PermissionError), isinstance(error, OSError), str(error)]

def build_root_object(powers, parameters, baggage):
    return Vat()
"""


def launch(control: Control, *services: object) -> str:
    vats = {"vat": {"source": "vat.py", "kind": "iframe"}}
    config = {"bootstrap": "vat", "vats": vats, "services": list(services)}
    return str(control.request("launch", config=config, files={"vat.py": VAT})["root"])


# --- vat_admin --------------------------------------------------------------------------------------

FOREMAN = """
from kernel_py.vat import E, Exo

class Foreman(Exo):
    def bootstrap(self, vats, services):
        self.vat_admin = services["vat_admin"]

    async def hire(self, bundle):
        self.worker = await E(self.vat_admin).create(bundle, parameters={"factor": 3})

    def work(self, number):
        return E(self.worker["root"]).work(number)

    def dismiss(self):
        return E(self.worker["admin"]).terminate("enough")

def build_root_object(powers, parameters, baggage):
    return Foreman()
"""

WORKER = """
from kernel_py.vat import Exo

class Worker(Exo):
    def __init__(self, factor):
        self.factor, self.count = factor, 0

    def work(self, number):
        self.count += 1
        return [self.factor * number, self.count]

def build_root_object(powers, parameters, baggage):
    return Worker(parameters["factor"])
"""


@pytest.mark.parametrize("kind", ["iframe", "worker"])
def test_a_vat_creates_another_that_outlives_the_killed_service_worker(plain: PlainChromium, kind: str) -> None:
    control = plain.open_control()
    config = {
        "bootstrap": "foreman",
        "services": ["vat_admin"],
        "bundles": {"worker": {"source": "worker.py", "kind": kind}},
        "vats": {"foreman": {"source": "foreman.py"}},
    }
    files = {"foreman.py": FOREMAN, "worker.py": WORKER}
    root = str(control.request("launch", config=config, files=files)["root"])
    assert "there is no bundle 'nobody'" in control.send(root, "hire", "'nobody'")["value"]
    control.call(root, "hire", "'worker'")
    assert control.call(root, "work", "7") == "[21, 1]"
    plain.kill_service_worker()
    assert control.call(root, "work", "7") == "[21, 2]"
    assert control.call(root, "dismiss") == "True"
    vats = {vat["name"]: vat["state"] for vat in control.request("status")["vats"]}
    assert vats == {"foreman": "running", "worker": "terminated"}


# --- timer ------------------------------------------------------------------------------------------


def test_a_timer_wakes_a_service_worker_that_has_stopped(plain: PlainChromium) -> None:
    control = plain.open_control()
    root = launch(control, "timer")
    control.call(root, "repeat", "45")
    control.wait_for_disconnect()
    assert not plain.is_service_worker_running()
    while not plain.is_service_worker_running():  # nobody asks anything of it
        control.wait_ms(500)
    control.call(root, "sleep", "0")  # answered after what was due when the kernel started
    assert len(literal_eval(control.call(root, "read"))) == 1


def test_a_delay_survives_the_killed_service_worker(plain: PlainChromium) -> None:
    control = plain.open_control()
    root = launch(control, "timer")
    key = control.start("send", target=root, method="sleep", args="3")
    control.wait_ms(1_000)
    plain.kill_service_worker()
    assert float(control.result(key)["value"]) >= 3


# --- fetch ------------------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        is_redirect = self.path == "/redirect"
        self.send_response(302 if is_redirect else 200)
        body = "grüße".encode() if self.path != "/large" else b"x" * 4_000_001
        headers = {"Location": "/elsewhere"} if is_redirect else {"Content-Type": "text/plain; charset=utf-8"}
        for name, value in {**headers, "Access-Control-Allow-Origin": "*", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server's host and port, and the paths that it was asked for."""
    handler = type("NotingHandler", (Handler,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{running.server_port}", handler.asked  # type: ignore[attr-defined]
        running.shutdown()
        thread.join()


def test_an_iframe_vat_fetches_from_the_hosts_that_it_was_granted_and_no_others(
    launch_browser: Launch, server: tuple[str, list[str]]
) -> None:
    host, asked = server
    port = host.rpartition(":")[2]
    control = launch_browser().open_control()
    root = launch(control, {"fetch": {"hosts": [host], "schemes": ["http"]}})

    def fetch(url: str, options: str = "") -> object:
        return literal_eval(control.call(root, "fetch", f"{json.dumps(url)}{options}"))

    answer = fetch(f"http://{host}/hello?a=1")
    assert isinstance(answer, dict)
    assert (answer["status"], answer["body"]) == (200, "grüße")
    assert answer["headers"]["content-type"] == "text/plain; charset=utf-8"
    assert fetch(f"http://{host}/hello", ", as_bytes=True")["body"] == "grüße".encode()  # type: ignore[index]
    assert asked == ["/hello?a=1", "/hello"]

    is_refused, _, reason = fetch(f"http://localhost:{port}/secret")  # type: ignore[misc]
    assert is_refused
    assert f"the host localhost:{port} is not allowed" in reason
    assert fetch(f"https://{host}/secret")[0]  # type: ignore[index]
    assert fetch(f"http://{host}/secret", ", method='POST'")[0]  # type: ignore[index]
    assert "/secret" not in asked

    _, is_oserror, reason = fetch(f"http://{host}/redirect")  # type: ignore[misc]
    assert is_oserror
    assert "redirects" in reason
    assert "/elsewhere" not in asked
    assert "the body has more than 4,000,000 bytes" in fetch(f"http://{host}/large")[2]  # type: ignore[index]
    assert fetch("http://127.0.0.1:1/")[0]  # type: ignore[index]
