"""Benchmarks of durable data: one vat, driven by its protocol, its vat store in a file."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from bench.figures import Figure
from kernel_py.vat.file_store import FileStore
from kernel_py.vat.session import VatSession
from kernel_py.wire import canonical, protocol

OBJECTS = 1_000_000
PER_DELIVERY = 10_000
READS = 20_000
ROUNDS = 3
RANGE = 10_000

SOURCE = """
from kernel_py.vat import Durable, DurableMap, Exo

class Purse(Durable):
    owner: str
    balance: int = 0

class Root(Exo):
    def bootstrap(self, vats, services):
        pass
    def __init__(self, baggage):
        self.purses = baggage.setdefault("purses", DurableMap())
    def create(self, start, stop):
        for number in range(start, stop):
            self.purses[number] = Purse("somebody", number)
    def read(self, start, stop):
        purses = self.purses
        return sum(purses[number].balance for number in range(start, stop))
    def write(self, start, stop):
        purses = self.purses
        for number in range(start, stop):
            purses[number].balance += 1
    def walk(self, start, stop):
        return sum(purse.balance for purse in self.purses.between(start, stop).values())

def build_root_object(powers, parameters, baggage):
    return Root(baggage)
"""


class _File:
    """The file of a vat's store."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection


class _Vat:
    def __init__(self, folder: Path) -> None:
        self._session = VatSession(make_store=lambda: FileStore(_File(folder / "vat.db")))
        self._number = 0
        spec = protocol.VatSpec("v1", 0, "bench", "seed", "main.py", {"main.py": SOURCE})
        self._session.receive(protocol.dump_start(spec))
        self._session.receive(protocol.dump_go(0))
        self.deliver(["startVat", {"body": "#null", "slots": []}])

    def deliver(self, delivery: list[object]) -> float:
        """Make a delivery; how long it took, in seconds."""
        self._number += 1
        text = protocol.dump_deliver(self._number, 0, canonical.dump(delivery))
        started = time.perf_counter()
        [answer] = self._session.receive(text)
        took_s = time.perf_counter() - started
        _, _, status, syscalls, _ = json.loads(answer)
        if status[0] != "ok" or any(settled[1] for call in syscalls if call[0] == "resolve" for settled in call[1]):
            raise RuntimeError(answer)
        return took_s

    def call(self, method: str, start: int, stop: int) -> float:
        methargs = {"body": canonical.dump([method, [f"+{start}", f"+{stop}"]]).join(("#", "")), "slots": []}
        return self.deliver(["message", "o+0", {"methargs": methargs, "result": "p-60"}])

    def collect(self) -> float:
        return self.deliver(["bringOutYourDead"])


def measure(report: Callable[[Figure], None]) -> None:
    """Run every benchmark of durable data, reporting each figure as it is there."""
    with tempfile.TemporaryDirectory() as folder:
        vat = _Vat(Path(folder))
        vat.call("create", 0, PER_DELIVERY)
        vat.collect()
        before = _get_memory_mb()
        took_s = sum(vat.call("create", start, start + PER_DELIVERY) for start in _batches(PER_DELIVERY, OBJECTS))
        report(Figure(f"durable: create {OBJECTS:,} objects in a map", (OBJECTS - PER_DELIVERY) / took_s, "objects/s"))
        report(Figure("durable: collect after that", vat.collect() * 1000, "ms"))
        middle = OBJECTS // 2
        for name, target, method in [
            ("reads of an object in a map", 20_000, "read"),
            ("writes of an object in a map", 10_000, "write"),
        ]:
            took_s = min(vat.call(method, middle, middle + READS) for _ in range(ROUNDS))
            report(Figure(f"durable: {name}, of {OBJECTS:,}", READS / took_s, f"{method}s/s", target))
        took_s = min(vat.call("walk", middle, middle + RANGE) for _ in range(ROUNDS))
        report(Figure(f"durable: iterate {RANGE:,} of {OBJECTS:,}", RANGE / took_s, "objects/s"))
        took_s = min(vat.call("read", number, number + 1) for number in range(0, OBJECTS, OBJECTS // 10))
        report(Figure(f"durable: a delivery that reads one of {OBJECTS:,}", took_s * 1e6, "us"))
        report(Figure("durable: memory that all that took", _get_memory_mb() - before, "MB", 50, is_less_better=True))


def _batches(start: int, stop: int) -> range:
    return range(start, stop, PER_DELIVERY)


def _get_memory_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6
