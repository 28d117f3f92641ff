"""Realms of both kinds: made, used, lost, hung, restored."""

from __future__ import annotations

import pytest

from e2e.harness.browser import ExtensionBrowser
from e2e.harness.control import Control

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

both_kinds = pytest.mark.parametrize("kind", ["iframe", "worker"])


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
    before = _list_workers(browser_with_extension)
    browser_with_extension.kill_service_worker()
    assert control.call(root, "add") == "2"
    assert _list_workers(browser_with_extension) == before


def _list_workers(browser: ExtensionBrowser) -> set[str]:
    return {target["targetId"] for target in browser.list_targets() if target["type"] in {"worker", "iframe"}}
