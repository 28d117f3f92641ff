"""The kernel as a whole: parallel dispatch, host faults, reloads, serial mode."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from kernel_py.core import schema
from kernel_py.core.interceptors import GoOn, Part, PartCall
from kernel_py.core.kernel import Kernel
from kernel_py.core.store import MemoryBackend
from kernel_py.wire.errors import HostFault, KernelBug, StoreError
from kernel_py.wire.limits import DEFAULT_LIMITS
from tests.core.driver import (
    GO,
    Driver,
    data,
    fulfill,
    message,
    notify,
    send,
    subscribe,
    text,
)

BOB, CAROL = "o-50", "o-51"
ATTEMPTS = DEFAULT_LIMITS.delivery_attempts_max


# --- parallel dispatch ------------------------------------------------------------------------------


def test_vats_work_at_the_same_time(trio: Driver) -> None:
    trio.ask("bob")
    trio.ask("carol")
    assert all(trio.delivery(name) for name in ("alice", "bob", "carol"))


def test_a_vat_gets_its_next_delivery_only_after_its_reply(trio: Driver) -> None:
    trio.ask("alice", "second")
    assert trio.delivery("alice") == message("o+0", "go", result="p-61")
    trio.reply("alice")
    assert trio.delivery("alice") == message("o+0", "second", result="p-62")


def test_replies_may_come_in_any_order(trio: Driver) -> None:
    keys = [trio.ask("bob"), trio.ask("carol")]
    trio.reply("carol", fulfill("p-60", text("carol")))
    trio.reply("bob", fulfill("p-60", text("bob")))
    assert [trio.result(key)["value"] for key in keys] == ["'bob'", "'carol'"]


def test_a_vat_that_never_replies_delays_only_what_is_addressed_to_it(trio: Driver) -> None:
    """Pitfall 1: bob hangs."""
    trio.reply("alice", send(BOB, "hang"), send(CAROL, "work", result="p+1"), subscribe("p+1"), fulfill(GO, text("ok")))
    hung = trio.ask("bob")
    for n in range(3):
        trio.reply("carol", *([fulfill("p-60", text("done"))] if n == 0 else []))
        trio.ask("carol")
    trio.handle("alice", notify(("p+1", False, text("done"))))
    status = {vat["name"]: vat for vat in trio.query("status")["vats"]}
    assert status["bob"]["inflight"]
    assert status["bob"]["queued"] == 1
    assert trio.query("terminateVat", vat=trio.vat("bob"), reason="it hangs") == {}
    assert trio.result(hung)["status"] == "rejected"
    assert trio.stopped == [trio.vat("bob")]


def test_dispatch_takes_what_was_accepted_first(driver: Driver) -> None:
    driver = Driver(is_serial=True)
    driver.begin_launch("alice", "bob")
    driver.reply("alice")
    driver.reply("bob")
    driver.reply("alice", send(BOB, "1"), send("o+0", "2"), send(BOB, "3"), fulfill("p-60", text("x")))
    order = []
    while driver.inflight:
        (vat,) = driver.inflight
        order.append(json.loads(driver.delivery(vat)[2]["methargs"]["body"][1:])[0])
        driver.reply(vat)
    assert order == ["1", "2", "3"]


def test_serial_mode_has_one_delivery_in_flight_over_all_vats() -> None:
    driver = Driver(is_serial=True)
    driver.begin_launch("alice", "bob", "carol")
    for _ in range(3):
        assert len(driver.inflight) == 1
        driver.reply(next(iter(driver.inflight)))


def test_the_kernel_is_busy_while_there_is_something_to_do(driver: Driver) -> None:
    busy = [driver.kernel.is_busy]
    driver.begin_launch("alice")
    busy.append(driver.kernel.is_busy)
    driver.reply("alice")
    driver.reply("alice", fulfill("p-60", text("x")))
    busy.append(driver.kernel.is_busy)
    assert busy == [False, True, False]


# --- output commit ----------------------------------------------------------------------------------


def test_a_response_comes_with_the_delta_of_its_cause(driver: Driver) -> None:
    driver.is_committing = driver.is_checking = False  # the test takes what the driver would
    key = driver.begin_launch("alice")
    driver.reply("alice")
    driver.reply("alice", fulfill("p-60", text("x")))
    commit = driver.kernel.take_commit()
    assert [response.key for response in commit.responses] == [key]
    assert schema.store_key(schema.REQUESTS, key) in commit.delta.puts
    assert not driver.kernel.take_commit()
    driver.request("status")
    assert driver.kernel.has_responses


def test_deliveries_do_not_wait_for_a_commit(driver: Driver) -> None:
    driver.is_committing = False
    driver.begin_launch("alice")
    assert driver.delivery("alice") is not None


# --- reload -----------------------------------------------------------------------------------------


def test_a_new_kernel_gives_again_what_was_in_flight_in_the_same_words(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "m", "o+3", "p+4", result="p+1"), subscribe("p+1"))
    trio.ask("carol")
    before = dict(trio.inflight)
    assert set(before) == {"v2", "v3"}
    trio.reload()
    assert trio.inflight == before
    trio.reload()
    assert trio.inflight == before


def test_work_goes_on_after_a_reload_as_if_nothing_had_happened(trio: Driver) -> None:
    key = trio.ask("alice", "second")
    trio.reload()
    trio.reply("alice", send(BOB, "m", result="p+1"), subscribe("p+1"))
    trio.reload()
    trio.reply("bob", fulfill("p-60", text("x")))
    trio.reload()
    trio.handle("alice", message("o+0", "second", result="p-62"), fulfill("p-62", text("done")))
    trio.reload()
    assert trio.result(key)["value"] == "'done'"
    trio.handle("alice", notify(("p+1", False, text("x"))))


def test_what_was_not_committed_has_not_happened(trio: Driver) -> None:
    trio.is_committing = False
    trio.reply("alice", send(BOB, "m"), fulfill(GO, text("done")))
    assert trio.delivery("bob") is not None
    trio.is_committing = True
    trio.reload()
    assert trio.delivery("bob") is None
    trio.handle("alice", message("o+0", "go", result=GO), fulfill(GO, text("done")))
    assert trio.result("key-2")["value"] == "'done'"


def test_a_pending_request_is_answered_after_a_reload(trio: Driver) -> None:
    trio.reload()
    trio.reload()
    trio.reply("alice", fulfill(GO, text("done")))
    assert len(trio.responses["key-2"]) == 1


def test_an_answer_survives_a_reload_until_it_is_acknowledged(trio: Driver) -> None:
    trio.reply("alice", fulfill(GO, text("done")))
    trio.reload()
    trio.request("send", {"target": trio.root("alice"), "method": "go", "args": ""}, "key-2")
    assert len(trio.responses["key-2"]) == 2
    assert trio.delivery("alice") is None
    trio.acknowledge("key-2")
    assert trio.kernel._state.get("requests", "key-2") is None


def test_an_empty_store_is_a_new_kernel_and_keeps_its_seed() -> None:
    driver = Driver()
    assert driver.backend.texts == {"kernel.schema": "3", "kernel.seed": '"seed"'}
    again = Kernel(driver.backend.texts, seed="another")
    assert again._state.get(schema.KERNEL, schema.SEED) == "seed"
    assert not again.take_commit()


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"kernel.schema": "1"}, "schema version 1, this kernel reads 3"),
        ({"kernel.schema": None}, "no schema version"),
        ({"kernel.schema": '"x"'}, "schema version is corrupt"),
        ({"objects.ko20": "[]"}, "'objects.ko20' is corrupt"),
        ({"objects.ko20": "[1"}, "'objects.ko20' is corrupt"),
        ({"promises.kp40": '["lost",1,null,[],0,0,"",[]]'}, "'promises.kp40' is corrupt"),
        ({"v1.clist.ko20": "7"}, "'v1.clist.ko20' is corrupt"),
        ({"v1.queue.0": '[1,"message",[]]'}, "'v1.queue.0' is corrupt"),
        ({"v1.queue.0": "[" * 10_000}, "'v1.queue.0' is corrupt"),
        ({"songs.1": "1"}, "unknown table 'songs'"),
        ({"something": "1"}, "unknown key 'something'"),
        ({"../x.1": "1"}, "unknown key '../x.1'"),
    ],
)
def test_a_store_that_does_not_fit_is_refused(change: dict[str, str | None], reason: str) -> None:
    driver = Driver()
    driver.launch("alice")
    texts: dict[str, str | None] = {**driver.backend.texts, **change}
    with pytest.raises(StoreError) as caught:
        Kernel({key: value for key, value in texts.items() if value is not None}, seed="x")
    assert reason in str(caught.value)


# --- host faults ------------------------------------------------------------------------------------


def test_a_delivery_whose_worker_died_is_given_again_in_the_same_words(trio: Driver) -> None:
    before = trio.inflight["v1"]
    for _ in range(ATTEMPTS - 1):
        trio.lose("alice")
        assert trio.inflight["v1"] == before
        trio.reload()
        assert trio.inflight["v1"] == before
    trio.reply("alice", fulfill(GO, text("at last")))
    assert trio.result("key-2")["value"] == "'at last'"


def test_a_message_that_kills_every_worker_is_rejected_and_the_vat_lives_on(trio: Driver) -> None:
    trio.request("send", {"target": trio.root("bob"), "method": "boom", "args": f"{trio.root('carol')}"})
    for _ in range(ATTEMPTS):
        assert trio.delivery("bob")[1] == "o+0"
        trio.lose("bob", "out of memory")
    assert trio.result("key-3")["status"] == "rejected"
    assert trio.result("key-3")["value"] == (
        f"Error('the worker of v2 died {ATTEMPTS} times under this message: out of memory')"
    )
    assert trio.state_of("bob") == "running"
    assert trio.find_vref("bob", trio.root("carol")) is None  # it never saw that delivery
    key = trio.ask("bob")
    trio.reply("bob", fulfill("p-61", text("fine")))
    assert trio.result(key)["value"] == "'fine'"


def test_a_rejected_message_keeps_what_the_vat_knew_before_it(trio: Driver) -> None:
    trio.reply(
        "alice", send(BOB, "know", "o+5"), send(BOB, "boom", "o+5", "o+6", "p+7", result="p+1"), subscribe("p+1")
    )
    trio.handle("bob", message("o+0", "know", "o-50"))
    for _ in range(ATTEMPTS):
        trio.lose("bob")
    assert trio.kref("bob", "o-50") == trio.kref("alice", "o+5")
    assert trio.find_vref("bob", trio.kref("alice", "o+6")) is None
    ((_, is_reject, _),) = trio.delivery("alice")[1]
    assert is_reject


def test_a_message_to_oneself_that_kills_every_worker_is_rejected(trio: Driver) -> None:
    """The vat made the result's name itself: that entry is not undone."""
    trio.reply("alice", send("o+0", "boom", result="p+1"), subscribe("p+1"))
    for _ in range(ATTEMPTS):
        trio.lose("alice")
    ((vpid, is_reject, _),) = trio.delivery("alice")[1]
    assert (vpid, is_reject) == ("p+1", True)


def test_a_message_without_result_that_kills_every_worker_is_dropped(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "boom"), send(BOB, "after"))
    for _ in range(ATTEMPTS):
        trio.lose("bob")
    trio.handle("bob", message("o+0", "after"))


def test_attempts_are_counted_for_each_message(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "a"), send(BOB, "b"))
    for method in ("a", "b"):
        trio.lose("bob")
        trio.lose("bob")
        trio.handle("bob", message("o+0", method))


def test_a_start_that_kills_every_worker_takes_the_launch_back(driver: Driver) -> None:
    key = driver.begin_launch("alice")
    for _ in range(ATTEMPTS):
        driver.lose("alice")
    assert "start failed 3 times: out of memory" in driver.responses[key][0]
    assert driver.kernel._state.tables() == ["kernel", "requests"]


def test_a_notify_that_kills_every_worker_ends_the_vat(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "m", result="p+1"), subscribe("p+1"))
    trio.reply("bob", fulfill("p-60", text("x")))
    for _ in range(ATTEMPTS):
        assert trio.delivery("alice") == notify(("p+1", False, text("x")))
        trio.lose("alice")
    assert trio.reason_of("alice") == "notify failed 3 times: out of memory"


@pytest.mark.parametrize("name", ["bob", "v99", "nobody"])
def test_the_death_of_an_idle_or_unknown_worker_is_nothing_to_the_kernel(trio: Driver, name: str) -> None:
    trio.lose(name)
    assert trio.state_of("bob") == "running"


def test_a_dead_worker_of_a_dead_vat_is_ignored(trio: Driver) -> None:
    trio.request("terminateVat", {"vat": "v1"})
    trio.lose("alice")
    assert trio.state_of("alice") == "terminated"


def test_a_long_story_of_a_worker_s_death_is_cut(trio: Driver) -> None:
    trio.kernel.observe(is_observed=True)
    for _ in range(ATTEMPTS):
        trio.lose("alice", "x" * 1_000_000)
    assert len(trio.result("key-2")["value"]) < 50_000
    assert all(len(json.dumps(event)) < 50_000 for event in trio.events)


# --- bugs of ours -----------------------------------------------------------------------------------


def test_a_bug_undoes_its_transaction_and_is_raised(trio: Driver) -> None:
    def fail(call: PartCall, go_on: GoOn) -> None:
        go_on(*call.arguments)
        raise KernelBug("oh")

    number = trio.kernel.get_delivered("v1")
    with (
        trio.kernel.interceptors.add(fail, Part.SYSCALLS, method="subscribe"),
        pytest.raises(KernelBug, match="oh"),
    ):
        trio.reply("alice", send(BOB, "hello", result="p+1"), subscribe("p+1"))
    assert trio.kernel.get_delivered("v1") == number
    assert trio.state_of("alice") == "running"
    trio.reload()
    trio.reply("alice", fulfill(GO, text("fine")))
    assert trio.result("key-2")["value"] == "'fine'"


def test_transactions_do_not_nest(trio: Driver) -> None:
    with pytest.raises(KernelBug, match="began inside another"):
        trio.kernel._transact(lambda: trio.kernel.acknowledge("x"))
    trio.ask("bob")
    trio.reply("bob")


def test_asking_for_what_does_not_exist_is_a_bug(trio: Driver) -> None:
    with pytest.raises(KernelBug, match="no vat v9"):
        trio.kernel.get_vat("v9")
    trio.request("terminateVat", {"vat": "v1"})
    with pytest.raises(KernelBug, match="terminated"):
        trio.kernel.get_delivered("v1")
    assert trio.kernel.living_vats() == ["v2", "v3"]


# --- determinism ------------------------------------------------------------------------------------


def _run_a_day() -> MemoryBackend:
    """Much of what can happen, in serial mode."""
    driver = Driver(is_serial=True)
    driver.begin_launch("alice", "bob", "carol")
    for name in ("alice", "bob", "carol"):
        driver.reply(name)
    driver.reply("alice", send(BOB, "a", "o+1", result="p+1"), subscribe("p+1"), send(CAROL, "b", "p+1", result="p+2"))
    driver.reply("bob", fulfill("p-60", data('#["$0"]', "o+8")), send("o-50", "use", result="p+1"))
    driver.reply("carol", subscribe("p-60"), send("p-60", "pipelined", result="p+1"), subscribe("p+1"))
    driver.reply("alice", fulfill("p-60", text("up")))
    driver.kernel.worker_died("v1", HostFault("x"))
    driver.turn()
    driver.reply("alice", send("o-99", "illegal"))
    driver.reply("carol")
    driver.request("terminateCluster", {"cluster": "c9"})
    driver.begin_launch("dora", source="y = 1")
    driver.reply("dora", error="no")
    return driver.backend


DIGEST = """
import hashlib
from tests.core.test_kernel import _run_a_day
backend = _run_a_day()
print(hashlib.sha256(repr((backend.texts, backend.transcripts, backend.bundles)).encode()).hexdigest())
"""


@pytest.mark.native
def test_stores_do_not_depend_on_the_hash_of_strings() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(digests) == 1


def test_the_same_inputs_give_byte_identical_stores() -> None:
    first, second = _run_a_day(), _run_a_day()
    assert list(first.texts.items()) == list(second.texts.items())
    assert first.transcripts == second.transcripts
    assert first.bundles == second.bundles
