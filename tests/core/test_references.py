"""Reference counts and c-lists, apart from the kernel around them."""

from __future__ import annotations

import pytest

from kernel_py.core.queues import Queues
from kernel_py.core.references import Learned, References
from kernel_py.core.schema import (
    ClistEntry,
    ItemKind,
    KernelObject,
    QueuedMessage,
    QueueItem,
    Vat,
    VatCounters,
    VatState,
)
from kernel_py.core.state import KernelState
from kernel_py.wire.errors import IllegalSyscall, KernelBug
from kernel_py.wire.refs import Vref


@pytest.fixture
def state() -> KernelState:
    """A state inside a transaction, with two vats that know nothing."""
    state = KernelState()
    state.begin()
    for vat in ("v1", "v2"):
        state.set("counters", vat, VatCounters(0, 0, 50, 60, 0, 0, 0, ""))
        state.set("vats", vat, Vat("a", "c1", "iframe", VatState.RUNNING, 0, ((1, "b1-0", "a.py"),), "", "", False))
    return state


@pytest.fixture
def references(state: KernelState) -> References:
    return References(state)


def test_counts_change_at_the_end_of_the_crank(state: KernelState, references: References) -> None:
    kref = references.create_object("v1", "thing")
    references.take_hold(kref)
    references.take_hold(kref)
    references.drop_hold(kref)
    assert references.get_object(kref)[1:3] == (0, 0)
    references.settle_counts()
    assert references.get_object(kref) == KernelObject("v1", 1, 1, "thing")


def test_a_promise_dropped_and_taken_again_in_one_crank_stays(references: References) -> None:
    kpid = references.create_promise("v1")
    references.take_hold(kpid)
    references.settle_counts()
    references.drop_hold(kpid)
    references.take_hold(kpid)
    references.settle_counts()
    assert references.get_promise(kpid).refs == 1


def test_a_new_promise_that_nobody_takes_goes(state: KernelState, references: References) -> None:
    references.create_promise("v1")
    references.settle_counts()
    assert state.count("promises") == 0


def test_what_a_promise_holds_goes_with_it(state: KernelState, references: References) -> None:
    """A chain of a thousand promises, each the data of the one before, and an orphan at its end."""
    orphan = references.create_object("v1", "thing")
    references.take_hold(orphan)
    references.orphan(orphan)
    slot: str = orphan
    for _ in range(1_000):
        kpid = references.create_promise(None)
        state.set("promises", kpid, references.get_promise(kpid)._replace(slots=(slot,)))
        references.take_hold(kpid)
        slot = kpid
    references.settle_counts()
    assert state.count("promises") == 1_000
    references.drop_hold(slot)
    references.settle_counts()
    assert (state.count("promises"), state.count("objects")) == (0, 0)


def test_an_orphan_stays_while_it_is_recognizable(state: KernelState, references: References) -> None:
    kref = references.create_object("v1", "thing")
    references.take_hold(kref)
    references.orphan(kref)
    references.settle_counts()
    assert references.find_owner(kref) is None
    references.drop_hold(kref)
    references.settle_counts()
    assert state.count("objects") == 0


def test_a_count_below_zero_is_a_bug(references: References) -> None:
    kref = references.create_object("v1", "thing")
    references.drop_hold(kref)
    with pytest.raises(KernelBug, match=f"reference counts of {kref} out of range: -1,-1"):
        references.settle_counts()
    references.forget_counts()
    kpid = references.create_promise(None)
    references.drop_hold(kpid)
    with pytest.raises(KernelBug, match=f"reference count of {kpid} below zero"):
        references.settle_counts()


@pytest.mark.parametrize("kref", ["ko99", "kp99"])
def test_holding_what_does_not_exist_is_a_bug(references: References, kref: str) -> None:
    references.take_hold(kref)
    with pytest.raises(KernelBug, match=f"no .* {kref}"):
        references.settle_counts()


def test_an_import_gets_the_next_name_and_counts(references: References) -> None:
    learned = Learned()
    kref, kpid = references.create_object("v1", "thing"), references.create_promise("v1")
    assert references.kref_to_vref("v2", kref, learned) == "o-50"
    assert references.kref_to_vref("v2", kpid, learned) == "p-60"
    assert references.kref_to_vref("v2", kref, learned) == "o-50"
    assert learned == Learned([kref, kpid], [])
    references.settle_counts()
    assert references.get_object(kref)[1:3] == (1, 1)
    assert references.get_promise(kpid).refs == 1
    references.delete_entry("v2", kref)
    references.delete_entry("v2", kpid)
    references.settle_counts()
    assert references.get_object(kref)[1:3] == (0, 0)


def test_an_export_does_not_count(references: References) -> None:
    kref = references.vref_to_kref("v1", Vref("o+7"), "thing")
    references.settle_counts()
    assert references.get_object(kref) == KernelObject("v1", 0, 0, "thing")
    references.delete_entry("v1", kref)
    references.settle_counts()


def test_an_import_that_was_dropped_may_not_be_used(state: KernelState, references: References) -> None:
    kref = references.create_object("v1", "thing")
    references.kref_to_vref("v2", kref, Learned())
    state.set("v2.clist", kref, ClistEntry("o-50", is_reachable=False))
    with pytest.raises(IllegalSyscall, match="o-50 was dropped"):
        references.vref_to_kref("v2", Vref("o-50"))


def test_an_import_that_was_dropped_becomes_reachable_when_it_is_given_again(
    state: KernelState, references: References
) -> None:
    kref = references.create_object("v1", "thing")
    references.kref_to_vref("v2", kref, Learned())
    references.settle_counts()
    state.set("v2.clist", kref, ClistEntry("o-50", is_reachable=False))
    state.set("objects", kref, KernelObject("v1", 0, 1, "thing"))
    assert references.kref_to_vref("v2", kref, Learned()) == "o-50"
    references.settle_counts()
    assert references.get_object(kref)[1:3] == (1, 1)
    assert references.find_entry("v2", kref) == ClistEntry("o-50", is_reachable=True)


def test_an_export_may_be_named_again(state: KernelState, references: References) -> None:
    kref = references.vref_to_kref("v1", Vref("o+7"))
    state.set("v1.clist", kref, ClistEntry("o+7", is_reachable=False))
    assert references.vref_to_kref("v1", Vref("o+7")) == kref
    assert references.find_entry("v1", kref) == ClistEntry("o+7", is_reachable=True)


def test_an_owner_without_an_entry_is_a_bug(references: References) -> None:
    kref = references.create_object("v1", "thing")
    with pytest.raises(KernelBug, match="v1 owns ko20 but its c-list has no entry"):
        references.kref_to_vref("v1", kref, Learned())


# --- queues -----------------------------------------------------------------------------------------


def _always(vat: str, item: QueueItem) -> bool:
    return bool(vat and item)


def test_the_head_accepted_first_is_next(state: KernelState, references: References) -> None:
    queues = Queues(state, references)
    kref = references.create_object("v1", "thing")
    message = QueuedMessage(kref, "#[]", (), None)
    for vat in ("v2", "v1", "v2"):
        queues.append(vat, ItemKind.MESSAGE, message)
    order = []
    while (ready := queues.find_next(_always)) is not None:
        order.append(ready)
        queues.take_head(ready)
        queues.offer(ready)
    assert order == ["v2", "v1", "v2"]


def test_a_busy_vat_is_passed_over_until_it_is_offered_again(state: KernelState, references: References) -> None:
    queues = Queues(state, references)
    message = QueuedMessage(references.create_object("v1", "thing"), "#[]", (), None)
    queues.append("v1", ItemKind.MESSAGE, message)
    queues.append("v2", ItemKind.MESSAGE, message)
    assert queues.find_next(lambda vat, _: vat == "v2") == "v2"
    queues.take_head("v2")
    assert queues.find_next(lambda vat, _: vat == "v2") is None
    assert queues.find_next(_always) is None
    queues.offer("v1")
    assert queues.find_next(_always) == "v1"


def test_what_an_aborted_crank_queued_is_never_next(state: KernelState, references: References) -> None:
    state.commit()
    queues = Queues(state, references)
    state.begin()
    message = QueuedMessage(references.create_object("v1", "thing"), "#[]", (), None)
    queues.append("v1", ItemKind.MESSAGE, message)
    state.abort()
    references.forget_counts()
    assert queues.find_next(_always) is None
    assert queues.count("v1") == 0


def test_order_is_found_again_at_a_start(state: KernelState, references: References) -> None:
    message = QueuedMessage(references.create_object("v1", "thing"), "#[]", (), None)
    queues = Queues(state, references)
    queues.append("v2", ItemKind.MESSAGE, message)
    queues.append("v1", ItemKind.MESSAGE, message)
    assert Queues(state, references).find_next(_always) == "v2"


def test_notifies_are_taken_until_something_else(state: KernelState, references: References) -> None:
    queues = Queues(state, references)
    for kind, payload in [(ItemKind.NOTIFY, "kp1"), (ItemKind.NOTIFY, "kp2"), (ItemKind.START, ("#{}", ()))]:
        queues.append("v1", kind, payload)
    assert queues.take_notifies("v1", lambda kpid: kpid == "kp1") == ["kp1"]
    assert queues.take_notifies("v1", lambda _: True) == ["kp2"]
    assert queues.take_notifies("v1", lambda _: True) == []
    assert queues.take_notifies("v2", lambda _: True) == []
    assert queues.count("v1") == 1
