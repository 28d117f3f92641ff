"""A Chromium with the extension, driven by Playwright."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from collections.abc import Callable
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


ANSWER_S = 30
"""A debugger that has not answered after so long will not."""


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
        targets = self.list_targets()
        found = [target for target in targets if target["type"] == kind and url in target["url"]]
        assert found, f"no {kind} with {url!r} among {[(target['type'], target['url']) for target in targets]}"
        session = self._browser_session()
        attached = session.send("Target.attachToTarget", {"targetId": found[0]["targetId"], "flatten": False})
        route = {"sessionId": attached["sessionId"]}
        debugger = Attached(
            lambda text: session.send("Target.sendMessageToTarget", {**route, "message": text}),
            lambda: self.context.pages[-1].wait_for_timeout(5),
            found[0],
        )
        session.on("Target.receivedMessageFromTarget", lambda event: debugger.receive(event["message"]))
        return debugger

    def attach_vat_host(self) -> Attached:
        """A debugger on the offscreen document."""
        return self.attach(kind="background_page", url="offscreen.html")

    def attach_realm(self, kind: str) -> Attached:
        """A debugger on the worker of the newest realm of a kind.

        Workers can only be attached to by way of what started them.
        """
        host = self.attach_vat_host()
        if kind == "worker":
            return host.attach_child("worker")
        return host.attach_child("iframe").attach_child("worker")

    def _browser_session(self) -> CDPSession:
        browser = self.context.browser
        assert browser is not None
        return browser.new_browser_cdp_session()


class Attached:
    """A debugger attached to a target that Playwright does not know.

    Args:
        write: sends a message to the target.
        wait: lets messages from the target come in.
    """

    def __init__(self, write: Callable[[str], object], wait: Callable[[], object], target: dict[str, Any]) -> None:
        self._write = write
        self._wait = wait
        self.target = target
        self._numbers = itertools.count(1)
        self._answers: dict[int, dict[str, Any]] = {}
        self._children: dict[str, Attached] = {}

    def receive(self, text: str) -> None:
        """Take a message from the target."""
        message = json.loads(text)
        if "id" in message:
            self._answers[message["id"]] = message
            return
        params = message["params"]
        match message["method"]:
            case "Target.attachedToTarget":
                route = {"sessionId": params["sessionId"]}
                self._children[params["sessionId"]] = Attached(
                    lambda text: self.post("Target.sendMessageToTarget", {**route, "message": text}),
                    self._wait,
                    params["targetInfo"],
                )
            case "Target.receivedMessageFromTarget" if params["sessionId"] in self._children:
                self._children[params["sessionId"]].receive(params["message"])

    def attach_child(self, kind: str, url: str = "") -> Attached:
        """A debugger on a target of a kind that this one has started, and whose URL contains `url`."""
        self.send("Target.setAutoAttach", {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": False})
        children = [child for child in self._children.values() if child.target["type"] == kind]
        found = [child for child in children if url in child.target["url"]]
        assert found, f"no {kind} with {url!r} in {self.target['url']}"
        return found[-1]

    def post(self, method: str, params: dict[str, Any] | None = None) -> int:
        """Send a command without waiting. Returns its number."""
        number = next(self._numbers)
        self._write(json.dumps({"id": number, "method": method, "params": params or {}}))
        return number

    def send(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        number = self.post(method, params)
        end = time.monotonic() + ANSWER_S
        while number not in self._answers:
            if time.monotonic() > end:
                raise TimeoutError(f"no answer to {method} {params}")
            self._wait()
        answer = self._answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def evaluate(self, expression: str, *, may_eval: bool = True) -> Any:
        """The value of an expression, as JSON; exceptions are raised.

        Args:
            may_eval: whether to lift the policy against `eval` meanwhile.
        """
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
