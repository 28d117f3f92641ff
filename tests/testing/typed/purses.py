# ruff: noqa: B018
"""What mypy says of this file, with the plugin, is in the comments."""

from collections.abc import Callable
from typing import Any, reveal_type

from kernel_py.vat import E, Exo, Nat, Presence, Promise, far


class Purse(Exo):
    owner = "alice"

    def __init__(self) -> None:
        self.balance = 0

    def deposit(self, amount: Nat, note: str = "") -> Nat:
        return amount

    async def withdraw(self, amount: Nat) -> "Purse":
        return Purse()

    def later(self) -> Promise[str]:
        return E(self).name()

    @property
    def size(self) -> int:
        return 0

    @staticmethod
    def name() -> str:
        return ""


@far
def double(number: int) -> int:
    return 2 * number


async def use(
    purse: Purse, promised: Promise[Purse], unknown: Any, presence: Presence, function: Callable[[int], str]
) -> None:
    reveal_type(E(purse).deposit(5))  # Promise[int]
    reveal_type(await E(purse).deposit(5))  # int
    reveal_type(E(purse).deposit(amount=5, note="rent"))  # Promise[int]
    reveal_type(await E(purse).withdraw(5))  # Purse
    reveal_type(E(promised).withdraw(5))  # Promise[Purse]
    reveal_type(E(E(purse).withdraw(5)).deposit(1))  # Promise[int]
    reveal_type(await E(purse).later())  # str
    reveal_type(E(purse).name())  # Promise[str]
    reveal_type(E(double)(2))  # Promise[int]
    reveal_type(E(function)(2))  # Promise[str]
    reveal_type(E(unknown).anything(1))  # Promise[Any]
    reveal_type(E(presence).anything(1))  # Promise[Any]
    E(purse).deposit("five")  # error: Argument 1 has incompatible type "str"; expected "int"
    E(purse).deposit()  # error: Missing positional argument "amount" in call
    E(purse).deposit(5, memo="")  # error: Unexpected keyword argument "memo"
    E(purse).deposite(5)  # error: "Purse" has no attribute "deposite"; maybe "deposit"?
    E(purse).balance  # error: "balance" is no method: only methods can be called from outside
    E(purse).size  # error: "size" is no method: only methods can be called from outside
    E(double)("2")  # error: Argument 1 has incompatible type "str"; expected "int"
