"""Open a browser with the extension, its panel, and the bank cluster launched; print what the bank does.

With a display the browser stays open until it is closed, and its profile, in out/profile, is kept: the bank is there
again the next time. Without one the browser is headless and fresh; a picture of the panel is left in out/panel.png.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Error as BrowserError
from playwright.sync_api import Page, sync_playwright

from e2e.harness.browser import ROOT, ExtensionBrowser
from e2e.harness.control import Control
from scripts.examples import read_example

CLUSTER = "bank"
OUT = ROOT / "out"
WINDOW = "1400,900"
POLL_MS = 100
_KREF = re.compile(r"\bko\d+\b")


def has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextlib.contextmanager
def provide_profile(*, is_kept: bool) -> Iterator[Path]:
    if is_kept:
        yield OUT / "profile"
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


class Narrator:
    """Prints the kernel's events as sentences."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._vats: dict[str, str] = {}
        self._objects: dict[str, str] = {}
        self._start_ms = 0

    def print_news(self) -> None:
        """Print what has happened since the last time."""
        events = self._control.take_events()
        if not events:
            return
        self._start_ms = self._start_ms or events[0]["time_ms"]
        self._learn_names()
        for event in events:
            text = self._tell(event)
            if text:
                print(f"{(event['time_ms'] - self._start_ms) / 1000:8.3f} s  {text}", flush=True)

    def _learn_names(self) -> None:
        self._vats.update((vat["vat"], vat["name"]) for vat in self._control.request("status")["vats"])
        offset, total = 0, 1
        while offset < total:
            page = self._control.request("objects", offset=offset)
            total = page["total"]
            offset += len(page["objects"]) or total
            self._objects.update((found["kref"], self._describe(found)) for found in page["objects"])

    def _describe(self, found: dict[str, Any]) -> str:
        owner = self._vats.get(found["vat"], found["vat"])
        return (
            owner if found["iface"].startswith("root of") else f"{owner}'s {found['iface'].removeprefix('Alleged: ')}"
        )

    def _tell(self, event: dict[str, Any]) -> str:
        vat = self._vats.get(event.get("vat", ""), "")
        match event["class"]:
            case "Sent":
                target = self._objects.get(event["target"], event["target"])
                return f"{vat} -> {target}: {event['method']}({event['args']})"
            case "Rejected":
                return f"{vat} rejects: {event['value']}"
            case "Console":
                return f"{vat}: {event['text'].rstrip()}"
            case "Vat" | "Cluster":
                name = vat or event["cluster"]
                return " ".join(filter(None, (name, "is", event["state"], event.get("reason", ""))))
            case "Fault":
                return f"{vat}: {event['fault']}: {event['reason']}"
            case _:
                return ""


def open_bank(page: Page, control: Control, narrator: Narrator) -> str:
    """Launch the bank unless the profile has one. Returns the kref of its root."""
    status = control.request("status")
    for cluster in status["clusters"]:
        if cluster["name"] == CLUSTER and cluster["state"] == "running":
            bank = cluster["vats"][cluster["bootstrap"]]
            print(f"the {CLUSTER} of last time is still there, as {cluster['cluster']}")
            return next(str(vat["root"]) for vat in status["vats"] if vat["vat"] == bank)
    control.subscribe()
    launch = control.start("launch", **read_example(CLUSTER))
    while page.evaluate("controlClient.unanswered") > 0:
        narrator.print_news()
        page.wait_for_timeout(POLL_MS)
    launched = control.result(launch)
    narrator.print_news()
    print(f"{launched['cluster']} is launched: {launched['result']['status']}")
    return str(launched["root"])


def print_balances(control: Control, bank: str) -> None:
    balances = control.call(bank, "balances")
    print(f"balances: {balances}", flush=True)


def watch(browser: ExtensionBrowser, page: Page, narrator: Narrator) -> None:
    """Go on telling until the browser is closed."""
    print("the panel is open; close the browser, or press Ctrl-C, to end", flush=True)
    with contextlib.suppress(BrowserError):
        while not page.is_closed():
            narrator.print_news()
            page.wait_for_timeout(POLL_MS)
        browser.context.wait_for_event("close", timeout=0)


def run() -> None:
    is_headed = has_display()
    with provide_profile(is_kept=is_headed) as profile, sync_playwright() as playwright:
        browser = ExtensionBrowser(playwright, profile, is_headed=is_headed, arguments=(f"--window-size={WINDOW}",))
        page = browser.context.pages[0]
        page.goto(f"{browser.origin}/panel.html")
        control = Control(page.evaluate)
        narrator = Narrator(control)
        bank = open_bank(page, control, narrator)
        print_balances(control, bank)
        OUT.mkdir(exist_ok=True)
        if is_headed:
            control.subscribe()
            watch(browser, page, narrator)
        else:
            page.screenshot(path=OUT / "panel.png")
            print("a picture of the panel: out/panel.png")
        browser.close()


def main() -> int:
    try:
        run()
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
