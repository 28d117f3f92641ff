"""Forwarders pass on what they are sent until they are cut off."""

from __future__ import annotations

import pytest

from kernel_py.wire.passable import Undefined
from tests.vat.driving import DrivenVat, Ref, message

SOURCE = """
from kernel_py.vat import E, Exo, Nat, far, make_promise, make_revocable

class Purse(Exo):
    def __init__(self):
        self.balance = 0
        self.secret = 7

    def deposit(self, amount: Nat):
        self.balance += amount
        return self.balance

    async def wait(self):
        return "waited"

    def _hidden(self):
        return 8

class Root(Exo):
    def lend(self):
        self.purse = Purse()
        return list(make_revocable(self.purse))

    def lend_function(self):
        return list(make_revocable(far(lambda number: number + 1, "increment")))

    def lend_of(self, other):
        return list(make_revocable(other))

    def lend_promised(self):
        promise, self.resolver = make_promise()
        return list(make_revocable(promise))

    def resolve(self, value):
        self.resolver.resolve(value)

    def balance(self):
        return self.purse.balance

    def lend_data(self):
        make_revocable([1, 2])

def build_root_object(powers, parameters, baggage):
    return Root()
"""

LENT, REVOKER = "o+1", "o+2"


def lend(method: str = "lend", *args: object) -> DrivenVat:
    vat = DrivenVat(SOURCE)
    vat.call(method, *args)
    return vat


def answer(vat: DrivenVat, *call: object, target: str = LENT) -> object:
    [(kind, (_, value))] = vat.call(*call, target=target)
    assert kind == "resolve"
    return value


def rejection(vat: DrivenVat, *call: object, target: str = LENT) -> str:
    [(kind, (_, is_reject, error))] = vat.call(*call, target=target)
    assert (kind, is_reject) == ("resolve", "rejected")
    return str(error)


def test_a_call_of_a_forwarder_is_one_of_what_it_stands_for():
    vat = lend()
    assert answer(vat, "deposit", 5) == 5
    assert answer(vat, "wait") == "waited"
    assert answer(vat, "balance", target="o+0") == 5


def test_the_guards_of_what_it_stands_for_hold():
    assert "deposit" in rejection(lend(), "deposit", -1)


@pytest.mark.parametrize("name", ["_hidden", "secret", "nothing", "_find_method_", "_target", "__call__"])
def test_it_offers_no_more_than_what_it_stands_for(name):
    assert "has no method" in rejection(lend(), name)


def test_after_it_is_revoked_every_call_is_refused():
    vat = lend()
    assert answer(vat, "revoke", target=REVOKER) is None
    assert rejection(vat, "deposit", 5) == "PermissionError: revoked"
    assert rejection(vat, "nothing") == "PermissionError: revoked"
    assert answer(vat, "revoke", target=REVOKER) is None
    assert answer(vat, "balance", target="o+0") == 0


def test_a_far_function_is_forwarded_too():
    vat = lend("lend_function")
    [(_, (_, value))] = vat.deliver(message(LENT, Undefined, 5))
    assert value == 6
    vat.call("revoke", target=REVOKER)
    [(_, (_, _, error))] = vat.deliver(message(LENT, Undefined, 5))
    assert error == "PermissionError: revoked"


def test_a_call_goes_on_to_another_vat_and_its_answer_comes_back():
    vat = lend("lend_of", Ref("o-50"))
    sent = vat.call("deposit", 5, target=LENT)
    assert [syscall[0] for syscall in sent] == ["send", "subscribe"]
    assert sent[0][1:4] == ("o-50", "deposit", [5])
    vat.call("revoke", target=REVOKER)
    assert rejection(vat, "deposit", 5) == "PermissionError: revoked"


def test_what_is_sent_to_a_promised_object_waits_for_it():
    vat = lend("lend_promised")
    assert vat.call("deposit", 5, target=LENT, result="p-61") == []
    vat.call("resolve", Ref("o-50"))
    assert "o-50" in str(vat.transcript[-1])


def test_data_has_no_forwarder():
    assert "only what other vats can call" in rejection(lend(), "lend_data", target="o+0")
