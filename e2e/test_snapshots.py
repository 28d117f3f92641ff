"""Heaps that are stored and come back: after the end of the browser, with damage in the store, after an update."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import Start
from e2e.harness.browser import EXTENSION
from e2e.harness.control import Control
from e2e.harness.plain import wait_until

SOURCE = """
from kernel_py.vat import E, Exo, make_promise

class Keeper(Exo):
    def bootstrap(self, vats, services):
        self.other = vats["giver"]

    async def collect(self):
        taken = []
        while len(taken) < 2:
            taken.append(await E(self.other).take())
            self.steps = getattr(self, "steps", 0) + 1
        return taken

    def count(self, number=0):
        self.total = getattr(self, "total", 0) + number
        return self.total

    def count_steps(self):
        return getattr(self, "steps", 0)

    def fill(self, bytes):
        self.filled = bytearray(b"x" * bytes)
        return len(self.filled)

class Giver(Exo):
    def __init__(self):
        self.promises = [make_promise() for _ in range(2)]
        self.given = self.taken = 0

    def take(self):
        self.taken += 1
        return self.promises[self.taken - 1][0]

    def give(self, value):
        self.given += 1
        self.promises[self.given - 1][1].resolve(value)

def build_root_object(powers, parameters, baggage):
    return Giver() if parameters.get("gives") else Keeper()
"""

KINDS = ("iframe", "worker")

DAMAGE = """async (change) => {
  const settle = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const database = await settle(indexedDB.open("kernel_py"));
  const store = database.transaction("chunks", "readwrite").objectStore("chunks");
  const ids = await settle(store.getAllKeys());
  for (const id of ids) {
    if (change === "remove") await settle(store.delete(id));
    else {
      const packed = await settle(store.get(id));
      packed[packed.length >> 1] ^= 1;
      await settle(store.put(packed, id));
    }
  }
  database.close();
  return ids.length;
}"""


def launch(control: Control, kind: str) -> dict[str, str]:
    """Launch a keeper of a kind and a giver. Returns the krefs of their roots."""
    vats = {
        "keeper": {"source": "vat.py", "kind": kind},
        "giver": {"source": "vat.py", "kind": kind, "parameters": {"gives": True}},
    }
    control.launch({"vat.py": SOURCE}, vats, "keeper")
    return {vat["name"]: vat["root"] for vat in control.request("status")["vats"]}


def wait_for_snapshot(control: Control, vat: str, delivered: int) -> None:
    """Until the vat has a snapshot of after `delivered`, or later; what the status tells is durable."""

    def find() -> str | None:
        return "taken" if control.vat_status(vat)["snapshots"][-1:] >= [delivered] else None

    wait_until(find)


def live(control: Control, root: str, deliveries: int) -> None:
    for number in range(deliveries):
        assert control.call(root, "count", str(number)) == str(sum(range(number + 1)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_coroutine_goes_on_after_the_browser_was_killed(start_plain: Start, kind: str) -> None:
    chromium = start_plain()
    control = chromium.open_control()
    roots = launch(control, kind)
    key = control.start("send", target=roots["keeper"], method="collect", args="")
    assert control.call(roots["giver"], "give", "1") == "None"
    assert control.call(roots["keeper"], "fill", "40_000_000") == "40000000"
    wait_until(lambda: "waits" if control.call(roots["keeper"], "count_steps") == "1" else None)
    for vat in ("v1", "v2"):
        wait_for_snapshot(control, vat, 3)
    chromium.kill()

    control = start_plain().open_control()
    control.start("send", key=key, target=roots["keeper"], method="collect", args="")
    assert control.call(roots["giver"], "give", "2") == "None"
    settled = control.result(key)
    assert (settled["status"], settled["value"]) == ("fulfilled", "[1, 2]")
    assert control.call(roots["keeper"], "count_steps") == "2"
    for vat in ("v1", "v2"):
        status = control.vat_status(vat)
        assert status["restored"] >= 3, status
        assert status["fault"] == "", status
    assert control.vat_status("v1")["memory_bytes"] > 60_000_000


def evict(control: Control, vat: str) -> None:
    """Have a vat that is at rest, or soon will be, sent out of memory."""
    wait_until(lambda: "leaves" if control.request("evictVat", vat=vat)["evicted"] else None)
    wait_until(lambda: "out" if control.vat_status(vat).get("realm") in {None, "absent"} else None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_vat_that_was_sent_out_of_memory_comes_back_from_its_snapshot(start_plain: Start, kind: str) -> None:
    control = start_plain().open_control()
    roots = launch(control, kind)
    key = control.start("send", target=roots["keeper"], method="collect", args="")
    live(control, roots["keeper"], 10)
    evict(control, "v2")
    for turn in range(3):
        evict(control, "v1")
        assert control.call(roots["keeper"], "count", "1") == str(46 + turn)
        status = control.vat_status("v1")
        # Nothing was left to replay: the snapshot was taken when it left.
        assert status["restored"] == status["deliveries"] - 1, status
    for value in ("1", "2"):
        control.call(roots["giver"], "give", value)
    assert control.result(key)["value"] == "[1, 2]"


@pytest.mark.parametrize(("change", "words"), [("remove", "is missing in the store"), ("flip", "is damaged")])
def test_a_vat_whose_chunks_are_damaged_lives_again_from_its_start(start_plain: Start, change: str, words: str) -> None:
    chromium = start_plain()
    control = chromium.open_control()
    root = launch(control, "worker")["keeper"]
    live(control, root, 20)
    wait_for_snapshot(control, "v1", 3)
    assert control.evaluate(f"({DAMAGE})('{change}')") > 10
    chromium.kill()

    control = start_plain().open_control()
    assert control.call(root, "count", "10") == "200"
    status = control.vat_status("v1")
    assert status["restored"] is None
    # The replay has passed the place where the heap was looked at: had it been another heap there, this would say so.
    assert words in status["fault"], status
    assert "after delivery 3 could not be used" in status["fault"], status


def test_a_vat_lives_again_from_its_start_if_realms_start_from_another_image(
    start_plain: Start, tmp_path: Path
) -> None:
    chromium = start_plain()
    control = chromium.open_control()
    root = launch(control, "worker")["keeper"]
    live(control, root, 20)
    wait_for_snapshot(control, "v1", 3)
    chromium.kill()

    control = start_plain(extension=update(tmp_path)).open_control()
    assert control.call(root, "count", "10") == "200"
    status = control.vat_status("v1")
    assert (status["restored"], status["fault"]) == (None, ""), status


def update(tmp_path: Path) -> Path:
    """An extension in which the image of realms has another name, as after an update."""
    updated = tmp_path / "updated"
    shutil.copytree(EXTENSION, updated)
    image = updated / "realm.image"
    data = image.read_bytes()
    start = data.index(b'"id":"') + len(b'"id":"')
    other = b"0" if data[start : start + 1] != b"0" else b"1"
    image.write_bytes(data[:start] + other + data[start + 1 :])
    return updated


def test_a_vat_with_an_open_file_has_no_snapshots_and_says_why(start_plain: Start) -> None:
    control = start_plain().open_control()
    source = """
from kernel_py.vat import Exo

class Reader(Exo):
    def bootstrap(self, vats, services):
        self.file = open("/lib/kernel_py.zip", "rb")

    def read(self):
        return len(self.file.read(4))

def build_root_object(powers, parameters, baggage):
    return Reader()
"""
    root = control.launch_one(source, "worker")
    events: list[dict[str, Any]] = []
    control.subscribe()
    for _ in range(6):
        assert control.call(root, "read") == "4"
    assert control.vat_status("v1")["snapshots"] == []
    events = control.take_events()
    assert any("/lib/kernel_py.zip open" in str(event) for event in events), events
