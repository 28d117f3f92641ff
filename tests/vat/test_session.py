"""A vat's end of the kernel-vat protocol."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kernel_py.vat.session import VatSession
from kernel_py.vat.store import VatStore
from kernel_py.wire import canonical, protocol
from kernel_py.wire.errors import StoreError
from kernel_py.wire.limits import DEFAULT_LIMITS
from kernel_py.wire.outcome import Outcome
from tests.vat.driving import TIME_MS, DrivenVat, Failed, Ref, capdata, message

COUNTER = """
class Root(Exo):
    def __init__(self): self.count = 0
    def increment(self, by=1):
        self.count += by
        return self.count
    async def wait(self, promise): return [await promise, self.count]
    def ask(self, other): return E(other).ask(self.count)
"""


def spec(**changes):
    return protocol.VatSpec(
        **({"vat": "v1", "incarnation": 0, "name": "n", "seed": "s", "main": "m.py", "files": {}} | changes)
    )


# Greetings -------------------------------------------------------------------------------------


def test_a_fresh_realm_says_that_it_is_no_vat_yet():
    assert json.loads(VatSession().hello()) == ["hello", {"protocol": 1, "vat": None, "incarnation": 0, "delivered": 0}]


def test_a_vat_says_who_it_is_and_how_far_it_is():
    vat = DrivenVat(COUNTER, vat="v7")
    vat.call("increment")
    assert json.loads(vat.session.hello()) == ["hello", {"protocol": 1, "vat": "v7", "incarnation": 0, "delivered": 2}]


def test_starting_says_nothing_and_going_says_ready():
    session = VatSession()
    assert session.receive(protocol.dump_start(spec())) == []
    assert session.receive(protocol.dump_go(0)) == ['["ready",0]']


# Deliveries ------------------------------------------------------------------------------------


def test_a_delivery_is_answered_with_its_batch_and_usage():
    vat = DrivenVat("class Root(Exo):\n    def f(self):\n        print('said')\n        return 1")
    vat.session._memory_bytes = lambda: 12345
    text = protocol.dump_deliver(2, TIME_MS, canonical.dump(message("o+0", "f")))
    assert json.loads(vat.session.receive(text)[0]) == [
        "done",
        2,
        ["ok", None],
        [["resolve", [["p-60", False, {"body": '#"+1"', "slots": []}]]]],
        {"memory_bytes": 12345, "console": ["said"]},
    ]


def test_the_same_text_again_gets_the_same_answer_and_is_not_carried_out_again():
    vat = DrivenVat(COUNTER)
    text = protocol.dump_deliver(2, TIME_MS, canonical.dump(message("o+0", "increment")))
    first = vat.session.receive(text)
    assert vat.session.receive(text) == first
    assert vat.session.receive(text) == first
    vat.number = 2
    assert vat.call("increment") == [("resolve", ("p-60", 2))]


def test_the_last_answers_are_kept_as_long_as_the_kernel_may_ask_for_them():
    vat = DrivenVat(COUNTER, limits=replace(DEFAULT_LIMITS, deliveries_inflight_max=3))
    texts = [
        protocol.dump_deliver(n, TIME_MS, canonical.dump(message("o+0", "increment", result=f"p-{n}")))
        for n in range(2, 6)
    ]
    answers = [vat.session.receive(text) for text in texts]
    assert [vat.session.receive(text) for text in texts[1:]] == answers[1:]
    assert json.loads(vat.session.receive(texts[0])[0])[0] == "failed"


@pytest.mark.parametrize(
    "number, error",
    [
        (2, r"ahead of the kernel: it was given another delivery 2 after 2"),
        (1, r"ahead of the kernel: it was given another delivery 1 after 2"),
        (4, r"behind the kernel: it was given delivery 4 after 2"),
    ],
)
def test_a_delivery_out_of_turn_fails_and_says_how(number, error):
    vat = DrivenVat(COUNTER)
    vat.call("increment")
    with pytest.raises(Failed, match=error):
        vat.say(protocol.dump_deliver(number, TIME_MS + 9, canonical.dump(message("o+0", "increment", 5))))
    with pytest.raises(Failed, match=error):
        vat.call("increment")
    assert json.loads(vat.session.hello())[1]["delivered"] == 2


def test_a_delivery_before_go_fails():
    vat = DrivenVat(COUNTER, start=False)
    with pytest.raises(Failed, match="a delivery came before go"):
        vat.deliver(["startVat", capdata(None)])


BAD_TEXTS = [
    "",
    "nonsense",
    "[]",
    "{}",
    "null",
    '["deliver"]',
    '["deliver",1]',
    '["deliver","1",2,["bringOutYourDead"]]',
    '["deliver",2,1.5,["bringOutYourDead"]]',
    '["start",{}]',
    '["start",{"protocol":2,"vat":"v1","incarnation":0,"name":"n","seed":"s","main":"m","files":{}}]',
    '["replay",[1]]',
    '["replay",1]',
    '["go",true,1]',
    '["go","0"]',
    '["unknown",1]',
    '["deliver",2,1e999,[]]',
    "[" * 100_000,
    '["deliver",2,' + "9" * 400 + ',["bringOutYourDead"]]',
    "\ud800",
]


@pytest.mark.parametrize("text", BAD_TEXTS)
@pytest.mark.parametrize("phase", ["fresh", "replaying", "ready"])
def test_any_text_is_answered(text, phase):
    vat = DrivenVat(COUNTER, start=phase == "ready")
    session = VatSession() if phase == "fresh" else vat.session
    [answer] = session.receive(text)
    assert json.loads(answer)[0] == "failed"
    answer.encode()


@pytest.mark.parametrize(
    "delivery", [None, [], ["unknown"], ["message"], ["message", "x", {}], ["notify", 3], ["startVat"]]
)
def test_a_malformed_delivery_has_an_error_for_an_outcome(delivery):
    vat = DrivenVat(COUNTER)
    [answer] = vat.session.receive(protocol.dump_deliver(2, TIME_MS, canonical.dump(delivery)))
    kind, number, [status, error], syscalls, _ = json.loads(answer)
    assert (kind, number, status, syscalls) == ("done", 2, "error", [])
    assert "delivery" in error


def test_a_realm_is_one_vat():
    vat = DrivenVat(COUNTER)
    with pytest.raises(Failed, match=r"vat v1 \(tested\): this realm is a vat already"):
        vat.say(protocol.dump_start(spec()))


def test_a_store_that_cannot_be_opened_fails_with_its_reason():
    def make_store() -> VatStore:
        raise OSError("the disk is gone")

    [answer] = VatSession(make_store=make_store).receive(protocol.dump_start(spec()))
    assert "OSError: the disk is gone" in json.loads(answer)[1]


# Replay ----------------------------------------------------------------------------------------


def test_a_replayed_vat_is_where_it_was_with_its_suspended_calls():
    vat = DrivenVat(COUNTER)
    vat.call("wait", Ref("p-61"))
    vat.call("increment", 5, result="p-62")
    vat.call("ask", Ref("o-50"), result="p-63")
    again = vat.replayed()
    for each in (vat, again):
        assert each.notify(("p-61", "awaited")) == [("resolve", ("p-60", ["awaited", 5]))]
        assert each.notify(("p+5", "answer")) == [("resolve", ("p-63", "answer"))]
    assert vat.session.hello() == again.session.hello()


def test_a_replay_may_come_in_pieces_and_say_nothing():
    vat = DrivenVat(COUNTER)
    for _ in range(4):
        vat.call("increment")
    session = VatSession()
    session.receive(protocol.dump_start(vat.spec))
    assert session.receive(protocol.dump_replay(vat.transcript[:2])) == []
    assert session.receive(protocol.dump_replay([])) == []
    assert session.receive(protocol.dump_replay(vat.transcript[2:])) == []
    assert session.receive(protocol.dump_go(5)) == ['["ready",5]']


def test_time_and_entropy_of_a_replay_are_those_of_the_record():
    vat = DrivenVat("""
        import os, random, time
        class Root(Exo):
            def draw(self): return [time.time(), random.random(), os.urandom(4), random.Random().random()]
        """)
    vat.call("draw")
    vat.call("draw")
    again = vat.replayed()
    assert vat.call("draw") == again.call("draw")


def change(entry, **changes):
    return json.dumps(json.loads(entry) | changes)


def test_a_replay_that_differs_names_vat_delivery_and_both_syscalls():
    vat = DrivenVat(COUNTER)
    vat.call("increment")
    vat.call("increment")
    entry = change(vat.transcript[1], sc=[["resolve", [["p-60", False, {"body": '#"+7"', "slots": []}]]]])
    with pytest.raises(Failed) as raised:
        vat.replayed([vat.transcript[0], entry, vat.transcript[2]])
    text = str(raised.value)
    assert text.startswith("vat v1 (tested): replay of delivery 2 differs from the record. Syscall 1: ")
    assert r'expected ["resolve",[["p-60",false,{"body":"#\"+7\"","slots":[]}]]]' in text
    assert r'actual ["resolve",[["p-60",false,{"body":"#\"+1\"","slots":[]}]]]' in text


@pytest.mark.parametrize(
    "change_syscalls, expected",
    [
        (lambda syscalls: [], "Syscall 1: expected no further syscall, actual"),
        (
            lambda syscalls: [*syscalls, ["subscribe", "p-1"]],
            'Syscall 2: expected ["subscribe","p-1"], actual no further syscall',
        ),
        (lambda syscalls: [["subscribe", "p-1"], *syscalls], 'Syscall 1: expected ["subscribe","p-1"], actual'),
    ],
    ids=["extra", "missing", "wrong"],
)
def test_extra_missing_and_wrong_syscalls_are_differences(change_syscalls, expected):
    vat = DrivenVat(COUNTER)
    vat.call("increment")
    entry = json.loads(vat.transcript[1])
    with pytest.raises(Failed) as raised:
        vat.replayed([vat.transcript[0], change(vat.transcript[1], sc=change_syscalls(entry["sc"]))])
    assert expected in str(raised.value)


def test_the_order_of_keys_in_a_record_is_no_difference():
    vat = DrivenVat(COUNTER)
    vat.call("increment")
    entry = json.loads(vat.transcript[1])
    entry["sc"] = [["resolve", [["p-60", False, {"slots": [], "body": '#"+1"'}]]]]
    vat.replayed([vat.transcript[0], json.dumps(dict(reversed(entry.items())))])


def test_code_that_changed_is_found_by_the_replay_with_its_error():
    vat = DrivenVat(COUNTER)
    vat.call("increment")
    vat.spec.files["main.py"] = vat.spec.files["main.py"].replace("self.count += by", "self.count += missing")
    with pytest.raises(Failed, match="delivery 2 differs"):
        vat.replayed()


def test_after_a_difference_nothing_more_is_carried_out():
    vat = DrivenVat(COUNTER)
    vat.call("increment")
    session = VatSession()
    session.receive(protocol.dump_start(vat.spec))
    [failed] = session.receive(protocol.dump_replay([vat.transcript[0], change(vat.transcript[1], sc=[])]))
    assert session.receive(protocol.dump_go(2)) == [failed]
    assert session.receive(protocol.dump_deliver(3, TIME_MS, canonical.dump(message("o+0", "increment")))) == [failed]
    assert session.receive("nonsense") == [failed]


@pytest.mark.parametrize("entries", [slice(1, 2), slice(0, 3, 2)], ids=["first missing", "gap"])
def test_a_transcript_with_a_gap_fails(entries):
    vat = DrivenVat(COUNTER)
    vat.call("increment")
    vat.call("increment")
    with pytest.raises(Failed, match="the transcript has a gap"):
        vat.replayed(vat.transcript[entries])


def test_going_at_another_number_than_replayed_fails():
    vat = DrivenVat(COUNTER)
    session = VatSession()
    session.receive(protocol.dump_start(vat.spec))
    session.receive(protocol.dump_replay(vat.transcript))
    [answer] = session.receive(protocol.dump_go(2))
    assert "the kernel counts 2 deliveries, the replay had 1" in answer


# Vats of another kind --------------------------------------------------------------------------


class Stopping:
    """A vat that is stopped in the middle of its second delivery."""

    def __init__(self):
        self.deliveries = []

    def deliver(self, number, time_ms, delivery):
        self.deliveries.append((number, time_ms, delivery))
        return Outcome(None, [], ["said"], poison="out of gas" if number == 2 else None)

    def resume(self, delivered):
        raise AssertionError("no snapshot was taken")

    def succeed(self, spec):
        self.deliveries.append(spec.incarnation)
        return self

    def close(self):
        self.deliveries.append("closed")


@pytest.fixture
def stopping():
    vat = Stopping()
    specs = []
    session = VatSession(make_vat=lambda spec: specs.append(spec) or vat)
    session.receive(protocol.dump_start(spec()))
    assert specs == [spec()]
    return session, vat


def test_another_kind_of_vat_gets_the_deliveries(stopping):
    session, vat = stopping
    session.receive(protocol.dump_go(0))
    [done] = session.receive(protocol.dump_deliver(1, TIME_MS, '["bringOutYourDead"]'))
    assert json.loads(done) == ["done", 1, ["ok", None], [], {"memory_bytes": None, "console": ["said"]}]
    session.close()
    assert vat.deliveries == [(1, TIME_MS, ["bringOutYourDead"]), "closed"]


def test_a_poison_message_is_answered_and_ends_the_session(stopping):
    session, vat = stopping
    session.receive(protocol.dump_go(0))
    session.receive(protocol.dump_deliver(1, TIME_MS, '["bringOutYourDead"]'))
    text = protocol.dump_deliver(2, TIME_MS, '["bringOutYourDead"]')
    [done] = session.receive(text)
    assert json.loads(done)[:4] == ["done", 2, ["poison", "out of gas"], []]
    assert session.receive(text) == [done]
    [failed] = session.receive(protocol.dump_deliver(3, TIME_MS, '["bringOutYourDead"]'))
    assert "delivery 2 was stopped in the middle" in json.loads(failed)[1]
    assert len(vat.deliveries) == 2


def test_a_replay_that_is_stopped_fails(stopping):
    session, _ = stopping
    entries = [protocol.dump_transcript_entry(number, TIME_MS, '["bringOutYourDead"]', "[]", None) for number in (1, 2)]
    [failed] = session.receive(protocol.dump_replay(entries))
    assert "replay of delivery 2 was stopped: out of gas" in json.loads(failed)[1]


# Snapshots -------------------------------------------------------------------------------------


def test_after_a_snapshot_a_session_goes_on_as_after_a_replay():
    vat = DrivenVat(COUNTER)
    assert vat.say(protocol.dump_snapshot()) == []
    vat.go()
    assert vat.call("increment") == [("resolve", ("p-60", 1))]
    assert vat.say(protocol.dump_snapshot(is_check=True)) == []
    vat.go()
    assert vat.call("increment") == [("resolve", ("p-60", 2))]


def test_what_was_restored_takes_the_rest_of_the_transcript():
    vat = DrivenVat(COUNTER)
    vat.say(protocol.dump_snapshot())
    entry = protocol.dump_transcript_entry(
        2,
        TIME_MS,
        canonical.dump(message("o+0", "increment")),
        canonical.dump([["resolve", [["p-60", False, capdata(1)]]]]),
        None,
    )
    vat.say(protocol.dump_replay([entry]))
    vat.number = 2
    vat.go()
    assert vat.call("increment") == [("resolve", ("p-60", 2))]


def test_a_delivery_after_a_snapshot_waits_for_go():
    vat = DrivenVat(COUNTER)
    vat.say(protocol.dump_snapshot())
    with pytest.raises(Failed, match="a delivery came before go"):
        vat.call("increment")


def test_a_snapshot_collects_garbage_and_its_place_is_told_on_a_new_port():
    collected = []
    vat = DrivenVat(COUNTER, collect=lambda: collected.append("collected"))
    vat.call("increment")
    vat.say(protocol.dump_snapshot())
    assert collected == ["collected"]
    vat.go()
    vat.call("increment")
    hello = json.loads(vat.session.hello())[1]
    assert (hello["delivered"], hello["marked"]) == (3, 2)


def test_a_fresh_realm_has_no_heap():
    assert "a snapshot came before start" in VatSession().receive(protocol.dump_snapshot())[0]


def test_a_realm_says_which_image_it_started_from():
    assert json.loads(VatSession(base="pyodide-1").hello())[1]["base"] == "pyodide-1"


class BrokenStore(VatStore):
    def check(self):
        raise StoreError("the vat's store file cannot be used: database or disk is full")


class RecordingStore(VatStore):
    """Says what it is told of snapshots, and that it is not where it should be when it is to resume at 3."""

    def __init__(self):
        super().__init__()
        self.told = []

    def checkpoint(self, delivered):
        self.told.append(("checkpoint", delivered))

    def resume(self, delivered):
        self.told.append(("resume", delivered))
        if delivered == 3:
            raise StoreError("the vat's store file is of another vat, its heap of delivery 3")


def test_a_store_outside_the_heap_is_told_of_snapshots():
    store = RecordingStore()
    vat = DrivenVat(COUNTER, make_store=lambda: store)
    vat.call("increment")
    vat.say(protocol.dump_snapshot())
    vat.go()
    vat.call("increment")
    assert store.told == [("checkpoint", 2), ("resume", 2)]
    vat.say(protocol.dump_snapshot())
    with pytest.raises(Failed, match="StoreError: the vat's store file is of another vat"):
        vat.go()


def test_a_store_that_broke_down_during_a_delivery_takes_the_realm_with_it():
    with pytest.raises(Failed, match="database or disk is full"):
        DrivenVat(COUNTER, make_store=BrokenStore)


# Looks -----------------------------------------------------------------------------------------


def look(session, expression=None):
    (answer,) = session.receive(protocol.dump_look(expression))
    return json.loads(answer)


def test_a_heap_is_looked_at_and_its_syscalls_are_dropped():
    vat = DrivenVat(COUNTER)
    vat.call("increment", 5)
    assert look(vat.session, "root.count")[1] == {"value": "5", "type": "int", "error": "", "console": ""}
    found = look(vat.session)[1]
    assert ["export", "o+0", "Root", "<Root> count=5"] in found["objects"]
    assert dict(found["store"])["baggageID"] == "o+d6/1"


@pytest.mark.parametrize(
    "text",
    [
        protocol.dump_go(2),
        protocol.dump_snapshot(),
        protocol.dump_replay([]),
        protocol.dump_start(spec()),
        protocol.dump_deliver(3, TIME_MS, canonical.dump(message("o+0", "increment"))),
    ],
)
def test_what_was_looked_at_can_never_be_the_living_vat(text):
    vat = DrivenVat(COUNTER)
    vat.call("increment")
    look(vat.session, "root")
    (answer,) = vat.session.receive(text)
    kind = json.loads(text)[0]
    assert f"can never be the living vat: it takes no {kind}" in json.loads(answer)[1]


def test_a_fresh_realm_has_nothing_to_look_at():
    (answer,) = VatSession().receive(protocol.dump_look(None))
    assert "look came before start" in answer


def test_long_values_are_cut_and_compare_by_a_checksum():
    vat = DrivenVat(COUNTER)
    vat.call("increment")
    assert len(look(vat.session, "'x' * 1_000_000")[1]["value"]) <= DEFAULT_LIMITS.look_chars_max
