"""A chat whose members can be put out: what they hold is not the room but a membership, and it can be revoked.

A membership is a forwarder. Revoking it cuts it off from the room, so that nothing said through it is heard, whoever
it was passed on to meanwhile; the members in turn are only heard from through the forwarders that they gave.
"""

from typing import Annotated, Any, TypedDict

from kernel_py.vat import E, Exo, M, Nat, Presence, facet

Name = Annotated[str, M.length(1, 40)]
Text = Annotated[str, M.length(1, 500)]
HISTORY_MAX = 1_000


class Line(TypedDict):
    number: Nat
    author: Name
    text: Text


class Membership(Exo):
    """A member's access to the room, until it is revoked. Whoever holds it speaks in the member's name.

    `access` is what the member gets. It has no `revoke`: that stays with whoever admitted the member.
    """

    access = facet("say", "read", "leave", "who")

    def __init__(self, room: "Room", name: str, listener: Any):
        self._room = room
        self._name = name
        self._listener = listener

    def get_access(self) -> Presence:
        return self.access

    def say(self, text: Text) -> Nat:
        """Say something to all members; the number of the line."""
        return self._reach()._add(self._name, text)

    def read(self, since: Nat = 0) -> list[Line]:
        """The lines from that number on, as far as they are kept."""
        return [line for line in self._reach()._lines if line["number"] >= since]

    def who(self) -> list[Name]:
        return sorted(self._reach()._members)

    def leave(self) -> None:
        self._reach()._remove(self._name, f"{self._name} left")

    def revoke(self, reason: Text) -> None:
        """Put the member out. What was said stays; revoking again does nothing."""
        if self._room is not None:
            self._room._remove(self._name, f"{self._name} was put out: {reason}")

    def _reach(self) -> "Room":
        if self._room is None:
            raise PermissionError(f"the membership of {self._name} was revoked")
        return self._room

    def _cut(self) -> None:
        self._room = self._listener = None

    def _tell(self, line: Line) -> None:
        E.send_only(self._listener).hear(line)


class Room(Exo):
    """The room itself. Who holds it may admit members, and put them out."""

    def __init__(self):
        self._members = {}
        self._lines = []
        self._count = 0

    def admit(self, name: Name, listener: Exo) -> Membership:
        """A new membership. `listener.hear(line)` is called with all that is said from now on."""
        if name in self._members:
            raise ValueError(f"{name} is a member")
        self._members[name] = Membership(self, name, listener)
        self._add("room", f"{name} came")
        return self._members[name]

    def find_member(self, name: Name) -> Membership:
        return self._members[name]

    def _add(self, author, text):
        self._count += 1
        line = {"number": self._count, "author": author, "text": text}
        self._lines.append(line)
        del self._lines[:-HISTORY_MAX]
        for member in self._members.values():
            member._tell(line)
        return self._count

    def _remove(self, name, text):
        self._members.pop(name)._cut()
        self._add("room", text)

    async def bootstrap(self, vats, services):
        """Admit all; mallory, who passes the access on to bob, is put out, and is heard by neither way any more."""
        for name, user in vats.items():
            if name != "room":
                await E(user).join(self.admit(name, user).access)
        alice, bob, mallory = (vats[name] for name in ("alice", "bob", "mallory"))
        await E(alice).say("hello")
        await E(mallory).say("buy my watches")
        await E(mallory).share(bob)
        self._members["mallory"].revoke("advertising")
        refused = []
        for sender in (E(mallory).say("again?"), E(bob).say_as("mallory", "by proxy?")):
            try:
                await sender
            except PermissionError as error:
                refused.append(str(error))
        return {"heard_by_alice": await E(alice).heard(), "refused": refused, "members": sorted(self._members)}


def build_root_object(powers, parameters, baggage):
    return Room()
