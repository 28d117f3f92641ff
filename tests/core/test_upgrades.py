"""Upgrades, pauses, restarts, critical vats, reloaded clusters, revoked and pinned objects, poison messages."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from kernel_py.hosts.memory import MemoryHost, RequestFailed
from tests.core.driver import GO, ONE_BY_ONE, Driver, data, fulfill, message, refs, send, subscribe, text

BOB, CAROL = "o-50", "o-51"
NEW = {"files": {"new.py": "x = 2"}, "source": "new.py"}
REVOKED = '#{"#error":"the object was revoked","name":"Error"}'


def upgraded(number: int = 0, told: str = "vat upgraded") -> Any:
    body = {"incarnationNumber": number, "name": "vatUpgraded", "upgradeMessage": told}
    return data("#" + json.dumps(body, separators=(",", ":")))


def begin(trio: Driver, name: str, **options: Any) -> str:
    """Ask for an upgrade; the vat is starting its new incarnation afterwards. Returns the request's key."""
    key = trio.request("upgradeVat", {"vat": trio.vat(name), **NEW, **options})
    trio.handle(name, ["bringOutYourDead"])
    assert trio.result(key) is None
    assert trio.delivery(name)[0] == "startVat"
    return key


# --- upgrades ---------------------------------------------------------------------------------------


def test_a_vat_is_upgraded_and_keeps_its_name(trio: Driver) -> None:
    key = begin(trio, "bob", parameters={"n": 1.5})
    assert trio.delivery("bob") == ["startVat", data('#{"n":1.5}')]
    trio.reply("bob")
    assert trio.result(key) == {"incarnation": 1}
    record = trio.kernel.get_vat(trio.vat("bob"))
    assert [(first, main) for first, _, main in record.sources] == [(1, "vat.py"), (3, "new.py")]
    trio.reply("alice", send(BOB, "hello"))
    trio.handle("bob", message("o+0", "hello"))


def test_what_the_old_incarnation_decided_is_rejected(trio: Driver) -> None:
    trio.reply(
        "alice",
        send(BOB, "wait", result="p+1"),
        subscribe("p+1"),
        send(BOB, "take", result="p+2"),
        subscribe("p+2"),
    )
    trio.reply("bob")
    trio.reply("bob", fulfill("p-61", refs("p+9")))
    trio.handle("alice", ["notify", [["p+2", False, refs("p-62")]]], subscribe("p-62"))
    begin(trio, "bob", message="better")
    assert trio.promise(trio.kref("alice", "p+1")).state == "unresolved", "until the new one has started"
    trio.reply("bob")
    assert trio.delivery("alice") == [
        "notify",
        [["p-62", True, upgraded(told="better")], ["p+1", True, upgraded(told="better")]],
    ]
    assert trio.kernel._references.find_kref(trio.vat("bob"), "p-60") is None


def test_a_promise_that_the_vat_itself_watches_is_told_to_the_new_incarnation(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "take", result="p+1"), subscribe("p+1"))
    trio.reply("bob", subscribe("p-60"))
    begin(trio, "bob")
    trio.reply("bob")
    trio.handle("bob", ["notify", [["p-60", True, upgraded()]]])
    assert trio.kernel._references.find_kref(trio.vat("bob"), "p-60") is None


def test_exports_that_are_not_durable_are_orphans_and_the_others_stay(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "give", result="p+1"), subscribe("p+1"))
    trio.reply("bob", fulfill("p-60", refs("o+1", "o+v10/1", "o+d11/1", "o+0")))
    trio.reply("alice")
    begin(trio, "bob")
    trio.reply("bob")
    ephemeral, virtual, durable = (trio.kref("alice", f"o-{n}") for n in (52, 53, 54))
    owners = [trio.kernel._references.find_owner(kref) for kref in (ephemeral, virtual, durable)]
    assert owners == [None, None, trio.vat("bob")]
    trio.ask("alice")
    trio.reply("alice", send("o-52", "m", result="p+5"), subscribe("p+5"), send("o-54", "m"))
    trio.handle("bob", message("o+d11/1", "m"))
    assert trio.delivery("alice")[1][0][:2] == ["p+5", True]


@pytest.mark.parametrize("how", ["error", "illegal", "gives up"])
def test_a_start_that_fails_leaves_everything_as_it_was(trio: Driver, how: str) -> None:
    trio.reply("alice", send(BOB, "wait", result="p+1"), subscribe("p+1"))
    trio.reply("bob")
    kpid = trio.kref("alice", "p+1")
    bundles = set(trio.backend.bundles)
    key = begin(trio, "bob")
    match how:
        case "error":
            trio.reply("bob", error="Traceback: no kind")
        case "illegal":
            trio.reply("bob", send("o-99", "x"))
        case _:
            trio.reply("bob", ["exit", True, text("no")])
    with pytest.raises(RequestFailed, match=r"v2 \(bob\) was not upgraded and goes on as it was: "):
        trio.result(key)
    record = trio.kernel.get_vat(trio.vat("bob"))
    assert record.incarnation == 0
    assert set(trio.backend.bundles) == bundles
    assert trio.promise(kpid).state == "unresolved"
    trio.ask("bob", "hello")
    assert trio.kernel.get_delivered(trio.vat("bob")) == 3
    trio.reply("bob", fulfill("p-60", text("late")))
    assert trio.delivery("alice") == ["notify", [["p+1", False, text("late")]]]


def test_a_worker_that_dies_under_every_start_ends_the_upgrade_only(trio: Driver) -> None:
    key = begin(trio, "bob")
    for _ in range(trio.limits.delivery_attempts_max):
        trio.lose("bob")
    with pytest.raises(RequestFailed, match="upgrade failed 3 times: out of memory"):
        trio.result(key)
    assert trio.state_of("bob") == "running"


def test_messages_wait_for_the_new_incarnation(trio: Driver) -> None:
    begin(trio, "bob")
    trio.reply("alice", send(BOB, "hello"))
    assert trio.delivery("bob")[0] == "startVat"
    trio.reply("bob")
    trio.handle("bob", message("o+0", "hello"))


def test_an_upgrade_survives_the_kernel_s_end_at_any_point(trio: Driver) -> None:
    key = trio.request("upgradeVat", {"vat": trio.vat("bob"), **NEW})
    trio.reload()
    trio.handle("bob", ["bringOutYourDead"])
    trio.reload()
    assert trio.kernel.get_life(trio.vat("bob"))[1].main == "new.py"
    trio.reply("bob")
    assert trio.result(key) == {"incarnation": 1}


def test_a_vat_that_ends_before_its_upgrade_says_so(trio: Driver) -> None:
    key = begin(trio, "bob")
    trio.request("terminateVat", {"vat": trio.vat("bob"), "reason": "enough"})
    with pytest.raises(RequestFailed, match="v2 was terminated before it was upgraded: enough"):
        trio.result(key)


def test_one_upgrade_at_a_time(trio: Driver) -> None:
    begin(trio, "bob")
    with pytest.raises(RequestFailed, match=r"params.vat: v2 is being upgraded already"):
        trio.query("upgradeVat", vat=trio.vat("bob"), **NEW)


@pytest.mark.parametrize(
    "change, told",
    [
        ({"vat": "v99"}, "params.vat: there is no vat 'v99'"),
        ({"source": "no.py"}, "params.source: there is no file 'no.py'; given are: new.py"),
        ({"files": {"../x": ""}}, "params.files"),
        ({"files": 3}, "params.files: must be an object"),
    ],
)
def test_a_wrong_request_is_refused(trio: Driver, change: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestFailed, match=re.escape(told)):
        trio.query("upgradeVat", **({"vat": trio.vat("bob"), **NEW} | change))


# --- real vats --------------------------------------------------------------------------------------

OLD_CODE = """
from kernel_py.vat import Exo
class Root(Exo):
    def __init__(self, baggage): self.baggage = baggage
    def bootstrap(self, vats, services): pass
    def count(self):
        self.baggage["n"] = self.baggage.get("n", 0) + 1
        return self.baggage["n"]
def build_root_object(powers, parameters, baggage): return Root(baggage)
"""
NEW_CODE = OLD_CODE.replace("+ 1", "+ 100")


def test_a_real_vat_keeps_its_baggage_and_comes_back_by_replay() -> None:
    host = MemoryHost()
    root = host.launch({"bootstrap": "a", "vats": {"a": {"source": "a.py"}}}, {"a.py": OLD_CODE})["root"]
    assert host.send(root, "count")["value"] == "1"
    assert host.request("upgradeVat", {"vat": "v1", "files": {"a.py": NEW_CODE}}) == {"incarnation": 1}
    assert host.send(root, "count")["value"] == "101"
    host.evict("v1")
    assert host.send(root, "count")["value"] == "201"
    again = host.reopen()
    assert again.send(root, "count")["value"] == "301"
    with pytest.raises(RequestFailed, match="ZeroDivisionError"):
        again.request("upgradeVat", {"vat": "v1", "files": {"a.py": "1 / 0"}})
    assert again.send(root, "count")["value"] == "401"
    assert again.request("upgradeVat", {"vat": "v1", "files": {"a.py": OLD_CODE}}) == {"incarnation": 2}
    assert again.send(root, "count")["value"] == "402"
    assert again.reopen().send(root, "count")["value"] == "403"


# --- pauses, restarts, ends -------------------------------------------------------------------------


def test_a_paused_vat_is_given_nothing_until_it_is_resumed(trio: Driver) -> None:
    assert trio.query("pauseVat", vat=trio.vat("bob")) == {}
    trio.reply("alice", send(BOB, "hello"), send(CAROL, "hello"))
    assert trio.delivery("bob") is None
    trio.handle("carol", message("o+0", "hello"))
    trio.reload()
    assert trio.delivery("bob") is None
    with pytest.raises(RequestFailed, match="only what is running can be paused"):
        trio.query("pauseVat", vat=trio.vat("bob"))
    trio.query("resumeVat", vat=trio.vat("bob"))
    trio.handle("bob", message("o+0", "hello"))


def test_what_a_paused_vat_has_in_flight_ends(trio: Driver) -> None:
    trio.query("pauseVat", vat=trio.vat("alice"))
    trio.reply("alice", fulfill(GO, text("done")))
    assert trio.delivery("alice") is None


def test_a_paused_vat_can_be_terminated(trio: Driver) -> None:
    trio.query("pauseVat", vat=trio.vat("bob"))
    trio.reply("alice", send(BOB, "hello", result="p+1"), subscribe("p+1"))
    trio.query("terminateVat", vat=trio.vat("bob"))
    assert trio.delivery("alice")[1][0][:2] == ["p+1", True]


def test_pitfall_03_a_restart_leaves_no_caller_waiting(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "hello", result="p+1"), subscribe("p+1"))
    assert trio.query("restartVat", vat=trio.vat("bob")) == {}
    trio.reply("bob", fulfill("p-60", text("hi")))
    trio.handle("alice", ["notify", [["p+1", False, text("hi")]]])


def test_a_cluster_ends_with_its_critical_vat() -> None:
    driver = Driver()
    config = {"bootstrap": "a", "vats": {"a": {"source": "a.py"}, "b": {"source": "a.py", "critical": True}}}
    driver.request("launch", {"config": config, "files": {"a.py": ""}})
    driver.reply("v1")
    driver.reply("v2")
    driver.reply("v1", fulfill("p-60", text("up")))
    driver.request("terminateVat", {"vat": "v2", "reason": "gone"})
    assert driver.reason_of("v1") == "its critical vat 'b' (v2) ended: gone"
    assert driver.kernel._state.get("clusters", "c1").state == "terminated"


def test_a_cluster_is_reloaded_as_a_whole(trio: Driver) -> None:
    bundles = set(trio.backend.bundles)
    key = trio.request("reloadCluster", {"cluster": "c1"})
    assert [trio.state_of(vat) for vat in ("v1", "v2", "v3")] == ["terminated"] * 3
    assert trio.reason_of("v1") == "reloaded"
    for vat in ("v4", "v5", "v6"):
        trio.handle(vat, ["startVat", data("#{}")])
    trio.reply("v4", fulfill("p-60", text("up")))
    assert trio.result(key)["cluster"] == "c2"
    assert trio.result(key)["vats"] == {"alice": "v4", "bob": "v5", "carol": "v6"}
    assert set(trio.backend.bundles) == bundles


# --- objects ----------------------------------------------------------------------------------------


def test_nothing_is_delivered_to_a_revoked_object(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "take", "o+5"), send(CAROL, "take", "o+6"))
    trio.reply("bob", send("o-50", "early", result="p+1"), subscribe("p+1"))
    kref = trio.kref("alice", "o+5")
    trio.reply("alice")
    trio.ask("bob", "go")
    assert trio.query("revoke", object=kref) == {}
    trio.reply("bob", send("o-50", "late", result="p+2"), subscribe("p+2"))
    trio.handle("bob", ["notify", [["p+2", True, data(REVOKED)]]])
    assert trio.state_of("alice") == "running"
    trio.reload()
    with pytest.raises(RequestFailed, match="revoked"):
        trio.query("send", target=kref, method="x", args="")


def test_a_message_on_its_way_to_an_object_that_is_revoked_is_rejected(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "take", "o+5"), fulfill(GO, text("x")))
    trio.ask("alice", "busy")
    trio.reply("bob", send("o-50", "late", result="p+2"), subscribe("p+2"))
    trio.query("revoke", object=trio.kref("alice", "o+5"))
    trio.reply("alice")
    trio.handle("bob", ["notify", [["p+2", True, data(REVOKED)]]])


def test_a_revoked_object_is_collected_like_any_other(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "take", "o+5"), fulfill(GO, text("x")))
    kref = trio.kref("alice", "o+5")
    trio.query("revoke", object=kref)
    trio.reply("bob", ["dropImports", ["o-50"]], ["retireImports", ["o-50"]])
    trio.handle("alice", ["dropExports", ["o+5"]])
    trio.handle("alice", ["retireExports", ["o+5"]])
    assert not trio.kernel._state.count("revoked")


def test_a_pinned_object_stays_until_it_is_unpinned(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "take", "o+5"), fulfill(GO, text("x")))
    kref = trio.kref("alice", "o+5")
    for _ in range(2):
        trio.query("pin", object=kref)
    trio.reply("bob", ["dropImports", ["o-50"]], ["retireImports", ["o-50"]])
    assert trio.delivery("alice") is None
    for _ in range(2):
        trio.query("unpin", object=kref)
    trio.handle("alice", ["dropExports", ["o+5"]])


def test_a_reference_that_is_none_is_refused(trio: Driver) -> None:
    with pytest.raises(RequestFailed, match=r"params\.object: there is no object 'ko999'"):
        trio.query("revoke", object="ko999")
    with pytest.raises(RequestFailed, match=r"params\.object"):
        trio.query("pin", object="x")


# --- poison messages --------------------------------------------------------------------------------


def test_a_message_that_is_stopped_is_rejected_and_the_vat_goes_on_from_before_it(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "bomb", result="p+1"), subscribe("p+1"), send(BOB, "next", CAROL))
    trio.poison("bob")
    error = '#{"#error":"this message was stopped: out of gas","name":"Error"}'
    trio.handle("alice", ["notify", [["p+1", True, data(error)]]])
    trio.handle("bob", message("o+0", "next", "o-50"))
    assert trio.kernel.get_delivered(trio.vat("bob")) == 2, "the start and the next"


def test_what_was_given_ahead_comes_again_after_a_poison_message() -> None:
    driver = Driver(limits=replace(ONE_BY_ONE, deliveries_inflight_max=3))
    driver.launch("alice", "bob")
    driver.ask("alice")
    driver.reply("alice", send(BOB, "bomb", result="p+1"), send(BOB, "m2"), send(BOB, "m3"))
    driver.poison("bob")
    driver.handle("bob", message("o+0", "m2"))
    driver.handle("bob", message("o+0", "m3"))
    assert driver.promise(driver.kref("alice", "p+1")).state == "rejected"


def test_poison_in_another_delivery_than_a_message_ends_the_vat(trio: Driver) -> None:
    trio.request("collectGarbage", {"vat": trio.vat("bob")})
    trio.poison("bob")
    assert trio.reason_of("bob") == "reap was stopped: out of gas"


def test_poison_in_a_new_incarnation_ends_the_upgrade_only(trio: Driver) -> None:
    key = begin(trio, "bob")
    trio.poison("bob")
    with pytest.raises(RequestFailed, match="upgrade was stopped: out of gas"):
        trio.result(key)
    assert trio.state_of("bob") == "running"
