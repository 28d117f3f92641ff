"""What is done to vats, objects and the kernel by a button."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from e2e.harness.browser import ROOT
from e2e.panel.conftest import OpenPanel
from e2e.panel.driver import FakeKernel, Panel

PICTURES = ROOT / "out/panel"


def test_a_vat_is_paused_and_resumed(panel: Panel) -> None:
    panel.select("alice")
    panel.press("Pause")
    expect(panel.row("alice")).to_contain_text("paused")
    panel.press("Resume")
    expect(panel.row("alice")).to_contain_text("running")


def test_a_vat_is_upgraded_with_what_was_written(panel: Panel) -> None:
    panel.select("alice")
    panel.press("Upgrade")
    expect(panel.dialog).to_have_accessible_name("Upgrade vat alice")
    text = panel.dialog.get_by_role("textbox", name="Text of vat.py")
    expect(text).to_be_focused()
    text.fill("raise")
    panel.dialog.get_by_role("button", name="Upgrade").click()
    expect(panel.dialog.get_by_role("alert")).to_contain_text("the old one goes on")
    text.fill("pass")
    panel.dialog.get_by_role("button", name="Upgrade").click()
    expect(panel.dialog).to_be_hidden()
    expect(panel.inspector.get_by_text("Incarnation").locator("..")).to_contain_text("1")


def test_a_vat_is_upgraded_with_files(panel: Panel, tmp_path: Path) -> None:
    for name in ("new.py", "parts.py"):
        (tmp_path / name).write_text(f"# {name}")
    panel.select("alice")
    panel.press("Upgrade")
    panel.dialog.get_by_label("Files of the new code").set_input_files([tmp_path / "new.py", tmp_path / "parts.py"])
    expect(panel.dialog.get_by_role("textbox", name="Text of new.py")).to_have_value("# new.py")
    panel.dialog.get_by_role("combobox", name="File").select_option("parts.py")
    expect(panel.dialog.get_by_role("textbox", name="Text of parts.py")).to_have_value("# parts.py")


def test_an_object_is_pinned_and_unpinned(panel: Panel) -> None:
    panel.select("alice")
    panel.objects.get_by_role("button", name="Pin ko31", exact=True).click()
    unpin = panel.page.get_by_role("button", name="Unpin ko31")
    expect(panel.objects.get_by_role("row").filter(has=unpin)).to_contain_text("pinned")
    unpin.click()
    expect(unpin).to_have_count(0)


def test_revoking_an_object_asks_first(panel: Panel, kernel: FakeKernel) -> None:
    panel.select("alice")
    panel.objects.get_by_role("button", name="Revoke ko31").click()
    expect(panel.dialog.get_by_role("button", name="Cancel")).to_be_focused()
    panel.page.keyboard.press("Escape")
    assert kernel.arrivals("revoke") == []
    panel.objects.get_by_role("button", name="Revoke ko31").click()
    panel.dialog.get_by_role("button", name="Revoke").click()
    expect(panel.objects.get_by_role("button", name="Revoke ko31")).to_have_count(0)
    expect(panel.objects.get_by_role("row").filter(has_text="ko31")).to_contain_text("revoked")


def test_garbage_is_counted_before_and_after(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.objects.push({kref: 'ko99', vat: 'v2', iface: 'Alleged: Old', reachable: 0, recognizable: 0})")
    count = kernel.do("kernel.objects.length")
    panel.select("Kernel")
    expect(panel.objects).to_contain_text("Old")
    panel.press("Collect garbage")
    table = panel.inspector.get_by_role("table", name="Collected garbage")
    expect(table.get_by_role("row", name="objects")).to_have_accessible_name(f"objects {count} {count - 1}")
    expect(panel.objects).not_to_contain_text("Old")
    panel.inspector.get_by_role("button", name="Dismiss: Collected garbage").click()
    expect(table).to_be_hidden()


def test_the_state_is_saved_as_a_file(panel: Panel) -> None:
    panel.select("Kernel")
    with panel.page.expect_download() as downloading:
        panel.press("Export state")
    assert downloading.value.suggested_filename == "kernel_py.archive"
    assert Path(downloading.value.path()).read_text() == '{"format": "kernel_py archive"}\n[1]\n'


def test_a_file_replaces_the_state_after_a_question(panel: Panel, kernel: FakeKernel, tmp_path: Path) -> None:
    file = tmp_path / "some.archive"
    file.write_text("äöü\N{SNOWMAN}\U0001f600" * 200_000)
    panel.select("Kernel")
    panel.inspector.get_by_label("Archive to import").set_input_files(file)
    expect(panel.dialog).to_have_accessible_name("Import some.archive?")
    panel.dialog.get_by_role("button", name="Cancel").click()
    assert kernel.arrivals("import") == []
    panel.inspector.get_by_label("Archive to import").set_input_files(file)
    panel.dialog.get_by_role("button", name="Replace everything").click()
    expect(panel.inspector.get_by_role("button", name="Import state")).to_be_enabled()
    assert len(kernel.arrivals("import")) == 1
    assert kernel.do("kernel.archive.length") == 3
    assert kernel.do("kernel.archive.join('')") == file.read_text()


def test_a_problem_that_there_is_not_is_not_shown(panel: Panel, kernel: FakeKernel) -> None:
    panel.select("Kernel")
    expect(panel.inspector).to_contain_text("Boot")
    expect(panel.inspector).not_to_contain_text("Problem")


def test_service_objects_are_shown_as_what_they_are(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.addObject('service.timer', 'Timer')")
    panel.select("alice")
    panel.select("Kernel")
    row = panel.objects.get_by_role("row").filter(has_text="Timer")
    expect(row).to_contain_text("timer service")
    expect(row).not_to_contain_text("service.timer")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width, height", [(1280, 900), (400, 800)])
def test_pictures_are_taken_for_whoever_changes_the_panel(
    open_panel: OpenPanel, theme: str, width: int, height: int
) -> None:
    panel = open_panel(theme=theme, width=width, height=height)
    kernel = FakeKernel(panel.page)
    kernel.do("Object.assign(kernel.objects[1], {pinned: true}), Object.assign(kernel.objects[2], {revoked: true})")
    kernel.do("kernel.addObject('service.timer', 'Timer')")
    panel.select("Kernel")
    panel.press("Collect garbage")
    expect(panel.inspector.get_by_role("table", name="Collected garbage")).to_contain_text("promises")
    panel.page.screenshot(path=PICTURES / f"kernel-{theme}-{width}.png")
    panel.select("alice")
    expect(panel.objects).to_contain_text("ko31")
    panel.page.screenshot(path=PICTURES / f"vat-{theme}-{width}.png")
    panel.press("Upgrade")
    expect(panel.dialog.get_by_role("button", name="Upgrade")).to_be_in_viewport(ratio=1)
    panel.page.screenshot(path=PICTURES / f"upgrade-{theme}-{width}.png")
    assert panel.page.evaluate("document.documentElement.scrollWidth") == width
