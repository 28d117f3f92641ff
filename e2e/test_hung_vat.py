"""A vat that never comes back delays nobody: pitfall 1."""

from __future__ import annotations

import pytest

from e2e.harness.control import Control

SOURCE = """
from kernel_py.vat import E, Exo

class Root(Exo):
    def bootstrap(self, vats, services):
        self.vats = vats

    def hang(self):
        while True:
            pass

    async def call(self, name, method):
        return await getattr(E(self.vats[name]), method)()

    def ok(self):
        return "ok"

def build_root_object(powers, parameters, baggage):
    return Root()
"""

WITHIN_MS = 1_000


@pytest.mark.parametrize("kind", ["iframe", "worker"])
def test_pitfall_01_a_hung_vat_delays_nobody(control: Control, kind: str) -> None:
    vat = {"source": "vat.py", "kind": kind}
    launched = control.launch({"vat.py": SOURCE}, {"a": vat, "b": vat, "hung": vat})
    hanging = control.start("send", target=launched["root"], method="call", args="'hung', 'hang'")
    control.call(launched["root"], "ok")

    status = control.request("status")
    assert control.last_ms < WITHIN_MS
    assert {vat["name"]: vat["inflight"] for vat in status["vats"]} == {"a": False, "b": False, "hung": True}

    assert control.call(launched["root"], "call", "'b', 'ok'") == "'ok'"
    assert control.last_ms < WITHIN_MS

    control.request("terminateVat", vat=launched["vats"]["hung"])
    assert control.last_ms < WITHIN_MS
    assert control.result(hanging)["value"] == "Error('vat terminated')"
    assert control.call(launched["root"], "call", "'b', 'ok'") == "'ok'"
