"""Serial mode with real vats and files: the same requests make the same rows in files, and the same archives."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from kernel_py.core.archive import export_archive
from kernel_py.hosts.memory import MemoryHost, run_now

pytest.importorskip("resource", reason="it is not in Pyodide")
from kernel_py.hosts.native.native_host import NativeKernel
from kernel_py.hosts.native.sqlite_store import SqliteBackend
from scripts.examples import EXAMPLES, read_example

pytestmark = pytest.mark.native

CALLER = """
from kernel_py.vat import E, Exo

class Caller(Exo):
    def bootstrap(self, vats, services):
        self.services = services

    async def roll(self, count):
        rolled = [await E(self.services["random"]).integer(1, 6) for _ in range(count)]
        await E(self.services["timer"]).delay(0)
        await E(self.services["log"]).info("rolled", rolled)
        return rolled

    def make(self):
        return Caller()

def build_root_object(powers, parameters, baggage):
    return Caller()
"""
ROLLING = {"bootstrap": "a", "services": ["timer", "random", "log"], "vats": {"a": {"source": "a.py"}}}
USER = (EXAMPLES / "bank" / "user.py").read_text("utf-8")

ROLL = ("send", {"target": "ko20", "method": "roll", "args": "3"})
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("launch", {"config": ROLLING, "files": {"a.py": CALLER}}),
    ("launch", read_example("bank")),
    ("launch", read_example("contacts")),
    ROLL,
    ("send", {"target": "ko25", "method": "pay_often", "args": 'ko26, 1, 5, "many"'}),
    ("send", {"target": "ko24", "method": "audit", "args": ""}),
    ("upgradeVat", {"vat": "v3", "files": {"user.py": USER}, "source": "user.py", "parameters": {"name": "alice"}}),
    ROLL,
    ("collectGarbage", {}),
    ("terminateVat", {"vat": "v4", "reason": "enough"}),
    ("terminateCluster", {"cluster": "c2"}),
    ("launch", read_example("counter")),
    ROLL,
]


class Clock:
    """Time is an input like the others: it moves between requests."""

    now_ms = 0

    def __call__(self) -> int:
        return self.now_ms


def carry_out(path: Path, die: Callable[[], bool], cranks_per_commit: int) -> bytes:
    """Make all requests of a kernel over a file; `die` says when it is killed. Returns the archive of what is left."""
    clock = Clock()
    backend = SqliteBackend(path)
    host = MemoryHost(backend, is_serial=True, now_ms=clock, cranks_per_commit=cranks_per_commit)
    for number, (method, params) in enumerate(REQUESTS):
        clock.now_ms += 1_000
        key = f"key-{number}"
        host.post(method, params, key=key)
        while host.step():
            if die():
                host = host.reopen()
                host.post(method, params, key=key)  # as a client does who had no answer
        response = host.find_response(key)
        assert response.get("status") != "rejected", (params, response)
        host.kernel.acknowledge(key)
        host.step()
    written = bytearray()
    run_now(export_archive(backend, written.extend))
    host.close()
    run_now(backend.close())
    return bytes(written)


def read_rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    db = sqlite3.connect(path)
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    rows = {table: sorted(db.execute(f"SELECT * FROM {table}")) for table in tables}
    db.close()
    return rows


def test_two_kernels_with_the_same_requests_leave_the_same_rows(tmp_path: Path) -> None:
    one, other = tmp_path / "one.db", tmp_path / "other.db"
    first = carry_out(one, lambda: False, cranks_per_commit=1)
    assert carry_out(other, lambda: False, cranks_per_commit=1) == first
    rows = read_rows(one)
    assert rows == read_rows(other)
    assert len(rows["transcripts"]) > 20


@pytest.mark.parametrize("seed", range(3))
def test_a_kernel_that_was_killed_at_random_leaves_the_same_rows(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    steps: list[bool] = []

    def die() -> bool:
        steps.append(rng.random() < 0.1)
        return steps[-1]

    one, other = tmp_path / "one.db", tmp_path / "other.db"
    assert carry_out(one, lambda: False, cranks_per_commit=1) == carry_out(other, die, rng.randint(1, 8))
    assert read_rows(one) == read_rows(other)
    assert steps.count(True) > 5


async def carry_out_in_processes(path: Path) -> bytes:
    """The same of a kernel with its vats in processes."""
    clock = Clock()
    written = bytearray()
    native = NativeKernel.open(path, clock_ms=clock, seed=lambda: "seed", is_serial=True)
    async with native:
        for number, (method, params) in enumerate(REQUESTS[:6]):
            clock.now_ms += 1_000
            await native.request(method, params, key=f"key-{number}")
            await native.idle()
        await native.host.export(written.extend)
    return bytes(written)


def test_two_kernels_with_vats_in_processes_leave_the_same_rows(tmp_path: Path) -> None:
    one, other = tmp_path / "one.db", tmp_path / "other.db"
    assert asyncio.run(carry_out_in_processes(one)) == asyncio.run(carry_out_in_processes(other))
    rows = read_rows(one)
    assert rows == read_rows(other)
    assert len(rows["transcripts"]) > 20
