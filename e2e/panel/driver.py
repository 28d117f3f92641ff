"""What a person does with the panel, by roles and names; the same over a fake kernel and over the real one."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Frame, Locator, Page, expect


class Panel:
    """The panel in a page, or in a frame of DevTools.

    Where it shows one part at a time, the tab that is needed is opened first.
    """

    def __init__(self, page: Page | Frame) -> None:
        self.root = page
        self.page = page if isinstance(page, Page) else page.page
        self.connection = page.get_by_role("status", name="Connection")
        self.tree = page.get_by_role("treegrid", name="Clusters and vats")
        self.inspector = page.get_by_role("region", name=re.compile("^Inspector: "))
        self.objects = page.get_by_role("table", name="Exported objects")
        self.history = page.get_by_role("list", name="Sent messages")
        self.log = page.get_by_role("grid", name="Message log")
        self.dialog = page.get_by_role("dialog")
        self.target = page.get_by_role("combobox", name="Target")
        self.method = page.get_by_role("textbox", name="Method")
        self.args = page.get_by_role("textbox", name="Arguments")

    def open_tab(self, name: str) -> None:
        """Bring "Clusters", "Send" or "Messages" into sight."""
        expect(self.root.get_by_role("main")).to_be_visible()
        tabs = self.root.get_by_role("tablist", name="Parts of the panel")
        if tabs.is_visible():
            tabs.get_by_role("tab", name=name).click()

    def expect_connected(self, *, timeout_ms: float = 30_000) -> None:
        expect(self.connection).to_have_text("Connected", timeout=timeout_ms)

    # --- clusters and vats ----------------------------------------------------------------------

    def row(self, name: str) -> Locator:
        """The row of a cluster or vat, by the beginning of its text, such as "alice" or "bank c1"."""
        return self.tree.get_by_role("row", name=re.compile(rf"^{re.escape(name)}\b"))

    def select(self, name: str) -> None:
        self.open_tab("Clusters")
        self.row(name).click()
        expect(self.inspector).to_have_accessible_name(
            re.compile(rf"^Inspector: {re.escape(name.split(maxsplit=1)[0])}$")
        )

    def press(self, name: str) -> None:
        """Press a button of the inspector."""
        self.inspector.get_by_role("button", name=name, exact=True).click()

    # --- launching ------------------------------------------------------------------------------

    def open_launch_dialog(self) -> None:
        self.root.get_by_role("button", name="Launch cluster").click()

    def choose_example(self, name: str) -> None:
        self.dialog.get_by_role("group", name="Start from").get_by_role("button", name=name).click()

    def write_file(self, path: str, text: str) -> None:
        """Replace the text of a file of the draft, or add it."""
        tab = self.dialog.get_by_role("tab", name=path, exact=True)
        if tab.count() == 0:
            self.dialog.get_by_role("button", name="Add file").click()
            name = self.dialog.get_by_role("textbox", name="Name of the new file")
            name.fill(path)
            name.press("Enter")
        else:
            tab.click()
        self.dialog.get_by_role("textbox", name=f"Text of {path}").fill(text)

    def launch(self) -> None:
        """Press Launch in the dialog."""
        self.dialog.get_by_role("button", name="Launch", exact=True).click()

    def launch_example(self, name: str, *, timeout_ms: float = 30_000) -> None:
        """Launch an example and wait until it is up."""
        self.open_launch_dialog()
        self.choose_example(name)
        self.launch()
        expect(self.dialog).to_be_hidden(timeout=timeout_ms)

    # --- sending --------------------------------------------------------------------------------

    def send(self, target: str, method: str, args: str = "") -> Locator:
        """Send a message; returns the entry in the history, the newest of that call."""
        self.open_tab("Send")
        self.target.fill(target)
        self.method.fill(method)
        self.args.fill(args)
        self.args.press("Enter")
        return self.sent(target, method, args)

    def sent(self, target: str, method: str, args: str = "") -> Locator:
        return self.history.get_by_role("listitem").filter(has_text=f"E({target}).{method}({args})").first

    # --- messages -------------------------------------------------------------------------------

    def log_row(self, text: str) -> Locator:
        return self.log.get_by_role("row").filter(has_text=text)

    def filter_log(self, text: str) -> None:
        self.open_tab("Messages")
        self.root.get_by_role("searchbox", name="Filter messages").fill(text)

    # --- ending ---------------------------------------------------------------------------------

    def terminate(self, what: str, name: str, reason: str = "") -> None:
        """Terminate the "vat" or "cluster" `name` and confirm."""
        self.select(name)
        self.inspector.get_by_role("button", name=f"Terminate {what}").click()
        if reason:
            self.dialog.get_by_role("textbox", name="Reason").fill(reason)
        self.dialog.get_by_role("button", name=f"Terminate {what}").click()
        expect(self.dialog).to_be_hidden()


class FakeKernel:
    """The kernel in the test page: `web/src/panel/testing/fake_kernel.ts`."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def do(self, code: str) -> Any:
        """Evaluate `code` with the kernel as `kernel`."""
        return self._page.evaluate(f"(() => {{ const kernel = fakeKernel; return {code}; }})()")

    def kill(self) -> None:
        self.do("kernel.kill()")

    def emit(self, event: str) -> None:
        self.do(f"kernel.emit({event})")

    def arrivals(self, method: str) -> list[str]:
        """The ids of the requests of a method that arrived, in order."""
        ids: list[str] = self.do(f"kernel.arrived.filter(({{method}}) => method === '{method}').map(({{id}}) => id)")
        return ids

    def executions(self) -> list[int]:
        """How often each command whose answer is still kept was carried out."""
        counts: list[int] = self.do("[...kernel.commands.values()].map(({executions}) => executions)")
        return counts
