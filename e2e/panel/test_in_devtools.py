"""The panel inside real DevTools: opened by the browser for a tab, driven by mouse and keyboard there."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from e2e.harness.browser import CHROMIUM_ARGUMENTS, EXTENSION, ROOT, extension_arguments
from e2e.panel.driver import Panel
from scripts.chromium import find_chromium

START_S = 30
BOOT_MS = 60_000

# DevTools' own module; the name of an extension's view is its origin and its title.
SHOW_PANEL = """async () => {
    const { ViewManager } = await import("./ui/legacy/legacy.js");
    const manager = ViewManager.ViewManager.instance();
    const name = [...manager.views.keys()].find((name) => /^chrome-extension:.*kernel_py$/.test(name));
    if (name !== undefined) await manager.showView(name);
}"""


@pytest.fixture
def devtools(playwright: Playwright, tmp_path: Path) -> Iterator[Page]:
    """The DevTools of a tab, in a Chromium with the extension. Only over CDP does Playwright see DevTools."""
    profile = tmp_path / "profile"
    profile.mkdir()
    process = subprocess.Popen(
        [
            find_chromium(),
            "--headless=new",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "--auto-open-devtools-for-tabs",
            "--window-size=1400,900",
            *CHROMIUM_ARGUMENTS,
            *extension_arguments(EXTENSION),
            "data:text/html,<title>a page under inspection</title>",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        browser = _connect(playwright, profile)
        yield next(page for page in browser.contexts[0].pages if page.url.startswith("devtools://"))
        browser.close()
    finally:
        process.terminate()
        process.wait()


def _connect(playwright: Playwright, profile: Path) -> Browser:
    """Connect once DevTools is there: while it opens Playwright takes its page for something else."""
    file = profile / "DevToolsActivePort"  # the browser writes it when it is ready
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if file.exists() and file.read_text().strip():
            address = f"http://127.0.0.1:{file.read_text().split()[0]}"
            with urllib.request.urlopen(f"{address}/json/list") as answer:
                targets = json.load(answer)
            if any(target["type"] == "page" and target["url"].startswith("devtools://") for target in targets):
                return playwright.chromium.connect_over_cdp(address)
        time.sleep(0.1)
    raise AssertionError("DevTools did not open")


@pytest.fixture
def panel(devtools: Page) -> Panel:
    """The panel, shown in DevTools."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        # Asked for again until it is there: DevTools shows another panel at the end of its own start.
        devtools.evaluate(SHOW_PANEL)
        devtools.wait_for_timeout(200)
        for frame in devtools.frames:
            if frame.url.endswith("/panel.html"):
                shown = Panel(frame)
                shown.expect_connected(timeout_ms=BOOT_MS)
                return shown
    raise AssertionError("the panel was not shown")


def test_a_cluster_is_launched_asked_and_ended(devtools: Page, panel: Panel) -> None:
    panel.launch_example("counter", timeout_ms=BOOT_MS)
    expect(panel.inspector).to_have_accessible_name("Inspector: counter")
    panel.open_tab("Send")
    root = panel.target.input_value()
    expect(panel.send(root, "increment", "by=3")).to_contain_text("fulfilled")
    expect(panel.send(root, "increment", "4")).to_contain_text("7")
    panel.open_tab("Messages")
    expect(panel.log_row("count is 7")).to_be_visible()
    (ROOT / "out/panel-shots").mkdir(parents=True, exist_ok=True)
    devtools.screenshot(path=ROOT / "out/panel-shots/devtools.png")
    panel.terminate("cluster", "counter c1")
    expect(panel.row("counter c1")).to_contain_text("terminated")


def test_it_has_the_theme_of_devtools(devtools: Page, panel: Panel) -> None:
    is_dark = devtools.evaluate("document.documentElement.classList.contains('theme-with-dark-background')")
    theme = panel.root.evaluate("document.documentElement.dataset.theme")
    assert theme == ("dark" if is_dark else "light")
