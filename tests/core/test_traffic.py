"""The log made from transcripts is the one that was to be seen, and draws as a trace."""

from __future__ import annotations

import functools
import itertools
import json
from collections import defaultdict
from typing import Any

import pytest

from kernel_py.core import traffic
from kernel_py.core.store import MemoryBackend
from kernel_py.core.trace import TraceWriter
from kernel_py.core.traffic import derive_log
from kernel_py.core.transcripts import annotate_entry
from kernel_py.hosts.memory import MemoryHost, run_now
from kernel_py.wire import protocol
from kernel_py.wire.errors import StoreError
from scripts.examples import read_example

Event = dict[str, Any]
DERIVED = ("Sent", "Got", "Fulfilled", "Rejected", "Notified")

# Promises in every place: as target, argument, result, in what another promise settles to, before and after it settles.
PROMISES = """
import asyncio
from kernel_py.vat import E, Exo, make_promise

class Party(Exo):
    def __init__(self):
        self.kept = {}

    def bootstrap(self, vats, services):
        self.vats = vats

    def take(self, promise):
        self.promise = promise

    async def hand_over(self, name):
        promise, resolver = make_promise()
        E(self.vats[name]).take(promise)
        answer = E(promise).echo([promise, self], label="early")
        resolver.resolve(Party())
        return await answer

    def nested(self):
        "A promise for a record of promises, some of which are settled."
        inner, resolver = make_promise()
        resolver.resolve([Party(), inner])
        return {"inner": inner, "none": make_promise()[0]}

    async def dig(self, name):
        outer = E(self.vats[name]).nested()
        return (await (await outer)["inner"])[0]

    async def crowd(self, name, count):
        return await asyncio.gather(*[E(self.vats[name]).echo(n) for n in range(count)], return_exceptions=True)

    def echo(self, value, label=None):
        if value == 3:
            raise KeyError("three")
        return value

    def tell(self, name, value):
        E(self.vats[name]).take(value)

def build_root_object(powers, parameters, baggage):
    return Party()
"""


def drive_promises(host: MemoryHost) -> None:
    vats = {name: {"source": "party.py"} for name in ("a", "b")}
    root = host.launch({"bootstrap": "a", "vats": vats}, {"party.py": PROMISES})["root"]
    host.send(root, "hand_over", "'b'")
    host.send(root, "dig", "'b'")
    host.request("collectGarbage")
    host.send(root, "crowd", "'b', 12")
    host.send(root, "tell", "'b', 'me'")
    for number in range(5):
        host.post("send", {"target": root, "method": "crowd", "args": f"'b', {number}"})
    host.run()


def drive_bank(host: MemoryHost) -> None:
    launched = host.request("launch", read_example("bank"))
    alice, bob = (host.send(launched["root"], "get_user", repr(name))["slots"][0] for name in ("alice", "bob"))
    for _ in range(10):
        host.post("collectGarbage")
        host.post("send", {"target": alice, "method": "pay", "args": f"{bob}, 1"})
    host.run()


@functools.cache
def watch(drive: Any, **options: Any) -> tuple[MemoryHost, list[Event]]:
    """A host that was driven, not to be changed, and what was to be seen of the kinds of events that can be derived."""
    host = MemoryHost(**options)
    host.kernel.observe(is_observed=True)
    drive(host)
    return host, [event for event in host.events if event["class"] in DERIVED]


def derive(backend: Any) -> list[Event]:
    events: list[Event] = []
    run_now(derive_log(backend, events.append))
    return events


@pytest.fixture(params=[drive_bank, drive_promises], ids=["bank", "promises"])
def drive(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_what_is_derived_is_what_was_to_be_seen(drive: Any) -> None:
    host, live = watch(drive, is_serial=True)
    assert {event["class"] for event in live} == set(DERIVED)
    assert derive(host.backend) == live


def test_with_vats_in_parallel_each_delivery_has_the_same_events(drive: Any) -> None:
    def by_delivery(events: list[Event]) -> dict[tuple[str, int], list[Event]]:
        groups = defaultdict(list)
        for event in events:
            groups[event["vat"], event["number"]].append({**event, "time_ms": 0})
        return dict(groups)

    host, live = watch(drive)
    derived = derive(host.backend)
    assert by_delivery(derived) == by_delivery(live)
    assert [event["time_ms"] for event in derived if event["class"] == "Got"] == [
        next(seen["time_ms"] for seen in live if {**seen, "time_ms": 0} == {**event, "time_ms": 0})
        for event in derived
        if event["class"] == "Got"
    ]


def test_each_message_is_sent_before_it_is_got(drive: Any) -> None:
    host, _ = watch(drive)
    sent: dict[str, None] = {}
    matched = 0
    sendable = {event["result"] for event in derive(host.backend) if event["class"] == "Sent"}
    for event in derive(host.backend):
        if event["class"] == "Sent":
            sent[event["result"]] = None
        elif event["class"] == "Got" and event["result"] in sendable:
            assert event["result"] in sent
            matched += 1
    assert matched > 10


def test_watching_is_not_needed_and_restarts_do_not_matter() -> None:
    host = MemoryHost()
    drive_promises(host)
    reopened = host.reopen()
    reopened.run()
    watched, _ = watch(drive_promises)
    assert derive(reopened.backend) == derive(watched.backend)


def test_long_transcripts_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    host = MemoryHost()
    drive_bank(host)
    whole = derive(host.backend)
    monkeypatch.setattr(traffic, "_ENTRIES_READ", 3)
    assert derive(host.backend) == whole


def test_a_corrupt_transcript_is_named() -> None:
    host = MemoryHost()
    drive_bank(host)
    assert isinstance(host.backend, MemoryBackend)
    host.backend.transcripts["v2"][5] = "{}"
    with pytest.raises(StoreError, match="the transcript of v2 is corrupt: not a transcript entry"):
        derive(host.backend)


def test_a_realm_is_told_no_krefs() -> None:
    host = MemoryHost()
    drive_promises(host)
    entries = run_now(host.backend.read_transcript("v2", 1, host.kernel.get_delivered("v2")))
    assert any('"k":{"p-' in entry for entry in entries)
    told = protocol.dump_replay(entries)
    assert '"k' not in told
    assert [entry["sc"] for entry in json.loads(told)[1]] == [json.loads(entry)["sc"] for entry in entries]


def test_what_a_vat_says_is_not_taken_for_the_kernels_notes() -> None:
    tricky = '{"n":1,"t":0,"d":["startVat"],"sc":[["x",{"a":1,"c":2,"k":{}}]],"r":null}'
    assert protocol.dump_replay([tricky]) == f'["replay",[{tricky}]]'
    noted = annotate_entry(tricky, 7, {"o+0": "ko20"})
    assert protocol.parse_transcript_entry(json.loads(noted)).names == {"o+0": "ko20"}
    assert protocol.dump_replay([noted]) == f'["replay",[{tricky}]]'


# --- traces -------------------------------------------------------------------------------------


@pytest.fixture
def trace(drive: Any) -> list[dict[str, Any]]:
    host, _ = watch(drive)
    parts: list[str] = []
    writer = TraceWriter(parts.append, {"v1": "a", "v2": "b"})
    run_now(derive_log(host.backend, writer.take))
    writer.finish()
    return list(json.loads("".join(parts)))


def test_each_vat_has_a_track_with_its_name(trace: list[dict[str, Any]]) -> None:
    names = {item["tid"]: item["args"]["name"] for item in trace if item["name"] == "thread_name"}
    assert names == {1: "v1 a", 2: "v2 b"}
    assert {item["tid"] for item in trace if item["ph"] == "X"} >= {1, 2}


def test_cranks_do_not_overlap(trace: list[dict[str, Any]]) -> None:
    slices = [item for item in trace if item["ph"] == "X"]
    assert len(slices) > 20
    for before, after in itertools.pairwise(slices):
        assert before["ts"] + before["dur"] <= after["ts"]


def test_an_arrow_leads_from_each_message_sent_to_where_it_was_got(trace: list[dict[str, Any]]) -> None:
    slices = [item for item in trace if item["ph"] == "X"]
    starts = {item["id"]: item for item in trace if item["ph"] == "s"}
    ends = {item["id"]: item for item in trace if item["ph"] == "f"}
    assert len(starts) == sum(item["ph"] == "s" for item in trace)
    arrows = [(starts[arrow], ends[arrow]) for arrow in starts if arrow in ends]
    assert len(arrows) > 10
    for start, end in arrows:
        assert start["name"] == end["name"]
        assert start["ts"] < end["ts"]
        for point in (start, end):
            assert any(
                item["tid"] == point["tid"] and item["ts"] <= point["ts"] < item["ts"] + item["dur"] for item in slices
            )
