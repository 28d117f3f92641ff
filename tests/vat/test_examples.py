"""The example clusters do what they say: the counter and the bank. The others have files of their own."""

from __future__ import annotations

import pytest

from kernel_py.testing import Cluster, Vats
from scripts.examples import EXAMPLES


@pytest.fixture
def bank(vats: Vats) -> Cluster:
    return vats.launch(EXAMPLES / "bank")


def test_the_counter_counts(vats: Vats):
    launched = vats.launch(EXAMPLES / "counter")
    counter = vats.call(launched.root)
    assert launched.result == "counting from 0"
    assert [counter.increment(), counter.increment(by=5), counter.increment(10)] == [1, 6, 16]
    assert vats.call(counter.make_counter(100)).increment() == 101
    assert counter.read() == 16


def test_the_bank_tells_how_its_opening_went(bank: Cluster):
    assert bank.result == {
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


def test_payments_move_money_and_are_counted_once(vats: Vats, bank: Cluster):
    alice, bob = bank.roots["alice"], bank.roots["bob"]
    assert vats.call(alice).pay(bob, 50, request="one") == 700
    assert vats.call(bob).pay_often(alice, 1, 100, "many") == 100
    audit = vats.call(bank.root).audit()
    assert (audit["is_conserved"], audit["transfers"], audit["requests"], audit["repeated"]) == (True, 109, 106, [])
    assert [vats.call(user).balance() for user in (alice, bob)] == [900, 600]


def test_a_payment_that_is_not_covered_is_rejected_through_all_parties(vats: Vats, bank: Cluster):
    with pytest.raises(ValueError, match=r"^alice has 850 dollar, not 5000$"):
        vats.call(bank.roots["alice"]).pay(bank.roots["bob"], 5000)
    assert vats.call(bank.root).audit()["is_conserved"]


def test_a_payment_is_worth_something_once(vats: Vats, bank: Cluster):
    bob = bank.roots["bob"]
    issuer = vats.call(bank.root).get_issuer()
    payment = vats.call(vats.call(bank.root).mint("carol", "dollar", 5)).withdraw(5)
    claimed = vats.call(issuer).claim(payment, "dollar", 5)
    for attempt in (
        lambda: vats.call(bob).receive(payment, "dollar"),
        lambda: vats.call(issuer).claim(payment, "dollar", 5),
        lambda: vats.call(issuer).claim(claimed, "dollar", 6),
        lambda: vats.call(issuer).claim(bob, "dollar", 6),
    ):
        with pytest.raises((ValueError, TypeError)):
            attempt()
    assert vats.call(bob).receive(claimed, "dollar") == 655
    assert vats.call(bank.root).audit()["is_conserved"]


def open_trade(vats: Vats, bank: Cluster):
    """The seats of a trade of 100 dollar against 5 apple, in which alice has paid and waits for bob."""
    seats = vats.call(bank.roots["escrow"]).open([["dollar", 100], ["apple", 5]])
    buying = vats.send(bank.roots["alice"]).trade(seats[0], "dollar", 100, "apple")
    assert not buying.is_settled
    return seats, buying


def test_a_trade_waits_for_both_parties_also_over_a_crash(vats: Vats, bank: Cluster):
    seats, buying = open_trade(vats, bank)
    assert vats.call(bank.root).audit()["in_payments"] == {"dollar": 100}
    vats.crash()
    assert vats.call(bank.roots["bob"]).trade(seats[1], "apple", 5, "dollar") is None
    assert buying.result() is None
    assert vats.call(bank.root).balances() == {
        "alice": {"dollar": 750, "apple": 25},
        "bob": {"dollar": 750, "apple": 5},
    }


def test_who_backs_out_of_a_trade_lets_the_other_have_the_money_back(vats: Vats, bank: Cluster):
    seats, buying = open_trade(vats, bank)
    assert vats.call(bank.roots["bob"]).back_out(seats[1], "no") is True
    with pytest.raises(RuntimeError, match="bob backed out: no"):
        buying.result()
    assert vats.call(bank.roots["alice"]).balance() == 850
    assert vats.call(bank.roots["bob"]).back_out(seats[1], "again") is False


def test_a_wrong_payment_into_a_trade_stays_the_payers_and_the_trade_open(vats: Vats, bank: Cluster):
    alice, bob, escrow = (bank.roots[name] for name in ("alice", "bob", "escrow"))
    first, second = vats.call(escrow).open([["dollar", 100], ["apple", 5]])
    with pytest.raises(ValueError, match="agreed were 100 dollar"):
        vats.call(alice).trade(first, "dollar", 99, "apple")
    assert vats.call(alice).balance() == 850
    buying = vats.send(alice).trade(first, "dollar", 100, "apple")
    vats.call(bob).trade(second, "apple", 5, "dollar")
    assert buying.result() is None


def test_a_promise_pends_until_it_is_released_also_over_a_crash(vats: Vats, bank: Cluster):
    escrow = bank.roots["escrow"]
    waiting = [vats.send(escrow).await_release("go") for _ in range(2)]
    vats.crash()
    assert not any(sent.is_settled for sent in waiting)
    vats.call(escrow).release("go", 42)
    assert [sent.result() for sent in waiting] == [42, 42]


def test_a_user_that_does_not_exist_is_an_error(vats: Vats, bank: Cluster):
    with pytest.raises(KeyError, match="carol"):
        vats.call(bank.root).get_user("carol")
