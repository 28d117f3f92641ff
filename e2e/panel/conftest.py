"""Fixtures: the panel's page over a fake kernel, in a real Chromium without the extension."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, BrowserContext, BrowserType, Page

from e2e.harness.browser import CHROMIUM_ARGUMENTS, ROOT
from e2e.panel.driver import FakeKernel, Panel
from scripts.chromium import find_chromium

BUILT = ROOT / "out/panel-test"
OUT = ROOT / "out/e2e"

_HAS_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_HAS_FAILED] = item.stash.get(_HAS_FAILED, False) or report.failed
    return report


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        pass


@pytest.fixture(scope="session")
def panel_url() -> Iterator[str]:
    """The address of the test page, built anew."""
    program = ROOT / "node_modules/.bin/vite"
    options = ["--base", "./", "--outDir", str(BUILT), "--emptyOutDir", "--minify", "false", "--logLevel", "warn"]
    subprocess.run([program, "build", "web/src/panel/testing", *options], cwd=ROOT, check=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=str(BUILT)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def plain_browser(browser_type: BrowserType) -> Iterator[Browser]:
    browser = browser_type.launch(executable_path=find_chromium(), args=list(CHROMIUM_ARGUMENTS))
    yield browser
    browser.close()


OpenPanel = Callable[..., Panel]


@pytest.fixture
def open_panel(plain_browser: Browser, panel_url: str, request: pytest.FixtureRequest) -> Iterator[OpenPanel]:
    """Opens the panel: `scenario` "bank" or "", `theme`, `width`, `height`, and whether time is `fake`."""
    context = plain_browser.new_context()
    context.tracing.start(snapshots=True)
    errors: list[str] = []

    def open_one(
        scenario: str = "bank", *, theme: str = "", width: int = 1280, height: int = 720, fake_time: bool = False
    ) -> Panel:
        page: Page = context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.on("pageerror", lambda error: errors.append(str(error)))
        if fake_time:
            page.clock.install()
        page.goto(f"{panel_url}?scenario={scenario}&theme={theme}")
        panel = Panel(page)
        panel.expect_connected()
        return panel

    yield open_one
    if request.node.stash.get(_HAS_FAILED, False):
        _keep(context, request.node.nodeid)
    context.close()
    assert errors == []


def _keep(context: BrowserContext, nodeid: str) -> None:
    """What is left of a failed test: a trace (`playwright show-trace`) and a picture of each page."""
    OUT.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", nodeid.lower()).strip("-")
    for number, page in enumerate(context.pages):
        page.screenshot(path=OUT / f"{name}-page{number}.png")
    context.tracing.stop(path=OUT / f"{name}.zip")


@pytest.fixture
def panel(open_panel: OpenPanel) -> Panel:
    """The panel over a kernel that runs the bank."""
    return open_panel()


@pytest.fixture
def kernel(panel: Panel) -> FakeKernel:
    """The kernel under `panel`."""
    return FakeKernel(panel.page)
