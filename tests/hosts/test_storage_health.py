"""How full a browser's storage is, and what is refused then."""

from __future__ import annotations

import json

import pytest

from kernel_py.hosts.browser.storage_health import LOOK_CHARS, StorageHealth
from kernel_py.hosts.memory import MemoryHost, RequestFailed, run_now
from kernel_py.wire.limits import DEFAULT_LIMITS

RESERVE = DEFAULT_LIMITS.storage_reserve_bytes


class Storage:
    """Stands for the browser."""

    def __init__(self, used_bytes, quota_bytes):
        self.told = {"used_bytes": used_bytes, "quota_bytes": quota_bytes, "is_persistent": True}

    async def estimateStorage(self):  # noqa: N802
        return json.dumps(self.told)


def report_of(storage):
    reports = []
    run_now(StorageHealth(storage, DEFAULT_LIMITS, lambda *report: reports.append(report)).look())
    [(told, shortage)] = reports
    assert told == storage.told
    return shortage


def test_as_long_as_the_reserve_is_left_nothing_is_short():
    assert report_of(Storage(100_000_000, 100_000_000 + RESERVE)) == ""


def test_below_the_reserve_storage_is_nearly_full():
    shortage = report_of(Storage(100_000_001, 100_000_000 + RESERVE))
    assert shortage.startswith("storage is nearly full: 100 of 132 MB are used. Terminate what is not needed")


def test_it_is_looked_at_again_when_so_much_was_committed():
    health = StorageHealth(Storage(1, 2), DEFAULT_LIMITS, lambda *_: None)
    assert not health.is_due(LOOK_CHARS - 1)
    assert health.is_due(1)
    run_now(health.look())
    assert not health.is_due(1)


@pytest.fixture
def host():
    host = MemoryHost()
    source = "from kernel_py.vat import Exo\nclass Root(Exo):\n    def bootstrap(self, vats, services): pass\n"
    source += "def build_root_object(powers, parameters, baggage): return Root()\n"
    host.launch({"bootstrap": "a", "vats": {"a": {"source": "a.py"}}}, {"a.py": source})
    return host


def test_without_room_nothing_new_begins_but_what_is_there_can_be_ended(host):
    host.kernel.shortage = "storage is nearly full"
    with pytest.raises(RequestFailed, match="send needs room, and storage is nearly full"):
        host.send(host.kernel.get_vat("v1").root, "bootstrap")
    host.request("terminateVat", {"vat": "v1"})
    assert host.kernel.living_vats() == []
