"""Clusters: launch, what takes a launch back, the end; bundles."""

from __future__ import annotations

import json

import pytest

from kernel_py.core.clusters import ENDED_KEPT_MAX
from kernel_py.hosts.memory import RequestFailed
from tests.core.driver import (
    TERMINATED,
    UNDEFINED,
    Driver,
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


def error_of(driver: Driver, key: str) -> str:
    with pytest.raises(RequestFailed) as caught:
        driver.result(key)
    return str(caught.value)


def assert_nothing_is_left(driver: Driver) -> None:
    assert set(driver.kernel._state.tables()) <= {"kernel", "requests"}
    assert not driver.backend.transcripts
    assert not driver.backend.bundles
    assert set(driver.stopped) == set(driver.names.values())


# --- launch -----------------------------------------------------------------------------------------


def test_a_launch_starts_every_vat_then_calls_bootstrap(driver: Driver) -> None:
    key = driver.begin_launch("alice", "bob")
    assert driver.delivery("alice") == driver.delivery("bob") == ["startVat", data("#{}")]
    driver.reply("bob")
    assert driver.delivery("bob") is None
    driver.reply("alice")
    roots = '{"alice":"$0.Alleged: alice","bob":"$1.Alleged: bob"}'
    methargs = data(f'#["bootstrap",[{roots},{{}}]]', "o+0", "o-50")
    driver.handle(
        "alice",
        ["message", "o+0", {"methargs": methargs, "result": "p-60"}],
        fulfill("p-60", text("ready")),
    )
    assert driver.result(key) == {
        "cluster": "c1",
        "vats": {"alice": "v1", "bob": "v2"},
        "root": "ko20",
        "result": {"status": "fulfilled", "value": "'ready'", "body": '#"ready"', "slots": []},
    }


def test_parameters_are_given_at_the_start(driver: Driver) -> None:
    config = {"bootstrap": "a", "vats": {"a": {"source": "a.py", "parameters": {"n": [1, 2.5, None, "!x"]}}}}
    driver.request("launch", {"config": config, "files": {"a.py": ""}})
    assert driver.delivery("v1") == ["startVat", data('#{"n":["+1",2.5,null,"!!x"]}')]


def test_parameters_that_cannot_be_passed_are_refused_with_their_path(driver: Driver) -> None:
    deep: object = []
    for _ in range(300):
        deep = [deep]
    config = {"bootstrap": "a", "vats": {"a": {"source": "a.py", "parameters": {"n": deep}}}}
    key = driver.request("launch", {"config": config, "files": {"a.py": ""}})
    assert error_of(driver, key).startswith("config.vats.a.parameters['n'][0][0]")
    assert driver.kernel._state.tables() == ["kernel"]


def test_the_launch_waits_for_a_bootstrap_that_takes_its_time(driver: Driver) -> None:
    key = driver.begin_launch("alice", "bob")
    driver.start_all()
    driver.reply("alice", send("o-50", "help", result="p+1"), subscribe("p+1"))
    assert driver.result(key) is None
    driver.reload()
    driver.reply("bob", fulfill("p-60", text("helped")))
    driver.reply("alice", fulfill("p-60", text("done")))
    assert driver.result(key)["result"]["value"] == "'done'"


def test_a_vat_starts_only_once_over_a_reload(driver: Driver) -> None:
    key = driver.begin_launch("alice", "bob")
    driver.reply("alice")
    driver.reload()
    assert driver.delivery("alice") is None
    driver.reply("bob")
    driver.reply("alice", fulfill("p-60", data(UNDEFINED)))
    assert driver.result(key)["vats"] == {"alice": "v1", "bob": "v2"}


# --- launches that are taken back -------------------------------------------------------------------


def test_a_vat_that_cannot_start_takes_the_launch_back_and_its_error_is_passed_on(driver: Driver) -> None:
    key = driver.begin_launch("alice", "bob", "carol")
    driver.reply("alice")
    trouble = 'File "vat.py", line 1\n    x = = 1\nSyntaxError: invalid syntax'
    driver.reply("bob", error=trouble)
    assert error_of(driver, key) == f"cluster 'alice' was not launched: vat 'bob' (v2) failed: {trouble}"
    assert_nothing_is_left(driver)


def test_a_rejected_bootstrap_takes_the_launch_back(driver: Driver) -> None:
    key = driver.begin_launch("alice", "bob")
    driver.start_all()
    driver.reply("alice", reject("p-60", data('#{"#error":"no money","name":"ValueError"}')))
    reason = "bootstrap was rejected: ValueError('no money')"
    assert error_of(driver, key) == f"cluster 'alice' was not launched: {reason}"
    assert_nothing_is_left(driver)


def test_a_bootstrap_rejected_by_another_vat_takes_the_launch_back(driver: Driver) -> None:
    """Alice pipelines: bob is asked for what bootstrap's answer depends on, in the same batch as other work."""
    key = driver.begin_launch("alice", "bob")
    driver.start_all()
    driver.reply("alice", send("o-50", "a"), send("o-50", "b", "o+5", result="p+1"), subscribe("p+1"))
    driver.reply("bob", send("o+0", "self", result="p+1"), subscribe("p+1"))
    driver.reply("bob", reject("p-60", text("no")))
    driver.handle(
        "alice",
        notify(("p+1", True, text("no"))),
        send("o-50", "more", result="p+2"),
        reject("p-60", text("no")),
        subscribe("p+2"),
        send("o+0", "self", "p+2"),
    )
    assert error_of(driver, key).endswith("bootstrap was rejected: 'no'")
    assert_nothing_is_left(driver)


@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize("is_failure", [False, True])
def test_a_vat_that_leaves_at_its_start_takes_the_launch_back(driver: Driver, who: str, is_failure: bool) -> None:
    key = driver.begin_launch("alice", "bob")
    driver.reply(who, leave("bye", is_failure=is_failure))
    assert "'bye'" in error_of(driver, key)
    assert_nothing_is_left(driver)


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_vat_that_leaves_during_bootstrap_takes_the_launch_back(driver: Driver, who: str) -> None:
    key = driver.begin_launch("alice", "bob")
    driver.start_all()
    if who == "bob":
        driver.reply("alice", send("o-50", "hello"))
    driver.reply(who, leave("bye"))
    assert error_of(driver, key).endswith("the vat is done: 'bye'")
    assert_nothing_is_left(driver)


def test_a_vat_that_leaves_with_the_answer_of_bootstrap_leaves_a_running_cluster(driver: Driver) -> None:
    key = driver.begin_launch("alice", "bob")
    driver.start_all()
    driver.reply("alice", fulfill("p-60", text("done")), leave())
    assert driver.result(key)["result"]["value"] == "'done'"
    assert driver.state_of("alice") == "terminated"
    assert driver.state_of("bob") == "running"


def test_a_vat_that_leaves_with_a_rejection_of_bootstrap_takes_the_launch_back_once(driver: Driver) -> None:
    key = driver.begin_launch("alice", "bob")
    driver.start_all()
    driver.reply("alice", reject("p-60", text("no")), leave())
    assert len(driver.responses[key]) == 1
    assert_nothing_is_left(driver)


@pytest.mark.parametrize("moment", ["starting", "bootstrap queued", "bootstrap"])
@pytest.mark.parametrize("what", ["vat", "other vat", "cluster"])
def test_a_terminate_during_the_launch_takes_it_back(driver: Driver, moment: str, what: str) -> None:
    key = driver.begin_launch("alice", "bob")
    if moment != "starting":
        driver.start_all()
    if moment == "bootstrap":
        driver.reply("alice", send("o-50", "help", "o+3", result="p+1"), subscribe("p+1"))
    if what == "cluster":
        ended = driver.request("terminateCluster", {"cluster": "c1", "reason": "changed my mind"})
    else:
        ended = driver.request("terminateVat", {"vat": "v1" if what == "vat" else "v2", "reason": "changed my mind"})
    assert driver.result(ended) == {}
    assert error_of(driver, key).endswith("changed my mind")
    assert_nothing_is_left(driver)


def test_others_who_hold_what_a_launch_made_are_not_harmed_when_it_is_taken_back(driver: Driver) -> None:
    driver.launch("keeper")
    keeper = driver.vat("keeper")
    # The new cluster is told of the keeper from outside, and gives it an object and a promise.
    key = driver.begin_launch("alice")
    driver.start_all()
    driver.reply("alice", send("o+0", "idle"))
    driver.request("send", {"target": driver.root("alice"), "method": "meet", "args": "ko20"})
    driver.reply("alice")
    driver.reply("alice", send("o-50", "keep", "o+9", "p+9", result="p+1"), send("p+1", "use"))
    driver.handle(keeper, message("o+0", "keep", "o-50", "p-61", result="p-62"), subscribe("p-61"))
    driver.request("terminateVat", {"vat": driver.vat("alice")})
    assert error_of(driver, key)
    driver.handle(
        keeper,
        notify(("p-61", True, data(TERMINATED))),
        fulfill("p-62", ref("o-50")),
        send("o-50", "still there", result="p+1"),
        subscribe("p+1"),
    )
    driver.handle(keeper, notify(("p+1", True, data(TERMINATED))))


def test_a_launch_asked_for_again_while_it_is_pending_is_one_launch(driver: Driver) -> None:
    key = driver.begin_launch("alice")
    assert driver.begin_launch("alice", key=key) == key
    assert driver.kernel._state.rows("clusters") == ["c1"]
    driver.start_all()
    driver.reply("alice", fulfill("p-60", data(UNDEFINED)))
    assert len(driver.responses[key]) == 1


def test_acknowledging_a_pending_launch_does_not_disturb_it(driver: Driver) -> None:
    key = driver.begin_launch("alice")
    driver.acknowledge(key)
    driver.start_all()
    driver.acknowledge(key)
    driver.reply("alice", fulfill("p-60", data(UNDEFINED)))
    assert driver.result(key)["cluster"] == "c1"


# --- the end ----------------------------------------------------------------------------------------


def test_terminating_a_cluster_ends_its_vats_and_only_them(driver: Driver) -> None:
    driver.launch("keeper")
    cluster = driver.launch("alice", "bob")
    assert driver.result(driver.request("terminateCluster", {"cluster": cluster})) == {}
    states = {vat["name"]: vat["state"] for vat in driver.query("status")["vats"]}
    assert states == {"keeper": "running", "alice": "terminated", "bob": "terminated"}


def test_a_terminated_cluster_leaves_nothing_but_its_record(driver: Driver) -> None:
    cluster = driver.launch("alice", "bob")
    driver.request("terminateCluster", {"cluster": cluster})
    assert set(driver.kernel._state.tables()) == {"kernel", "requests", "clusters", "vats"}
    assert not driver.backend.transcripts
    assert not driver.backend.bundles


def test_a_request_to_a_terminated_cluster_is_answered(driver: Driver) -> None:
    cluster = driver.launch("alice", "bob")
    keys = [driver.ask("alice"), driver.ask("bob"), driver.ask("bob")]
    driver.request("terminateCluster", {"cluster": cluster})
    assert {driver.result(key)["status"] for key in keys} == {"rejected"}


def test_a_vat_that_ends_later_leaves_its_cluster_running(driver: Driver) -> None:
    driver.launch("alice", "bob")
    driver.request("terminateVat", {"vat": "v2"})
    (cluster,) = driver.query("status")["clusters"]
    assert cluster["state"] == "running"
    driver.request("terminateCluster", {"cluster": "c1"})
    (cluster,) = driver.query("status")["clusters"]
    assert cluster["state"] == "terminated"


def test_of_many_ended_clusters_the_last_are_remembered(driver: Driver) -> None:
    driver.is_checking = False
    running = driver.launch("keeper")
    for n in range(ENDED_KEPT_MAX + 5):
        cluster = driver.launch("alice", "bob")
        driver.query("terminateCluster", cluster=cluster, reason=f"number {n}")
    driver.check()
    status = driver.query("status")
    assert [row["cluster"] for row in status["clusters"]] == [
        running, *(f"c{n}" for n in range(7, ENDED_KEPT_MAX + 7))
    ]  # fmt: skip
    assert len(status["vats"]) == 1 + 2 * ENDED_KEPT_MAX


@pytest.mark.parametrize("cluster", ["c9", "", "v1", "c1.x"])
def test_terminating_what_is_no_cluster_is_an_error(driver: Driver, cluster: str) -> None:
    with pytest.raises(RequestFailed, match=r"params\.cluster: there is no cluster"):
        driver.query("terminateCluster", cluster=cluster)


def test_terminating_a_cluster_twice_is_an_error(driver: Driver) -> None:
    cluster = driver.launch("alice")
    driver.query("terminateCluster", cluster=cluster, reason="enough")
    with pytest.raises(RequestFailed, match="c1 was terminated already: enough"):
        driver.query("terminateCluster", cluster=cluster)


# --- bundles ----------------------------------------------------------------------------------------


def test_the_files_are_kept_as_one_bundle(driver: Driver) -> None:
    driver.launch("alice", source="y = 2")
    (bundle,) = driver.backend.bundles.values()
    assert json.loads(bundle) == {"vat.py": "y = 2"}


def test_two_clusters_of_the_same_files_share_a_bundle(driver: Driver) -> None:
    first = driver.launch("alice")
    second = driver.launch("alice")
    assert len(driver.backend.bundles) == 1
    driver.request("terminateCluster", {"cluster": first})
    assert len(driver.backend.bundles) == 1
    driver.request("terminateCluster", {"cluster": second})
    assert not driver.backend.bundles


def test_a_launch_taken_back_within_one_commit_leaves_no_bundle(driver: Driver) -> None:
    driver.is_committing = False
    driver.begin_launch("alice")
    driver.reply("alice", error="no")
    driver.commit()
    assert not driver.backend.bundles


def test_files_dropped_and_launched_again_within_one_commit_stay(driver: Driver) -> None:
    cluster = driver.launch("alice")
    driver.is_committing = False
    driver.request("terminateCluster", {"cluster": cluster})
    driver.begin_launch("alice")
    driver.commit()
    assert len(driver.backend.bundles) == 1


def test_bootstrap_passes_a_thousand_vats(driver: Driver) -> None:
    names = [f"v{n}" for n in range(1_000)]
    driver.is_checking = False
    driver.begin_launch(*names)
    driver.start_all()
    driver.check()
    assert len(driver.delivery("v0")[2]["methargs"]["slots"]) == 1_000
    assert refs("o+0", "p+1") == data('#["$0","&1"]', "o+0", "p+1")
