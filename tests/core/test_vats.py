"""The end of a vat: nothing is owed for ever, nobody else is harmed."""

from __future__ import annotations

import pytest

from kernel_py.core.schema import VatState
from kernel_py.core.vats import TRANSITIONS
from kernel_py.hosts.memory import RequestFailed
from tests.core.driver import (
    GO,
    TERMINATED,
    Driver,
    data,
    fulfill,
    leave,
    message,
    notify,
    ref,
    send,
    subscribe,
    text,
)

BOB, CAROL = "o-50", "o-51"
DEAD = data(TERMINATED)


def terminate(driver: Driver, name: str, reason: str | None = None) -> None:
    key = driver.request("terminateVat", {"vat": driver.vat(name)} | ({} if reason is None else {"reason": reason}))
    assert driver.result(key) == {}


def test_every_state_leads_somewhere_or_is_the_end() -> None:
    assert {state for state, _ in TRANSITIONS} == set(VatState) - {VatState.TERMINATED}


def test_the_delivery_in_flight_is_rejected(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "hello", result="p+1"), subscribe("p+1"))
    assert trio.delivery("bob") is not None
    terminate(trio, "bob")
    trio.handle("alice", notify(("p+1", True, DEAD)))


def test_queued_messages_are_rejected(trio: Driver) -> None:
    trio.reply(
        "alice", *(send(BOB, "hello", result=f"p+{n}") for n in (1, 2, 3)), *(subscribe(f"p+{n}") for n in (3, 1))
    )
    terminate(trio, "bob")
    trio.handle("alice", notify(("p+1", True, DEAD), ("p+3", True, DEAD)))


def test_promises_that_it_made_are_rejected(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "wait", "p+1"))
    trio.handle("bob", message("o+0", "wait", "p-60"), subscribe("p-60"))
    terminate(trio, "alice")
    trio.handle("bob", notify(("p-60", True, DEAD)))


def test_messages_that_wait_for_its_promises_are_rejected(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "make", result="p+1"), send("p+1", "use", result="p+2"), subscribe("p+2"))
    terminate(trio, "bob")
    trio.handle("alice", notify(("p+2", True, DEAD)))


def test_a_request_from_outside_is_answered(trio: Driver) -> None:
    key = trio.ask("bob")
    terminate(trio, "bob")
    assert trio.result(key)["status"] == "rejected"
    assert trio.result(key)["value"] == "Error('vat terminated')"


def test_a_request_queued_behind_another_is_answered(trio: Driver) -> None:
    keys = [trio.ask("bob") for _ in range(3)]
    terminate(trio, "bob")
    assert {trio.result(key)["status"] for key in keys} == {"rejected"}


def test_a_promise_it_waited_for_may_settle_afterwards(trio: Driver) -> None:
    """Its subscription dies with it."""
    trio.reply("alice", send(BOB, "make", result="p+1"), subscribe("p+1"), send(CAROL, "wait", "p+1"))
    trio.handle("carol", message("o+0", "wait", "p-60"), subscribe("p-60"))
    kpid = trio.kref("alice", "p+1")
    terminate(trio, "alice")
    assert trio.promise(kpid).subscribers == (trio.vat("carol"),)
    trio.handle("bob", message("o+0", "make", result="p-60"), fulfill("p-60", text("made")))
    trio.handle("carol", notify(("p-60", False, text("made"))))


def test_a_notify_on_its_way_is_dropped(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "make", result="p+1"), subscribe("p+1"))
    trio.ask("alice", "busy")
    kpid = trio.kref("alice", "p+1")
    trio.reply("bob", fulfill("p-60", text("made")))
    terminate(trio, "alice")
    assert trio.kernel.find_promise_state(kpid) is None


def test_messages_to_itself_are_rejected(trio: Driver) -> None:
    trio.reply("alice", send("o+0", "again", result="p+1"), send(BOB, "wait", "p+1"), leave())
    trio.handle("bob", message("o+0", "wait", "p-60"), subscribe("p-60"))
    trio.handle("bob", notify(("p-60", True, DEAD)))


def test_objects_that_nobody_holds_go_with_it(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "hello", "o+7"), fulfill(GO, text("done")))
    kref = trio.kref("alice", "o+7")
    trio.reply("bob")
    terminate(trio, "alice")
    assert trio.kernel._references.get_object(kref).owner is None
    terminate(trio, "bob")
    assert trio.kernel._state.get("objects", kref) is None


def test_its_objects_stay_known_to_those_who_hold_them(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "hello", "o+7"))
    trio.reply("bob")
    terminate(trio, "alice")
    trio.ask("bob")
    trio.reply("bob", send("o-50", "use", result="p+1"), subscribe("p+1"), send("o+0", "see", "o-50"))
    trio.handle("bob", notify(("p+1", True, DEAD)))
    trio.handle("bob", message("o+0", "see", "o-50"))


def test_a_message_that_arrives_by_a_promise_after_the_end_is_rejected(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "find", CAROL, result="p+1"), send("p+1", "use", result="p+2"), subscribe("p+2"))
    terminate(trio, "carol")
    trio.handle("bob", message("o+0", "find", "o-50", result="p-60"), fulfill("p-60", ref("o-50")))
    trio.handle("alice", notify(("p+2", True, DEAD)))


def test_vats_that_hold_each_others_promises_end_one_after_the_other(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "a", "p+1", result="p+2"), subscribe("p+2"), send(CAROL, "b", "p+2", "p+1"))
    trio.handle("carol", message("o+0", "b", "p-60", "p-61"), subscribe("p-60"), subscribe("p-61"))
    terminate(trio, "alice")
    trio.handle("carol", notify(("p-61", True, DEAD)))
    terminate(trio, "bob")
    trio.handle("carol", notify(("p-60", True, DEAD)))
    terminate(trio, "carol")


def test_leaving_applies_the_whole_batch_first(trio: Driver) -> None:
    trio.reply("alice", leave(), send(BOB, "hello"), fulfill(GO, text("done")))
    trio.handle("bob", message("o+0", "hello"))
    assert (trio.state_of("alice"), trio.reason_of("alice")) == ("terminated", "the vat is done: 'bye'")
    assert trio.result("key-2")["value"] == "'done'"


def test_leaving_in_failure_drops_the_batch(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "hello"), leave("broken", is_failure=True), fulfill(GO, text("done")))
    assert trio.delivery("bob") is None
    assert trio.reason_of("alice") == "the vat gave up: 'broken'"
    assert trio.result("key-2")["status"] == "rejected"


def test_the_first_of_two_exits_counts(trio: Driver) -> None:
    trio.reply("alice", leave("first"), leave("second", is_failure=True))
    assert trio.reason_of("alice") == "the vat is done: 'first'"


@pytest.mark.parametrize("body", ["", "#", '#"+' + "1" * 5_000 + '"', "#[" * 300, '#"$0"', '#"\\ud800"', "#1e999"])
def test_a_farewell_that_cannot_be_shown_harms_nobody(trio: Driver, body: str) -> None:
    trio.reply("alice", ["exit", False, data(body)])
    assert trio.state_of("alice") == "terminated"
    assert trio.reason_of("alice").startswith("the vat is done: ")


def test_the_reply_of_a_terminated_vat_is_ignored(trio: Driver) -> None:
    number = trio.kernel.get_delivered(trio.vat("alice")) + 1
    terminate(trio, "alice")
    trio.say("alice", f'["done",{number},["ok",null],[["send","{BOB}",{{}}]],{{}}]')
    trio.say("alice", "garbage")
    assert trio.delivery("bob") is None


def test_the_realm_is_stopped_once(trio: Driver) -> None:
    terminate(trio, "alice")
    trio.say("alice", "garbage")
    assert trio.stopped == [trio.vat("alice")]


def test_a_terminated_vat_is_still_shown_with_its_reason(trio: Driver) -> None:
    terminate(trio, "bob", "no longer needed")
    shown = {vat["name"]: vat for vat in trio.query("status")["vats"]}
    assert shown["bob"]["state"] == "terminated"
    assert shown["bob"]["reason"] == "no longer needed"
    assert shown["alice"]["state"] == "running"


def test_a_reason_that_is_too_long_is_refused(trio: Driver) -> None:
    with pytest.raises(RequestFailed, match=r"params\.reason: has 1,000,000 characters; the limit is 20,000"):
        terminate(trio, "bob", "x" * 1_000_000)
    assert trio.state_of("bob") == "running"


def test_terminating_twice_is_an_error(trio: Driver) -> None:
    terminate(trio, "bob", "enough")
    with pytest.raises(RequestFailed, match=r"params.vat: v2 \(bob\) was terminated already: enough"):
        trio.query("terminateVat", vat=trio.vat("bob"))


def test_a_vat_with_much_to_its_name_is_removed_in_steps(trio: Driver) -> None:
    trio.is_checking = False
    trio.reply(
        "alice",
        *(send(BOB, "take", f"o+{n}", f"p+{n}", result=f"p+{10_000 + n}") for n in range(1, 1_000)),
        *(subscribe(f"p+{n}") for n in range(1, 1_000)),
    )
    terminate(trio, "alice")
    trio.check()
    terminate(trio, "bob")
    trio.check()
    steps = 0
    while trio.kernel.has_leftovers:
        trio.turn()
        trio.check()
        steps += 1
    assert steps > 0
    assert trio.kernel._state.count("promises") == 1  # the answer of bootstrap, which the cluster keeps
