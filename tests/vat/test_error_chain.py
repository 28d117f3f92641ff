"""A failure can be followed through all vats that it passed."""

from __future__ import annotations

import pytest

from kernel_py.testing import Vats
from kernel_py.vat import E, Exo, RemoteError


class Bank(Exo):
    def withdraw(self, amount):
        raise ValueError(f"not {amount}")


class Shop(Exo):
    async def buy(self, bank):
        return await E(bank).withdraw(5)

    def forward(self, bank):
        return E(bank).withdraw(5)

    async def wrap(self, bank):
        try:
            await E(bank).withdraw(5)
        except ValueError as error:
            raise RuntimeError("cannot buy") from error


def fail(vats: Vats, method: str) -> tuple[str, list[str], list[str]]:
    """The id of the error that a call of the shop ends with, and what bank and shop printed."""
    bank, shop = vats.start(Bank), vats.start(Shop)
    with pytest.raises(RemoteError) as raised:
        getattr(vats.call(shop), method)(bank)
    assert raised.value.error_id is not None
    return raised.value.error_id, vats.console("Bank"), vats.console("Shop")


def test_each_vat_on_the_way_reports_its_part_under_the_same_id(vats: Vats):
    error_id, bank, shop = fail(vats, "buy")
    assert error_id == "error:liveSlots:v2#70001"
    for part, frame in ((bank, "in withdraw"), (shop, "in buy")):
        assert part[0] == f"{error_id}: Traceback (most recent call last):"
        assert frame in part[1]
    assert shop[-2:] == ["kernel_py.wire.passable.RemoteValueError: not 5", f"reported as {error_id}"]


def test_a_vat_that_only_hands_the_promise_on_reports_nothing(vats: Vats):
    error_id, bank, shop = fail(vats, "forward")
    assert bank[0].startswith(error_id)
    assert shop == []


def test_an_error_raised_because_of_another_names_that_one(vats: Vats):
    error_id, bank, shop = fail(vats, "wrap")
    assert error_id == "error:liveSlots:v4#70001"
    assert "reported as error:liveSlots:v2#70001" in shop
    assert bank[0].startswith("error:liveSlots:v2#70001: ")
