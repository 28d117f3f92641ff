"""Time travel in the panel, over the real kernel: a vat is stepped back, looked at, and goes on untouched."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from e2e.harness.browser import ROOT, ExtensionBrowser
from e2e.panel.driver import Panel

BOOT_MS = 60_000
PICTURES = ROOT / "out/panel"

TALLY = """
from kernel_py.vat import Durable, Exo

class Note(Durable):
    text: str

class Tally(Exo):
    def __init__(self, baggage):
        self.baggage = baggage
        self.total = 0

    def bootstrap(self, vats, services):
        return None

    def add(self, amount):
        self.total += amount
        self.baggage[f"note {self.total}"] = Note(text=f"plus {amount}")
        return self.total

def build_root_object(powers, parameters, baggage):
    return Tally(baggage)
"""


@pytest.fixture
def tab(browser_with_extension: ExtensionBrowser) -> Panel:
    """The panel in a tab."""
    panel = Panel(browser_with_extension.open_page("panel.html"))
    panel.expect_connected(timeout_ms=BOOT_MS)
    return panel


def _launch(tab: Panel, kind: str) -> str:
    tab.open_launch_dialog()
    tab.choose_example("Empty cluster")
    vat = f'{{"source": "tally.py", "kind": "{kind}"}}'
    tab.write_file("cluster.json", f'{{"name": "book", "bootstrap": "tally", "vats": {{"tally": {vat}}}}}')
    tab.write_file("tally.py", TALLY)
    tab.launch()
    expect(tab.dialog).to_be_hidden(timeout=BOOT_MS)
    root = tab.target.input_value()
    total = 0
    for amount in (1, 20, 300, 4000, 50000):
        total += amount
        expect(tab.send(root, "add", str(amount))).to_contain_text(str(total))
    return root


def _travel(tab: Panel) -> Locator:
    tab.select("tally")
    tab.press("Travel back in time")
    return tab.inspector.get_by_role("region", name="Time travel")


@pytest.mark.parametrize("kind", ["iframe", "worker"])
def test_a_vat_is_stepped_back_in_time(tab: Panel, kind: str) -> None:
    root = _launch(tab, kind)
    past = _travel(tab)
    there = past.get_by_role("table", name="What there was")
    values = past.get_by_role("list", name="Values")
    expect(there).to_contain_text("total=54321", timeout=BOOT_MS)
    for total in ("4321", "321"):
        past.get_by_role("button", name="Step back").click()
        expect(there).to_contain_text(re.compile(rf"total={total}(?!\d)"), timeout=BOOT_MS)
    expect(past.get_by_role("status", name="Delivery that is looked at")).to_contain_text("After add to o+0")
    expression = past.get_by_role("textbox", name="Python expression")
    for text in ("root.add(1_000_000)", "{key: note.text for key, note in baggage.items()}"):
        expression.fill(text)
        expression.press("Enter")
        expect(values).to_contain_text(text, timeout=BOOT_MS)
    expect(values).to_contain_text("1000321")
    expect(values).to_contain_text("'note 321': 'plus 300'")
    past.get_by_role("button", name="Compare with now").click()
    differences = past.get_by_role("table", name="Differences")
    expect(differences).to_contain_text("baggage 'note 54321' appeared", timeout=BOOT_MS)
    past.scroll_into_view_if_needed()
    tab.page.screenshot(path=PICTURES / f"time-travel-{kind}.png")
    past.get_by_role("button", name="Step forward").click()
    expect(there).to_contain_text(re.compile(r"total=4321(?!\d)"), timeout=BOOT_MS)
    tab.press("Back to the present")
    expect(past).to_be_hidden()
    expect(tab.send(root, "add", "1")).to_contain_text("54322")


def test_a_mistaken_expression_is_shown_with_its_traceback(tab: Panel) -> None:
    _launch(tab, "iframe")
    past = _travel(tab)
    expect(past.get_by_role("table", name="What there was")).to_contain_text("total=54321", timeout=BOOT_MS)
    expression = past.get_by_role("textbox", name="Python expression")
    expression.fill("root.no_such")
    expression.press("Enter")
    expect(past.get_by_role("list", name="Values")).to_contain_text("AttributeError", timeout=BOOT_MS)
