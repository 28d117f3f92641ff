"""A Chromium with the extension, driven by Playwright."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, CDPSession, Page, Playwright

from e2e.harness.control import Control
from scripts.chromium import find_chromium

ROOT = Path(__file__).resolve().parent.parent.parent
EXTENSION = ROOT / "dist/extension"

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",  # Chromium refuses to run as root without; harmless here
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def copy_extension(extension: Path, profile: Path) -> Path:
    """A copy beside the profile, so that a build does not pull the files from under a running browser."""
    if not (extension / "manifest.json").exists():
        raise FileNotFoundError(f"{extension} is not built: run `make setup` or `npm run build`")
    copy = profile.with_name(f"{profile.name}-extension")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(extension, copy, copy_function=os.link)
    return copy


def extension_arguments(extension: Path) -> list[str]:
    return [f"--disable-extensions-except={extension}", f"--load-extension={extension}"]


class ExtensionBrowser:
    """One running Chromium with the extension. The profile outlives it."""

    def __init__(
        self,
        playwright: Playwright,
        profile: Path,
        *,
        extension: Path = EXTENSION,
        arguments: tuple[str, ...] = (),
        is_headed: bool = False,
    ) -> None:
        extension = copy_extension(extension, profile)
        self.context: BrowserContext = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=find_chromium(),
            no_viewport=is_headed,
            headless=False,  # the argument below: Playwright's own headless mode loads no extensions
            args=[
                *([] if is_headed else ["--headless=new"]),
                *CHROMIUM_ARGUMENTS,
                *extension_arguments(extension),
                *arguments,
            ],
            ignore_default_args=["--disable-extensions"],
        )
        workers = self.context.service_workers
        worker = workers[0] if workers else self.context.wait_for_event("serviceworker")
        self.origin = worker.url.rpartition("/")[0]
        self.is_open = True
        self._killer: CDPSession | None = None

    def close(self) -> None:
        """Idempotent."""
        self.is_open = False
        self.context.close()

    def open_page(self, name: str = "manifest.json") -> Page:
        """A page of the extension. The default has no script, and so no part in what is tested."""
        page = self.context.new_page()
        page.goto(f"{self.origin}/{name}")
        return page

    def open_control(self) -> Control:
        """A connection to the kernel, from a page of its own."""
        return Control(self.open_page().evaluate)

    def kill_service_worker(self) -> None:
        """Stop the service worker at once, whatever it is doing."""
        if self._killer is None:
            self._killer = self.context.new_cdp_session(self.context.pages[-1])
            self._killer.send("ServiceWorker.enable")
        self._killer.send("ServiceWorker.stopAllWorkers")

    def list_targets(self) -> list[dict[str, Any]]:
        """Everything that runs, service workers and frames among it."""
        session = self._browser_session()
        targets: list[dict[str, Any]] = session.send("Target.getTargets", {"filter": [{}]})["targetInfos"]
        session.detach()
        return targets

    def attach(self, *, kind: str, url: str = "") -> Attached:
        """A debugger on the newest target of a kind (as in `list_targets`) whose URL contains `url`."""
        session = self._browser_session()
        targets = session.send("Target.getTargets", {"filter": [{}]})["targetInfos"]
        found = [target for target in targets if target["type"] == kind and url in target["url"]]
        assert found, f"no {kind} with {url!r} among {[(target['type'], target['url']) for target in targets]}"
        return Attached(session, found[0]["targetId"], self.context.pages[-1])

    def attach_vat_host(self) -> Attached:
        """A debugger on the offscreen document."""
        return self.attach(kind="background_page", url="offscreen.html")

    def _browser_session(self) -> CDPSession:
        browser = self.context.browser
        assert browser is not None
        return browser.new_browser_cdp_session()


class Attached:
    """A debugger attached to a target that Playwright does not know."""

    def __init__(self, session: CDPSession, target: str, page: Page) -> None:
        self._session = session
        self._page = page
        self._numbers = itertools.count(1)
        self._answers: dict[int, dict[str, Any]] = {}
        session.on("Target.receivedMessageFromTarget", self._receive)
        attached = session.send("Target.attachToTarget", {"targetId": target, "flatten": False})
        self._id = attached["sessionId"]

    def _receive(self, event: dict[str, Any]) -> None:
        message = json.loads(event["message"])
        if event["sessionId"] == self._id and "id" in message:
            self._answers[message["id"]] = message

    def post(self, method: str, params: dict[str, Any] | None = None) -> int:
        """Send a command without waiting. Returns its number."""
        number = next(self._numbers)
        message = json.dumps({"id": number, "method": method, "params": params or {}})
        self._session.send("Target.sendMessageToTarget", {"sessionId": self._id, "message": message})
        return number

    def send(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        number = self.post(method, params)
        while number not in self._answers:
            self._page.wait_for_timeout(5)  # lets Playwright handle messages
        answer = self._answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def evaluate(self, expression: str, *, may_eval: bool = True) -> Any:
        """The value of an expression, as JSON; exceptions are raised. `may_eval`: whether to lift the page's policy."""
        result = self.send(
            "Runtime.evaluate",
            {
                "expression": expression,
                "awaitPromise": True,
                "returnByValue": True,
                "allowUnsafeEvalBlockedByCSP": may_eval,
            },
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description", "exception"))
        return result["result"].get("value")

    def detach(self) -> None:
        self._session.detach()
