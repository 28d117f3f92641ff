"""The auction: sealed bids, revealed."""

from __future__ import annotations

import pytest

from kernel_py.testing import Cluster, Vats
from scripts.examples import EXAMPLES


@pytest.fixture
def house(vats: Vats) -> Cluster:
    return vats.launch(EXAMPLES / "auction")


def test_the_highest_bid_wins_at_the_price_of_the_second_and_a_cheat_is_out(vats: Vats, house: Cluster):
    outcome = {
        "thing": "a painting",
        "winner": "bob",
        "price": 120,
        "bids": {"alice": 120, "bob": 150},
        "out": ["carol"],
    }
    assert house.result == outcome
    assert vats.console("house")[-2:] == [
        "carol is out: this is not the bid that was handed in",
        "a painting goes to bob for 120",
    ]
    board = vats.call(house.root).find_board("a painting")
    assert vats.call(board).get_outcome() == outcome


@pytest.mark.parametrize(
    "bids, result",
    [
        ({}, (None, 0)),
        ({"alice": 9}, (None, 0)),
        ({"alice": 10}, ("alice", 10)),
        ({"alice": 20, "bob": 20}, ("alice", 20)),
        ({"bob": 20, "alice": 9}, ("bob", 10)),
    ],
)
def test_the_reserve_and_ties(vats: Vats, house: Cluster, bids, result):
    outcome = vats.call(house.root).run_auction("a vase", 10, bids)
    assert (outcome["winner"], outcome["price"]) == result


def test_nothing_of_a_bid_is_known_before_it_is_revealed(vats: Vats, house: Cluster):
    auction = vats.call(house.root).open_auction("a vase")
    paddle = vats.call(auction).register("alice")
    vats.call(house.roots["alice"]).bid(paddle, 70)
    with pytest.raises(RuntimeError, match="the auction of a vase is bidding, not closed"):
        vats.call(auction).get_outcome()
    assert vats.call(vats.call(house.root).find_board("a vase")).describe() == {
        "thing": "a vase",
        "reserve": 0,
        "phase": "bidding",
    }


def test_the_public_cannot_lead_an_auction(vats: Vats, house: Cluster):
    vats.call(house.root).open_auction("a vase")
    board = vats.call(house.root).find_board("a vase")
    for method in ("close_bidding", "register", "close"):
        with pytest.raises(AttributeError, match=r"Board has no method .*; it has: describe, get_outcome"):
            getattr(vats.call(board), method)()


def test_a_bid_is_neither_changed_after_closing_nor_copied_from_another(vats: Vats, house: Cluster):
    auction = vats.call(house.root).open_auction("a vase")
    alice, bob = (vats.call(auction).register(name) for name in ("alice", "bob"))
    with pytest.raises(ValueError, match=r"^commit\(digest\): must match"):
        vats.call(alice).commit("70")
    vats.call(house.roots["alice"]).bid(alice, 70)
    vats.call(bob).commit("0" * 64)
    assert vats.call(auction).close_bidding() == ["alice", "bob"]
    with pytest.raises(RuntimeError, match="is revealing, not bidding"):
        vats.call(alice).commit("0" * 64)
    with pytest.raises(ValueError, match="not the bid that was handed in"):
        vats.call(bob).reveal(70, "a secret that is not")
    with pytest.raises(ValueError, match=r"reveal\(amount\): must be >= 0, not int -1"):
        vats.call(bob).reveal(-1, "a secret that is not")
    vats.crash()
    vats.call(house.roots["alice"]).reveal()
    assert vats.call(auction).close()["bids"] == {"alice": 70}


def test_the_house_gets_new_code_in_the_middle_of_the_bidding(vats: Vats, house: Cluster):
    auction = vats.call(house.root).open_auction("a vase")
    alice, bob = (vats.call(auction).register(name) for name in ("alice", "bob"))
    vats.call(house.roots["alice"]).bid(alice, 70)
    source = (EXAMPLES / "auction/auction.py").read_text("utf-8")
    vats.upgrade("house", source + "\n# a new version\n")
    vats.call(house.roots["bob"]).bid(bob, 50)
    assert vats.call(auction).close_bidding() == ["alice", "bob"]
    for name in ("alice", "bob"):
        vats.call(house.roots[name]).reveal()
    assert vats.call(auction).close()["price"] == 50
    assert vats.call(vats.call(house.root).find_board("a vase")).get_outcome()["winner"] == "alice"
    assert vats.call(house.root).run_auction("a cup", 1, {"carol": 2})["winner"] is None
