"""The counters in WebAssembly do what the counter in Python does: the same syscalls, in every scenario."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from kernel_py.hosts.memory import MemoryHost
from kernel_py.hosts.native.wasm import make_wasm_session
from kernel_py.hosts.native.wasm_engine import WasmtimeEngine
from kernel_py.vat.session import VatSession
from tests.vat.driving import DrivenVat, capdata, message
from tests.wasm.driving import DrivenWasm

pytestmark = pytest.mark.native

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PYTHON = (EXAMPLES / "counter" / "counter.py").read_text()
GUESTS = {
    "wat": (EXAMPLES / "wasm" / "counter.wasm").read_bytes(),
    "c": (EXAMPLES / "wasm" / "counter_c.wasm").read_bytes(),
    "as": (EXAMPLES / "wasm" / "counter_as.wasm").read_bytes(),
}


@pytest.fixture(scope="module")
def engine():
    engine = WasmtimeEngine()
    yield engine
    engine.close()


# Delivery by delivery --------------------------------------------------------------------------

DELIVERIES = [
    message("o+0", "bootstrap", {}, {}),
    message("o+0", "increment"),
    message("o+0", "increment", 41, result="p-61"),
    message("o+0", "increment", by=-5),
    message("o+0", "increment", -100),
    message("o+0", "read"),
    message("o+0", "make_counter", 1_000_000_000_000),
    message("o+0", "make_counter"),
    message("o+1", "increment", 5),
    message("o+2", "increment", result="p-1234567"),
    message("o+1", "read"),
    ["notify", [["p-5", False, capdata(3)]]],
    ["dropExports", ["o+2"]],
    ["retireExports", ["o+2"]],
    ["bringOutYourDead"],
    message("o+0", "read"),
]


@pytest.mark.parametrize("name", GUESTS)
def test_every_delivery_has_the_same_batch_and_console_as_in_python(engine, name):
    python = DrivenVat(PYTHON, start=False)
    wasm = DrivenWasm(engine, GUESTS[name], start=False)
    python.go()
    wasm.go()
    for delivery in (["startVat", capdata({"start": 7})], *DELIVERIES):
        assert wasm.deliver(delivery) == ("ok", None, python.deliver_raw(delivery)), delivery
        assert wasm.console == python.console


@pytest.mark.parametrize("name", GUESTS)
def test_an_unknown_method_is_rejected_by_name(engine, name):
    vat = DrivenWasm(engine, GUESTS[name])
    status, _, [[op, [[promise, is_reject, data]]]] = vat.call("explode")
    assert (status, op, promise, is_reject) == ("ok", "resolve", "p-60", True)
    assert json.loads(data["body"][1:])["name"] == "AttributeError"


@pytest.mark.parametrize("name", GUESTS)
def test_an_object_that_there_is_not_is_an_error_of_the_delivery(engine, name):
    vat = DrivenWasm(engine, GUESTS[name])
    assert vat.call("read", target="o+9") == ("error", "no such counter", [])


@pytest.mark.parametrize("name", GUESTS)
def test_a_replayed_counter_is_where_it_was(engine, name):
    vat = DrivenWasm(engine, GUESTS[name])
    for delivery in DELIVERIES:
        vat.deliver(delivery)
    again = vat.replayed()
    for target in ("o+0", "o+1", "o+2"):
        assert again.call("increment", target=target) == vat.call("increment", target=target)


# In a cluster ----------------------------------------------------------------------------------

DRIVER = """
from kernel_py.vat import E, Exo

class Driver(Exo):
    def bootstrap(self, vats, services):
        self.counter = vats["counter"]

    async def scenario(self):
        other = E(self.counter).make_counter(10)
        first = await E(self.counter).increment(5)
        piped = await E(other).increment()
        try:
            await E(self.counter).explode()
        except AttributeError:
            return [first, piped, await E(other).read(), "rejected"]

def build_root_object(powers, parameters, baggage):
    return Driver()
"""


def make_host(engine, **options):
    """A host in which a vat is wasm if its source is a module in base64."""

    def make_session(spec, limits):
        is_wasm = spec.files[spec.main].startswith(base64.b64encode(b"\0asm").decode()[:4])
        return make_wasm_session(engine, limits=limits) if is_wasm else VatSession(limits=limits)

    return MemoryHost(make_session=make_session, **options)


@pytest.fixture(params=["python", *GUESTS])
def cluster(request, engine):
    """A launched cluster of a driver, and a counter that is Python's or a guest."""
    is_python = request.param == "python"
    source = PYTHON if is_python else base64.b64encode(GUESTS[request.param]).decode()
    host = make_host(engine)
    config = {
        "bootstrap": "driver",
        "vats": {"driver": {"source": "driver.py"}, "counter": {"source": "counter.py", "parameters": {"start": 100}}},
    }
    launched = host.launch(config, {"driver.py": DRIVER, "counter.py": source})
    return host, launched


def call(host, target, method, args=""):
    settled = host.send(target, method, args)
    assert settled["status"] == "fulfilled", settled["value"]
    return settled["value"]


def test_a_python_vat_uses_a_counter_of_any_kind(cluster):
    host, launched = cluster
    assert call(host, launched["root"], "scenario") == "[105, 11, 11, 'rejected']"


def test_a_counter_survives_eviction_and_its_host(cluster):
    host, launched = cluster
    assert call(host, launched["root"], "scenario") == "[105, 11, 11, 'rejected']"
    host.evict(launched["vats"]["counter"])
    assert call(host, launched["root"], "scenario").startswith("[110, 11, 11")
    again = host.reopen()
    assert call(again, launched["root"], "scenario").startswith("[115, 11, 11")
