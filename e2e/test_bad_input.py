"""Bad input gets a clear error that says what, where and what to do; and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.harness.browser import ExtensionBrowser
from e2e.harness.control import Control, ControlError
from e2e.test_examples import launch_example
from kernel_py.core import schema

VAT = """
from kernel_py.vat import E, Exo

class Root(Exo):
    def bootstrap(self, vats, services):
        self.vats = vats

    def ok(self):
        return "ok"

    def give_set(self):
        return {"names": ["a", {"b"}]}

    async def send_set(self, name):
        return await E(self.vats[name]).ok({"owner": {1, 2}})

    async def send_long(self, name, length):
        return await E(self.vats[name]).ok("x" * length)

    async def call(self, name):
        return await E(self.vats[name]).ok()

def build_root_object(powers, parameters, baggage):
    return Root()
"""

RAISES = """
def build_root_object(powers, parameters, baggage):
    return find_the_money()

def find_the_money():
    raise LookupError("no money here")
"""

GOOD: dict[str, Any] = {"source": "vat.py"}


def refused(control: Control, method: str, /, **params: Any) -> ControlError:
    """The error with which a request is answered."""
    with pytest.raises(ControlError) as caught:
        control.request(method, **params)
    return caught.value


@pytest.mark.parametrize(
    "config, path, words",
    [
        ([], "config", "must be an object"),
        ({"vats": {"a": GOOD}}, "config", "'bootstrap' is missing"),
        ({"bootstrap": "a", "vats": {}}, "config.vats", "at least 1"),
        ({"bootstrap": "b", "vats": {"a": GOOD}}, "config.bootstrap", "there is no vat 'b'; the vats are: a"),
        ({"bootstrap": "a", "vats": {"a": {"source": 5}}}, "config.vats.a.source", "must be a string"),
        ({"bootstrap": "a", "vats": {"a": {"source": "b.py"}}}, "config.vats.a.source", "given are: vat.py"),
        (
            {"bootstrap": "a", "vats": {"a": GOOD | {"kind": "cloud"}}},
            "config.vats.a.kind",
            "one of 'iframe', 'worker'",
        ),
        ({"bootstrap": "a", "vats": {"a": GOOD}, "services": ["teleport"]}, "config.services[0]", "unknown service"),
        ({"bootstrap": "a", "vats": {"a": GOOD}, "colour": "red"}, "config.colour", "unknown field"),
    ],
)
def test_an_invalid_cluster_names_the_field(shared_control: Control, config: Any, path: str, words: str) -> None:
    error = refused(shared_control, "launch", config=config, files={"vat.py": VAT})
    assert error.path == path
    assert words in str(error)
    assert shared_control.request("status")["clusters"] == []


@pytest.mark.parametrize(
    "source, words",
    [
        ("def build_root_object(:\n    pass\n", ["SyntaxError", "bad.py", "line 1"]),
        (RAISES, ["LookupError: no money here", 'bad.py", line 6, in find_the_money']),
        ("x = 1\n", ["build_root_object"]),
        ("def build_root_object(powers, parameters, baggage):\n    return 5\n", ["Exo"]),
        (VAT.replace("self.vats = vats", "raise ValueError('not today')"), ["bootstrap", "not today"]),
    ],
    ids=["does not parse", "raises", "has no root", "has a root that is no exo", "bootstrap raises"],
)
def test_a_vat_that_cannot_start_takes_its_cluster_back(shared_control: Control, source: str, words: list[str]) -> None:
    vats = {"bad": {"source": "bad.py"}, "good": GOOD}
    config = {"bootstrap": "bad", "vats": vats}
    error = refused(shared_control, "launch", config=config, files={"vat.py": VAT, "bad.py": source})
    for word in words:
        assert word in str(error)
    status = shared_control.request("status")
    assert (status["clusters"], status["vats"]) == ([], [])
    assert status["kernel"]["objects"] == 0


def test_messages_that_cannot_be_delivered_say_why(control: Control) -> None:
    launched = control.launch({"vat.py": VAT}, {"a": GOOD, "b": GOOD})
    root = launched["root"]
    assert "has no method 'fly'; it has: bootstrap, call" in control.send(root, "fly")["value"]
    assert "missing" in control.send(root, "call")["value"]
    assert "['names'][1]" in control.send(root, "give_set")["value"]
    assert "args[0]['owner']: a set is not passable" in control.send(root, "send_set", "'b'")["value"]
    assert (
        "more than 10,000,000 characters; pass it in pieces"
        in control.send(root, "send_long", "'b', 10_000_001")["value"]
    )
    assert refused(control, "send", target=root, method="ok", args="{1, 2}").path == "args[0]"
    assert refused(control, "send", target=root, method="ok", args="ko999").path.startswith("args")
    assert "there is no object ko999" in str(refused(control, "send", target="ko999", method="ok", args=""))
    assert control.call(root, "call", "'b'") == "'ok'"

    control.request("terminateVat", vat=launched["vats"]["b"], reason="done with it")
    assert control.send(root, "call", "'b'")["value"] == "Error('vat terminated')"
    again = refused(control, "terminateVat", vat=launched["vats"]["b"])
    assert "was terminated already: done with it" in str(again)
    assert control.call(root, "ok") == "'ok'"


def test_requests_that_are_none_are_answered(shared_control: Control) -> None:
    error = refused(shared_control, "fly_to_the_moon")
    assert "unknown request 'fly_to_the_moon'; known are: launch, send" in str(error)
    error = refused(shared_control, "send", target="ko1")
    assert (error.path, "'method' is missing" in str(error)) == ("params", True)
    assert "not a kernel reference" in str(refused(shared_control, "send", target="moon", method="x", args=""))
    assert "there is no vat" in str(refused(shared_control, "terminateVat", vat="v99"))


def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(
    browser_with_extension: ExtensionBrowser, control: Control
) -> None:
    launched = launch_example(control, "counter")
    control.call(launched["root"], "increment")
    page = browser_with_extension.open_page()
    change = """(version) => new Promise((resolve, reject) => {
        const opening = indexedDB.open("kernel_py");
        opening.onsuccess = () => {
            const transaction = opening.result.transaction("kv", "readwrite");
            transaction.objectStore("kv").put(version, "kernel.schema");
            transaction.oncomplete = () => { opening.result.close(); resolve(); };
            transaction.onabort = reject;
        };
    })"""
    browser_with_extension.kill_service_worker()
    page.evaluate(change, "999")
    error = refused(control, "status")
    assert f"the store has schema version 999, this kernel reads {schema.SCHEMA_VERSION}" in str(error)
    browser_with_extension.kill_service_worker()
    page.evaluate(change, str(schema.SCHEMA_VERSION))
    assert control.call(launched["root"], "increment") == "2"
