"""Virtual and durable objects: classes whose instances live in the vat store."""

from __future__ import annotations

import json

import pytest

from tests.vat.driving import DeliveryError, DrivenVat, Ref

PURSE = """
class Deposits(Facet):
    '''The power to put money in.'''
    def deposit(self, amount):
        return self.of.deposit(amount)

class Audits(Facet):
    def balance(self):
        return self.of.balance

class Purse(Durable):
    owner: str
    balance: int = 0
    notes: list = []
    audits = facet(Audits)
    deposits = facet(Deposits)

    def deposit(self, amount):
        self.balance += amount
        return self.balance

    def note(self, what):
        self.notes = [*self.notes, what]
        return self.notes

    def get_facets(self):
        return [self.deposits, self.audits]

class Root(Exo):
    def open(self, *args, **fields):
        return Purse(*args, **fields)
    def run(self, source, *args):
        scope = globals() | {"root": self, "args": args}
        exec(source, scope)
        return scope.get("result")
"""


def run(vat, source, *args):
    """Let the vat's code run `source`; what it assigned to `result`."""
    [*_, (_, (_, *outcome))] = vat.call("run", source, *args)
    return outcome[0] if len(outcome) == 1 else outcome[1]


def evaluate(vat, expression, *args):
    return run(vat, f"result = {expression}", *args)


@pytest.fixture
def vat():
    return DrivenVat(PURSE)


# Making and using ------------------------------------------------------------------------------


def test_an_instance_is_a_far_object_whose_methods_are_called_by_its_name(vat):
    [(_, (_, purse))] = vat.call("open", "alice")
    assert (purse, purse.iface) == (Ref("o+d10/1"), "Purse")
    assert vat.call("deposit", 5, target="o+d10/1") == [("resolve", ("p-60", 5))]
    assert vat.call("deposit", 5, target="o+d10/1") == [("resolve", ("p-60", 10))]
    assert vat.call("open", "bob") == [("resolve", ("p-60", Ref("o+d10/2")))]


def test_the_state_is_one_record_in_the_vat_store(vat):
    vat.call("open", "alice", 3)
    vat.call("note", Ref("o-50", "Friend"), target="o+d10/1")
    assert json.loads(vat.records["vom.o+d10/1"]) == {
        "owner": {"body": '#"alice"', "slots": []},
        "balance": {"body": '#"+3"', "slots": []},
        "notes": {"body": '#["$0.Alleged: Friend"]', "slots": ["o-50"]},
    }


def test_fields_are_given_by_position_or_name_and_have_defaults(vat):
    assert evaluate(
        vat, "[(p.owner, p.balance) for p in (Purse('a'), Purse('b', 1), Purse(balance=2, owner='c'))]"
    ) == [
        ["a", 0],
        ["b", 1],
        ["c", 2],
    ]


@pytest.mark.parametrize(
    "call, error",
    [
        ("Purse()", "TypeError: Purse() is missing the field 'owner'"),
        ("Purse('a', owner='b')", "TypeError: Purse() got the field 'owner' twice"),
        ("Purse(1, 2, 3, 4)", "TypeError: Purse() takes 3 fields, not 4"),
        ("Purse('a', colour=1)", "TypeError: Purse() has no field 'colour'; it has: owner, balance, notes"),
        ("Durable()", "TypeError: derive a class from Durable"),
        ("Virtual()", "TypeError: derive a class from Virtual"),
        ("Deposits()", "TypeError: a facet comes with its object: declare Deposits with facet(Deposits) in a class"),
        ("field(1, default_factory=list)", "TypeError: a field has a default or a default_factory, not both"),
        (
            "far(Purse('a'), 'Other')",
            "TypeError: a Purse lives in the vat store: its class names it, and no mark is kept",
        ),
    ],
)
def test_what_cannot_be_made_says_why(vat, call, error):
    assert evaluate(vat, call) == error


def test_a_class_may_initialize_its_objects_and_is_not_asked_again_when_they_are_faulted_in():
    vat = DrivenVat(
        PURSE
        + """
class Auction(Durable):
    name: str
    bids: int = 10
    log: DurableMap = field(default_factory=DurableMap)
    def __init__(self, name):
        self.name = name.upper()
        self.bids += 1          # its default, which can be read already
        self.log["made"] = self # in a collection of its own, before it is complete
"""
    )
    run(vat, "args[0]; result = Auction('x')", 1)
    assert vat.call("run", "result = [args[0].name, args[0].bids, args[0].log['made'] is args[0]]", Ref("o+d10/1")) == [
        ("resolve", ("p-60", ["X", 11, True]))
    ]


def test_a_field_that_its_class_forgot_is_missed_at_once():
    vat = DrivenVat(PURSE + "class Odd(Durable):\n    a: int\n    def __init__(self): pass\n")
    assert evaluate(vat, "Odd()") == "TypeError: Odd() is missing the field 'a'"
    vat = DrivenVat(PURSE + "class Odd(Durable):\n    a: int\n    def __init__(self): self.a + 1\n")
    assert evaluate(vat, "Odd()") == "AttributeError: the field 'a' of this Odd has not been set"


def test_fields_and_facets_are_inherited():
    vat = DrivenVat(PURSE + "class Savings(Purse):\n    rate: float = 0.5\n")
    run(vat, "result = Savings('a', rate=1.5)")
    assert run(vat, "s = args[0]; result = [s.owner, s.balance, s.rate, s.deposits.deposit(3)]", Ref("o+d10/1")) == [
        "a",
        0,
        1.5,
        3,
    ]


def test_class_variables_and_methods_are_no_fields():
    vat = DrivenVat(
        "from typing import ClassVar\nimport typing\n"
        + PURSE
        + """
class Thing(Durable):
    limit: ClassVar[int] = 3
    other: 'typing.ClassVar[int]' = 4
    size: 'int' = 1
    @property
    def double(self): return 2 * self.size
    @double.setter
    def double(self, value): self.size = value // 2
"""
    )
    assert run(vat, "t = Thing(); t.double = 10; result = [t.size, t.limit, t.other, list(Thing._fields_)]") == [
        5,
        3,
        4,
        ["size"],
    ]


# Values ----------------------------------------------------------------------------------------


def test_what_is_read_is_frozen_so_that_no_change_is_lost(vat):
    run(vat, "result = Purse('a', notes=[{'deep': [1]}, Tagged('t', [2])])")
    source = (
        "notes = args[0].notes; result = [type(notes).__name__, type(notes[0]).__name__, notes[0]['deep'], notes[1]]"
    )
    [kind, inner, deep, tagged] = run(vat, source, Ref("o+d10/1"))
    assert (kind, inner, deep, tagged.payload) == ("tuple", "mappingproxy", [1], [2])
    assert run(vat, "args[0].notes.append(3)", Ref("o+d10/1")) == (
        "AttributeError: 'tuple' object has no attribute 'append'"
    )
    assert run(vat, "args[0].notes[0]['x'] = 1", Ref("o+d10/1")) == (
        "TypeError: 'mappingproxy' object does not support item assignment"
    )


def test_what_was_read_can_be_passed_and_kept_again(vat):
    run(vat, "result = Purse('a', notes=[{'deep': [1]}])")
    assert run(vat, "p = args[0]; p.notes = [*p.notes, p.notes[0]]; result = p.notes", Ref("o+d10/1")) == [
        {"deep": [1]},
        {"deep": [1]},
    ]


def test_what_is_assigned_is_a_copy(vat):
    source = "given = [1]; p = Purse('a', notes=given); given.append(2); result = p.notes"
    assert run(vat, source) == [1]


def test_objects_do_not_share_a_default_that_is_a_list(vat):
    assert run(vat, "a, b = Purse('a'), Purse('b'); a.note(1); result = b.notes") == []


@pytest.mark.parametrize(
    "value, error",
    [
        ("root", "Purse.notes[0]['x']: Root lives in the heap only, and would be gone in the vat's next incarnation; "),
        ("make_promise()[0]", "Purse.notes[0]['x']: a promise lives in the heap only, and would be gone in the vat's "),
        ("Memo()", "Purse.notes[0]['x']: Memo is virtual, and would be gone in the vat's next incarnation"),
        ("VirtualMap()", "Purse.notes[0]['x']: VirtualMap is virtual, and would be gone in the vat's next incarnation"),
        ("{1, 2}", "Purse.notes[0]['x']: a set is not passable; use a list"),
    ],
)
def test_what_a_durable_object_cannot_keep_is_refused_at_the_assignment(value, error):
    vat = DrivenVat(PURSE + "class Memo(Virtual): pass\n")
    run(vat, "result = Purse('a', notes=['before'])")
    assert run(vat, f"args[0].notes = [{{'x': {value}}}]", Ref("o+d10/1")).startswith(f"MarshalError: {error}")
    assert run(vat, "result = args[0].notes", Ref("o+d10/1")) == ["before"]


def test_durable_objects_hold_each_other_collections_and_presences_and_all_are_themselves_again(vat):
    source = """
a, b = Purse('a'), Purse('b')
a.notes = [b, b.deposits, args[0], DurableMap({'x': a})]
result = [a, b]
"""
    assert run(vat, source, Ref("o-50")) == [Ref("o+d10/1"), Ref("o+d10/2")]
    source = """
a, b, friend = args
c, facet, presence, table = a.notes
result = [b is c, facet is b.deposits, facet.of is b, presence is friend, table['x'] is a]
"""
    assert run(vat, source, Ref("o+d10/1"), Ref("o+d10/2"), Ref("o-50")) == [True] * 5


def test_virtual_objects_hold_far_objects_of_the_heap_and_keep_them_alive():
    vat = DrivenVat(PURSE + "class Memo(Virtual):\n    what: object = None\n")
    run(vat, "class Local(Exo): pass\nm = Memo(what=Local()); root.memo = m; result = None")
    vat.bring_out_your_dead()
    assert evaluate(vat, "[type(root.memo.what).__name__, root.memo.what is root.memo.what]") == ["Local", True]


def test_a_guard_looks_at_what_is_assigned():
    vat = DrivenVat("""
        class Positive:
            def check(self, value, path):
                if value <= 0:
                    raise ValueError(f"{path}: {value} is not above 0")
        class Offer(Durable):
            price: int = field(guard=Positive())
        class Root(Exo):
            def offer(self, price, change=1):
                offer = Offer(price)
                offer.price += change
                return offer.price
        """)
    assert vat.call("offer", 3, 4) == [("resolve", ("p-60", 7))]
    assert vat.call("offer", -1)[0][1][2] == "ValueError: Offer.price: -1 is not above 0"
    assert vat.call("offer", 1, -5)[0][1][2] == "ValueError: Offer.price: -4 is not above 0"


# Representatives -------------------------------------------------------------------------------


def test_nothing_can_be_set_or_deleted_on_an_instance_but_its_fields(vat):
    run(vat, "result = Purse('a')")
    assert run(vat, "args[0].colour = 1", Ref("o+d10/1")) == (
        "AttributeError: Purse has no field 'colour': what is kept must be a field, annotated in the class"
    )
    assert run(vat, "args[0].deposits.x = 1", Ref("o+d10/1")).startswith("AttributeError: Deposits has no field 'x'")
    assert run(vat, "args[0].deposits = 1", Ref("o+d10/1")) == "AttributeError: the facet 'deposits' cannot be replaced"
    assert run(vat, "args[0].note = 1", Ref("o+d10/1")).startswith("AttributeError: Purse has no field 'note'")
    assert run(vat, "del args[0].owner", Ref("o+d10/1")) == (
        "AttributeError: the field 'owner' cannot be deleted; set it to None"
    )


def test_a_representative_is_one_while_it_lives_has_its_names_hash_and_no_copy(vat):
    run(vat, "root.kept = Purse('a')\nresult = [root.kept, root.kept.deposits]")
    source = "import copy, pickle\na = args[0]; result = [a is root.kept, a.deposits is args[1], copy.deepcopy(a) is a]"
    assert run(vat, source, Ref("o+d10/1"), Ref("o+d10/1:1")) == [True, True, True]
    source = "result = [hash(args[0]) == hash('o+d10/1'), hash(args[1]) == hash('o+d10/1:1'), args[0] != args[1]]"
    assert run(vat, source, Ref("o+d10/1"), Ref("o+d10/1:1")) == [True, True, True]
    assert evaluate(vat, "__import__('pickle').dumps(root.kept)") == (
        "TypeError: a Purse is a reference, and has no copy"
    )


def test_its_text_shows_class_and_name(vat):
    assert run(vat, "p = Purse('a'); result = [repr(p), repr(p.deposits)]") == [
        "<Purse o+d10/1>",
        "<Deposits o+d10/1:1>",
    ]


def test_decoding_a_reference_reads_nothing(vat):
    vat.call("open", "alice")
    store = vat.session._supervisor._store
    reads = []
    execute = store._execute
    store._execute = lambda sql, *args: reads.append(args) or execute(sql, *args)
    vat.call("run", "result = 1", Ref("o+d10/1"))
    assert [args for args in reads if any("o+d10/1" in str(arg) for arg in args)] == []
    vat.call("run", "result = [args[0].balance, args[0].balance, args[0].owner]", Ref("o+d10/1"))
    assert len([args for args in reads if ("vom.o+d10/1",) in args]) == 1


# Facets ----------------------------------------------------------------------------------------


def test_facets_are_far_objects_of_their_own_over_one_state(vat):
    vat.call("open", "alice")
    [(_, (_, facets))] = vat.call("get_facets", target="o+d10/1")
    assert [(facet, facet.iface) for facet in facets] == [(Ref("o+d10/1:1"), "Deposits"), (Ref("o+d10/1:0"), "Audits")]
    assert vat.call("deposit", 5, target="o+d10/1:1") == [("resolve", ("p-60", 5))]
    assert vat.call("balance", target="o+d10/1:0") == [("resolve", ("p-60", 5))]


def test_a_facet_has_its_own_methods_only(vat):
    vat.call("open", "alice")
    vat.call("get_facets", target="o+d10/1")
    assert vat.call("deposit", 5, target="o+d10/1:0")[0][1][2] == (
        "AttributeError: Audits has no method 'deposit'; it has: balance"
    )
    assert vat.call("of", target="o+d10/1:0")[0][1][1] == "rejected"
    assert vat.call("owner", target="o+d10/1")[0][1][2] == (
        "AttributeError: Purse has no method 'owner'; it has: deposit, get_facets, note"
    )


def test_what_was_not_exported_is_no_target(vat):
    vat.call("open", "alice")
    for target in ("o+d10/1:0", "o+d10/1:9", "o+d10/2", "o+d99/1", "o+v10/1"):
        with pytest.raises(DeliveryError, match="is not a reference of this vat"):
            vat.call("deposit", 1, target=target)


@pytest.mark.parametrize("vref", ["o+d99/1", "o+v10/1", "o+d10/1:7"])
def test_a_reference_that_cannot_be_is_refused_in_arguments(vat, vref):
    vat.call("open", "alice")
    assert vat.call("run", "", Ref(vref))[0][1][1] == "rejected"


# Paging ----------------------------------------------------------------------------------------


def test_states_are_written_in_the_order_of_their_names_at_the_end_of_the_delivery(vat):
    for _ in range(12):
        vat.call("open", "x")
    store = vat.session._supervisor._store
    writes = []
    write = store.set
    store.set = lambda key, value: writes.append(key) or write(key, value)
    names = [Ref(f"o+d10/{number}") for number in (11, 2, 1)]
    run(vat, "for purse in args: purse.balance += 1\nroot.seen = len(args)", *names)
    assert writes == ["vom.o+d10/1", "vom.o+d10/11", "vom.o+d10/2"]


def test_more_objects_than_the_cache_holds_are_changed_in_one_delivery(vat, monkeypatch):
    monkeypatch.setattr("kernel_py.vat.states.STATES_MAX", 3)
    monkeypatch.setattr("kernel_py.vat.cache.ENTRIES_MAX", 3)
    source = """
purses = [Purse(str(n), n) for n in range(20)]
for purse in purses: purse.deposit(100)
for purse in reversed(purses): purse.note(purse)
result = [[p.balance, p.notes[0] is p] for p in purses]
"""
    assert run(vat, source) == [[100 + n, True] for n in range(20)]


def test_nothing_is_cached_between_deliveries(vat):
    vat.call("open", "alice")
    vat.call("deposit", 5, target="o+d10/1")
    vdata = vat.session._supervisor._liveslots.vdata
    assert (vdata.states._states, vdata.cache._values) == ({}, {})


def test_virtual_objects_are_named_and_kept_as_such():
    vat = DrivenVat("""
        class Memo(Virtual):
            text: str
            def read(self): return self.text
        class Root(Exo):
            def write(self, text): return Memo(text)
        """)
    assert vat.call("write", "one") == [("resolve", ("p-60", Ref("o+v10/1")))]
    assert vat.call("read", target="o+v10/1") == [("resolve", ("p-60", "one"))]
    assert "vom.o+v10/1" in vat.records
    assert not any("descriptor" in key for key in vat.records)


def test_a_replayed_vat_has_the_same_objects(vat):
    vat.call("open", "alice")
    vat.call("deposit", 5, target="o+d10/1")
    again = vat.replayed()
    assert again.records == vat.records
    assert again.call("deposit", 5, target="o+d10/1") == [("resolve", ("p-60", 10))]
