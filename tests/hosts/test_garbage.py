"""Garbage across vats, with a real kernel and real vats: what one lets go, the other deletes."""

from __future__ import annotations

import pytest

from kernel_py.hosts.memory import MemoryHost

BANK = """
from kernel_py.vat import Durable, DurableMap, DurableWeakMap, Exo, Facet, facet, watch_promise

class Deposits(Facet):
    def deposit(self, amount):
        self.of.balance += amount
        return self.of.balance

class Purse(Durable):
    balance: int = 0
    guest: object = None
    deposits = facet(Deposits)
    def get_deposits(self):
        return self.deposits
    def note(self, guest):
        self.guest = guest

class Bank(Exo):
    def __init__(self, baggage):
        self.kept = baggage.setdefault("kept", DurableMap())
        self.seen = baggage.setdefault("seen", DurableWeakMap())
    def open(self, name=None):
        purse = Purse()
        if name is not None:
            self.kept[name] = purse
        return purse
    def meet_nobody(self):
        pass
    def meet(self, guest):
        self.seen[guest] = [guest is not None, Purse()]
        return len(self.kept)

def build_root_object(powers, parameters, baggage):
    return Bank(baggage)
"""
CLIENT = """
from kernel_py.vat import E, Exo

class Guest(Exo):
    pass

class Client(Exo):
    def __init__(self):
        self.held = {}
    async def bootstrap(self, vats, services):
        self.bank = vats["bank"]
    async def open(self, name, key=None):
        self.held[name] = await E(self.bank).open(key)
    async def take_facet(self, name):
        self.held[name] = await E(self.held[name]).get_deposits()
    async def deposit(self, name):
        return await E(self.held[name]).deposit(5)
    def drop(self, name):
        del self.held[name]
    async def run_bank(self):
        await E(self.bank).meet_nobody()
    async def introduce(self, name):
        self.held[name] = Guest()
        await E(self.held["purse"]).note(self.held[name])
        return await E(self.bank).meet(self.held[name])

def build_root_object(powers, parameters, baggage):
    return Client()
"""


class Cluster:
    def __init__(self):
        self.host = MemoryHost()
        vats = {"client": {"source": "client.py"}, "bank": {"source": "bank.py"}}
        config = {"bootstrap": "client", "vats": vats}
        self.root = self.host.launch(config, {"client.py": CLIENT, "bank.py": BANK})["root"]

    def call(self, method, *args):
        sent = self.host.send(self.root, method, ", ".join(map(repr, args)))
        assert sent["status"] == "fulfilled", sent
        return sent["value"]

    def collect(self):
        for _ in range(4):  # a drop here is a drop there only when it was told
            self.host.request("collectGarbage")
            self.host.run()

    def purses(self):
        """The purses in the bank's vat store, once the bank is in memory again."""
        self.call("run_bank")
        [session] = [each for each in self.host._sessions.values() if each._spec.name == "bank"]
        store = session._supervisor._store
        return [key for (key,) in store._execute("SELECT key FROM kv WHERE key LIKE 'vom.o+d%'")]

    def lose_realms(self):
        for vat in list(self.host._sessions):
            self.host.evict(vat)


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture(params=[False, True], ids=["lasting realms", "lost realms"])
def lose(request, cluster):
    return cluster.lose_realms if request.param else lambda: None


def test_a_purse_lives_while_another_vat_holds_it(cluster, lose):
    cluster.call("open", "purse")
    cluster.collect()
    lose()
    assert len(cluster.purses()) == 1
    cluster.call("drop", "purse")
    cluster.collect()
    assert cluster.purses() == []


def test_a_facet_alone_keeps_its_purse(cluster, lose):
    cluster.call("open", "purse")
    cluster.call("take_facet", "purse")
    cluster.collect()
    lose()
    assert cluster.call("deposit", "purse") == "5"
    assert len(cluster.purses()) == 1
    cluster.call("drop", "purse")
    lose()
    cluster.collect()
    assert cluster.purses() == []


def test_a_purse_that_the_bank_keeps_outlives_its_holder(cluster, lose):
    cluster.call("open", "purse", "alice")
    cluster.call("drop", "purse")
    cluster.collect()
    lose()
    cluster.call("open", "purse", "bob")
    assert len(cluster.purses()) == 2


def test_guests_go_when_purse_and_client_let_them_go(cluster, lose):
    cluster.call("open", "purse")
    for name in ("first", "second"):
        cluster.call("introduce", name)
    cluster.collect()
    lose()
    cluster.call("drop", "first")
    cluster.call("drop", "second")
    cluster.collect()
    assert len(cluster.purses()) == 2  # the purse holds the second guest, whom the weak map knows still
    cluster.call("drop", "purse")
    lose()
    cluster.collect()
    assert cluster.purses() == []
