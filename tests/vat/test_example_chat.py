"""The chat: memberships that can be revoked."""

from __future__ import annotations

import pytest

from kernel_py.testing import Cluster, Vats
from kernel_py.vat import Exo
from scripts.examples import EXAMPLES


class Ear(Exo):
    """A listener of the test."""

    def __init__(self):
        self.lines = []

    def hear(self, line):
        self.lines.append(f"{line['author']}: {line['text']}")


@pytest.fixture
def chat(vats: Vats) -> Cluster:
    return vats.launch(EXAMPLES / "chat")


def test_a_revoked_membership_is_dead_for_whoever_holds_it(chat: Cluster):
    came = ["room: alice came", "room: bob came", "room: mallory came"]
    said = ["alice: hello", "mallory: buy my watches", "room: mallory was put out: advertising"]
    assert chat.result == {
        "heard_by_alice": [*came, *said],
        "refused": ["the membership of mallory was revoked"] * 2,
        "members": ["alice", "bob"],
    }


def test_a_member_has_no_power_over_memberships(vats: Vats, chat: Cluster):
    access = vats.call(vats.call(chat.root).admit("dave", Ear())).get_access()
    assert vats.call(access).who() == ["alice", "bob", "dave"]
    with pytest.raises(AttributeError, match="Membership access has no method 'revoke'"):
        vats.call(access).revoke("me?")


def test_members_hear_and_read_what_is_said(vats: Vats, chat: Cluster):
    ear = Ear()
    dave = vats.call(chat.root).admit("dave", ear)
    number = vats.call(dave).say("hi")
    vats.call(chat.roots["bob"]).say("hi dave")
    assert ear.lines == ["room: dave came", "dave: hi", "bob: hi dave"]
    assert [line["text"] for line in vats.call(dave).read(number)] == ["hi", "hi dave"]
    vats.call(dave).leave()
    vats.call(chat.roots["bob"]).say("gone?")
    assert ear.lines[-1] == "bob: hi dave"
    with pytest.raises(PermissionError, match="the membership of dave was revoked"):
        vats.call(dave).read()


def test_revoking_holds_over_a_crash_and_twice_is_once(vats: Vats, chat: Cluster):
    dave = vats.call(chat.root).admit("dave", Ear())
    vats.call(dave).revoke("a test")
    vats.crash()
    vats.call(dave).revoke("again")
    with pytest.raises(PermissionError):
        vats.call(dave).say("hello?")
    assert vats.call(chat.root).admit("dave", Ear()) is not dave


@pytest.mark.parametrize("text, error", [("", ValueError), ("x" * 501, ValueError), (5, TypeError), (None, TypeError)])
def test_what_is_no_text_is_not_said(vats: Vats, chat: Cluster, text, error):
    dave = vats.call(chat.root).admit("dave", Ear())
    with pytest.raises(error, match=r"^say\(text\): "):
        vats.call(dave).say(text)
    with pytest.raises(TypeError, match=r"admit\(listener\): expected a far object, not None"):
        vats.call(chat.root).admit("eve", None)
