"""The examples, run as they are in a real browser."""

from __future__ import annotations

import ast
import random
from typing import Any

import pytest

from e2e.conftest import Launch
from e2e.harness.control import Control, ControlError
from e2e.harness.plain import PlainChromium
from scripts.examples import read_example

KILLS = 25
PAYMENTS = 100

KINDS = {
    "iframe": {"bank": "iframe", "alice": "iframe", "bob": "iframe", "escrow": "iframe"},
    "worker": {"bank": "worker", "alice": "worker", "bob": "worker", "escrow": "worker"},
    "mixed": {"bank": "worker", "alice": "iframe", "bob": "worker", "escrow": "iframe"},
}


AUCTION_KINDS = {
    "iframe": dict.fromkeys(("house", "alice", "bob", "carol"), "iframe"),
    "worker": dict.fromkeys(("house", "alice", "bob", "carol"), "worker"),
    "mixed": {"house": "worker", "alice": "iframe", "bob": "worker", "carol": "iframe"},
}

CHAT_KINDS = {
    "iframe": dict.fromkeys(("room", "alice", "bob", "mallory"), "iframe"),
    "worker": dict.fromkeys(("room", "alice", "bob", "mallory"), "worker"),
    "mixed": {"room": "iframe", "alice": "worker", "bob": "iframe", "mallory": "worker"},
}


def launch_example(control: Control, name: str, kinds: dict[str, str] | None = None) -> dict[str, Any]:
    launched: dict[str, Any] = control.request("launch", **read_example(name, kinds))
    return launched


def roots(control: Control) -> dict[str, str]:
    return {vat["name"]: vat["root"] for vat in control.request("status")["vats"]}


def audit(control: Control, bank: str) -> dict[str, Any]:
    result: dict[str, Any] = ast.literal_eval(control.call(bank, "audit"))
    return result


def test_the_counter_counts_and_ends(control: Control) -> None:
    launched = launch_example(control, "counter")
    assert launched["result"]["value"] == "'counting from 0'"
    assert control.call(launched["root"], "increment") == "1"
    assert control.call(launched["root"], "increment", "by=5") == "6"
    control.request("terminateCluster", cluster=launched["cluster"])
    status = control.request("status")
    assert status["clusters"][0]["state"] == "terminated"
    with pytest.raises(ControlError, match=r"belonged to a vat that was terminated|there is no object"):
        control.call(launched["root"], "increment")


@pytest.mark.parametrize("kinds", KINDS)
def test_the_bank_conserves_money(control: Control, kinds: str) -> None:
    launched = launch_example(control, "bank", KINDS[kinds])
    story = ast.literal_eval(launched["result"]["value"])
    assert story["audit"]["is_conserved"]
    assert story["balances"] == {"alice": {"dollar": 850, "apple": 20}, "bob": {"dollar": 650, "apple": 10}}
    names = roots(control)
    assert control.call(names["alice"], "pay_often", f"{names['bob']}, 1, 50, 'often'") == "50"
    after = audit(control, launched["root"])
    assert (after["is_conserved"], after["repeated"]) == (True, [])
    assert after["requests"] == story["audit"]["requests"] + 50


@pytest.mark.parametrize("kinds", AUCTION_KINDS)
def test_the_auction_sells_to_the_highest_sealed_bid(control: Control, kinds: str) -> None:
    launched = launch_example(control, "auction", AUCTION_KINDS[kinds])
    story = ast.literal_eval(launched["result"]["value"])
    assert (story["winner"], story["price"], story["out"]) == ("bob", 120, ["carol"])
    again = control.call(launched["root"], "run_auction", "'a vase', 10, {'alice': 30, 'bob': 20}")
    outcome = ast.literal_eval(again)
    assert (outcome["winner"], outcome["price"], outcome["out"]) == ("alice", 20, [])


@pytest.mark.parametrize("kinds", CHAT_KINDS)
def test_a_revoked_membership_of_the_chat_is_heard_no_more(control: Control, kinds: str) -> None:
    launched = launch_example(control, "chat", CHAT_KINDS[kinds])
    story = ast.literal_eval(launched["result"]["value"])
    assert story["members"] == ["alice", "bob"]
    assert story["refused"] == ["the membership of mallory was revoked"] * 2
    names = roots(control)
    with pytest.raises(AssertionError, match="the membership of mallory was revoked"):
        control.call(names["bob"], "say_as", "'mallory', 'still here?'")
    control.call(names["bob"], "say", "'quiet here'")
    assert ast.literal_eval(control.call(names["alice"], "heard"))[-1] == "bob: quiet here"


@pytest.mark.parametrize("kind", ["iframe", "worker"])
def test_the_contacts_are_found_by_name_and_number(control: Control, kind: str) -> None:
    launched = launch_example(control, "contacts", {"book": kind})
    story = ast.literal_eval(launched["result"]["value"])
    assert (story["count"], story["found"]) == (100, [{"name": "Grace Lamport", "phone": "+490000000065"}])
    assert control.call(launched["root"], "fill", "400") == "500"
    found = ast.literal_eval(control.call(launched["root"], "search", "'Ada Turing', 3"))
    assert [row["phone"] for row in found] == ["+490000000090", "+490000000190", "+490000000290"]


def test_the_bank_loses_and_repeats_nothing_while_the_service_worker_is_killed(
    plain: PlainChromium,
) -> None:
    control = plain.open_control()
    launched = launch_example(control, "bank", KINDS["mixed"])
    before = audit(control, launched["root"])
    names = roots(control)
    chance = random.Random(25)
    keys: list[str] = []
    for kill in range(KILLS):
        for _ in range(PAYMENTS // KILLS):
            payer, payee = chance.choice([("alice", "bob"), ("bob", "alice")])
            args = f"{names[payee]}, 1, request='payment-{len(keys)}'"
            keys.append(control.start("send", target=names[payer], method="pay", args=args))
        control.wait_ms(chance.randrange(400))
        plain.kill_service_worker()
        control.wait_ms(chance.randrange(400) if kill % 2 else 0)
    answers = [control.result(key) for key in keys]
    assert [answer["status"] for answer in answers] == ["fulfilled"] * len(keys)
    after = audit(control, launched["root"])
    assert after["is_conserved"]
    assert after["repeated"] == []
    assert after["requests"] - before["requests"] == len(keys)
    assert after["transfers"] - before["transfers"] == len(keys)


def test_the_bank_and_what_waits_in_it_outlive_the_browser(launch_browser: Launch) -> None:
    browser = launch_browser()
    control = browser.open_control()
    launched = launch_example(control, "bank", KINDS["mixed"])
    names = roots(control)
    control.call(names["alice"], "pay", f"{names['bob']}, 7, request='last'")
    before = audit(control, launched["root"])
    waiting = {"target": names["escrow"], "method": "await_release", "args": "'dawn'"}
    key = control.start("send", **waiting)
    assert control.call(names["escrow"], "release", "'other'") == "None"
    browser.close()

    control = launch_browser().open_control()
    assert audit(control, launched["root"]) == before
    again = control.start("send", key=key, **waiting)
    control.call(names["escrow"], "release", "'dawn', 'light'")
    assert control.result(again)["value"] == "'light'"
    control.call(names["bob"], "pay", f"{names['alice']}, 7, request='after'")
    assert audit(control, launched["root"])["is_conserved"]
