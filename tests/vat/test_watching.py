"""Watched promises: outcomes that come to durable objects, in this incarnation or a later one."""

from __future__ import annotations

import pytest

from tests.vat.driving import DrivenVat, Ref
from tests.vat.test_durable import run
from tests.vat.test_upgrade import RUN

SOURCE = """
class Watcher(Durable):
    name: str = "w"
    log: object = field(default_factory=list)
    def on_fulfilled(self, value, *args):
        self.log = [*self.log, ["fulfilled", value, *args]]
    def on_rejected(self, error, *args):
        self.log = [*self.log, ["rejected", type(error).__name__, str(error), *args]]
    def read(self): return self.log
class Hopeful(Durable):
    log: list = []
    def on_fulfilled(self, value): self.log = [*self.log, value]
class Deaf(Durable): pass
"""
DISCONNECTED = {"incarnationNumber": 0, "name": "vatUpgraded", "upgradeMessage": "vat upgraded"}


@pytest.fixture
def vat():
    vat = DrivenVat(SOURCE + RUN)
    run(vat, "baggage['w'] = Watcher()")
    return vat


def read(vat, name="w"):
    return run(vat, f"result = baggage[{name!r}].log")


def watched(vat):
    """What the table of watched promises has."""
    return [key for key in vat.records if key.startswith("vc.2.s")]


# In one incarnation ----------------------------------------------------------------------------


def test_a_promise_of_the_kernel_is_watched(vat):
    assert vat.call("run", "watch_promise(args[0], baggage['w'], 1, [args[1]])", Ref("p-61"), Ref("o-50")) == [
        ("subscribe", "p-61"),
        ("resolve", ("p-60", None)),
    ]
    assert watched(vat) == ["vc.2.sp-61"]
    assert vat.notify(("p-61", "value")) == []
    assert read(vat) == [["fulfilled", "value", 1, [Ref("o-50")]]]
    assert watched(vat) == []


def test_the_result_of_a_send_is_watched(vat):
    assert vat.call("run", "watch_promise(E(args[0]).ask(), baggage['w'])", Ref("o-50")) == [
        ("send", "o-50", "ask", [], "p+5"),
        ("subscribe", "p+5"),
        ("resolve", ("p-60", None)),
    ]
    vat.notify(("p+5", ValueError("no"), "rejected"))
    assert read(vat) == [["rejected", "RemoteValueError", "no"]]


def test_a_promise_of_this_vat_is_told_to_the_kernel_and_subscribed_to(vat):
    assert vat.call("run", "root.r = make_promise(); watch_promise(root.r[0], baggage['w'], 'a')") == [
        ("subscribe", "p+5"),
        ("resolve", ("p-60", None)),
    ]
    assert vat.call("run", "root.r[1].resolve(3)") == [("resolve", ("p-60", None)), ("resolve", ("p+5", 3))]
    assert read(vat) == [["fulfilled", 3, "a"]]
    assert watched(vat) == []
    assert vat.session._supervisor._liveslots.slots._promises == {}


def test_a_promise_of_this_vat_that_the_kernel_knows_is_only_subscribed_to(vat):
    vat.call("run", "root.r = make_promise(); result = [root.r[0]]")
    assert vat.call("run", "watch_promise(root.r[0], baggage['w'])") == [
        ("subscribe", "p+5"),
        ("resolve", ("p-60", None)),
    ]


@pytest.mark.parametrize(
    "outcome, seen",
    [
        ("resolve([1, args[0]])", ["fulfilled", [1, Ref("o-50")]]),
        ("reject(KeyError('k'))", ["rejected", "KeyError", "'k'"]),
    ],
)
def test_a_settled_promise_is_told_of_without_the_kernel(vat, outcome, seen):
    source = f"p, r = make_promise(); r.{outcome}; watch_promise(p, baggage['w'], 1)"
    assert vat.call("run", source, Ref("o-50")) == [("resolve", ("p-60", None))]
    assert read(vat) == [[*seen, 1]]


def test_several_watchers_are_told_in_order(vat):
    run(vat, "watch_promise(args[0], baggage['w'], 1); watch_promise(args[0], baggage['w'], 2)", Ref("p-61"))
    assert vat.call("run", "watch_promise(args[0], baggage['w'], 3)", Ref("p-61")) == [("resolve", ("p-60", None))]
    vat.notify(("p-61", "v"))
    assert read(vat) == [["fulfilled", "v", 1], ["fulfilled", "v", 2], ["fulfilled", "v", 3]]


def test_the_watchers_need_nothing_else_to_keep_them(vat):
    run(vat, "watch_promise(args[0], Watcher('x'), args[1])", Ref("p-61"), Ref("o-50"))
    assert vat.bring_out_your_dead() == []
    assert "vom.o+d10/2" in vat.records
    vat.notify(("p-61", 1))
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]
    assert "vom.o+d10/2" not in vat.records


def test_a_rejection_that_a_watcher_does_not_look_at_is_reported(vat):
    run(vat, "baggage['h'] = Hopeful(); watch_promise(args[0], baggage['h'])", Ref("p-61"))
    vat.notify(("p-61", ValueError("unseen"), "rejected"))
    assert vat.console[0].startswith("<Hopeful o+d11/1> has no on_rejected: ")
    assert "unseen" in vat.console[-1]


@pytest.mark.parametrize(
    "call, error",
    [
        ("watch_promise(3, baggage['w'])", "TypeError: what is watched is a promise, not int"),
        ("watch_promise(args[0], root)", "TypeError: a watcher is an instance of a Durable class, not Root"),
        (
            "watch_promise(args[0], DurableMap().get)",
            "TypeError: a watcher is an instance of a Durable class, not method",
        ),
        ("watch_promise(args[0], Deaf())", "TypeError: Deaf has neither on_fulfilled nor on_rejected"),
        ("watch_promise(args[0], baggage['w'], root)", "MarshalError: watch_promise[1]: Root lives in the heap only, "),
        ("watch_promise(make_promise()[0], baggage['w'], root)", "MarshalError: watch_promise[1]: Root lives in the "),
    ],
)
def test_what_cannot_be_watched_is_refused(vat, call, error):
    assert run(vat, call, Ref("p-61")).startswith(error)
    assert watched(vat) == []


# Across incarnations ---------------------------------------------------------------------------


def test_a_promise_of_the_kernel_settles_in_the_next_incarnation(vat):
    run(vat, "watch_promise(args[0], baggage['w'], 'a')", Ref("p-61"))
    assert vat.upgrade(SOURCE + RUN) == []
    assert vat.notify(("p-61", [Ref("o-51")])) == []
    assert read(vat) == [["fulfilled", [Ref("o-51")], "a"]]
    assert watched(vat) == []


def test_a_watcher_that_raises_is_reported_and_hinders_no_other(vat):
    run(vat, "watch_promise(args[0], baggage['w']); watch_promise(args[0], baggage['w'])", Ref("p-61"))
    vat.notify(("p-61", [Ref("p-62")]))  # which it cannot keep
    path = "MarshalError: Watcher.log[0][1][0]: a promise lives in the heap only"
    assert len([line for line in vat.console if path in line]) == 2


def test_the_result_of_a_send_settles_in_a_later_incarnation(vat):
    run(vat, "watch_promise(E(args[0]).ask(), baggage['w'], 'a')", Ref("o-50"))
    vat.upgrade(SOURCE + RUN)
    vat.upgrade(SOURCE + RUN)
    assert vat.notify(("p+5", "answer")) == []
    assert read(vat) == [["fulfilled", "answer", "a"]]


def test_a_promise_of_the_old_incarnation_is_rejected_by_the_kernel(vat):
    run(vat, "root.r = make_promise(); watch_promise(root.r[0], baggage['w'], 'a')")
    vat.upgrade(SOURCE + RUN)
    vat.notify(("p+5", DISCONNECTED, "rejected"))
    assert read(vat) == [["rejected", "VatUpgraded", "vat upgraded", "a"]]


def test_two_incarnations_may_watch_one_promise(vat):
    run(vat, "watch_promise(args[0], baggage['w'], 1)", Ref("p-61"))
    vat.upgrade(SOURCE + RUN)
    assert vat.call("run", "watch_promise(args[0], baggage['w'], 2)", Ref("p-61")) == [("resolve", ("p-60", None))]
    vat.notify(("p-61", "v"))
    assert read(vat) == [["fulfilled", "v", 1], ["fulfilled", "v", 2]]


def test_a_replayed_vat_watches_what_it_watched(vat):
    run(vat, "watch_promise(args[0], baggage['w'], 1)", Ref("p-61"))
    vat.upgrade(SOURCE + RUN)
    again = vat.replayed()
    for each in (vat, again):
        each.notify(("p-61", "v"))
        assert read(each) == [["fulfilled", "v", 1]]
