"""Pipelining vats: messages to a promise go to the vat that decides it, before it does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kernel_py.hosts.memory import RequestFailed
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from tests.core.driver import (
    JSON,
    ONE_BY_ONE,
    TERMINATED,
    Driver,
    data,
    fulfill,
    message,
    notify,
    ref,
    reject,
    send,
    subscribe,
    text,
)

BOB, CAROL = "o-50", "o-51"
KINDS = ("iframe", "worker", "command")


def pipelining(*, is_enabled: bool = True) -> JSON:
    return {"kind": "command", "command": ["relay"], "enable_pipelining": is_enabled}


def launch(*, is_enabled: bool = True, limits: Limits = ONE_BY_ONE) -> Driver:
    """Alice, who is asked to go; bob, who pipelines; carol."""
    driver = Driver(limits=limits, kinds=KINDS)
    driver.launch("alice", "bob", "carol", vats={"bob": pipelining(is_enabled=is_enabled)})
    driver.ask("alice")
    return driver


def begin(driver: Driver) -> None:
    """Alice asks bob for something, and sends two messages to what she will get; bob has the request."""
    driver.reply(
        "alice", send(BOB, "get", result="p+1"), send("p+1", "one", result="p+2"), send("p+1", "two", "o+1"),
        subscribe("p+2"),
    )  # fmt: skip
    assert driver.delivery("bob") == message("o+0", "get", result="p-60")


def test_messages_to_a_promise_that_the_vat_decides_are_delivered_to_it_at_once() -> None:
    driver = launch()
    begin(driver)
    driver.reply("bob")
    driver.handle("bob", message("p-60", "one", result="p-61"), fulfill("p-61", text("1")))
    driver.handle("alice", notify(("p+2", False, text("1"))))
    driver.handle("bob", message("p-60", "two", "o-50"))
    assert driver.delivery("bob") is None


def test_of_others_they_wait_in_the_kernel() -> None:
    driver = launch(is_enabled=False)
    begin(driver)
    driver.reply("bob")
    assert driver.delivery("bob") is None
    driver.ask("bob")
    driver.reply("bob", fulfill("p-60", ref("o+3")))
    driver.handle("bob", message("o+3", "one", result="p-62"))
    driver.handle("bob", message("o+3", "two", "o-50"))


def test_what_the_vat_has_not_been_given_goes_where_the_promise_was_resolved_to() -> None:
    driver = launch()
    begin(driver)
    driver.reply("bob")
    driver.handle("bob", message("p-60", "one", result="p-61"), fulfill("p-60", ref("o+3")))
    driver.handle("bob", message("o+3", "two", "o-50"))
    assert driver.delivery("bob") is None


def test_they_are_rejected_with_the_promise() -> None:
    driver = launch()
    begin(driver)
    driver.reply("bob", reject("p-60", text("no")))
    driver.handle("alice", notify(("p+2", True, text("no"))))
    assert driver.delivery("bob") is None


def test_a_message_that_comes_later_is_pipelined_too() -> None:
    driver = launch()
    driver.reply("alice", send(BOB, "get", result="p+1"))
    driver.reply("bob")
    asked = driver.request("send", {"target": driver.kref("bob", "p-60"), "method": "three", "args": ""})
    driver.handle("bob", message("p-60", "three", result="p-61"), fulfill("p-61", text("3")))
    assert driver.result(asked)["value"] == "'3'"


def test_a_promise_of_the_vat_s_own_is_one_that_it_decides() -> None:
    driver = launch()
    driver.reply("alice", send(BOB, "get", result="p+1"), subscribe("p+1"))
    driver.reply("bob", ["resolve", [["p-60", False, data('#["&0"]', "p+5")]]])
    driver.handle("alice", notify(("p+1", False, data('#["&0"]', "p-62"))))
    driver.ask("alice")
    driver.reply("alice", send("p-62", "hello"))
    driver.handle("bob", message("p+5", "hello"), fulfill("p+5", text("x")))


def test_the_vat_may_hand_on_a_promise_that_it_decides_as_the_result_of_a_send() -> None:
    """A relay: what it is asked for it asks another for, and the answer goes straight to who asked."""
    driver = launch()
    carol = driver.root("carol")
    driver.reply("alice", send(BOB, "get", CAROL, result="p+1"), send("p+1", "one", result="p+2"), subscribe("p+2"))
    driver.handle("bob", message("o+0", "get", "o-50", result="p-60"), send("o-50", "get", result="p-60"))
    assert driver.delivery("bob") is None, "the messages wait for carol, who does not pipeline"
    driver.handle("carol", message("o+0", "get", result="p-60"), fulfill("p-60", ref("o+9")))
    driver.handle("carol", message("o+9", "one", result="p-61"), fulfill("p-61", text("1")))
    driver.handle("alice", notify(("p+2", False, text("1"))))
    assert driver.kref("bob", "o-50") == carol


def test_messages_keep_their_order_when_a_promise_is_handed_on() -> None:
    driver = launch()
    begin(driver)
    driver.reply("bob", send("o+0", "self", result="p-60"))  # before it was given any
    driver.ask("alice")
    driver.reply("alice", send("p+1", "three"))
    driver.handle("bob", message("o+0", "self", result="p-60"))  # it decides again
    seen = []
    while driver.delivery("bob") is not None:
        seen.append(driver.delivery("bob")[2]["methargs"]["body"])
        driver.reply("bob")
    assert seen == ['#["one",[]]', '#["two",["$0"]]', '#["three",[]]']


@pytest.mark.parametrize("result", ["p-60", "p+4"])
def test_a_promise_that_another_decides_cannot_be_handed_on(result: str) -> None:
    driver = launch()
    driver.reply("alice", send(BOB, "get", "p+8", result="p+1"))
    settled = fulfill("p-61", text("done")), send("o+0", "x", result="p+4")
    driver.reply("bob", *settled, send("o+0", "y", result=result))
    assert "a send's result must be new, or a promise that the vat decides" in driver.reason_of("bob")


@pytest.mark.parametrize("target", ["p-60", "p+4"])
def test_a_promise_is_not_handed_on_to_itself_or_to_what_no_vat_decides(target: str) -> None:
    """Two that are handed on to each other would wait for ever, whatever becomes of the vat."""
    driver = launch()
    driver.reply("alice", send(BOB, "get", result="p+1"), subscribe("p+1"))
    driver.reply("bob", send("o+0", "x", result="p+4"), send(target, "y", result="p-60"))
    assert driver.reason_of("bob") == "p-60 is handed on to a promise that no vat decides"
    driver.handle("alice", notify(("p+1", True, data(TERMINATED))))


def test_a_promise_may_be_handed_on_to_one_that_a_vat_decides() -> None:
    driver = launch()
    begin(driver)
    driver.reply("bob", send("p+5", "y", result="p-60"), fulfill("p+5", ref("o+1")))
    driver.handle("bob", message("o+1", "y", result="p-60"), fulfill("p-60", text("7")))
    assert "has no method one" in driver.delivery("alice")[1][0][2]["body"]


def test_a_vat_that_does_not_pipeline_must_make_new_results() -> None:
    driver = launch(is_enabled=False)
    driver.reply("alice", send(BOB, "get", result="p+1"))
    driver.reply("bob", send("o+0", "x", result="p-60"))
    assert driver.reason_of("bob") == "a send's result must be a new promise of the vat, not p-60"


def test_the_end_of_the_vat_rejects_what_it_decides_and_what_was_sent_to_that() -> None:
    driver = launch()
    begin(driver)
    driver.reply("bob")
    driver.request("terminateVat", {"vat": driver.vat("bob")})
    driver.handle("alice", notify(("p+2", True, data(TERMINATED))))


def test_an_upgrade_rejects_them() -> None:
    driver = launch()
    begin(driver)
    driver.reply("bob")
    driver.request("upgradeVat", {"vat": driver.vat("bob"), "files": {"a.py": ""}, "source": "a.py"})
    driver.reply("bob", fulfill("p-61", text("1")))
    driver.reply("bob")
    assert driver.delivery("bob") == ["bringOutYourDead"]
    driver.reply("bob")
    driver.handle("alice", notify(("p+2", False, text("1"))))
    driver.ask("alice")
    driver.reply("alice", send("p+1", "late", result="p+5"), subscribe("p+5"))
    driver.handle("bob", ["startVat", data("#{}")])
    assert "vatUpgraded" in driver.delivery("alice")[1][0][2]["body"]


def test_a_delivery_that_is_rewound_takes_back_the_promise_and_its_messages() -> None:
    """The request is stopped by the meter: it is rejected, and the messages with it."""
    driver = launch()
    begin(driver)
    driver.poison("bob")
    assert "this message was stopped" in driver.delivery("alice")[1][0][2]["body"]
    assert driver.delivery("bob") is None


def test_a_pipelined_message_that_kills_the_worker_is_rejected_and_the_next_comes() -> None:
    driver = launch()
    begin(driver)
    driver.reply("bob")
    for _ in range(3):
        assert driver.delivery("bob") == message("p-60", "one", result="p-61")
        driver.lose("bob")
    assert "died 3 times under this message" in driver.delivery("alice")[1][0][2]["body"]
    driver.handle("bob", message("p-60", "two", "o-50"))


def test_they_outlive_the_kernel() -> None:
    driver = launch()
    begin(driver)
    driver.reply("bob")
    driver.reload()
    driver.handle("bob", message("p-60", "one", result="p-61"))
    driver.reload()
    driver.handle("bob", message("p-60", "two", "o-50"))


def test_they_wait_for_the_reply_to_what_came_before() -> None:
    """The vat may resolve the promise in it, and then they go elsewhere."""
    driver = launch(limits=replace(DEFAULT_LIMITS, deliveries_inflight_max=8))
    begin(driver)
    assert driver.vat("bob") not in driver.followers
    driver.reply("bob")
    assert driver.delivery("bob") == message("p-60", "one", result="p-61")
    driver.ask("carol")
    assert driver.vat("bob") not in driver.followers


def test_a_message_after_them_may_go_ahead_of_the_reply() -> None:
    driver = launch(limits=replace(DEFAULT_LIMITS, deliveries_inflight_max=8))
    driver.reply("alice", send(BOB, "get", result="p+1"))
    driver.reply("bob")
    driver.ask("alice")
    driver.reply("alice", send("p+1", "one"), send(BOB, "other"))
    assert driver.delivery("bob") == message("p-60", "one")
    assert len(driver.followers[driver.vat("bob")]) == 1
    driver.lose("bob")
    driver.handle("bob", message("p-60", "one"))
    driver.handle("bob", message("o+0", "other"))


@pytest.mark.parametrize("kind", ["iframe", "worker"])
def test_a_vat_whose_promises_wait_in_the_kernel_cannot_pipeline(kind: str) -> None:
    config = {"bootstrap": "a", "vats": {"a": {"source": "a.py", "kind": kind, "enable_pipelining": True}}}
    with pytest.raises(RequestFailed, match="does not pipeline") as caught:
        Driver().query("launch", config=config, files={"a.py": ""})
    assert caught.value.path == "config.vats.a.enable_pipelining"
