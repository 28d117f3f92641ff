"""The contacts: many rows in the vat store, found by name and by number."""

from __future__ import annotations

import pytest

from kernel_py.testing import Cluster, Vats
from scripts.examples import EXAMPLES


@pytest.fixture
def contacts(vats: Vats) -> Cluster:
    return vats.launch(EXAMPLES / "contacts")


def test_the_book_is_filled_and_searched(contacts: Cluster):
    assert contacts.result == {
        "count": 100,
        "first": [{"name": "Ada Booth", "phone": "+490000000100"}, {"name": "Ada Byron", "phone": "+490000000010"}],
        "found": [{"name": "Grace Lamport", "phone": "+490000000065"}],
    }


def test_a_contact_is_found_under_what_it_is_called_now(vats: Vats, contacts: Cluster):
    book = vats.call(contacts.root)
    ada = book.add("Ada Lovelace", "+441815")
    assert book.search("Ada Lo") == [{"name": "Ada Lovelace", "phone": "+441815"}]
    vats.call(ada).rename("Augusta Ada King")
    assert (book.search("Ada Lo"), book.search("Augusta")) == ([], [{"name": "Augusta Ada King", "phone": "+441815"}])
    assert book.find("+441815") is ada
    vats.call(ada).remove()
    assert (book.find("+441815"), book.count()) == (None, 100)
    assert vats.call(ada).show()["name"] == "Augusta Ada King"


def test_pages_lead_through_the_whole_book(vats: Vats, contacts: Cluster):
    book = vats.call(contacts.root)
    names, page = [], book.page(limit=7)
    while page:
        names += [row["name"] for row in page]
        page = book.page(names[-1], limit=7)
    assert names == sorted(names)
    assert len(names) == 100


@pytest.mark.parametrize(
    "name, phone, error",
    [
        ("", "+491234", r"add\(name\): must be of length 1 to 60, not 0"),
        ("two\nlines", "+491234", r"add\(name\): must match"),
        ("Ada", "call me", r"add\(phone\): must match"),
        ("Ada", "+490000000100", r"^\+490000000100 is Ada Booth's$"),
    ],
)
def test_what_is_no_contact_is_refused(vats: Vats, contacts: Cluster, name, phone, error):
    with pytest.raises(ValueError, match=error):
        vats.call(contacts.root).add(name, phone)
    assert vats.call(contacts.root).count() == 100


def test_contacts_outlive_crash_and_upgrade_and_those_removed_are_collected(vats: Vats, contacts: Cluster):
    ada = vats.call(contacts.root).add("Ada Lovelace", "+441815")
    source = (EXAMPLES / "contacts/contacts.py").read_text("utf-8")
    changed = source.replace("    def show(self) -> Row:", '    email: str = ""\n\n    def show(self) -> Row:', 1)
    vats.upgrade("book", changed.replace('"phone": self.phone}', '"phone": self.phone + self.email}'), rows=0)
    vats.crash()
    assert vats.call(ada).show() == {"name": "Ada Lovelace", "phone": "+441815"}
    assert vats.call(contacts.root).count() == 101
    assert vats.exports("book") == ["root of book", "Contact"]
    vats.call(ada).remove()
    del ada
    vats.collect()
    assert vats.exports("book") == ["root of book"]


@pytest.mark.soak
def test_a_million_contacts(vats: Vats, contacts: Cluster):
    book = vats.call(contacts.root)
    for _ in range(100):
        book.fill(10_000)
    assert book.count() == 1_000_100
    assert len(book.search("Grace Hopper", 1_000)) == 1_000
