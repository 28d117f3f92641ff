"""Actions on the real kernel; its state as a file that goes from the browser to the command line, and back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from e2e.harness.browser import ROOT, ExtensionBrowser
from e2e.panel.driver import Panel

BOOT_MS = 60_000
TALLY = """
from kernel_py.vat import E, Exo, Durable


class Tally(Durable):
    count: int = 0

    def add(self, number):
        self.count += number
        return self.count


class Root(Exo):
    def __init__(self, baggage):
        self.baggage = baggage

    def bootstrap(self, vats, services):
        self.baggage["tally"] = Tally()
        return [self.baggage["tally"], services["timer"]]

    def make(self):
        return Tally(5)


def build_root_object(powers, parameters, baggage):
    return Root(baggage)
"""
CLUSTER = """{"bootstrap": "main", "vats": {"main": {"source": "main.py"}}, "services": ["timer"]}"""


@pytest.fixture
def tab(browser_with_extension: ExtensionBrowser) -> Panel:
    panel = Panel(browser_with_extension.open_page("panel.html"))
    panel.expect_connected(timeout_ms=BOOT_MS)
    return panel


def launch(panel: Panel) -> tuple[str, str]:
    """Launch the tally. The krefs of its root and of the tally."""
    panel.open_launch_dialog()
    panel.choose_example("Empty cluster")
    panel.write_file("cluster.json", CLUSTER)
    panel.write_file("main.py", TALLY)
    panel.launch()
    expect(panel.dialog).to_be_hidden(timeout=BOOT_MS)
    panel.select("main c1")
    tally = panel.inspector.get_by_role("button", name="Send a message to").nth(0).inner_text()
    return panel.target.input_value(), tally


def export(panel: Panel, file: Path) -> None:
    panel.select("Kernel")
    with panel.page.expect_download() as downloading:
        panel.press("Export state")
    downloading.value.save_as(file)


def import_(panel: Panel, file: Path) -> None:
    panel.select("Kernel")
    panel.inspector.get_by_label("Archive to import").set_input_files(file)
    panel.dialog.get_by_role("button", name="Replace everything").click()
    expect(panel.inspector.get_by_role("button", name="Import state")).to_be_enabled(timeout=BOOT_MS)


def run_kernel_py(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "kernel_py.hosts.native", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_a_state_goes_to_the_command_line_and_back(tab: Panel, tmp_path: Path) -> None:
    _, tally = launch(tab)
    expect(tab.send(tally, "add", "3")).to_contain_text("fulfilled")
    exported, store, back = tmp_path / "exported.archive", tmp_path / "native.db", tmp_path / "back.archive"
    export(tab, exported)
    run_kernel_py("import", exported, "--store", store)
    assert run_kernel_py("send", tally, "add", "4", "--store", store).strip() == "7"
    run_kernel_py("export", back, "--store", store)
    expect(tab.send(tally, "add", "100")).to_contain_text("103")
    import_(tab, back)
    expect(tab.send(tally, "add", "1")).to_contain_text("8", timeout=BOOT_MS)


def test_a_damaged_file_changes_nothing_and_says_what_is_wrong(tab: Panel, tmp_path: Path) -> None:
    _, tally = launch(tab)
    expect(tab.send(tally, "add", "3")).to_contain_text("fulfilled")
    file = tmp_path / "exported.archive"
    export(tab, file)
    file.write_text(file.read_text().replace("Tally", "Tilly", 1))
    import_(tab, file)
    expect(tab.page.get_by_role("alert")).to_contain_text("exported.archive was not imported")
    expect(tab.page.get_by_role("alert")).to_contain_text("its digest does not match")
    expect(tab.send(tally, "add", "2")).to_contain_text("5")


def test_garbage_goes_pinned_objects_stay_and_revoked_ones_refuse(tab: Panel) -> None:
    root, tally = launch(tab)
    expect(tab.send(root, "make")).to_contain_text("Tally")
    tab.select("main v1")
    rows = tab.objects.get_by_role("row")
    made = rows.last.get_by_role("button", name="Send a message to").inner_text()
    assert made != tally
    tab.objects.get_by_role("button", name=f"Pin {made}", exact=True).click()
    expect(tab.objects.get_by_role("button", name=f"Unpin {made}")).to_be_visible()
    tab.objects.get_by_role("button", name=f"Revoke {tally}").click()
    tab.dialog.get_by_role("button", name="Revoke").click()
    expect(tab.send(tally, "add", "1")).to_contain_text("was revoked")
    tab.press("Collect garbage")
    table = tab.inspector.get_by_role("table", name="Collected garbage")
    expect(table.get_by_role("row", name="objects")).to_be_visible()
    expect(tab.objects).to_contain_text(made)


def test_a_vat_waits_while_it_is_paused_and_goes_on_with_new_code(tab: Panel) -> None:
    _, tally = launch(tab)
    tab.select("main v1")
    tab.press("Pause")
    expect(tab.row("main v1")).to_contain_text("paused", timeout=BOOT_MS)
    sent = tab.send(tally, "add", "3")
    expect(sent).to_contain_text("pending")
    tab.press("Resume")
    expect(sent).to_contain_text("fulfilled", timeout=BOOT_MS)
    tab.press("Upgrade")
    text = tab.dialog.get_by_role("textbox", name="Text of vat.py")
    text.fill("class Tally: pass")
    tab.dialog.get_by_role("button", name="Upgrade").click()
    expect(tab.dialog.get_by_role("alert")).to_contain_text("build_root_object", timeout=BOOT_MS)
    text.fill(TALLY.replace("self.count += number", "self.count += 2 * number"))
    tab.dialog.get_by_role("button", name="Upgrade").click()
    expect(tab.dialog).to_be_hidden(timeout=BOOT_MS)
    expect(tab.send(tally, "add", "4")).to_contain_text("11")


def test_service_objects_and_problems_are_shown_as_what_they_are(tab: Panel) -> None:
    launch(tab)
    tab.select("Kernel")
    expect(tab.objects).to_contain_text("timer service")
    expect(tab.objects).not_to_contain_text("service.timer")
    expect(tab.inspector).not_to_contain_text("problem")
