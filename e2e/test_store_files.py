"""Stores of worker vats in the origin private file system: what they hold, and how they come back with the heap."""

from __future__ import annotations

import pytest

from e2e.conftest import Start
from e2e.harness.browser import ExtensionBrowser
from e2e.harness.control import Control
from e2e.harness.plain import wait_until

LEDGER = """
from kernel_py.vat import *

class Ledger(Exo):
    def __init__(self, baggage):
        self.rows = baggage.setdefault("rows", DurableMap())
        self.heard = 0

    def bootstrap(self, vats, services):
        return "started"

    def add(self, first, count):
        for number in range(first, first + count):
            self.rows[number] = "x" * 100
        self.heard += 1
        return self.heard

    def count(self):
        return [len(self.rows), self.heard]

def build_root_object(powers, parameters, baggage):
    return Ledger(baggage)
"""

FILES = """
(async () => {
  const root = await navigator.storage.getDirectory();
  const stores = await root.getDirectoryHandle("vat-stores", { create: true });
  const found = {};
  for await (const [name, folder] of stores.entries()) {
    found[name] = {};
    for await (const [file, handle] of folder.entries()) found[name][file] = (await handle.getFile()).size;
  }
  return found;
})()
"""


OVERWRITE = """
  const store = await folder.getDirectoryHandle(name);
  for (const file of ["vat.sqlite", "vat.sqlite-wal"]) {
    const handle = await store.getFileHandle(file);
    const size = (await handle.getFile()).size;
    const stream = await handle.createWritable();
    await stream.write(new Uint8Array(size).fill(7));
    await stream.close();
  }
"""


def list_files(browser: ExtensionBrowser) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = browser.open_page().evaluate(FILES)
    return found


def evict(control: Control, vat: str) -> None:
    """Have the vat leave memory: its heap is taken first, and its file committed with it."""
    assert control.request("evictVat", vat=vat)["evicted"]
    wait_until(lambda: "gone" if control.vat_status(vat).get("realm", "absent") == "absent" else None)


def test_a_store_file_goes_with_its_vat(browser_with_extension: ExtensionBrowser, control: Control) -> None:
    root = control.launch_one(LEDGER, "worker")
    for first in range(0, 20_000, 5_000):
        control.call(root, "add", f"{first}, 5000")
    evict(control, "v1")
    files = list_files(browser_with_extension)
    assert files["v1"]["vat.sqlite"] + files["v1"]["vat.sqlite-wal"] > 2_000_000
    assert control.call(root, "count") == "[20000, 4]"
    control.request("terminateVat", vat="v1")
    wait_until(lambda: None if "v1" in list_files(browser_with_extension) else "gone")


def test_an_iframe_vat_has_no_file(browser_with_extension: ExtensionBrowser, control: Control) -> None:
    control.call(control.launch_one(LEDGER, "iframe"), "add", "0, 100")
    assert "v1" not in list_files(browser_with_extension)


def test_file_and_heap_come_back_together_after_the_browser_was_killed(start_plain: Start) -> None:
    chromium = start_plain()
    control = chromium.open_control()
    root = control.launch_one(LEDGER, "worker")
    for first in range(0, 500, 100):
        control.call(root, "add", f"{first}, 100")
    evict(control, "v1")
    control.call(root, "add", "500, 100")
    chromium.kill()
    control = start_plain().open_control()
    assert control.call(root, "count") == "[600, 6]"
    status = control.vat_status("v1")
    assert (status["fault"], status["restored"]) == ("", status["snapshots"][-1])


@pytest.mark.parametrize("damage", ["await folder.removeEntry(name, { recursive: true })", OVERWRITE])
def test_a_file_that_is_gone_or_damaged_is_built_anew_from_the_transcript(
    browser_with_extension: ExtensionBrowser, control: Control, damage: str
) -> None:
    root = control.launch_one(LEDGER, "worker")
    for first in range(0, 500, 100):
        control.call(root, "add", f"{first}, 100")
    evict(control, "v1")
    browser_with_extension.open_page().evaluate(f"""(async () => {{
      const root = await navigator.storage.getDirectory();
      const folder = await root.getDirectoryHandle("vat-stores");
      const name = "v1";
      {damage}
    }})()""")
    assert control.call(root, "count") == "[500, 5]"
    assert "the snapshot after delivery" in control.vat_status("v1")["fault"]
