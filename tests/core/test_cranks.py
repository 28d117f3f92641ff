"""Dispatch and completion: notify batches, the rules for syscalls, what one broken rule costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kernel_py.wire.limits import DEFAULT_LIMITS
from tests.core.driver import (
    GO,
    JSON,
    TERMINATED,
    Driver,
    call,
    data,
    fulfill,
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
DEAD = data(TERMINATED)


# --- notifies ---------------------------------------------------------------------------------------


def test_a_notify_takes_the_promise_out_of_the_vat_s_hands(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "a", result="p+1"), subscribe("p+1"))
    trio.reply("bob", fulfill("p-60", text("x")))
    assert trio.delivery("alice") == notify(("p+1", False, text("x")))
    trio.reply("alice", send("p+1", "use"))  # a new promise of that name, alice's own
    assert trio.promise(trio.kref("alice", "p+1")).decider == trio.vat("alice")


def test_an_imported_promise_is_gone_after_its_notify(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "wait", "p+1"), fulfill("p+1", text("x")))
    trio.handle("bob", message("o+0", "wait", "p-60"), subscribe("p-60"))
    trio.handle("bob", notify(("p-60", False, text("x"))), subscribe("p-60"))
    assert trio.reason_of("bob") == "p-60 was never given to this vat"


def test_notifies_that_wait_together_are_one_delivery(trio: Driver) -> None:
    trio.reply(
        "alice",
        *(send(BOB, f"m{n}", result=f"p+{n}") for n in range(1, 5)),
        *(subscribe(f"p+{n}") for n in range(1, 5)),
    )
    trio.ask("alice", "busy")
    for n in range(4):
        trio.reply("bob", fulfill(f"p-{60 + n}", text(f"r{n}")))
    trio.reply("alice")
    assert trio.delivery("alice") == notify(*((f"p+{n + 1}", False, text(f"r{n}")) for n in range(4)))


def test_a_message_between_two_notifies_keeps_them_apart(trio: Driver) -> None:
    trio.reply(
        "alice", send(BOB, "a", result="p+1"), send(BOB, "b", "o+0", result="p+2"), subscribe("p+1"), subscribe("p+2")
    )
    trio.ask("alice", "busy")
    trio.reply("bob", fulfill("p-60", text("r1")))
    trio.reply("bob", send("o-50", "between"), fulfill("p-61", text("r2")))
    trio.reply("alice")
    trio.handle("alice", notify(("p+1", False, text("r1"))))
    trio.handle("alice", message("o+0", "between"))
    trio.handle("alice", notify(("p+2", False, text("r2"))))


def test_a_notify_brings_what_its_data_mentions_depth_first(trio: Driver) -> None:
    """p-60 mentions p-61 and p-63, p-61 mentions p-62: the order is p-60, p-61, p-62, p-63."""
    batch = [["p+1", False, refs("p+2", "p+4")], ["p+2", True, refs("p+3")], ["p+3", False, text("x")]]
    trio.reply("alice", send(BOB, "wait", "p+1"))
    trio.handle("bob", message("o+0", "wait", "p-60"), subscribe("p-60"))
    trio.ask("alice", "later")
    trio.reply("alice", ["resolve", [*batch, ["p+4", False, text("y")]]])
    trio.handle(
        "bob",
        notify(
            ("p-60", False, refs("p-61", "p-62")),
            ("p-61", True, refs("p-63")),
            ("p-63", False, text("x")),
            ("p-62", False, text("y")),
        ),
    )
    assert [row for row in trio.kernel._state.rows("v2.clist") if "p" in row] == []


def test_an_unresolved_promise_in_the_data_stays_with_the_vat(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "wait", "p+1"), fulfill("p+1", refs("p+2", "o+4")))
    trio.handle("bob", message("o+0", "wait", "p-60"), subscribe("p-60"))
    trio.handle("bob", notify(("p-60", False, refs("p-61", "o-50"))), subscribe("p-61"))
    trio.ask("alice", "later")
    trio.reply("alice", fulfill("p+2", text("z")))
    trio.handle("bob", notify(("p-61", False, text("z"))))


def test_circular_data_is_delivered_once(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "wait", "p+1"))
    trio.handle("bob", message("o+0", "wait", "p-60"), subscribe("p-60"))
    trio.ask("alice", "later")
    trio.reply("alice", ["resolve", [["p+1", False, refs("p+2")], ["p+2", False, refs("p+1", "p+2")]]])
    trio.handle("bob", notify(("p-60", False, refs("p-61")), ("p-61", False, refs("p-60", "p-61"))))
    assert trio.delivery("bob") is None


def test_a_settlement_heard_of_before_by_another_s_data_is_not_told_again(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "wait", "p+1", "p+2"))
    trio.handle("bob", message("o+0", "wait", "p-60", "p-61"), subscribe("p-60"), subscribe("p-61"))
    trio.ask("bob", "busy")
    trio.ask("alice", "later")
    trio.reply("alice", ["resolve", [["p+1", False, refs("p+2")], ["p+2", False, text("x")]]])
    trio.reply("bob")
    trio.handle("bob", notify(("p-60", False, refs("p-61")), ("p-61", False, text("x"))))
    assert trio.delivery("bob") is None


@pytest.mark.parametrize(
    "limits",
    [
        replace(DEFAULT_LIMITS, notify_batch_max=3),
        replace(DEFAULT_LIMITS, body_chars_max=200),
        replace(DEFAULT_LIMITS, slots_max=3),
    ],
)
def test_a_large_batch_of_notifies_is_cut(limits: object) -> None:
    """All are told in the end; no delivery grows beyond the limit by more than one settlement."""
    driver = Driver(limits=limits)  # type: ignore[arg-type]
    driver.launch("alice", "bob")
    names = [f"p+{n}" for n in range(1, 11)]
    for name in names:
        driver.ask("alice")
        driver.reply("alice", send(BOB, "wait", name))
        driver.reply("bob", subscribe(f"p-{59 + int(name[2:])}"))
    driver.ask("bob", "busy")
    for name in names:
        driver.ask("alice")
        driver.reply("alice", fulfill(name, data("#" + " " * 60 + '["$0"]', "o+5")))
    driver.reply("bob")
    told: list[str] = []
    while driver.delivery("bob"):
        resolutions = driver.delivery("bob")[1]
        assert len(resolutions) <= 4
        told += [vpid for vpid, _, _ in resolutions]
        driver.reply("bob")
    assert told == [f"p-{60 + n}" for n in range(10)]


def test_data_of_data_without_end_is_told_piece_by_piece() -> None:
    """A chain of settled promises, each the data of the one before: what is left out can be asked for."""
    driver = Driver(limits=replace(DEFAULT_LIMITS, notify_batch_max=4))
    driver.launch("alice", "bob")
    driver.ask("alice")
    chain = [[f"p+{n}", False, refs(f"p+{n + 1}")] for n in range(1, 10)]
    driver.reply("alice", send(BOB, "wait", "p+1"), ["resolve", [*chain, ["p+10", False, text("end")]]])
    driver.reply("bob", subscribe("p-60"))
    driver.handle("bob", notify(*((f"p-{n}", False, refs(f"p-{n + 1}")) for n in range(60, 64))), subscribe("p-64"))
    driver.handle("bob", notify(*((f"p-{n}", False, refs(f"p-{n + 1}")) for n in range(64, 68))), subscribe("p-68"))
    driver.handle("bob", notify(("p-68", False, refs("p-69")), ("p-69", False, text("end"))))


def test_a_delivery_that_has_become_moot_lets_the_next_one_through(trio: Driver) -> None:
    trio.reply("alice", send("o+0", "again", result="p+1"), subscribe("p+1"))
    trio.handle("alice", message("o+0", "again", result="p+1"), fulfill("p+1", text("x")), send("o+0", "after"))
    trio.handle("alice", message("o+0", "after"))


# --- illegal replies --------------------------------------------------------------------------------

ILLEGAL: dict[str, tuple[JSON, str]] = {
    "send to an object never given": (send("o-77", "m"), "o-77 was never given to this vat"),
    "send to a promise never given": (send("p-77", "m"), "p-77 was never given to this vat"),
    "an argument never given": (send(BOB, "m", "o-77"), "o-77 was never given to this vat"),
    "a result that the kernel made": (send(BOB, "m", result=GO), "a send's result must be a new promise"),
    "a result never given": (send(BOB, "m", result="p-99"), "a send's result must be a new promise"),
    "a result that is an object": (send(BOB, "m", result="o+9"), "not a promise: o+9"),
    "a result that is an argument": (send(BOB, "m", "p+1", result="p+1"), "a send's result must be a new promise"),
    "a result that is the target": (send("p+1", "m", result="p+1"), "a send's result must be a new promise"),
    "a result in use": (["send", BOB, {"methargs": call("m"), "result": "p+700"}], "a send's result must be a new"),
    "a result that is a kref": (send(BOB, "m", result="kp40"), "not a vat reference: 'kp40'"),
    "a kref as target": (send("ko20", "m"), "not a vat reference: 'ko20'"),
    "a device": (send("d-7", "m"), "not a vat reference: 'd-7'"),
    "methargs with krefs": (
        ["send", BOB, {"methargs": data('#["m",["$0"]]', "ko20"), "result": None}],
        "not a vat reference: 'ko20'",
    ),
    "a message without result": (["send", BOB, {"methargs": call("m")}], "not a message"),
    "a message with more": (["send", BOB, {"methargs": call("m"), "result": None, "x": 1}], "not a message"),
    "methargs without slots": (["send", BOB, {"methargs": {"body": "#[]"}, "result": None}], "not capdata"),
    "methargs with a body of bytes": (
        ["send", BOB, {"methargs": {"body": [1], "slots": []}, "result": None}],
        "not capdata",
    ),
    "subscribe to an object": (subscribe("o-50"), "not a promise: o-50"),
    "subscribe to what was never given": (subscribe("p-77"), "p-77 was never given"),
    "resolve what was never given": (fulfill("p-77", text("x")), "p-77 was never given"),
    "resolve an object": (fulfill("o+0", text("x")), "not a promise: o+0"),
    "resolve what another decides": (fulfill("p-62", text("x")), "the vat may not resolve p-62"),
    "resolve what it gave away": (
        ["resolve", [["p+700", False, text("x")]]],
        "the vat may not resolve p+700: it does not decide it",
    ),
    "resolve twice in one batch": (
        ["resolve", [[GO, False, text("x")], [GO, True, text("y")]]],
        "the vat may not resolve p-61",
    ),
    "resolve with is_reject of 1": (["resolve", [[GO, 1, text("x")]]], "not a resolution"),
    "fulfil to a promise": (fulfill(GO, ref("p+1")), "cannot resolve p-61 to a promise"),
    "fulfil to itself": (fulfill(GO, ref(GO)), "cannot resolve p-61 to a promise"),
    "resolve with a reference never given": (fulfill(GO, refs("o-77")), "o-77 was never given"),
    "exit with a reference only": (["exit", False, data('#"$0"', "x")], "not a vat reference: 'x'"),
    "exit with no flag": (["exit", None, text("x")], "unknown or malformed syscall"),
    "callNow": (["callNow", "d-1", "m", data("#[]")], "unknown or malformed syscall"),
    "vatstoreGet": (["vatstoreGet", "key"], "unknown or malformed syscall"),
    "dropImports of an export": (["dropImports", ["o+0"]], "dropImports of o+0, which is an export"),
    "dropImports of what is unknown": (
        ["dropImports", ["o-99"]],
        "dropImports of o-99, which is not in the vat's c-list",
    ),
    "dropImports twice": (["dropImports", [BOB, BOB]], "dropImports of o-50, which was dropped before"),
    "retireImports before dropImports": (["retireImports", [BOB]], "retireImports of o-50, which is still reachable"),
    "retireExports of an import": (["retireExports", [BOB]], "retireExports of o-50, which is an import"),
    "retireExports of what is reachable": (
        ["retireExports", ["o+0"]],
        "retireExports of o+0, which is still reachable",
    ),
    "abandonExports of what is unknown": (
        ["abandonExports", ["o+9"]],
        "abandonExports of o+9, which is not in the vat's",
    ),
    "dropImports of a promise": (["dropImports", [GO]], "not an object: p-61"),
    "an unknown syscall": (["launchMissiles"], "unknown or malformed syscall: ['launchMissiles']"),
    "no syscall": ({}, "unknown or malformed syscall: {}"),
    "a number": (7, "unknown or malformed syscall: 7"),
    "null": (None, "unknown or malformed syscall: None"),
    "too many references": (send(BOB, "m", *["o+0"] * 10_001), "10,001 references in one syscall"),
    "too long a body": (
        ["send", BOB, {"methargs": data("#" + "x" * 10_000_000), "result": None}],
        "10,000,001 characters of body in one syscall",
    ),
}


@pytest.mark.parametrize("name", list(ILLEGAL))
def test_an_illegal_syscall_ends_the_vat_and_undoes_the_batch(trio: Driver, name: str) -> None:
    syscall, reason = ILLEGAL[name]
    # Before: alice holds p+700, the result of a message that bob has not answered, and p-62, which bob decides.
    trio.reply("alice", send(BOB, "first", "o+0", result="p+700"), subscribe("p+700"))
    trio.reply("bob", send("o-50", "take", "p+1"))
    trio.reply("alice", subscribe("p-62"))
    trio.ask("bob", "busy")
    key = trio.ask("alice", "second")
    trio.names["GO"] = "p-63"
    patched = _rename(syscall, GO, "p-63")
    before = {row: trio.kernel._state.get("v2.queue", row) for row in trio.kernel._state.rows("v2.queue")}
    trio.reply("alice", send(BOB, "lost"), patched, send(CAROL, "lost too"), fulfill("p-63", text("unheard")))
    assert trio.state_of("alice") == "terminated"
    assert reason.replace(GO, "p-63") in trio.reason_of("alice")
    assert {row: trio.kernel._state.get("v2.queue", row) for row in trio.kernel._state.rows("v2.queue")} == before
    assert trio.delivery("carol") is None
    assert trio.result(key)["value"] == "Error('vat terminated')"
    # The others go on.
    trio.reply("bob")
    key = trio.ask("bob", "still there?")
    assert trio.delivery("bob") == message("o+0", "still there?", result="p-62")
    trio.reply("bob", fulfill("p-62", text("yes")))
    assert trio.result(key)["value"] == "'yes'"


def _rename(value: JSON, old: str, new: str) -> JSON:
    if isinstance(value, list):
        return [_rename(item, old, new) for item in value]
    if isinstance(value, dict):
        return {key: _rename(item, old, new) for key, item in value.items()}
    return new if value == old else value


def test_a_legal_syscall_after_an_illegal_one_does_not_excuse_it(trio: Driver) -> None:
    trio.reply("alice", send("o-77", "m"), fulfill(GO, text("fine")))
    assert trio.state_of("alice") == "terminated"
    assert trio.result("key-2")["status"] == "rejected"


def test_an_error_of_the_delivery_ends_the_vat_and_drops_its_syscalls(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "lost"), error="I don't remember allocating o+7")
    assert trio.reason_of("alice") == "I don't remember allocating o+7"
    assert trio.delivery("bob") is None


@pytest.mark.parametrize("number", [0, 1, 4, 99, -1, 10**30])
def test_a_reply_to_another_delivery_ends_the_vat(trio: Driver, number: int) -> None:
    assert trio.kernel.get_delivered(trio.vat("alice")) == 2
    trio.say("alice", f'["done",{number},["ok",null],[],{{}}]')
    assert trio.reason_of("alice") == f"a reply to delivery {number}, which is not the next that was sent"


def test_a_second_reply_ends_the_vat(trio: Driver) -> None:
    trio.reply("alice")
    trio.say("alice", '["done",3,["ok",null],[],{}]')
    assert trio.reason_of("alice") == "a reply to delivery 3, which is not the next that was sent"


def test_what_a_vat_does_in_one_crank_is_invisible_if_it_fails(trio: Driver) -> None:
    """Bob's and carol's own work meanwhile is not undone (pitfall 7)."""
    trio.ask("bob")
    trio.ask("carol")
    before = trio.kernel._state.count("objects")
    trio.reply("bob", send("o+0", "mine"))
    trio.reply("alice", send(BOB, "lost", "o+1", "o+2", "p+3"), send("p+4", "lost"), send("o-99", "illegal"))
    trio.handle("bob", message("o+0", "mine"))
    assert trio.kernel._state.count("objects") == before
    trio.reply("carol", fulfill("p-60", text("done")))
    assert trio.result("key-4")["value"] == "'done'"


def test_a_rejection_with_an_object_keeps_the_object(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "a", result="p+1"), subscribe("p+1"))
    trio.reply("bob", reject("p-60", refs("o+8")))
    trio.handle("alice", notify(("p+1", True, refs("o-52"))), send("o-52", "use"))
    trio.handle("bob", message("o+8", "use"))


def test_interfaces_are_read_off_the_body(trio: Driver) -> None:
    methargs = data('#["m",["$0.Alleged: Purse","$1.Alleged: Mint","$0","$2"]]', "o+1", "o+2", "o+3")
    trio.reply("alice", ["send", BOB, {"methargs": methargs, "result": None}])
    shown = {row["kref"]: row["iface"] for row in trio.query("objects", vat="v1")["objects"]}
    assert [shown[trio.kref("alice", vref)] for vref in ("o+1", "o+2", "o+3")] == ["Purse", "Mint", ""]


def test_virtual_objects_and_facets_have_identities_of_their_own(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "m", "o+d10/1", "o+d10/1:1", "o+v11/1:0"))
    assert trio.delivery("bob") == message("o+0", "m", "o-50", "o-51", "o-52")


def test_the_transcript_has_the_delivery_and_the_syscalls(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "m"), fulfill(GO, text("x")))
    entry, _, seal = trio.backend.transcripts["v1"][3].partition(',"h":')
    assert entry == (
        '{"n":3,"t":' + str(trio.now_ms - 1) + ',"d":["message","o+0",{"methargs":{"body":"#[\\"go\\",[]]","slots":[]},'
        '"result":"p-61"}],"sc":[["send","o-50",{"methargs":{"body":"#[\\"m\\",[]]","slots":[]},"result":null}],'
        '["resolve",[["p-61",false,{"body":"#\\"x\\"","slots":[]}]]]],"r":null,"c":4,"k":{"p-61":"kp41"}'
    )
    assert seal == f'"{trio.kernel.get_chain("v1")}"}}'
