"""Vats in WebAssembly: in realms without Python, in the browser's own engine."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from e2e.harness.browser import ROOT, ExtensionBrowser
from e2e.harness.control import Control, ControlError
from e2e.harness.plain import PlainChromium

MODULES = {
    "counter.wasm": ROOT / "examples/wasm/counter.wasm",
    "counter_c.wasm": ROOT / "examples/wasm/counter_c.wasm",
    "puppet.wasm": ROOT / "tests/wasm/modules/puppet.wasm",
}

DRIVER = """
from kernel_py.vat import E, Exo

class Driver(Exo):
    def bootstrap(self, vats, services):
        self.guest = vats["guest"]

    async def scenario(self):
        other = E(self.guest).make_counter(10)
        first = await E(self.guest).increment(5)
        piped = await E(other).increment()
        try:
            await E(self.guest).explode()
        except AttributeError:
            return [first, piped, await E(other).read(), "rejected"]

    async def tell(self, method, text=""):
        try:
            return await getattr(E(self.guest), method)(text)
        except Exception as error:
            return str(error)

def build_root_object(powers, parameters, baggage):
    return Driver()
"""


def read(module: str) -> str:
    return base64.b64encode(MODULES[module].read_bytes()).decode()


def launch(control: Control, module: str) -> Any:
    files = {"driver.py": DRIVER, module: read(module)}
    guest = {"kind": "wasm", "source": module, "parameters": {"start": 100}}
    return control.launch(files, {"driver": {"source": "driver.py"}, "guest": guest})


COUNTERS = pytest.mark.parametrize("module", ["counter.wasm", "counter_c.wasm"])


@COUNTERS
def test_a_python_vat_uses_a_guest_which_outlives_the_service_worker(plain: PlainChromium, module: str) -> None:
    control = plain.open_control()
    launched = launch(control, module)
    assert control.call(launched["root"], "scenario") == "[105, 11, 11, 'rejected']"
    plain.kill_service_worker()
    assert control.call(launched["root"], "scenario") == "[110, 11, 11, 'rejected']"


@COUNTERS
def test_a_guest_whose_realm_is_gone_comes_back(
    browser_with_extension: ExtensionBrowser, control: Control, module: str
) -> None:
    launched = launch(control, module)
    assert control.call(launched["root"], "scenario") == "[105, 11, 11, 'rejected']"
    browser_with_extension.open_page().evaluate("chrome.offscreen.closeDocument()")
    assert control.call(launched["root"], "scenario") == "[110, 11, 11, 'rejected']"


def test_a_module_is_instrumented_once(browser_with_extension: ExtensionBrowser, control: Control) -> None:
    guest = {"kind": "wasm", "source": "counter.wasm"}
    vats = {f"guest{number}": guest for number in range(10)}
    files = {"driver.py": DRIVER, "counter.wasm": read("counter.wasm")}
    for _ in range(2):
        control.launch(files, {"driver": {"source": "driver.py"}, "guest": guest, **vats})
    page = browser_with_extension.open_page()
    kept = page.evaluate(
        "caches.keys().then((names) => caches.open(names[0])).then((cache) => cache.keys()).then((keys) => keys.length)"
    )
    assert kept == 1


@pytest.mark.parametrize("method, reason", [("u", "trap: unreachable"), ("r", "calls nest too deeply")])
def test_a_guest_that_is_stopped_lives_on_without_the_message(control: Control, method: str, reason: str) -> None:
    launched = launch(control, "puppet.wasm")
    poisoned = control.send(launched["root"], "tell", repr(method))
    assert reason in poisoned["value"]
    assert control.send(launched["root"], "tell", repr(method))["value"] == poisoned["value"]
    status = control.vat_status(launched["vats"]["guest"])
    assert (status["state"], status["kind"]) == ("running", "wasm")


@pytest.mark.parametrize(
    "code, reason",
    [
        (b"\0asm\1\0\0\0", "does not export the function 'alloc'"),
        ((ROOT / "tests/wasm/modules/refused_import_unknown.wasm").read_bytes(), "is unknown; there is: kernel.fail"),
        ((ROOT / "tests/wasm/modules/refused_atomics.wasm").read_bytes(), "opcode 0xfe"),
    ],
    ids=["no-guest", "unknown-import", "threads"],
)
def test_a_module_that_cannot_be_a_vat_fails_the_launch_with_the_reason(
    shared_control: Control, code: bytes, reason: str
) -> None:
    guest = {"kind": "wasm", "source": "guest.wasm"}
    with pytest.raises(ControlError, match=reason):
        shared_control.launch({"guest.wasm": base64.b64encode(code).decode()}, {"guest": guest})
