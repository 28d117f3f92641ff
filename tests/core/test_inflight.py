"""Several deliveries in flight to one vat: which may go ahead, and what becomes of them when something fails."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from kernel_py.wire.limits import DEFAULT_LIMITS
from tests.core.driver import Driver, fulfill, message, ref, send, subscribe, text

BOB, CAROL = "o-50", "o-51"
WINDOW = 3


@pytest.fixture
def trio() -> Driver:
    driver = Driver(limits=replace(DEFAULT_LIMITS, deliveries_inflight_max=WINDOW, inflight_body_chars_max=200))
    driver.launch("alice", "bob", "carol")
    driver.ask("alice")
    return driver


def ahead(driver: Driver, name: str) -> list[Any]:
    """All that the vat was given: methods of messages, and names of other deliveries."""
    vat = driver.vat(name)
    told = [driver.inflight[vat], *driver.followers.get(vat, [])] if vat in driver.inflight else []
    deliveries = [json.loads(each)[3] for each in told]
    return [json.loads(d[2]["methargs"]["body"][1:])[0] if d[0] == "message" else d[0] for d in deliveries]


def test_messages_go_ahead_up_to_the_limit_and_are_answered_in_order(trio: Driver) -> None:
    trio.reply("alice", *(send(BOB, f"m{n}", result=f"p+{n}") for n in range(1, 6)))
    assert ahead(trio, "bob") == ["m1", "m2", "m3"]
    trio.handle("bob", message("o+0", "m1", result="p-60"), fulfill("p-60", text("one")))
    assert ahead(trio, "bob") == ["m2", "m3", "m4"]
    for n in range(2, 6):
        trio.reply("bob", fulfill(f"p-{59 + n}", text(f"{n}")))
    assert ahead(trio, "bob") == []
    assert trio.kernel.get_delivered(trio.vat("bob")) == 6


def test_an_answer_out_of_turn_ends_the_vat(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "m1"), send(BOB, "m2"))
    trio.say("bob", '["done",3,["ok",null],[],{}]')
    assert trio.reason_of("bob") == "a reply to delivery 3, which is not the next that was sent"


def test_what_mentions_a_promise_that_the_vat_decides_waits(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "m1", result="p+1"), send(BOB, "m2", "p+1"), send(BOB, "m3"))
    assert ahead(trio, "bob") == ["m1"]
    trio.reply("bob", fulfill("p-60", text("done")))
    assert ahead(trio, "bob") == ["m2", "m3"]
    assert trio.delivery("bob") == message("o+0", "m2", "p-61")  # a name of its own: the vat has forgotten the first


def test_a_message_whose_result_the_vat_knows_already_waits(trio: Driver) -> None:
    trio.reply(
        "alice",
        send(CAROL, "hold", BOB, result="p+1"),
        send("p+1", "later", result="p+2"),
        send(BOB, "m1", "p+2"),
    )
    trio.reply("carol", fulfill("p-60", ref("o-50")))
    assert ahead(trio, "bob") == ["m1"]
    trio.reply("bob")
    assert trio.delivery("bob") == message("o+0", "later", result="p-60")


def test_a_notify_waits_until_the_vat_has_answered(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "m1", result="p+1"), subscribe("p+1"))
    trio.ask("alice", "busy")
    trio.reply("bob", fulfill("p-60", text("x")))
    assert ahead(trio, "alice") == ["busy"]
    trio.ask("alice", "more")
    assert ahead(trio, "alice") == ["busy"], "it must not overtake the notify"
    trio.reply("alice")
    assert ahead(trio, "alice") == ["notify", "more"]


def test_long_messages_travel_alone(trio: Driver) -> None:
    method = "m" * 199
    trio.reply("alice", send(BOB, "m1"), send(BOB, method), send(BOB, "m3"))
    assert ahead(trio, "bob") == ["m1"]
    trio.reply("bob")
    assert ahead(trio, "bob") == [method]


def test_what_came_in_a_later_delivery_may_not_be_used_yet(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "m1"), send(BOB, "m2", CAROL))
    assert ahead(trio, "bob") == ["m1", "m2"]
    trio.reply("bob", send("o-50", "early"))
    assert trio.reason_of("bob") == "o-50 was given to this vat in a later delivery"


def test_after_a_host_fault_deliveries_go_one_by_one(trio: Driver) -> None:
    trio.reply("alice", *(send(BOB, f"m{n}", CAROL, result=f"p+{n}") for n in range(1, 5)))
    assert ahead(trio, "bob") == ["m1", "m2", "m3"]
    trio.lose("bob")
    assert ahead(trio, "bob") == ["m1"]
    trio.handle("bob", message("o+0", "m1", "o-50", result="p-60"), fulfill("p-60", text("one")))
    assert ahead(trio, "bob") == ["m2", "m3", "m4"]
    for _ in range(3):
        trio.lose("bob")
    assert ahead(trio, "bob") == ["m3", "m4"]
    assert trio.promise(trio.kref("alice", "p+2")).state == "rejected"


def test_all_that_is_in_flight_is_given_again_after_a_start(trio: Driver) -> None:
    trio.reply("alice", *(send(BOB, f"m{n}", CAROL) for n in range(1, 5)))
    given = [trio.inflight, trio.followers]
    trio.reload()
    assert [trio.inflight, trio.followers] == given
    for _ in range(4):
        trio.reply("bob")
    assert ahead(trio, "bob") == []


def test_terminating_a_vat_rejects_all_that_was_in_flight(trio: Driver) -> None:
    trio.reply("alice", *(send(BOB, f"m{n}", result=f"p+{n}") for n in range(1, 5)))
    trio.request("terminateVat", {"vat": trio.vat("bob")})
    states = [trio.promise(trio.kref("alice", f"p+{n}")).state for n in range(1, 5)]
    assert states == ["rejected"] * 4
