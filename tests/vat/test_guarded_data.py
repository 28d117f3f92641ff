"""Durable objects and collections take types and patterns for guards, and their methods have guards as all others."""

from __future__ import annotations

import pytest

from kernel_py.testing import Vats

SOURCE = """
from typing import Annotated
from kernel_py.vat import Durable, DurableMap, DurableSet, Exo, Facet, M, Nat, facet, field

class Depositor(Facet):
    def deposit(self, amount: Nat) -> Nat:
        self.of.balance += amount
        return self.of.balance

class Purse(Durable):
    owner: str = field(guard=Annotated[str, M.length(1, 9)])
    balance: int = field(0, guard=Nat)
    notes: list[str] = field(default_factory=list)
    depositor = facet(Depositor)

    def withdraw(self, amount: Nat) -> Nat:
        self.balance -= amount
        return self.balance

    def get_notes(self) -> list[str]:
        self.notes = [*self.notes, "read"]
        return self.notes

    def get_depositor(self) -> Depositor:
        return self.depositor

class Purses(DurableMap, key=Annotated[str, M.matches("[a-z]+")], value=Purse):
    pass

class Root(Exo):
    def __init__(self):
        self.purses = Purses()

    def open(self, owner: str) -> Purse:
        self.purses[owner] = Purse(owner)
        return self.purses[owner]

    def bootstrap(self, vats, services):
        pass

    def put(self, key, value) -> None:
        self.purses[key] = value

def build_root_object(powers, parameters, baggage):
    return Root()
"""


@pytest.fixture
def root(vats: Vats):
    return vats.launch({"bootstrap": "root", "vats": {"root": {"source": "root.py"}}}, {"root.py": SOURCE}).root


def test_methods_and_facets_of_durable_objects_are_guarded(vats: Vats, root):
    purse = vats.call(root).open("alice")
    depositor = vats.call(purse).get_depositor()
    assert vats.call(depositor).deposit(5) == 5
    for target, method in ((depositor, "deposit"), (purse, "withdraw")):
        with pytest.raises(TypeError, match=rf"^{method}\(amount\): expected int, not str '5'"):
            getattr(vats.call(target), method)("5")
    assert vats.call(purse).get_notes() == ["read"]


def test_a_field_is_guarded_by_a_type(vats: Vats, root):
    purse = vats.call(root).open("alice")
    with pytest.raises(ValueError, match=r"balance: must be >= 0, not int -5"):
        vats.call(purse).withdraw(5)
    with pytest.raises(ValueError, match="owner: must be of length 1 to 9, not 10"):
        vats.call(root).open("abcdefghij")


def test_a_collection_is_guarded_by_types(vats: Vats, root):
    purse = vats.call(root).open("alice")
    vats.call(root).put("bob", purse)
    with pytest.raises(ValueError, match="key of Purses: must match"):
        vats.call(root).put("Bob", purse)
    with pytest.raises(TypeError, match="expected Purse, not int 5"):
        vats.call(root).put("bob", 5)
