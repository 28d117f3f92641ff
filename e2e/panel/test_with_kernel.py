"""The panel in the real extension, over the real kernel: in a tab, and inside DevTools."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from e2e.harness.browser import ROOT, ExtensionBrowser
from e2e.panel.driver import Panel

BOOT_MS = 60_000

LATCH = """
import asyncio
from kernel_py.vat import Exo

class Latch(Exo):
    def __init__(self):
        self.opened = asyncio.Event()
        self.waits = 0

    def bootstrap(self, vats, services):
        return "shut"

    async def wait(self):
        self.waits += 1
        await self.opened.wait()
        return f"open after {self.waits} waits"

    def open(self):
        self.opened.set()

    def fail(self):
        try:
            {}["key"]
        except KeyError as error:
            raise ValueError("no luck") from error

def build_root_object(powers, parameters, baggage):
    return Latch()
"""


def _open_panel(browser: ExtensionBrowser) -> Panel:
    panel = Panel(browser.open_page("panel.html"))
    panel.expect_connected(timeout_ms=BOOT_MS)
    return panel


def _launch_latch(panel: Panel) -> None:
    panel.open_launch_dialog()
    panel.choose_example("Empty cluster")
    panel.write_file("cluster.json", '{"bootstrap": "latch", "vats": {"latch": {"source": "latch.py"}}}')
    panel.write_file("latch.py", LATCH)
    panel.launch()
    expect(panel.dialog).to_be_hidden(timeout=BOOT_MS)


@pytest.fixture
def tab(browser_with_extension: ExtensionBrowser) -> Panel:
    """The panel in a tab."""
    return _open_panel(browser_with_extension)


def test_the_bank_is_launched_asked_and_ended(tab: Panel) -> None:
    tab.launch_example("bank", timeout_ms=BOOT_MS)
    expect(tab.inspector).to_contain_text("'is_conserved': True")
    expect(tab.log_row("alice could not buy")).to_be_visible()
    root = tab.target.input_value()
    assert re.fullmatch(r"ko\d+", root)
    expect(tab.send(root, "audit")).to_contain_text("'transfers': 8")
    expect(tab.send(root, "mint", "'carol', 'dollar', 5")).to_contain_text(re.compile(r"<\w+ ko\d+>"))
    expect(tab.send(root, "no_such_method")).to_contain_text("rejected")
    expect(tab.send(root, "audit", "{1: 2}")).to_contain_text("a record's keys are strings")
    tab.terminate("vat", "bob", "he left")
    expect(tab.row("bob")).to_contain_text("terminated")
    tab.terminate("cluster", "bank c1")
    expect(tab.row("bank c1")).to_contain_text("terminated")


def test_bad_clusters_are_explained(tab: Panel) -> None:
    tab.open_launch_dialog()
    tab.choose_example("counter")
    tab.write_file("cluster.json", '{"bootstrap": "a", "vats": {"a": {"source": "counter.py", "kind": "cloud"}}}')
    tab.launch()
    error = tab.dialog.get_by_role("alert")
    expect(error).to_contain_text("at config.vats.a.kind", timeout=BOOT_MS)
    tab.choose_example("counter")
    tab.write_file("counter.py", "def build_root_object(powers, parameters, baggage):\n    return 1 / 0\n")
    tab.launch()
    expect(error).to_contain_text("ZeroDivisionError", timeout=BOOT_MS)
    error.get_by_role("button", name="Show in counter.py, line 2").click()
    expect(tab.dialog.get_by_role("textbox", name="Text of counter.py")).to_be_focused()


def test_a_pending_send_outlives_service_worker_and_page(browser_with_extension: ExtensionBrowser, tab: Panel) -> None:
    _launch_latch(tab)
    root = tab.target.input_value()
    expect(tab.send(root, "wait")).to_contain_text("pending")
    browser_with_extension.kill_service_worker()
    expect(tab.sent(root, "wait")).to_contain_text("pending", timeout=BOOT_MS)
    tab.page.reload()
    tab.expect_connected(timeout_ms=BOOT_MS)
    expect(tab.sent(root, "wait")).to_contain_text("pending")
    expect(tab.send(root, "open")).to_contain_text("fulfilled")
    expect(tab.sent(root, "wait")).to_contain_text("open after 1 waits")


def test_a_panel_takes_over_what_a_closed_one_left_unanswered(
    browser_with_extension: ExtensionBrowser, tab: Panel
) -> None:
    _launch_latch(tab)
    root = tab.target.input_value()
    expect(tab.send(root, "wait")).to_contain_text("pending")
    other = _open_panel(browser_with_extension)
    expect(other.history).to_be_hidden()
    tab.page.close()
    expect(other.sent(root, "wait")).to_contain_text("pending")
    expect(other.send(root, "open")).to_contain_text("fulfilled")
    expect(other.sent(root, "wait")).to_contain_text("open after 1 waits")


CHAIN = """
from kernel_py.vat import E, Exo

class Bank(Exo):
    def withdraw(self, amount):
        raise ValueError(f"not {amount}")

class Shop(Exo):
    def __init__(self):
        self.bank = None

    async def bootstrap(self, vats, services):
        self.bank = vats["bank"]

    async def pass_on(self):
        return await E(self.bank).withdraw(5)

    async def wrap(self):
        try:
            await E(self.bank).withdraw(5)
        except ValueError as error:
            raise RuntimeError("cannot buy") from error

def build_root_object(powers, parameters, baggage):
    return Bank() if parameters.get("bank") else Shop()
"""
CHAIN_CLUSTER = """{"bootstrap": "shop", "vats": {
  "shop": {"source": "chain.py", "kind": "worker"},
  "bank": {"source": "chain.py", "parameters": {"bank": true}}}}"""


def test_a_failure_is_followed_through_the_vats_that_it_passed(tab: Panel) -> None:
    tab.open_launch_dialog()
    tab.choose_example("Empty cluster")
    tab.write_file("cluster.json", CHAIN_CLUSTER)
    tab.write_file("chain.py", CHAIN)
    tab.launch()
    expect(tab.dialog).to_be_hidden(timeout=BOOT_MS)
    root = tab.target.input_value()
    passed = tab.send(root, "pass_on")
    expect(passed).to_contain_text(re.compile(r"raised in vat bank \(v\d\).*passed on in vat shop \(v\d\)", re.DOTALL))
    tracebacks = passed.get_by_role("region", name="Traceback")
    expect(tracebacks.nth(0)).to_contain_text("in withdraw")
    expect(tracebacks.nth(1)).to_contain_text("in pass_on")
    wrapped = tab.send(root, "wrap")
    expect(wrapped).to_contain_text("RuntimeError('cannot buy')")
    expect(wrapped).to_contain_text(
        re.compile(r"raised in vat shop \(v\d\).*which came of what was raised in vat bank \(v\d\)", re.DOTALL)
    )
    wrapped.scroll_into_view_if_needed()
    tab.page.screenshot(path=ROOT / "out/panel/chain.png")


def test_an_error_in_a_vat_is_shown_with_its_traceback_and_causes(tab: Panel) -> None:
    _launch_latch(tab)
    sent = tab.send(tab.target.input_value(), "fail")
    expect(sent).to_contain_text("ValueError('no luck')")
    expect(sent).to_contain_text("raised in vat latch (v1), delivery 3")
    expect(sent.get_by_role("region", name="Traceback").first).to_contain_text("in fail")
    expect(sent.get_by_role("list", name="Causes")).to_contain_text("KeyError: 'key'")
    tab.log_row("ValueError: no luck").click()
    detail = tab.page.get_by_role("complementary", name="Selected message")
    expect(detail.get_by_role("region", name="Traceback").first).to_contain_text("in fail")
    expect(detail.get_by_role("list", name="Causes")).to_contain_text("KeyError: 'key'")
