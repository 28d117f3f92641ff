"""Collection across vats: who is told to drop and retire what, and when; what vats may say of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tests.core.driver import GO, ONE_BY_ONE, TERMINATED, Driver, data, fulfill, message, ref, refs, send, subscribe

BOB, CAROL = "o-50", "o-51"


def give(trio: Driver, *names: str) -> str:
    """Alice exports o+5 to each of `names`, who know it as o-50 and owe her nothing. Its kref."""
    vrefs = {"bob": BOB, "carol": CAROL}
    trio.reply("alice", *(send(vrefs[name], "take", "o+5") for name in names), fulfill(GO, data('#""')))
    for name in names:
        trio.handle(name, message("o+0", "take", "o-50"))
    return trio.kref("alice", "o+5")


def counts(trio: Driver, kref: str) -> tuple[int, int] | None:
    record = trio.kernel._state.get("objects", kref)
    return None if record is None else (record.reachable, record.recognizable)


def do(trio: Driver, name: str, *syscalls: object) -> None:
    """Let a vat make syscalls in a delivery of its own."""
    trio.ask(name, "do")
    trio.reply(name, *syscalls)


# --- drops and retirements --------------------------------------------------------------------------


def test_the_last_drop_is_told_to_the_exporter_and_then_the_retirement(trio: Driver) -> None:
    kref = give(trio, "bob")
    do(trio, "bob", ["dropImports", [BOB]])
    assert counts(trio, kref) == (0, 1)
    trio.handle("alice", ["dropExports", ["o+5"]])
    do(trio, "bob", ["retireImports", [BOB]])
    trio.handle("alice", ["retireExports", ["o+5"]])
    assert counts(trio, kref) is None
    assert trio.find_vref("alice", kref) is None
    assert trio.find_vref("bob", kref) is None


def test_dropping_and_retiring_at_once_gives_two_deliveries(trio: Driver) -> None:
    give(trio, "bob")
    do(trio, "bob", ["dropImports", [BOB]], ["retireImports", [BOB]])
    trio.handle("alice", ["dropExports", ["o+5"]])
    trio.handle("alice", ["retireExports", ["o+5"]])
    assert trio.delivery("alice") is None


def test_pitfall_06_one_importer_s_drop_is_not_the_other_s(trio: Driver) -> None:
    kref = give(trio, "bob", "carol")
    do(trio, "bob", ["dropImports", [BOB]], ["retireImports", [BOB]])
    assert trio.delivery("alice") is None
    assert counts(trio, kref) == (1, 1)
    do(trio, "carol", send("o-50", "hello"))
    trio.handle("alice", message("o+5", "hello"))
    do(trio, "carol", ["dropImports", ["o-50"]], ["retireImports", ["o-50"]])
    trio.handle("alice", ["dropExports", ["o+5"]])
    trio.handle("alice", ["retireExports", ["o+5"]])


def test_an_exporter_may_retire_what_is_dropped_and_recognizers_hear_of_it(trio: Driver) -> None:
    kref = give(trio, "bob", "carol")
    do(trio, "bob", ["dropImports", [BOB]])
    do(trio, "carol", ["dropImports", ["o-50"]])
    trio.handle("alice", ["dropExports", ["o+5"]], ["retireExports", ["o+5"]])
    trio.handle("bob", ["retireImports", [BOB]])
    trio.handle("carol", ["retireImports", ["o-50"]])
    assert counts(trio, kref) is None


def test_a_name_sent_again_before_the_drop_is_told_is_kept(trio: Driver) -> None:
    kref = give(trio, "bob")
    trio.ask("alice", "busy")
    do(trio, "bob", ["dropImports", [BOB]])
    trio.reply("alice", send(BOB, "again", "o+5"))
    assert trio.delivery("alice") is None, "there is nothing to drop any more"
    trio.handle("bob", message("o+0", "again", BOB))
    assert counts(trio, kref) == (1, 1)


def test_a_dropped_name_that_is_told_again_may_be_used_again(trio: Driver) -> None:
    give(trio, "bob")
    do(trio, "bob", ["dropImports", [BOB]])
    trio.handle("alice", ["dropExports", ["o+5"]], send(BOB, "again", "o+5"))
    trio.handle("bob", message("o+0", "again", BOB), send(BOB, "use"))
    trio.handle("alice", message("o+5", "use"))


def test_using_a_dropped_name_ends_the_vat(trio: Driver) -> None:
    give(trio, "bob")
    do(trio, "bob", ["dropImports", [BOB]], send(BOB, "use"))
    assert trio.reason_of("bob") == "o-50 was dropped: the vat may not use it again"


def test_a_promise_s_data_holds_what_it_mentions(trio: Driver) -> None:
    """Promise resolution holds the only reference."""
    trio.reply("alice", send(BOB, "keep", "p+1"), fulfill(GO, data('#""')))
    trio.handle("bob", message("o+0", "keep", "p-60"))
    do(trio, "alice", fulfill("p+1", ref("o+5")))
    assert trio.delivery("alice") is None
    do(trio, "bob", subscribe("p-60"))
    trio.handle("bob", ["notify", [["p-60", False, ref("o-50")]]], ["dropImports", ["o-50"]])
    trio.handle("alice", ["dropExports", ["o+5"]])


def test_a_queued_message_holds_what_it_mentions(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "wait", result="p+1"), send("p+1", "take", "o+5"), fulfill(GO, data('#""')))
    assert trio.delivery("alice") is None
    trio.reply("bob", fulfill("p-60", data('#"not callable"')))
    trio.handle("alice", ["dropExports", ["o+5"]])


def test_what_nobody_ever_held_is_dropped_at_once(trio: Driver) -> None:
    trio.reply("alice", fulfill(GO, data('#""')), ["resolve", [["p+1", False, ref("o+5")]]])
    trio.handle("alice", ["dropExports", ["o+5"]])
    trio.handle("alice", ["retireExports", ["o+5"]])


def test_many_drops_come_in_pieces() -> None:
    driver = Driver(limits=replace(ONE_BY_ONE, collect_refs_max=2))
    driver.launch("alice", "bob")
    driver.ask("alice")
    driver.reply("alice", send(BOB, "take", "o+1", "o+2", "o+3"), fulfill(GO, data('#""')))
    driver.reply("bob", ["dropImports", ["o-50", "o-51", "o-52"]])
    driver.handle("alice", ["dropExports", ["o+1", "o+2"]])
    driver.handle("alice", ["dropExports", ["o+3"]])


# --- objects whose vat is gone ----------------------------------------------------------------------


def test_an_orphan_stays_as_long_as_it_is_reached(trio: Driver) -> None:
    kref = give(trio, "bob", "carol")
    do(trio, "bob", ["dropImports", [BOB]])
    trio.request("terminateVat", {"vat": trio.vat("alice")})
    assert counts(trio, kref) == (1, 2)
    do(trio, "carol", ["dropImports", ["o-50"]])
    trio.handle("bob", ["retireImports", [BOB]])
    trio.handle("carol", ["retireImports", ["o-50"]])
    assert counts(trio, kref) is None


def terminate(trio: Driver) -> None:
    trio.request("terminateVat", {"vat": trio.vat("alice")})


def abandon(trio: Driver) -> None:
    do(trio, "alice", ["abandonExports", ["o+5"]])


def upgrade(trio: Driver) -> None:
    trio.request("upgradeVat", {"vat": trio.vat("alice"), "files": {"vat.py": ""}, "source": "vat.py"})
    trio.reply("alice")
    trio.handle("alice", ["startVat", data("#{}")])


@pytest.mark.parametrize("orphan", [abandon, terminate, upgrade])
@pytest.mark.parametrize("held", ["reachable", "recognizable", "not"])
def test_an_object_becomes_an_orphan_whoever_still_knows_it(trio: Driver, orphan: Any, held: str) -> None:
    """Abandoned, or of a vat that ended, or of an incarnation that did."""
    kref = give(trio, "bob")
    if held != "reachable":
        do(trio, "bob", ["dropImports", [BOB]])
    if held == "not":
        do(trio, "bob", ["retireImports", [BOB]])
        trio.reply("alice")  # it is told to drop it
        trio.reply("alice")  # and to retire it
        assert counts(trio, kref) is None
        return
    if held == "recognizable":
        trio.handle("alice", ["dropExports", ["o+5"]])
    orphan(trio)
    assert trio.kernel._references.find_owner(kref) is None
    if held == "reachable":
        assert counts(trio, kref) == (1, 1)
        do(trio, "bob", send(BOB, "x", result="p+1"), subscribe("p+1"))
        trio.handle("bob", ["notify", [["p+1", True, data(TERMINATED)]]])
        do(trio, "bob", ["dropImports", [BOB]])
    trio.handle("bob", ["retireImports", [BOB]])
    assert counts(trio, kref) is None


@pytest.mark.parametrize("second", ["drop and retire", "drop", "keep"])
@pytest.mark.parametrize("first", ["drop and retire", "drop"])
def test_two_importers_let_go_each_in_its_own_way(trio: Driver, first: str, second: str) -> None:
    kref = give(trio, "bob", "carol")
    for name, how in (("bob", first), ("carol", second)):
        do(trio, name, *([["dropImports", ["o-50"]]] if "drop" in how else []))
        do(trio, name, *([["retireImports", ["o-50"]]] if "retire" in how else []))
    recognizable = [first, second].count("drop") + [first, second].count("keep")
    reachable = [first, second].count("keep")
    assert counts(trio, kref) == (reachable, recognizable)
    if reachable:
        assert trio.delivery("alice") is None
        return
    trio.handle("alice", ["dropExports", ["o+5"]])
    if recognizable == 0:
        trio.handle("alice", ["retireExports", ["o+5"]])
        assert counts(trio, kref) is None
    else:
        assert trio.delivery("alice") is None
        do(trio, "alice", ["retireExports", ["o+5"]])
        for name, how in (("bob", first), ("carol", second)):
            assert trio.delivery(name) == (["retireImports", ["o-50"]] if how == "drop" else None)


def test_an_importer_passes_on_what_it_drops_in_the_same_crank(trio: Driver) -> None:
    """The object is held by the message, and then by whoever gets it."""
    kref = give(trio, "bob")
    do(trio, "alice", send(BOB, "meet", CAROL))
    trio.reply("bob")
    do(trio, "bob", send("o-51", "take", BOB), ["dropImports", [BOB]], ["retireImports", [BOB]])
    assert trio.delivery("alice") is None
    trio.handle("carol", message("o+0", "take", "o-50"))
    assert counts(trio, kref) == (1, 1)
    do(trio, "carol", ["dropImports", ["o-50"]], ["retireImports", ["o-50"]])
    trio.handle("alice", ["dropExports", ["o+5"]])


def test_an_importer_may_not_retire_what_it_has_not_dropped(trio: Driver) -> None:
    give(trio, "bob")
    do(trio, "bob", ["retireImports", [BOB]])
    assert trio.reason_of("bob") == "retireImports of o-50, which is still reachable"


def test_abandoned_exports_are_orphans_and_their_former_vat_lives_on(trio: Driver) -> None:
    give(trio, "bob")
    do(trio, "alice", ["abandonExports", ["o+5"]])
    do(trio, "bob", send(BOB, "use", result="p+1"), subscribe("p+1"))
    trio.handle("bob", ["notify", [["p+1", True, data(TERMINATED)]]])
    assert trio.state_of("alice") == "running"


def test_pitfall_11_a_queued_message_to_an_abandoned_export_is_rejected_and_harms_nobody(trio: Driver) -> None:
    give(trio, "bob")
    trio.ask("alice", "busy")
    do(trio, "bob", send(BOB, "use", result="p+1"), subscribe("p+1"))
    trio.reply("alice", ["abandonExports", ["o+5"]])
    trio.handle("bob", ["notify", [["p+1", True, data(TERMINATED)]]])
    assert trio.delivery("alice") is None
    assert trio.state_of("alice") == "running"


def test_pitfall_05_collecting_and_then_terminating_stops_nothing(trio: Driver) -> None:
    give(trio, "bob")
    trio.request("collectGarbage")
    trio.request("terminateVat", {"vat": trio.vat("alice")})
    trio.handle("bob", ["bringOutYourDead"], ["dropImports", [BOB]], ["retireImports", [BOB]])
    trio.handle("carol", ["bringOutYourDead"])
    assert not trio.inflight


def test_a_terminated_vat_drops_what_it_held(trio: Driver) -> None:
    give(trio, "bob")
    trio.request("terminateVat", {"vat": trio.vat("bob")})
    trio.handle("alice", ["dropExports", ["o+5"]])
    trio.handle("alice", ["retireExports", ["o+5"]])


# --- promises in circles ----------------------------------------------------------------------------


def test_pitfall_15_a_promise_resolved_to_data_with_itself_is_collected(trio: Driver) -> None:
    before = trio.kernel._state.count("promises")
    trio.reply("alice", send(BOB, "take", "p+1"), fulfill("p+1", refs("p+1", "o+5")), fulfill(GO, data('#""')))
    trio.handle("bob", message("o+0", "take", "p-60"), subscribe("p-60"))
    kref = trio.kref("alice", "o+5")
    trio.handle("bob", ["notify", [["p-60", False, refs("p-60", "o-50")]]], ["dropImports", ["o-50"]])
    assert trio.kernel._state.count("promises") == before - 1, "and that one was the answer to the request"
    trio.handle("alice", ["dropExports", ["o+5"]])
    assert counts(trio, kref) == (0, 1)


def test_a_circle_of_promises_that_somebody_holds_stays(trio: Driver) -> None:
    trio.reply(
        "alice",
        send(BOB, "take", "p+1"),
        ["resolve", [["p+1", False, refs("p+2")], ["p+2", False, refs("p+3")], ["p+3", False, refs("p+1")]]],
    )
    kpid = trio.kref("bob", "p-60")
    trio.reply("bob")
    assert trio.kernel.find_promise_state(kpid) == "fulfilled"
    do(trio, "bob", subscribe("p-60"))
    batch = trio.delivery("bob")[1]
    assert [len(data["slots"]) for _, _, data in batch] == [1, 1, 1]
    trio.reply("bob")
    assert trio.kernel.find_promise_state(kpid) is None


# --- bringOutYourDead -------------------------------------------------------------------------------


@pytest.mark.parametrize("is_of_the_vat", [False, True])
@pytest.mark.parametrize("interval", [2, 5, 17])
def test_a_vat_is_asked_for_its_garbage_after_so_many_deliveries(interval: int, is_of_the_vat: bool) -> None:
    driver = Driver(limits=replace(ONE_BY_ONE, reap_deliveries=3 if is_of_the_vat else interval))
    bob = {"source": "vat.py", "reap_interval": interval}
    driver.launch("alice", "bob", vats={"bob": bob} if is_of_the_vat else None)
    seen = []
    for _ in range(3 * interval):
        driver.ask("bob")
        while (delivery := driver.delivery("bob")) is not None:
            seen.append(delivery[0])
            driver.reply("bob")
    reaps = [index for index, kind in enumerate(seen) if kind == "bringOutYourDead"]
    assert reaps[0] == interval - 1, "the start counts"
    assert {later - earlier for earlier, later in pairwise(reaps)} == {interval + 1}, "and that one does not"


def test_a_vat_is_asked_after_every_delivery_or_never_if_its_cluster_file_says_so() -> None:
    driver = Driver(limits=replace(ONE_BY_ONE, reap_deliveries=2))
    vats = {name: {"source": "vat.py", "reap_interval": interval} for name, interval in (("bob", 1), ("carol", 0))}
    driver.begin_launch("alice", "bob", "carol", vats=vats)
    driver.reply("bob")
    driver.handle("bob", ["bringOutYourDead"])
    assert driver.delivery("bob") is None, "that one does not count"
    driver.reply("carol")
    driver.reply("alice")
    for _ in range(5):
        driver.ask("carol")
        assert driver.delivery("carol")[0] == "message"
        driver.reply("carol")
    assert driver.delivery("carol") is None


def test_garbage_is_collected_on_demand_in_one_vat_or_all(trio: Driver) -> None:
    trio.reply("alice")
    assert trio.query("collectGarbage", vat=trio.vat("bob")) == {"vats": [trio.vat("bob")]}
    trio.handle("bob", ["bringOutYourDead"])
    assert trio.query("collectGarbage") == {"vats": ["v1", "v2", "v3"]}
    for name in ("alice", "bob", "carol"):
        trio.handle(name, ["bringOutYourDead"])


# --- with deliveries ahead --------------------------------------------------------------------------


def test_what_a_vat_drops_before_it_hears_of_it_again_stays() -> None:
    driver = Driver(limits=replace(ONE_BY_ONE, deliveries_inflight_max=3))
    driver.launch("alice", "bob")
    driver.ask("alice")
    driver.reply("alice", send(BOB, "take", "o+5"))
    driver.reply("bob")
    driver.ask("alice", "again")
    driver.ask("bob", "first")
    driver.reply("alice", send(BOB, "again", "o+5"))
    assert len(driver.followers[driver.vat("bob")]) == 1
    driver.reply("bob", ["dropImports", [BOB]], ["retireImports", [BOB]])
    driver.handle("bob", message("o+0", "again", BOB), send(BOB, "use"))
    assert driver.delivery("alice") == message("o+5", "use")


def test_what_is_recalled_is_dropped_again() -> None:
    driver = Driver(limits=replace(ONE_BY_ONE, deliveries_inflight_max=3))
    driver.launch("alice", "bob")
    driver.ask("alice")
    driver.reply("alice", send(BOB, "take", "o+5"))
    driver.reply("bob")
    do(driver, "bob", ["dropImports", [BOB]])
    kref = driver.kref("alice", "o+5")
    driver.ask("bob", "first")
    driver.reply("alice", send(BOB, "again", "o+5"))
    assert counts(driver, kref) == (1, 1)
    driver.lose("bob")
    driver.reply("bob", ["retireImports", [BOB]])
    assert driver.delivery("bob") == message("o+0", "again", "o-51"), "a name of its own: the vat has retired the first"
