"""Fixtures: a real Chromium with the real extension from dist/extension.

What is left of a failed test: a trace (`playwright show-trace`) and a screenshot of every page, in out/e2e.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Playwright

from e2e.harness.browser import ROOT, ExtensionBrowser
from e2e.harness.control import Control
from e2e.harness.plain import PlainChromium

OUT = ROOT / "out/e2e"

_REPORTS = pytest.StashKey[dict[str, pytest.TestReport]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    report = yield
    item.stash.setdefault(_REPORTS, {})[report.when] = report
    return report


Launch = Callable[..., ExtensionBrowser]


@pytest.fixture
def launch_browser(playwright: Playwright, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Launch]:
    """Starts browsers on one profile, one after the other; all are closed at the end."""
    browsers: list[ExtensionBrowser] = []

    def launch(**options: Any) -> ExtensionBrowser:
        browser = ExtensionBrowser(playwright, tmp_path / "profile", **options)
        browser.context.tracing.start(screenshots=True, snapshots=True)
        browsers.append(browser)
        return browser

    yield launch
    reports = request.node.stash.get(_REPORTS, {})
    has_failed = any(report.failed for report in reports.values())
    for number, browser in enumerate(browsers):
        if has_failed and browser.is_open:
            _keep(browser, f"{_slug(request.node.nodeid)}-{number}")
        browser.close()


@pytest.fixture
def browser_with_extension(launch_browser: Launch) -> ExtensionBrowser:
    return launch_browser()


@pytest.fixture
def control(browser_with_extension: ExtensionBrowser) -> Control:
    """A connection to the kernel of a fresh browser."""
    return browser_with_extension.open_control()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[PlainChromium]:
    """A Chromium without a debugger on the service worker."""
    chromium = PlainChromium(tmp_path / "profile")
    yield chromium
    chromium.close()


Start = Callable[..., PlainChromium]


@pytest.fixture
def start_plain(tmp_path: Path) -> Iterator[Start]:
    """Starts Chromiums without a debugger on one profile, one after the other; the last is closed at the end."""
    started: list[PlainChromium] = []

    def start(**options: Any) -> PlainChromium:
        started.append(PlainChromium(tmp_path / "profile", **options))
        return started[-1]

    yield start
    started[-1].close()


@pytest.fixture(scope="module")
def shared_control(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """One kernel for the tests of a module that leave nothing behind in it."""
    browser = ExtensionBrowser(playwright, tmp_path_factory.mktemp("shared") / "profile")
    yield browser.open_control()
    browser.close()


def _keep(browser: ExtensionBrowser, name: str) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for number, page in enumerate(browser.context.pages):
        with suppress(PlaywrightError):  # it may have crashed
            page.screenshot(path=OUT / f"{name}-page{number}.png")
    browser.context.tracing.stop(path=OUT / f"{name}.zip")


def _slug(nodeid: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", nodeid.lower()).strip("-")
