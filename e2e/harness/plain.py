"""A Chromium started as a plain process, with no debugger on its service worker.

A debugger keeps a service worker alive for ever (docs/platform.md, 12), and Playwright attaches one. Here a page of
the extension is the only target that a debugger looks at.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from e2e.harness.browser import CHROMIUM_ARGUMENTS, EXTENSION, copy_extension, extension_arguments
from e2e.harness.control import Control
from e2e.harness.websocket import WebSocket
from scripts.chromium import find_chromium

START_S = 30


class PlainChromium:
    """One running Chromium with the extension."""

    def __init__(self, profile: Path, *, extension: Path = EXTENSION) -> None:
        profile.mkdir(parents=True, exist_ok=True)
        self._port_file = profile / "DevToolsActivePort"
        self._port_file.unlink(missing_ok=True)
        self._pages: list[PageDebugger] = []
        self._process = subprocess.Popen(
            [
                find_chromium(),
                "--headless=new",
                "--remote-debugging-port=0",
                "--remote-allow-origins=*",
                f"--user-data-dir={profile}",
                *CHROMIUM_ARGUMENTS,
                *extension_arguments(copy_extension(extension, profile)),
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._http = f"http://127.0.0.1:{wait_until(self._read_port)}"
            self.origin = wait_until(self._find_origin)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the browser, as a person does who closes it."""
        for page in self._pages:
            page.close()
        self._pages.clear()
        self._process.terminate()
        self._process.wait()

    def kill(self) -> None:
        """End all processes of the browser at once, as a power cut does."""
        root = psutil.Process(self._process.pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.close()

    def open_control(self) -> Control:
        """A connection to the kernel from a page of the extension, which alone gets a debugger."""
        target = self._get("/json/new?" + f"{self.origin}/manifest.json", method="PUT")
        page = PageDebugger(target["webSocketDebuggerUrl"])
        self._pages.append(page)
        wait_until(page.find_extension)
        return Control(page.evaluate)

    def kill_service_worker(self) -> None:
        """Stop the service worker at once, whatever it is doing. `open_control` comes first.

        With a debugger attached to the worker, as Playwright's always is, Chromium 156 now and then fails an assertion
        of its own here and ends with SIGTRAP: hence this plain process.
        """
        page = self._pages[-1]
        page.send("ServiceWorker.enable")
        page.send("ServiceWorker.stopAllWorkers")

    def memory_bytes(self) -> int:
        """Proportional set size of all processes of the browser."""
        root = psutil.Process(self._process.pid)
        return sum(process.memory_full_info().pss for process in (root, *root.children(recursive=True)))

    def is_service_worker_running(self) -> bool:
        return any(target["type"] == "service_worker" for target in self._list_targets())

    def _list_targets(self) -> list[dict[str, Any]]:
        targets: list[dict[str, Any]] = self._get("/json/list")
        return targets

    def _find_origin(self) -> str | None:
        urls = [target["url"] for target in self._list_targets()]
        return next((url.rpartition("/")[0] for url in urls if url.endswith("/service_worker.js")), None)

    def _read_port(self) -> str | None:
        lines = self._port_file.read_text().splitlines() if self._port_file.exists() else []
        return lines[0] if len(lines) > 1 else None

    def _get(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(self._http + path, method=method)
        with urllib.request.urlopen(request) as response:
            return json.load(response)


class PageDebugger:
    """Evaluates expressions in one page."""

    def __init__(self, url: str) -> None:
        self._socket = WebSocket(url)
        self._number = 0
        self.send("Runtime.enable")

    def close(self) -> None:
        self._socket.close()

    def evaluate(self, expression: str) -> Any:
        result = self.send("Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True})
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description", "exception"))
        return result["result"].get("value")

    def find_extension(self) -> str | None:
        """The extension's id, once its page is there."""
        try:
            found: str | None = self.evaluate("globalThis.chrome?.runtime?.connect && chrome.runtime.id")
        except RuntimeError:
            return None  # the blank page that was here before has just gone
        return found

    def send(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params or {}}))
        while True:
            message = json.loads(self._socket.receive())
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result


def wait_until(find: Callable[[], str | None]) -> str:
    """What `find` finds, once it does: for what another process makes and does not announce."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        found = find()
        if found is not None:
            return found
        time.sleep(0.05)
    raise TimeoutError("Chromium did not start")
