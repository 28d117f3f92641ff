"""The log: what is told of message traffic, and that it changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kernel_py.core.events import dump_event
from tests.core.driver import GO, Driver, data, fulfill, reject, send, subscribe, text

BOB = "o-50"


def play(driver: Driver) -> None:
    driver.launch("alice", "bob")
    driver.ask("alice", "go", "1, x='y'")
    driver.reply("alice", send(BOB, "hello", "o+3", result="p+1"), subscribe("p+1"))
    driver.reply("bob", reject("p-60", data('#{"#error":"no","name":"ValueError"}')))
    driver.reply("alice", fulfill(GO, text("done")))
    driver.lose("bob")
    driver.ask("bob")
    driver.lose("bob", "out of memory")
    driver.reply("bob", send("o+0", "illegal"), send("o-99", "illegal"))
    driver.request("terminateCluster", {"cluster": "c1", "reason": "enough"})


def observed() -> list[dict[str, Any]]:
    driver = Driver()
    driver.kernel.observe(is_observed=True)
    play(driver)
    return [{name: value for name, value in event.items() if name != "time_ms"} for event in driver.events]


def test_traffic_is_told_in_order() -> None:
    events = observed()
    assert [event["class"] for event in events if event.get("vat") == "v2"] == [
        "Vat", "Vat", "Got", "Rejected", "Got", "Fault", "Fault", "Vat",
    ]  # fmt: skip
    sent = {"vat": "v1", "number": 3, "target": "ko21", "method": "hello", "args": "[<object ko22>]", "result": "kp42"}
    assert {**sent, "class": "Sent", "args": "<object ko22>"} in events
    assert {**sent, "class": "Got", "vat": "v2", "number": 2, "args": "<object ko22>"} in events
    assert {"class": "Rejected", "vat": "v2", "number": 2, "promise": "kp42", "value": "ValueError('no')"} in events
    assert {"class": "Notified", "vat": "v1", "number": 4, "promises": ["kp42"]} in events
    assert {"class": "Fault", "vat": "v2", "fault": "HostFault", "reason": "out of memory"} in events
    assert {"class": "Cluster", "cluster": "c1", "name": "alice", "state": "terminated", "reason": "enough"} in events


def test_arguments_are_told_as_python_writes_them() -> None:
    (got,) = [event for event in observed() if event["class"] == "Got" and event["method"] == "go" and event["args"]]
    assert got["args"] == "1, x='y'"


def test_the_batch_of_a_faulty_vat_was_never_sent() -> None:
    assert not [event for event in observed() if event.get("method") == "illegal"]


def test_what_a_vat_printed_before_its_fault_is_told() -> None:
    driver = Driver()
    driver.kernel.observe(is_observed=True)
    driver.launch("alice")
    driver.ask("alice")
    driver.say("alice", '["done",3,["error","gone"],[],{"console":["last words","and more"]}]')
    told = [(event["class"], event.get("text", event.get("reason"))) for event in driver.events[-4:]]
    assert told == [("Console", "last words"), ("Console", "and more"), ("Fault", "gone"), ("Vat", "gone")]


def test_watching_changes_nothing() -> None:
    watched, unwatched = Driver(), Driver()
    watched.kernel.observe(is_observed=True)
    play(watched)
    play(unwatched)
    assert watched.events
    assert not unwatched.events
    assert watched.backend.texts == unwatched.backend.texts
    assert watched.backend.transcripts == unwatched.backend.transcripts


def test_an_event_is_one_line() -> None:
    for event in observed():
        line = dump_event(event)
        assert "\n" not in line
        assert json.loads(line) == event


@pytest.mark.parametrize(
    "body", ["", "#", "#[[]]", '#["m",["$7"]]', '#["\ud800",["\udc00"]]', "#" + "[" * 5_000, '#["m",[{"#tag":1}]]']
)
def test_garbage_in_messages_can_be_told(body: str) -> None:
    driver = Driver()
    driver.kernel.observe(is_observed=True)
    driver.launch("alice", "bob")
    driver.ask("alice")
    garbage = data(body)
    driver.reply(
        "alice", ["send", BOB, {"methargs": garbage, "result": None}], fulfill(GO, garbage), ["exit", False, garbage]
    )
    driver.reply("bob")
    assert {event["class"] for event in driver.events} >= {"Sent", "Got", "Fulfilled"}
    assert all(dump_event(event).encode() for event in driver.events)
