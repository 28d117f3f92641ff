"""The programs in docs/writing-vats.md work."""

from __future__ import annotations

import re

from tests.conftest import ROOT
from tests.vat.driving import DrivenVat, Ref

TEXT = (ROOT / "docs" / "writing-vats.md").read_text()


def code_under(heading):
    """The programs of a section."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert section
    return re.findall(r"```python\n(.*?)```", section[1], re.DOTALL)


def test_the_bank_keeps_purses_and_is_upgraded():
    [first] = code_under("Durable state")
    second, _ = code_under("Upgrade")
    vat = DrivenVat(first)
    assert vat.call("open", "alice", 100) == [("resolve", ("p-60", Ref("o+d10/1")))]
    vat.call("open", "bob")
    assert vat.call("owners", "a") == [("resolve", ("p-60", ["alice"]))]
    assert vat.call("get_deposits", target="o+d10/1") == [("resolve", ("p-60", Ref("o+d10/1:0")))]
    assert vat.call("deposit", 5, target="o+d10/1:0") == [("resolve", ("p-60", 5))]
    assert vat.call("withdraw", 500, target="o+d10/1")[0][1][2] == "ValueError: alice has 105, not 500"
    assert vat.call("withdraw", 50, target="o+d10/1") == [("resolve", ("p-60", 50))]
    assert vat.upgrade(second) == []
    assert vat.call("deposit", 1, target="o+d10/1:0") == [("resolve", ("p-60", 1))]
    assert vat.call("show", "alice") == [("resolve", ("p-60", Ref("o+d10/1:1")))]
    assert vat.call("show", target="o+d10/1:1") == [("resolve", ("p-60", "alice: 56 after 1 deposits"))]


def test_the_collections_do_what_is_said_of_them():
    [program] = code_under("Collections")
    assert DrivenVat(program).call("run") == [("resolve", ("p-60", [2, "on the roof"]))]


def test_the_order_hears_of_its_delivery_in_a_later_incarnation():
    _, program = code_under("Upgrade")
    vat = DrivenVat(program)
    vat.call("order", "book", Ref("o-50"))
    vat.call("order", "pen", Ref("o-50"))
    vat.upgrade(program)
    upgraded = {"incarnationNumber": 3, "name": "vatUpgraded", "upgradeMessage": "vat upgraded"}
    vat.notify(("p+5", "receipt 7"))
    vat.notify(("p+6", upgraded, "rejected"))
    assert vat.call("get_state", target="o+d10/1") == [("resolve", ("p-60", "delivered by mail, receipt 7"))]
    assert vat.call("get_state", target="o+d10/2") == [("resolve", ("p-60", "ask again"))]
