"""A book of contacts, of which there may be a million: they live in the vat store, and memory holds those in use.

Each contact is a durable object: who holds one can read and change it, also after the vat got new code. Two indices
find it: by name, and by telephone number. They answer a search with as much work as there is to show.
"""

from itertools import islice
from typing import Annotated, TypedDict

from kernel_py.vat import Durable, DurableMap, Exo, M, Nat, field

Name = Annotated[str, M.length(1, 60), M.matches(".*")]
Phone = Annotated[str, M.matches(r"\+?[0-9]{3,20}")]
Limit = Annotated[int, M.ge(1), M.le(1_000)]
Portion = Annotated[int, M.ge(0), M.le(10_000)]
AFTER_ALL_NUMBERS = "\n~"

FIRST_NAMES = ["Ada", "Alan", "Barbara", "Donald", "Edsger", "Grace", "John", "Kathleen", "Leslie", "Tony"]
LAST_NAMES = ["Booth", "Byron", "Dijkstra", "Hoare", "Hopper", "Knuth", "Lamport", "Liskov", "McCarthy", "Turing"]


class Row(TypedDict):
    name: Name
    phone: Phone


class Index(Durable):
    """Where contacts are found. Names need not be unique, so a number stands behind each, after a line's end."""

    names: DurableMap = field(default_factory=DurableMap)
    phones: DurableMap = field(default_factory=DurableMap)
    next_number: int = 1

    def _add(self, contact):
        self.names[f"{contact.name}\n{contact.number:010}"] = contact
        self.phones[contact.phone] = contact

    def _remove(self, contact):
        self.names.pop(f"{contact.name}\n{contact.number:010}", None)
        self.phones.pop(contact.phone, None)


class Contact(Durable):
    index: Index
    number: int
    name: Name
    phone: Phone

    def show(self) -> Row:
        return {"name": self.name, "phone": self.phone}

    def rename(self, name: Name) -> None:
        self.index._remove(self)
        self.name = name
        self.index._add(self)

    def remove(self) -> None:
        """Take it out of the book. Whoever holds it can read it still."""
        self.index._remove(self)


class Book(Exo):
    def __init__(self, index, rows):
        self._index = index
        self._rows = rows

    def add(self, name: Name, phone: Phone) -> Contact:
        index = self._index
        if phone in index.phones:
            raise ValueError(f"{phone} is {index.phones[phone].name}'s")
        contact = Contact(index, index.next_number, name, phone)
        index.next_number += 1
        index._add(contact)
        return contact

    def find(self, phone: Phone) -> Contact | None:
        return self._index.phones.get(phone)

    def count(self) -> Nat:
        return len(self._index.phones)

    def search(self, prefix: str, limit: Limit = 20) -> list[Row]:
        """The first contacts whose names begin with `prefix`, in the order of their names."""
        return _show(self._index.names.starting_with(prefix).values(), limit)

    def page(self, after: str = "", limit: Limit = 20) -> list[Row]:
        """The contacts whose names follow `after`, as one turns pages."""
        return _show(self._index.names.between(after + AFTER_ALL_NUMBERS).values(), limit)

    def fill(self, rows: Portion) -> Nat:
        """Add invented contacts; how many there are then. A delivery is one transaction, so not too many at once."""
        start = self._index.next_number
        for number in range(start, start + rows):
            self.add(f"{FIRST_NAMES[number % 10]} {LAST_NAMES[number // 10 % 10]}", f"+49{number:010}")
        return self.count()

    def bootstrap(self, vats, services):
        return {"count": self.fill(self._rows), "first": self.page(limit=2), "found": self.search("Grace L", 1)}


def _show(contacts, limit):
    return [contact.show() for contact in islice(contacts, limit)]


def build_root_object(powers, parameters, baggage):
    if "index" not in baggage:
        baggage["index"] = Index()
    return Book(baggage["index"], parameters["rows"])
