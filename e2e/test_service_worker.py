"""The kernel's service worker dies at any moment; nobody notices."""

from __future__ import annotations

import random

import pytest

from e2e.conftest import Launch
from e2e.harness.control import Control
from e2e.harness.plain import PlainChromium

KILLS = 25

PEER = """
import time
from kernel_py.vat import E, Exo, make_promise

class Peer(Exo):
    def __init__(self):
        self.count = 0
        self.promise = None

    def bootstrap(self, vats, services):
        self.other = vats.get("other")

    def add(self):
        self.count += 1
        return self.count

    async def forward(self):
        return await E(self.other).add()

    async def talk_for(self, seconds):
        end = time.time() + seconds
        trips = 0
        while time.time() < end:
            trips += 1
            assert await E(self.other).add() == trips
        return trips

    def wait(self):
        self.promise, self.release_promise = make_promise()
        return self.promise

    def release(self, value):
        self.release_promise.resolve(value)

def build_root_object(powers, parameters, baggage):
    return Peer()
"""


def launch_pair(control: Control, kinds: tuple[str, str]) -> str:
    """Two vats, of which the first knows the second. Returns the first's root."""
    vats = {
        "first": {"source": "peer.py", "kind": kinds[0]},
        "other": {"source": "peer.py", "kind": kinds[1]},
    }
    root: str = control.launch({"peer.py": PEER}, vats)["root"]
    return root


@pytest.mark.parametrize("kinds", [("iframe", "iframe"), ("worker", "worker"), ("iframe", "worker")], ids="-".join)
def test_nothing_is_lost_or_done_twice_when_it_is_killed_under_traffic(
    plain: PlainChromium, kinds: tuple[str, str]
) -> None:
    control = plain.open_control()
    root = launch_pair(control, kinds)
    moments = random.Random("-".join(kinds))
    keys: list[str] = []
    for _ in range(KILLS):
        for _ in range(8):
            keys.append(control.start("send", target=root, method="forward", args=""))
            control.wait_ms(moments.randrange(40))
        plain.kill_service_worker()
        # From nothing to long enough to be in the midst of waking up, or done with it.
        control.wait_ms(moments.randrange(2_000))
    answers = [control.result(key) for key in keys]
    assert [answer["status"] for answer in answers] == ["fulfilled"] * len(keys)
    assert sorted(int(answer["value"]) for answer in answers) == list(range(1, len(keys) + 1))


def test_a_browser_that_was_closed_goes_on_where_it_was(launch_browser: Launch) -> None:
    browser = launch_browser()
    control = browser.open_control()
    root = launch_pair(control, ("iframe", "worker"))
    assert control.call(root, "forward") == "1"
    waiting = control.start("send", target=root, method="wait", args="")
    assert control.call(root, "forward") == "2"
    browser.close()

    control = launch_browser().open_control()
    assert control.call(root, "forward") == "3"
    again = control.start("send", key=waiting, target=root, method="wait", args="")
    control.call(root, "release", "'at last'")
    assert control.result(again)["value"] == "'at last'"


def test_traffic_goes_on_past_the_age_at_which_workers_without_events_are_stopped(plain: PlainChromium) -> None:
    control = plain.open_control()
    root = launch_pair(control, ("iframe", "worker"))
    trips = int(control.call(root, "talk_for", "60"))
    assert trips > 60 * 20
    # The port was not lost meanwhile, so this is the same worker, kept alive by the lease.
    assert control.reconnects == 0


def test_it_stops_when_there_is_no_work_and_wakes_for_the_next_request(plain: PlainChromium) -> None:
    control = plain.open_control()
    root = launch_pair(control, ("iframe", "worker"))
    assert control.call(root, "forward") == "1"
    control.wait_for_disconnect()
    assert control.call(root, "forward") == "2"
    assert control.reconnects == 1
