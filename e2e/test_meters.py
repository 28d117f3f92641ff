"""Meters of Python vats in the browser: what runs away is stopped, and its vat goes on."""

from __future__ import annotations

import pytest

from e2e.harness.control import Control

SOURCE = """
import sys
from kernel_py.vat import Exo

class Root(Exo):
    def __init__(self):
        self.count = 0

    def bootstrap(self, vats, services):
        return "started"

    def add(self):
        self.count += 1
        return self.count

    def forever(self):
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass

    def recurse(self):
        try:
            self.recurse()
        except BaseException:
            self.recurse()

    def switch_off(self):
        return hasattr(sys, "monitoring") or "sys.monitoring" in sys.modules

def build_root_object(powers, parameters, baggage):
    return Root()
"""


@pytest.mark.parametrize("kind", ["iframe", "worker"])
def test_what_runs_away_is_rejected_and_the_vat_goes_on(control: Control, kind: str) -> None:
    vat = {"source": "vat.py", "kind": kind, "meter": {"delivery": 5_000}}
    root = control.launch({"vat.py": SOURCE}, {"vat": vat})["root"]
    assert control.call(root, "add") == "1"
    for method in ("forever", "recurse"):
        stopped = control.send(root, method)
        assert stopped["status"] == "rejected"
        assert "out of meter: a delivery has 5,000 units" in stopped["value"]
    assert control.call(root, "add") == "2"
    used, left = control.vat_status("v1")["meter"]
    assert 0 < used < 5_000
    assert left is None
    assert control.call(root, "switch_off") == "False"
