"""The sequences of the reference's 4.2 as one: what a delivery asks of the vat store and of the kernel, in order."""

from __future__ import annotations

from tests.vat.driving import DrivenVat, Ref

SOURCE = """
class Deposits(Facet):
    def deposit(self, amount): return self.of.deposit(amount)
class Purse(Durable):
    owner: str
    balance: int = 0
    deposits = facet(Deposits)
    def deposit(self, amount):
        self.balance += amount
        return self.balance
class Watcher(Durable):
    def on_fulfilled(self, value): pass
    def on_rejected(self, error): pass
class Root(Exo):
    def __init__(self, baggage):
        self.baggage = baggage
    def open(self, bank):
        purse = self.baggage["purse"] = Purse("alice")
        E(bank).register(purse, purse.deposits)
    def put(self, amount, *purses):
        for purse in purses: purse.balance += amount
    def give(self, target, *things):
        E(target).take(*things)
    def watch(self, shop):
        watch_promise(E(shop).deliver(), Watcher())
def build_root_object(powers, parameters, baggage):
    return Root(baggage)
"""


class Recorded:
    """A vat, and what is asked of its store."""

    def __init__(self):
        self.vat = DrivenVat(SOURCE)
        self._asked = []
        store = self.vat.session._supervisor._store
        for name in ("get", "set", "delete"):
            setattr(store, name, self._note(name, getattr(store, name)))

    def _note(self, name, original):
        def noting(*args):
            self._asked.append(f"{name} {args[0]}")
            return original(*args)

        return noting

    def take(self):
        """What was asked since the last time."""
        asked, self._asked = self._asked, []
        return asked


def test_a_send_that_exports_an_object():
    recorded = Recorded()
    assert recorded.vat.call("open", Ref("o-50"), result=None) == [
        ("send", "o-50", "register", [Ref("o+d10/1"), Ref("o+d10/1:0")], "p+5"),
        ("subscribe", "p+5"),
    ]
    assert recorded.take() == [
        "get vom.dkind.10.nextID",
        "get vc.1.spurse",
        "get vc.1.|entryCount",
        "get vom.rc.o+d10/1",
        "set vc.1.spurse",
        "get vom.es.o+d10/1",
        # the code is through: states, descriptors of new kinds, counts and statuses by key, counters
        "set vom.o+d10/1",
        "get vom.dkind.10.descriptor",
        "set vom.dkind.10.descriptor",
        "set vc.1.|entryCount",
        "set vom.dkind.10.nextID",
        "set vom.es.o+d10/1",
        "set vom.rc.o+d10/1",
        "set idCounters",
    ]


def test_a_send_of_what_is_exported_already():
    recorded = Recorded()
    recorded.vat.call("open", Ref("o-50"))
    recorded.take()
    assert recorded.vat.call("give", Ref("o-50"), Ref("o+d10/1"), result=None) == [
        ("send", "o-50", "take", [Ref("o+d10/1")], "p+6"),
        ("subscribe", "p+6"),
    ]
    assert recorded.take() == ["get vom.es.o+d10/1", "set idCounters"]


def test_a_message_that_changes_a_state():
    recorded = Recorded()
    recorded.vat.call("open", Ref("o-50"))
    recorded.take()
    assert recorded.vat.call("put", 5, Ref("o+d10/1")) == [("resolve", ("p-60", None))]
    assert recorded.take() == ["get vom.o+d10/1", "set vom.o+d10/1"]


def test_arguments_that_bring_and_pass_promises():
    vat = DrivenVat(SOURCE)
    assert vat.call("give", Ref("o-50"), Ref("p-62"), Ref("p-61"), result="p-60") == [
        ("subscribe", "p-62"),
        ("subscribe", "p-61"),
        ("send", "o-50", "take", [Ref("p-62"), Ref("p-61")], "p+5"),
        ("subscribe", "p+5"),
        ("resolve", ("p-60", None)),
    ]


def test_the_start_of_the_next_incarnation():
    recorded = Recorded()
    recorded.vat.call("open", Ref("o-50"))
    recorded.vat.call("watch", Ref("o-51"))
    recorded.take()
    assert recorded.vat.upgrade(SOURCE) == []
    assert recorded.take() == [
        "get idCounters",
        "get vom.dkind.10.descriptor",
        "get vom.dkind.11.descriptor",
        "get storeKindIDTable",
        # what is virtual goes: neither these collections nor these kinds are
        "get vc.1.|schemata",
        "get vc.2.|schemata",
        "get vom.dkind.10.descriptor",
        "get vom.dkind.10.descriptor",
        "get vom.dkind.11.descriptor",
        "get vom.dkind.11.descriptor",
        "get baggageID",
        "get watchedPromiseTableID",
        # here runs the vat's code, and the kinds that it has defined again are as they were
        "get vom.dkind.10.descriptor",
        "get vom.dkind.11.descriptor",
    ]
