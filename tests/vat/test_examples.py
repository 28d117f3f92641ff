"""The example clusters do what they say."""

from __future__ import annotations

import ast

import pytest

from kernel_py.hosts.memory import MemoryHost
from scripts.examples import read_example


class Cluster:
    """A launched example, driven from outside."""

    def __init__(self, name: str) -> None:
        self.host = MemoryHost()
        launched = self.host.request("launch", read_example(name))
        self.root = launched["root"]
        self.summary = launched["result"]

    def send(self, target: str, method: str, args: str = "") -> dict[str, object]:
        return self.host.request("send", {"target": target, "method": method, "args": args})

    def value(self, target: str, method: str, args: str = "") -> object:
        settled = self.send(target, method, args)
        self.host.run()  # also what the answer set going
        assert settled["status"] == "fulfilled", settled["value"]
        return ast.literal_eval(settled["value"])

    def find(self, name: str) -> str:
        return self.send(self.root, "get_user", repr(name))["slots"][0]


@pytest.fixture
def bank():
    return Cluster("bank")


def test_the_counter_counts():
    counter = Cluster("counter")
    assert counter.summary["value"] == "'counting from 0'"
    assert [counter.value(counter.root, "increment", args) for args in ("", "by=5", "10")] == [1, 6, 16]
    other = counter.send(counter.root, "make_counter", "100")["slots"][0]
    assert counter.value(other, "increment") == 101
    assert counter.value(counter.root, "read") == 16


def test_the_bank_tells_how_its_opening_went(bank):
    assert ast.literal_eval(bank.summary["value"]) == {
        "balances": {"alice": {"dollar": 850, "apple": 20}, "bob": {"dollar": 650, "apple": 10}},
        "audit": {
            "minted": {"dollar": 1500, "apple": 30},
            "in_purses": {"dollar": 1500, "apple": 30},
            "in_payments": {},
            "is_conserved": True,
            "transfers": 8,
            "requests": 5,
            "repeated": [],
        },
    }


def test_payments_move_money_and_are_counted_once(bank):
    alice, bob = bank.find("alice"), bank.find("bob")
    assert bank.value(alice, "pay", f"{bob}, 50, request='one'") == 700
    assert bank.value(bob, "pay_often", f"{alice}, 1, 100, 'many'") == 100
    audit = bank.value(bank.root, "audit")
    assert (audit["is_conserved"], audit["transfers"], audit["requests"], audit["repeated"]) == (True, 109, 106, [])
    assert [bank.value(user, "balance") for user in (alice, bob)] == [900, 600]


def test_a_payment_that_is_not_covered_is_rejected_through_all_parties(bank):
    alice, bob = bank.find("alice"), bank.find("bob")
    settled = bank.send(alice, "pay", f"{bob}, 5000")
    assert (settled["status"], settled["value"]) == ("rejected", "ValueError('alice has 850 dollar, not 5000')")
    assert bank.value(bank.root, "audit")["is_conserved"]


def test_a_payment_is_worth_something_once(bank):
    issuer, bob = bank.send(bank.root, "get_issuer")["slots"][0], bank.find("bob")
    payment = bank.send(bank.send(bank.root, "mint", "'carol', 'dollar', 5")["slots"][0], "withdraw", "5")["slots"][0]
    claimed = bank.send(issuer, "claim", f"{payment}, 'dollar', 5")["slots"][0]
    for target, method, args in [
        (bob, "receive", f"{payment}, 'dollar'"),
        (issuer, "claim", f"{payment}, 'dollar', 5"),
        (issuer, "claim", f"{claimed}, 'dollar', 6"),
        (issuer, "claim", f"{bob}, 'dollar', 6"),
    ]:
        assert bank.send(target, method, args)["status"] == "rejected"
    assert bank.value(bob, "receive", f"{claimed}, 'dollar'") == 655
    assert bank.value(bank.root, "audit")["is_conserved"]


def test_a_trade_waits_for_both_parties_also_over_a_crash(bank):
    alice, bob, escrow = (bank.find(name) for name in ("alice", "bob", "escrow"))
    first, second = bank.send(escrow, "open", "[['dollar', 100], ['apple', 5]]")["slots"]
    buying = bank.host.post("send", {"target": alice, "method": "trade", "args": f"{first}, 'dollar', 100, 'apple'"})
    bank.host.run()
    assert bank.host.find_response(buying) is None
    assert bank.value(bank.root, "audit")["in_payments"] == {"dollar": 100}

    bank.host = bank.host.reopen()
    bank.host.run()
    assert bank.value(bob, "trade", f"{second}, 'apple', 5, 'dollar'") is None
    assert bank.host.find_response(buying)["status"] == "fulfilled"
    assert bank.value(bank.root, "balances") == {
        "alice": {"dollar": 750, "apple": 25},
        "bob": {"dollar": 750, "apple": 5},
    }


def test_who_backs_out_of_a_trade_lets_the_other_have_the_money_back(bank):
    alice, bob, escrow = (bank.find(name) for name in ("alice", "bob", "escrow"))
    first, second = bank.send(escrow, "open", "[['dollar', 100], ['apple', 5]]")["slots"]
    buying = bank.host.post("send", {"target": alice, "method": "trade", "args": f"{first}, 'dollar', 100, 'apple'"})
    bank.host.run()
    assert bank.value(bob, "back_out", f"{second}, 'no'") is True
    assert "bob backed out: no" in bank.host.find_response(buying)["value"]
    assert bank.value(alice, "balance") == 850
    assert bank.value(bob, "back_out", f"{second}, 'again'") is False


def test_a_wrong_payment_into_a_trade_stays_the_payers_and_the_trade_open(bank):
    alice, bob, escrow = (bank.find(name) for name in ("alice", "bob", "escrow"))
    first, second = bank.send(escrow, "open", "[['dollar', 100], ['apple', 5]]")["slots"]
    assert "agreed were 100 dollar" in bank.send(alice, "trade", f"{first}, 'dollar', 99, 'apple'")["value"]
    assert bank.value(alice, "balance") == 850
    buying = bank.host.post("send", {"target": alice, "method": "trade", "args": f"{first}, 'dollar', 100, 'apple'"})
    bank.value(bob, "trade", f"{second}, 'apple', 5, 'dollar'")
    assert bank.host.find_response(buying)["status"] == "fulfilled"


def test_a_promise_pends_until_it_is_released_also_over_a_crash(bank):
    escrow = bank.find("escrow")
    waiting = [bank.host.post("send", {"target": escrow, "method": "await_release", "args": "'go'"}) for _ in range(2)]
    bank.host.run()
    bank.host = bank.host.reopen()
    bank.host.run()
    assert bank.host.find_response(waiting[0]) is None
    bank.send(escrow, "release", "'go', 42")
    assert [bank.host.find_response(key)["value"] for key in waiting] == ["42", "42"]


def test_a_user_that_does_not_exist_is_an_error(bank):
    settled = bank.send(bank.root, "get_user", "'carol'")
    assert (settled["status"], settled["value"]) == ("rejected", "KeyError(\"'carol'\")")
