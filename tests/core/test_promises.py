"""Routing of messages, promise queues, settlements."""

from __future__ import annotations

import pytest

from kernel_py.core.promises import TRANSITIONS
from kernel_py.core.schema import PromiseState
from tests.core.driver import (
    GO,
    JSON,
    TERMINATED,
    UNDEFINED,
    Driver,
    call,
    data,
    fulfill,
    leave,
    message,
    notify,
    ref,
    refs,
    reject,
    send,
    subscribe,
    text,
)

BOB, CAROL = "o-50", "o-51"


def not_callable(method: str, shown: str) -> JSON:
    return data(f'#{{"#error":"data is not callable, has no method {method}: {shown}","name":"TypeError"}}')


# --- messages to objects ----------------------------------------------------------------------------


def test_a_message_to_an_object_goes_to_its_vat(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "hello", result="p+1"))
    assert trio.delivery("bob") == message("o+0", "hello", result="p-60")
    assert trio.delivery("carol") is None


def test_references_in_a_message_are_translated(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "take", CAROL, BOB, "o+0", "o+7", "p+8", CAROL))
    # bob is given carol, itself, alice's root, a new object, a promise, and carol again.
    assert trio.delivery("bob") == message("o+0", "take", "o-50", "o+0", "o-51", "o-52", "p-60", "o-50")
    assert trio.kref("bob", "o-50") == trio.root("carol")
    assert trio.kref("bob", "o-52") == trio.kref("alice", "o+7")


def test_a_message_to_oneself_comes_back(trio: Driver) -> None:
    trio.reply("alice", send("o+0", "again", "o+3", result="p+1"))
    trio.handle("alice", message("o+0", "again", "o+3", result="p+1"), fulfill("p+1", text("done")))
    assert trio.kernel._references.find_kref(trio.vat("alice"), "p+1") is None


def test_a_message_without_a_result_has_none(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "hello"))
    trio.handle("bob", message("o+0", "hello"))
    assert trio.delivery("bob") is None


def test_messages_between_two_vats_arrive_in_order(trio: Driver) -> None:
    trio.reply("alice", *(send(BOB, f"m{index}") for index in range(5)))
    for index in range(5):
        trio.handle("bob", message("o+0", f"m{index}"))


def test_a_message_to_an_object_of_a_dead_vat_is_rejected(trio: Driver) -> None:
    trio.request("terminateVat", {"vat": trio.vat("bob")})
    trio.reply("alice", send(BOB, "hello", result="p+1"), subscribe("p+1"))
    trio.handle("alice", notify(("p+1", True, data(TERMINATED))))


def test_a_message_without_result_to_a_dead_vat_vanishes(trio: Driver) -> None:
    trio.request("terminateVat", {"vat": trio.vat("bob")})
    trio.reply("alice", send(BOB, "hello"))
    assert trio.delivery("alice") is None


# --- messages to promises ---------------------------------------------------------------------------


def test_messages_to_an_unresolved_promise_wait_in_the_kernel(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "make", result="p+1"), send("p+1", "use", result="p+2"))
    kpid = trio.kref("alice", "p+1")
    trio.handle("bob", message("o+0", "make", result="p-60"))
    assert trio.delivery("bob") is None
    assert (trio.promise(kpid).queue_head, trio.promise(kpid).queue_tail) == (0, 1)


def test_pipelined_messages_follow_their_promise_to_an_object(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "make", result="p+1"), *(send("p+1", f"use{i}", result=f"p+{2 + i}") for i in (0, 1)))
    trio.handle("bob", message("o+0", "make", result="p-60"), fulfill("p-60", ref("o+5")))
    trio.handle("bob", message("o+5", "use0", result="p-61"), fulfill("p-61", text("a")))
    trio.handle("bob", message("o+5", "use1", result="p-62"), fulfill("p-62", text("b")))


def test_pipelined_messages_follow_to_a_third_vat(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "find", CAROL, result="p+1"), send("p+1", "use"))
    trio.handle("bob", message("o+0", "find", "o-50", result="p-60"), fulfill("p-60", ref("o-50")))
    trio.handle("carol", message("o+0", "use"))


def test_an_interface_name_with_escapes_does_not_hide_the_object(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "make", result="p+1"), send("p+1", "use"))
    trio.reply("bob", fulfill("p-60", data(r'#"$0.Alleged: \"quoted\" \\ \u00e9"', "o+5")))
    trio.handle("bob", message("o+5", "use"))


def test_a_promise_of_a_promise_s_result_is_pipelined_on(trio: Driver) -> None:
    """A chain of three: each message waits for the answer to the one before it."""
    trio.reply("alice", send(BOB, "a", result="p+1"), send("p+1", "b", result="p+2"), send("p+2", "c", result="p+3"))
    trio.handle("bob", message("o+0", "a", result="p-60"), fulfill("p-60", ref("o+1")))
    trio.handle("bob", message("o+1", "b", result="p-61"), fulfill("p-61", ref("o+2")))
    trio.handle("bob", message("o+2", "c", result="p-62"))


def test_a_message_to_a_promise_resolved_before_goes_straight_on(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "make", result="p+1"))
    trio.reply("bob", fulfill("p-60", ref("o+5")))
    trio.ask("alice", "later")
    trio.reply("alice", send("p+1", "use"))
    trio.handle("bob", message("o+5", "use"))


@pytest.mark.parametrize(
    "value, shown",
    [
        (data("#7"), "7.0"),
        (data(UNDEFINED), "Undefined"),
        (data("#[]"), "[]"),
        (data('#["$0"]', "o+1"), "[<object ko23>]"),
        (data("not smallcaps"), "<undecodable: "),
    ],
)
def test_a_message_to_a_promise_fulfilled_with_data_is_rejected(trio: Driver, value: JSON, shown: str) -> None:
    trio.reply("alice", send(BOB, "make", result="p+1"), send("p+1", "use", result="p+2"), subscribe("p+2"))
    trio.reply("bob", fulfill("p-60", value))
    ((_, is_reject, error),) = trio.delivery("alice")[1]
    assert is_reject
    assert error["body"].startswith(not_callable("use", shown)["body"].removesuffix('","name":"TypeError"}'))


def test_a_message_to_a_rejected_promise_is_rejected_with_its_reason(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "make", result="p+1"), send("p+1", "use", result="p+2"), subscribe("p+2"))
    trio.reply("bob", reject("p-60", data('#["no",["$0"]]', "o+9")))
    trio.handle("alice", notify(("p+2", True, data('#["no",["$0"]]', "o-52"))))


def test_a_rejection_runs_down_a_chain_of_pipelined_messages(trio: Driver) -> None:
    chain = [send(f"p+{n}", "next", result=f"p+{n + 1}") for n in range(1, 3_000)]
    trio.reply("alice", send(BOB, "first", result="p+1"), *chain, subscribe("p+3000"))
    trio.reply("bob", reject("p-60", text("no")))
    trio.handle("alice", notify(("p+3000", True, text("no"))))


def test_a_long_chain_of_pipelined_messages_resolves_link_by_link(trio: Driver) -> None:
    chain = [send(f"p+{n}", "next", result=f"p+{n + 1}") for n in range(1, 100)]
    trio.is_checking = False
    trio.reply("alice", send(BOB, "next", result="p+1"), *chain, subscribe("p+100"))
    for n in range(100):
        trio.reply("bob", fulfill(f"p-{60 + n}", ref("o+0")))
    trio.check()
    assert trio.delivery("alice") == notify(("p+100", False, data('#"$0.Alleged: thing"', BOB)))


# --- settlements ------------------------------------------------------------------------------------


def test_every_subscriber_is_notified(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "make", result="p+1"), subscribe("p+1"), send(CAROL, "wait", "p+1"))
    trio.handle("carol", message("o+0", "wait", "p-60"), subscribe("p-60"))
    trio.handle("bob", message("o+0", "make", result="p-60"), fulfill("p-60", text("made")))
    trio.handle("alice", notify(("p+1", False, text("made"))))
    trio.handle("carol", notify(("p-60", False, text("made"))))


def test_a_settled_promise_that_nobody_holds_is_forgotten(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "make", result="p+1"), subscribe("p+1"))
    kpid = trio.kref("alice", "p+1")
    trio.reply("bob", fulfill("p-60", ref("o+5")))
    trio.reply("alice")
    assert trio.kernel.find_promise_state(kpid) is None


def test_subscribing_to_a_settled_promise_notifies_at_once(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "make", result="p+1"))
    trio.reply("bob", fulfill("p-60", text("made")))
    assert trio.delivery("alice") is None
    trio.ask("alice", "later")
    trio.reply("alice", subscribe("p+1"))
    trio.handle("alice", notify(("p+1", False, text("made"))))


def test_subscribing_twice_notifies_once(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "make", result="p+1"), subscribe("p+1"), subscribe("p+1"))
    trio.reply("bob", fulfill("p-60", text("made")))
    trio.handle("alice", notify(("p+1", False, text("made"))))
    assert trio.delivery("alice") is None


def test_notifies_precede_the_messages_that_the_settlement_releases(trio: Driver) -> None:
    """Carol holds the promise and is its value: she hears of it before she gets what waited for it."""
    trio.reply("alice", send(BOB, "find", CAROL, result="p+1"), send(CAROL, "wait", "p+1"), send("p+1", "use"))
    trio.handle("carol", message("o+0", "wait", "p-60"), subscribe("p-60"))
    trio.reply("bob", fulfill("p-60", ref("o-50")))
    trio.handle("carol", notify(("p-60", False, data('#"$0.Alleged: thing"', "o+0"))))
    trio.handle("carol", message("o+0", "use"))


def test_a_batch_of_settlements_may_mention_its_own_promises(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "a", result="p+1"), send(BOB, "b", result="p+2"), subscribe("p+1"), subscribe("p+2"))
    trio.handle("bob", message("o+0", "a", result="p-60"))
    trio.handle(
        "bob",
        message("o+0", "b", result="p-61"),
        ["resolve", [["p-60", False, refs("p-61")], ["p-61", True, refs("p-60")]]],
    )
    trio.handle("alice", notify(("p+1", False, refs("p+2")), ("p+2", True, refs("p+1"))))


def test_a_promise_may_be_fulfilled_with_data_that_contains_itself(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "a", result="p+1"), subscribe("p+1"))
    trio.handle("bob", message("o+0", "a", result="p-60"), fulfill("p-60", refs("p-60", "p-60")))
    trio.handle("alice", notify(("p+1", False, refs("p+1", "p+1"))))


@pytest.mark.parametrize("body", ['#"$0"', '#"$0.Alleged: promise"', '# "$0" ', '#"\\u00240"'])
def test_a_promise_disguised_as_an_object_is_no_target(trio: Driver, body: str) -> None:
    """The body says object, the slot is a promise, itself: following it would never end."""
    trio.reply("alice", send(BOB, "a", result="p+1"), send("p+1", "use", result="p+2"), subscribe("p+2"))
    trio.handle("bob", message("o+0", "a", result="p-60"), fulfill("p-60", data(body, "p-60")))
    assert trio.state_of("bob") == "terminated"
    trio.handle("alice", notify(("p+2", True, data(TERMINATED))))


@pytest.mark.parametrize("body", ['#"&0"', '# "&0"', '#"&0"\n', '#"\\u00260"', '#"$0"'])
def test_a_promise_may_not_be_fulfilled_with_a_promise(trio: Driver, body: str) -> None:
    trio.reply("alice", send(BOB, "a", result="p+1"))
    trio.handle("bob", message("o+0", "a", result="p-60"), fulfill("p-60", data(body, "p+9")))
    assert trio.reason_of("bob") == "cannot resolve p-60 to a promise"


def test_a_promise_may_be_rejected_with_a_promise(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "a", result="p+1"), subscribe("p+1"))
    trio.handle("bob", message("o+0", "a", result="p-60"), reject("p-60", ref("p+9")))
    trio.handle("alice", notify(("p+1", True, ref("p-62"))))


def test_a_vat_may_make_a_promise_and_settle_it_later(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "wait", "p+1"))
    trio.handle("bob", message("o+0", "wait", "p-60"), subscribe("p-60"))
    assert trio.promise(trio.kref("alice", "p+1")).decider == trio.vat("alice")
    trio.ask("alice", "later")
    trio.reply("alice", fulfill("p+1", text("now")))
    trio.handle("bob", notify(("p-60", False, text("now"))))


def test_the_name_of_a_settled_promise_may_be_used_anew(trio: Driver) -> None:
    trio.reply("alice", fulfill("p+1", text("unheard")), send(BOB, "wait", "p+1"), fulfill("p+1", text("heard")))
    trio.handle("bob", message("o+0", "wait", "p-60"), subscribe("p-60"))
    trio.handle("bob", notify(("p-60", False, text("heard"))))


def test_a_vat_that_settles_what_it_waits_for_is_not_notified_of_a_name_it_gave_up(trio: Driver) -> None:
    trio.reply("alice", send("o+0", "again", result="p+1"), subscribe("p+1"))
    trio.handle("alice", message("o+0", "again", result="p+1"), fulfill("p+1", text("done")))
    assert trio.delivery("alice") is None
    assert trio.kernel._queues.count(trio.vat("alice")) == 0


def test_every_state_has_its_transitions() -> None:
    assert {state for state, _ in TRANSITIONS} == {PromiseState.UNRESOLVED}
    assert set(TRANSITIONS.values()) == set(PromiseState) - {PromiseState.UNRESOLVED}


def test_settling_goes_on_after_the_settler_left(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "a", result="p+1"), subscribe("p+1"), send("p+1", "use"))
    trio.handle("bob", message("o+0", "a", result="p-60"), fulfill("p-60", ref("o+1")), leave())
    trio.handle("alice", notify(("p+1", False, data('#"$0.Alleged: thing"', "o-52"))))


def test_a_message_from_outside_to_a_promise_waits_for_it(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "make", result="p+1"))
    kpid = trio.kref("alice", "p+1")
    key = trio.request("send", {"target": kpid, "method": "use", "args": ""})
    assert trio.result(key) is None
    trio.reply("bob", fulfill("p-60", ref("o+5")))
    trio.handle(
        "bob", ["message", "o+5", {"methargs": data('#["use",[]]'), "result": "p-61"}], fulfill("p-61", text("ok"))
    )
    assert trio.result(key)["value"] == "'ok'"
    assert call("use") == data('#["use",[]]')
    assert trio.delivery("alice") is None
    assert GO not in trio.kernel._state._tables  # alice's own answer is still due
