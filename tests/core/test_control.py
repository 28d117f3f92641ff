"""Requests of clients: exactly once, answered whole, refused with a path."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_py.core import control
from kernel_py.core.control import Call, parse_call
from kernel_py.core.store import MemoryBackend
from kernel_py.hosts.memory import RequestFailed
from kernel_py.wire.errors import RequestError
from kernel_py.wire.limits import DEFAULT_LIMITS
from tests.core.driver import (
    GO,
    ONE_BY_ONE,
    UNDEFINED,
    Driver,
    data,
    fulfill,
    message,
    ref,
    refs,
    reject,
    send,
    subscribe,
    text,
)

BOB = "o-50"


# --- parsing ----------------------------------------------------------------------------------------


def test_a_request_is_parsed() -> None:
    told = '{"jsonrpc":"2.0","id":"a-1_Z","method":"send","params":{"x":1},"more":0}'
    assert parse_call(told, DEFAULT_LIMITS) == Call("a-1_Z", "send", {"x": 1})


def test_a_notification_has_no_key() -> None:
    assert parse_call('{"jsonrpc":"2.0","method":"ack"}', DEFAULT_LIMITS) == Call("", "ack", {})


@pytest.mark.parametrize(
    "told, reason",
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON: JSON nested"),
        ('{"jsonrpc":"2.0","id":"a","method":"m","params":{"n":NaN}}', "not JSON: NaN"),
        ('{"jsonrpc":"2.0","id":"a","method":"m","params":{"n":' + "1" * 5_000 + "}}", "not JSON"),
        ("7", "not a JSON-RPC 2.0 request"),
        ("[]", "not a JSON-RPC 2.0 request"),
        ('{"id":"a","method":"m"}', "not a JSON-RPC 2.0 request"),
        ('{"jsonrpc":"1.0","id":"a","method":"m"}', "not a JSON-RPC 2.0 request"),
        ('{"jsonrpc":"2.0","id":"a","method":7}', "not a JSON-RPC 2.0 request"),
        ('{"jsonrpc":"2.0","id":7,"method":"m"}', "id must be"),
        ('{"jsonrpc":"2.0","id":null,"method":"m"}', "id must be"),
        ('{"jsonrpc":"2.0","id":"","method":"m"}', "id must be"),
        ('{"jsonrpc":"2.0","id":"a.b","method":"m"}', "id must be"),
        ('{"jsonrpc":"2.0","id":"a\\n","method":"m"}', "id must be"),
        ('{"jsonrpc":"2.0","id":"' + "a" * 101 + '","method":"m"}', "id must be"),
        ('{"jsonrpc":"2.0","id":"a","method":"m","params":[]}', "params must be"),
        ('{"jsonrpc":"2.0","id":"a","method":"m","params":null}', "params must be"),
    ],
)
def test_what_is_not_a_request_is_refused(told: str, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        parse_call(told, DEFAULT_LIMITS)


def test_a_request_that_is_too_long_is_refused_unparsed() -> None:
    with pytest.raises(RequestError, match=r"the request has 11 characters; the limit is 10"):
        parse_call("x" * 11, replace(DEFAULT_LIMITS, request_chars_max=10))


@pytest.mark.parametrize(
    "told, key",
    [
        ('{"jsonrpc":"2.0","id":"a-1","method":"m","params":[]}', "a-1"),
        ('{"id":"a-1"}', "a-1"),
        ('{"id":7}', None),
        ('{"id":"a.b"}', None),
        ('["a"]', None),
        ("{", None),
        ("[" * 100_000, None),
    ],
)
def test_the_key_of_a_bad_request_is_found_if_it_has_one(told: str, key: str | None) -> None:
    assert control.find_key(told, DEFAULT_LIMITS) == key


# --- refusals ---------------------------------------------------------------------------------------


def refuse(driver: Driver, method: str, params: dict[str, Any]) -> tuple[int, str, str]:
    """The code, path and message of the refusal; nothing of the request is kept."""
    key = driver.request(method, params)
    error = json.loads(driver.responses[key][0])["error"]
    assert driver.kernel._state.get("requests", key) is None
    assert error["data"]["kind"] == "RequestError"
    return error["code"], error["data"]["path"], error["message"]


@pytest.mark.parametrize("method", ["", "x", "Send", "subscribe", "__class__", "x" * 1_000_000])
def test_an_unknown_request_is_refused_with_the_known_ones(driver: Driver, method: str) -> None:
    code, _, told = refuse(driver, method, {})
    assert code == control.METHOD_NOT_FOUND
    assert "known are: launch, send, terminateVat, terminateCluster, reloadCluster, upgradeVat, " in told
    assert "collectGarbage, status, objects, promise" in told
    assert len(told) < 500


@pytest.mark.parametrize(
    "method, params, path, reason",
    [
        ("send", {}, "params", "'target' is missing"),
        ("send", {"target": 7, "method": "m", "args": ""}, "params.target", "must be a string, not an integer"),
        ("send", {"target": "ko20", "method": "m", "args": "", "x": 1}, "params.x", "unknown field; known are"),
        ("send", {"target": "x", "method": "m", "args": ""}, "params.target", "not a kernel reference"),
        ("send", {"target": "ko99", "method": "m", "args": ""}, "params.target", "there is no object ko99"),
        ("send", {"target": "kp99", "method": "m", "args": ""}, "params.target", "there is no promise kp99"),
        ("send", {"target": "ko20\n", "method": "m", "args": ""}, "params.target", "not a kernel reference"),
        ("send", {"target": "ko20", "method": "", "args": ""}, "params.method", "1 to 200 characters"),
        ("send", {"target": "ko20", "method": "m" * 201, "args": ""}, "params.method", "1 to 200 characters"),
        ("send", {"target": "ko20", "method": "m", "args": "1, ("}, "args", "not Python literals"),
        ("send", {"target": "ko20", "method": "m", "args": "x"}, "args[0]", "unknown name 'x'"),
        ("send", {"target": "ko20", "method": "m", "args": "[1, {'a': ko98}]"}, "args", "there is no ko98"),
        ("send", {"target": "ko20", "method": "m", "args": "a=kp98"}, "args", "there is no kp98"),
        ("terminateVat", {"vat": "v9"}, "params.vat", "there is no vat 'v9'"),
        ("terminateVat", {"vat": "v1", "reason": 7}, "params.reason", "must be a string"),
        ("promise", {"promise": "ko20"}, "params.promise", "there is no promise 'ko20'"),
        ("promise", {"promise": "kp99"}, "params.promise", "it may have settled and been collected"),
        ("promise", {"promise": ""}, "params.promise", "not a kernel reference"),
        ("objects", {"vat": "v9"}, "params.vat", "there is no vat"),
        ("objects", {"offset": "1"}, "params.offset", "must be an integer"),
        ("objects", {"limit": 1.5}, "params.limit", "must be an integer"),
        ("objects", {"limit": True}, "params.limit", "must be an integer"),
        ("status", {"x": 1}, "params.x", "unknown field"),
        ("launch", {"config": {}, "files": {}}, "config", "'bootstrap' is missing"),
        ("launch", {"config": {}}, "params", "'files' is missing"),
        ("launch", {"config": 7, "files": {}}, "config", "must be an object, not an integer"),
    ],
)
def test_a_bad_request_is_refused_with_the_path_to_the_fault(
    driver: Driver, method: str, params: dict[str, Any], path: str, reason: str
) -> None:
    driver.launch("alice")
    before = dict(driver.backend.texts)
    code, told_path, told = refuse(driver, method, params)
    assert (code, told_path) == (control.INVALID_PARAMS, path)
    assert reason in told
    assert driver.backend.texts == before


def test_a_send_to_an_object_whose_vat_is_gone_is_refused(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "keep", "o+5"))
    kref = trio.kref("alice", "o+5")
    trio.request("terminateVat", {"vat": "v1"})
    _, path, told = refuse(trio, "send", {"target": kref, "method": "m", "args": ""})
    assert path == "params.target"
    assert "belonged to a vat that was terminated" in told


def test_a_refused_request_may_be_repeated_with_the_same_key(driver: Driver) -> None:
    key = driver.request("send", {"target": "ko20", "method": "m", "args": ""}, "again")
    with pytest.raises(RequestFailed):
        driver.result(key)
    driver.responses.clear()
    driver.launch("alice")
    driver.request("send", {"target": "ko20", "method": "m", "args": ""}, "again")
    assert driver.delivery("alice") == message("o+0", "m", result=GO)


def test_a_long_story_of_what_is_wrong_is_cut(driver: Driver) -> None:
    config = {"bootstrap": "a", "vats": {"a": {"source": "a.py"}}}
    key = driver.request("launch", {"config": config, "files": {f"{n:0190}.txt": "" for n in range(2_000)}})
    with pytest.raises(RequestFailed, match=r"config\.vats\.a\.source: there is no file 'a\.py'; given are: 000"):
        driver.result(key)
    assert len(driver.responses[key][0]) < 2 * DEFAULT_LIMITS.error_chars_max


_TEXTS = st.text(max_size=8) | st.sampled_from(
    ["v1", "v2", "c1", "ko20", "ko21", "kp40", "kp41", "ko99", "m", "1, 'x'", "ko20, a=kp41", "[", "\ud800", "x" * 300]
)
_ANYTHING = (
    _TEXTS
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(_TEXTS, max_size=2)
)
_CONFIGS = st.fixed_dictionaries(
    {"bootstrap": st.sampled_from(["a", "b", ""])},
    optional={
        "vats": st.dictionaries(
            st.sampled_from(["a", "b"]),
            st.fixed_dictionaries(
                {"source": st.sampled_from(["a.py", "b.py"])},
                optional={"parameters": st.dictionaries(_TEXTS, _ANYTHING, max_size=2), "kind": _ANYTHING},
            ),
        ),
        "services": st.lists(_TEXTS, max_size=1),
    },
)
_PARAMS = st.dictionaries(
    st.sampled_from(["target", "method", "args", "vat", "cluster", "reason", "offset", "limit", "promise", "x"]),
    _ANYTHING,
) | st.fixed_dictionaries({"config": _CONFIGS | _ANYTHING, "files": st.just({"a.py": "x"}) | _ANYTHING})
_SENDS = st.fixed_dictionaries({"target": _TEXTS, "method": _TEXTS, "args": _TEXTS})


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from([*control.PARAMS, "x"]), _PARAMS | _SENDS), max_size=6))
def test_whatever_a_client_asks_it_is_answered_and_harms_nobody(requests: list[tuple[str, dict[str, Any]]]) -> None:
    driver = Driver()
    driver.launch("alice", "bob")
    driver.ask("alice")
    for method, params in requests:
        key = driver.request(method, params)
        recorded = driver.kernel._state.get("requests", key)
        assert (key in driver.responses) == (recorded is None or bool(recorded.response))


# --- exactly once -----------------------------------------------------------------------------------


def test_a_request_sent_again_while_it_is_pending_is_carried_out_once(trio: Driver) -> None:
    trio.request("send", {"target": trio.root("alice"), "method": "go", "args": ""}, "key-2")
    trio.reply("alice", fulfill(GO, text("done")))
    assert trio.delivery("alice") is None
    assert len(trio.responses["key-2"]) == 1


def test_a_request_sent_again_after_its_answer_gets_the_same_answer(trio: Driver) -> None:
    trio.reply("alice", fulfill(GO, text("done")))
    for _ in range(2):
        trio.request("send", {"target": trio.root("alice"), "method": "go", "args": ""}, "key-2")
    assert len(trio.responses["key-2"]) == 3
    assert trio.result("key-2")["value"] == "'done'"
    assert trio.delivery("alice") is None


def test_a_key_that_belongs_to_another_request_is_refused(trio: Driver) -> None:
    trio.request("terminateVat", {"vat": "v2"}, "key-2")
    told = json.loads(trio.responses["key-2"].pop())["error"]["message"]
    assert told == "the id key-2 was used for a request of 'send'; use one id for one request"
    assert trio.state_of("bob") == "running"
    trio.reply("alice", fulfill(GO, text("done")))
    assert trio.result("key-2")["value"] == "'done'"


def test_terminating_again_with_the_same_key_gives_the_same_answer(trio: Driver) -> None:
    for _ in range(2):
        trio.request("terminateVat", {"vat": "v2"}, "end")
    assert trio.result("end") == {}


def test_a_failed_launch_asked_for_again_is_not_done_again(driver: Driver) -> None:
    key = driver.begin_launch("alice")
    driver.reply("alice", error="no")
    config = {"bootstrap": "alice", "vats": {"alice": {"source": "vat.py"}}}
    driver.request("launch", {"config": config, "files": {"vat.py": ""}}, key)
    assert len(driver.responses[key]) == 2
    assert driver.kernel._state.rows("clusters") == []


def test_an_acknowledged_answer_is_forgotten(trio: Driver) -> None:
    trio.reply("alice", fulfill(GO, text("done")))
    trio.acknowledge("key-2")
    assert trio.kernel._state.get("requests", "key-2") is None
    assert "requests.key-2" not in trio.backend.texts


@pytest.mark.parametrize("key", ["", "unknown", "a.b"])
def test_acknowledging_what_is_not_there_does_nothing(trio: Driver, key: str) -> None:
    trio.acknowledge(key)


def test_acknowledging_a_pending_request_does_not_lose_it(trio: Driver) -> None:
    trio.acknowledge("key-2")
    trio.reply("alice", fulfill(GO, text("done")))
    assert trio.result("key-2")["value"] == "'done'"


def test_queries_are_not_recorded(driver: Driver) -> None:
    driver.launch("alice")
    before = dict(driver.backend.texts)
    for _ in range(3):
        driver.request("status", key="same")
    assert len(driver.responses["same"]) == 3
    assert driver.backend.texts == before


def test_of_too_many_answers_the_oldest_are_forgotten() -> None:
    driver = Driver(limits=replace(DEFAULT_LIMITS, request_results_max=10))
    driver.launch("alice")
    pending = driver.ask("alice", "pending")
    for n in range(30):
        driver.request("terminateVat", {"vat": "v1"} if n == 99 else {"vat": "v77"}, f"refused-{n}")
        driver.ask("alice")
        assert driver.kernel._state.count("requests") <= 10
        if n < 8:
            continue
        with pytest.raises(RequestFailed, match="10 requests wait for an answer; that is the limit"):
            driver.query("send", target="ko20", method="m", args="")
        break
    for n in range(8):
        driver.reply("alice", fulfill(f"p-{61 + n}", text("done")))
    assert driver.result(pending)["value"] == "'done'"
    for n in range(5):
        key = driver.request("terminateCluster" if n == 4 else "send", _send_or_end(n), f"late-{n}")
        assert driver.kernel._state.get("requests", key) is not None
        assert driver.kernel._state.count("requests") <= 10


def _send_or_end(n: int) -> dict[str, Any]:
    return {"cluster": "c1"} if n == 4 else {"target": "ko20", "method": "m", "args": ""}


# --- send -------------------------------------------------------------------------------------------


def test_arguments_become_methargs_with_references(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "m", "p+1"))
    kpid = trio.kref("alice", "p+1")
    args = f"3, 'x', {trio.root('carol')}, [{kpid}, 1.5], amount=5"
    trio.request("send", {"target": trio.root("alice"), "method": "pay", "args": args})
    methargs = data('#["pay",["+3","x","$0.Remotable",["&1",1.5]],{"amount":"+5"}]', "o-51", "p+1")
    assert trio.delivery("alice") == ["message", "o+0", {"methargs": methargs, "result": "p-62"}]


def test_an_answer_shows_its_references(trio: Driver) -> None:
    trio.reply("alice", fulfill(GO, data('#["$0.Alleged: Purse","$1","&2"]', "o+5", BOB, "p+6")))
    answer = trio.result("key-2")
    krefs = [trio.kref("alice", "o+5"), trio.root("bob"), trio.kref("alice", "p+6")]
    assert answer["value"] == f"[<Purse {krefs[0]}>, <object {krefs[1]}>, <promise {krefs[2]}>]"
    assert answer["slots"] == krefs


def test_the_kernel_holds_nothing_for_a_request_once_it_is_answered(trio: Driver) -> None:
    trio.reply("alice", fulfill(GO, text("x")))
    assert trio.kernel._state.count("promises") == 1  # the answer of bootstrap


def test_what_an_answer_mentions_is_kept_for_its_client_until_many_more_have_come() -> None:
    driver = Driver(limits=replace(ONE_BY_ONE, results_held_max=2))
    driver.launch("alice")
    for number in range(1, 4):
        driver.ask("alice")
        driver.reply("alice", fulfill(driver.delivery("alice")[2]["result"], refs(f"o+{number}")))
        if number < 3:
            assert driver.delivery("alice") is None
    driver.handle("alice", ["dropExports", ["o+1"]])
    driver.handle("alice", ["retireExports", ["o+1"]])
    assert driver.kernel._references.get_object(driver.kref("alice", "o+2"))[1:3] == (1, 1)


def test_a_rejection_is_an_answer(trio: Driver) -> None:
    trio.reply("alice", reject(GO, data('#{"#error":"too few","name":"ValueError"}')))
    assert trio.result("key-2") == {
        "status": "rejected",
        "value": "ValueError('too few')",
        "body": '#{"#error":"too few","name":"ValueError"}',
        "slots": [],
    }


def test_a_request_may_wait_over_other_vats_work(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "help", result="p+1"), subscribe("p+1"))
    trio.reply("bob", fulfill("p-60", text("helped")))
    assert trio.result("key-2") is None
    trio.reply("alice", fulfill(GO, text("done")))
    assert trio.result("key-2")["value"] == "'done'"


def test_two_requests_may_have_the_same_text(trio: Driver) -> None:
    keys = [trio.ask("bob"), trio.ask("bob")]
    trio.reply("bob", fulfill("p-60", text("1")))
    trio.reply("bob", fulfill("p-61", text("2")))
    assert [trio.result(key)["value"] for key in keys] == ["'1'", "'2'"]


# --- queries ----------------------------------------------------------------------------------------


def test_status_tells_of_everything(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "a"), send(BOB, "b"))
    status = trio.query("status")
    assert status["kernel"] == {"cranks": 5, "objects": 3, "promises": 2, "inflight": 1}
    assert status["clusters"] == [
        {
            "cluster": "c1",
            "name": "alice",
            "state": "running",
            "vats": {"alice": "v1", "bob": "v2", "carol": "v3"},
            "bootstrap": "alice",
            "reason": "",
        }
    ]
    assert status["vats"][1] == {
        "vat": "v2",
        "name": "bob",
        "cluster": "c1",
        "kind": "iframe",
        "state": "running",
        "incarnation": 0,
        "root": "ko21",
        "reason": "",
        "deliveries": 1,
        "snapshots": [],
        "queued": 1,
        "inflight": True,
    }


def test_status_includes_what_the_host_knows(driver: Driver) -> None:
    driver.launch("alice")
    driver.kernel.request(Call("q", "status", {}), {"kernel": {"up": 1}, "vats": {"v1": {"realm": "ready"}, "v9": {}}})
    status = json.loads(driver.kernel.take_commit().responses[0].text)["result"]
    assert status["kernel"]["up"] == 1
    assert status["vats"][0]["realm"] == "ready"


def test_status_sorts_by_number(driver: Driver) -> None:
    for _ in range(11):
        driver.launch("alice")
    status = driver.query("status")
    assert [cluster["cluster"] for cluster in status["clusters"]] == [f"c{n}" for n in range(1, 12)]
    assert [vat["vat"] for vat in status["vats"]] == [f"v{n}" for n in range(1, 12)]


def test_objects_are_listed_by_vat_and_by_page(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "m", *[f"o+{n}" for n in range(1, 12)], "o-51"))
    assert trio.query("objects")["total"] == 14
    mine = trio.query("objects", vat="v1")
    assert mine["total"] == 12
    assert {row["vat"] for row in mine["objects"]} == {"v1"}
    page = trio.query("objects", vat="v1", offset=10, limit=5)["objects"]
    assert [row["kref"] for row in page] == [trio.kref("alice", "o+10"), trio.kref("alice", "o+11")]
    row = {"vat": "v1", "iface": "", "reachable": 1, "recognizable": 1, "pinned": False, "revoked": False}
    assert page[0] == {"kref": page[0]["kref"], **row}


def test_the_list_of_objects_says_which_are_pinned_and_which_revoked(trio: Driver) -> None:
    first, *others = (row["kref"] for row in trio.query("objects")["objects"])
    for method in ("pin", "revoke"):
        trio.request(method, {"object": first})
    rows = {row["kref"]: (row["pinned"], row["revoked"]) for row in trio.query("objects")["objects"]}
    assert rows == {first: (True, True), **dict.fromkeys(others, (False, False))}


@pytest.mark.parametrize(
    "params, count",
    [
        ({"offset": 1.0}, 2),
        ({"limit": 2.0}, 2),
        ({"offset": -5, "limit": -1}, 0),
        ({"offset": 10**30}, 0),
        ({"limit": 10**30}, 3),
        ({"offset": 1e300}, 0),
    ],
)
def test_any_page_may_be_asked_for(trio: Driver, params: dict[str, Any], count: int) -> None:
    assert len(trio.query("objects", **params)["objects"]) == count


def test_the_objects_of_a_terminated_vat_cannot_be_listed(trio: Driver) -> None:
    trio.request("terminateVat", {"vat": "v1", "reason": "enough"})
    with pytest.raises(RequestFailed, match=r"v1 \(alice\) was terminated already: enough"):
        trio.query("objects", vat="v1")


def test_a_promise_is_pending_then_settled(trio: Driver) -> None:
    trio.reply("alice", send(BOB, "m", result="p+1"))
    kpid = trio.kref("alice", "p+1")
    assert trio.query("promise", promise=kpid) == {"status": "pending", "decider": "v2"}
    trio.reply("bob", fulfill("p-60", ref("o+5")))
    assert trio.query("promise", promise=kpid)["status"] == "fulfilled"


def test_what_is_shown_of_a_value_that_cannot_be_decoded_says_so(trio: Driver) -> None:
    trio.reply("alice", fulfill(GO, data("#{")))
    assert trio.result("key-2")["value"].startswith("<undecodable: ")
    assert trio.result("key-2")["body"] == "#{"


def test_a_query_answers_at_once_while_a_vat_hangs(trio: Driver) -> None:
    for method in ("status", "objects"):
        assert trio.query(method)
    assert data(UNDEFINED)


# --- the store --------------------------------------------------------------------------------------


def test_requests_leave_no_rows_behind() -> None:
    """However often: the store after 3 rounds of everything is as large as after 30."""

    def count_rows(rounds: int) -> int:
        driver = Driver(backend=MemoryBackend())
        driver.launch("alice", "bob")
        for n in range(rounds):
            key = driver.ask("alice")
            driver.reply("alice", send(BOB, "m", result=f"p+{n + 1}"), subscribe(f"p+{n + 1}"))
            driver.reply("bob", fulfill(f"p-{60 + n}", text("x")))
            driver.reply("alice", fulfill(f"p-{61 + n}", text("y")))
            driver.acknowledge(key)
        return len(driver.backend.texts)

    assert count_rows(3) == count_rows(30)
