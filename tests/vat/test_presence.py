"""Presences: references, not proxies."""

from __future__ import annotations

import copy
import pickle
import weakref

import pytest

from kernel_py.vat.presence import Presence, iface_of, vref_of
from kernel_py.wire.refs import Vref


@pytest.fixture
def presence():
    return Presence(Vref("o-50"), "Alleged: Purse")


def test_it_says_what_it_is(presence):
    assert repr(presence) == "<Presence Purse o-50>"
    assert (vref_of(presence), iface_of(presence)) == ("o-50", "Alleged: Purse")


def test_using_it_as_a_local_object_says_how_to_send(presence):
    with pytest.raises(AttributeError, match=r"Purse lives in another vat: use E\(presence\)\.deposit\(\.\.\.\)"):
        presence.deposit(5)
    assert not hasattr(presence, "__len__")


def test_it_has_no_copies(presence):
    assert copy.copy(presence) is presence
    assert copy.deepcopy([presence])[0] is presence
    with pytest.raises(TypeError):
        pickle.dumps(presence)


def test_it_is_compared_by_identity_and_can_be_held_weakly(presence):
    other = Presence(Vref("o-50"), "Alleged: Purse")
    assert presence != other
    assert {presence: 1}[presence] == 1
    assert weakref.WeakKeyDictionary({presence: 1})[presence] == 1


def test_it_holds_nothing_of_the_vats(presence):
    with pytest.raises(AttributeError):
        presence.note = 1
