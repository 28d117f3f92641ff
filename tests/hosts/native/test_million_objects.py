"""A million durable objects in one vat, whose store is a file: memory holds those in use."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from kernel_py.vat.file_store import FileStore
from kernel_py.vat.session import VatSession
from kernel_py.wire import protocol
from tests.vat.driving import DrivenVat

pytestmark = [pytest.mark.native, pytest.mark.soak]

OBJECTS = 1_000_000
PORTION = 10_000
MEMORY_BYTES_MAX = 50_000_000
SOURCE = """
class Purse(Durable):
    owner: str
    balance: int = 0
class Root(Exo):
    def __init__(self, baggage):
        self.purses = baggage.setdefault("purses", DurableMap())
    def create(self, start, stop):
        for number in range(start, stop):
            self.purses[number] = Purse("somebody", number)
    def read(self, number): return self.purses[number].balance
    def walk(self, start, stop): return [purse.balance for purse in self.purses.between(start, stop).values()]
    def count(self): return len(self.purses)
def build_root_object(powers, parameters, baggage): return Root(baggage)
"""


class File:
    """The file of a vat's store."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, isolation_level=None)


def value(vat: DrivenVat, method: str, *args: int) -> object:
    [(_, (_, result))] = vat.call(method, *args)
    return result


def test_memory_is_flat_while_a_million_objects_are_made_read_and_walked(tmp_path: Path) -> None:
    import psutil

    vat = DrivenVat(SOURCE, start=False)
    vat.session = VatSession(make_store=lambda: FileStore(File(tmp_path / "vat.db")))
    vat.say(protocol.dump_start(vat.spec))
    vat.go()
    vat.deliver(["startVat", {"body": "#null", "slots": []}])
    value(vat, "create", 0, PORTION)
    vat.bring_out_your_dead()
    before = psutil.Process().memory_info().rss
    for start in range(PORTION, OBJECTS, PORTION):
        value(vat, "create", start, start + PORTION)
        vat.transcript.clear()
    vat.bring_out_your_dead()
    assert value(vat, "count") == OBJECTS
    assert value(vat, "read", 777_777) == 777_777
    assert value(vat, "walk", 500_000, 510_000) == list(range(500_000, 510_000))
    assert psutil.Process().memory_info().rss - before < MEMORY_BYTES_MAX
    vat.session.close()
