"""Realms of both kinds: made, used, lost, hung, restored."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from e2e.conftest import Launch
from e2e.harness.browser import EXTENSION, ExtensionBrowser
from e2e.harness.control import Control
from e2e.harness.plain import wait_until

COUNTER = """
import os
from kernel_py.vat import Exo

class Counter(Exo):
    def __init__(self):
        self.count = 0

    def bootstrap(self, vats, services):
        return "started"

    def add(self, number=1):
        self.count += number
        return self.count

    def hang(self):
        while True:
            pass

    def exit(self):
        os._exit(3)

def build_root_object(powers, parameters, baggage):
    return Counter()
"""

KINDS = ("iframe", "worker")

both_kinds = pytest.mark.parametrize("kind", KINDS)


@both_kinds
def test_a_vat_answers(control: Control, kind: str) -> None:
    root = control.launch_one(COUNTER, kind)
    assert control.call(root, "add", "2") == "2"
    assert control.call(root, "add", "3") == "5"


@both_kinds
def test_the_status_tells_how_much_memory_a_realm_has(control: Control, kind: str) -> None:
    control.call(control.launch_one(COUNTER, kind), "add")
    status = control.vat_status("v1")
    assert status["kind"] == kind
    assert 20_000_000 < status["memory_bytes"] < 100_000_000


@both_kinds
def test_a_realm_outlives_the_service_worker(
    browser_with_extension: ExtensionBrowser, control: Control, kind: str
) -> None:
    root = control.launch_one(COUNTER, kind)
    control.call(root, "add")
    # A realm that was asked for its heap by a kernel that died over it is made anew.
    wait_until(lambda: "taken" if control.vat_status("v1")["snapshots"] else None)
    before = _list_workers(browser_with_extension)
    browser_with_extension.kill_service_worker()
    assert control.call(root, "add") == "2"
    assert _list_workers(browser_with_extension) == before


def test_a_vat_whose_document_is_gone_is_restored(browser_with_extension: ExtensionBrowser, control: Control) -> None:
    roots = [control.launch_one(COUNTER, kind) for kind in KINDS]
    for root in roots:
        control.call(root, "add", "5")
    browser_with_extension.open_page().evaluate("chrome.offscreen.closeDocument()")
    for root in roots:
        assert control.call(root, "add") == "6"


def test_an_iframe_vat_whose_process_has_crashed_is_restored(
    browser_with_extension: ExtensionBrowser, control: Control
) -> None:
    root = control.launch_one(COUNTER, "iframe")
    control.call(root, "add", "5")
    browser_with_extension.attach_vat_host().attach_child("iframe").post("Page.crash")
    assert control.call(root, "add") == "6"


@both_kinds
def test_a_delivery_that_always_ends_its_realm_is_rejected_and_the_vat_lives_on(control: Control, kind: str) -> None:
    root = control.launch_one(COUNTER, kind)
    control.call(root, "add", "5")
    settled = control.send(root, "exit")
    assert settled["status"] == "rejected"
    assert "3 times" in settled["value"]
    assert control.call(root, "add") == "6"


@both_kinds
def test_a_hung_realm_is_gone_when_its_vat_is_terminated(
    browser_with_extension: ExtensionBrowser, control: Control, kind: str
) -> None:
    root = control.launch_one(COUNTER, kind)
    hung = control.start("send", target=root, method="hang", args="")
    control.request("terminateVat", vat="v1")
    assert control.result(hung)["status"] == "rejected"
    wait_until(lambda: "gone" if not _list_workers(browser_with_extension) else None)


@pytest.fixture
def extension_without_images(tmp_path: Path) -> Path:
    copy = tmp_path / "without-images"
    shutil.copytree(EXTENSION, copy, copy_function=os.link, ignore=shutil.ignore_patterns("*.image"))
    return copy


@pytest.fixture
def extension_with_broken_images(extension_without_images: Path) -> Path:
    for name in ("kernel", "realm"):
        image = bytearray((EXTENSION / f"{name}.image").read_bytes())
        # The name of Pyodide's build, which the image says that it fits.
        at = image.index(b'"build":"') + 10
        image[at] ^= 1
        (extension_without_images / f"{name}.image").write_bytes(image)
    return extension_without_images


def test_without_memory_images_everything_starts_cold(launch_browser: Launch, extension_without_images: Path) -> None:
    control = launch_browser(extension=extension_without_images).open_control()
    for kind in KINDS:
        assert control.call(control.launch_one(COUNTER, kind), "add") == "1"
    kernel = control.request("status")["kernel"]
    assert (kernel["boot"], kernel["realm_boot"]) == ("cold", "cold")


def test_images_that_do_not_fit_lead_to_a_cold_start_and_the_status_says_why(
    launch_browser: Launch, extension_with_broken_images: Path
) -> None:
    control = launch_browser(extension=extension_with_broken_images).open_control()
    assert control.call(control.launch_one(COUNTER, "worker"), "add") == "1"
    kernel = control.request("status")["kernel"]
    assert (kernel["boot"], kernel["realm_boot"]) == ("cold", "cold")
    assert "another build of Pyodide" in kernel["problem"]
    assert "another build of Pyodide" in kernel["realm_problem"]


def _list_workers(browser: ExtensionBrowser) -> set[str]:
    return {target["targetId"] for target in browser.list_targets() if target["type"] in {"worker", "iframe"}}
