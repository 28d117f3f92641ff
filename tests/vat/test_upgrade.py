"""Incarnations: what a vat has after an upgrade, what it must define again, and what is gone."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest

from kernel_py.wire import protocol
from tests.vat.driving import DeliveryError, DrivenVat, Failed, Ref, capdata, make_files
from tests.vat.test_durable import run

RUN = """
class Root(Exo):
    def __init__(self, baggage, parameters):
        self.baggage, self.parameters = baggage, parameters
        self.kept = []
    def run(self, source, *args):
        scope = globals() | {"root": self, "baggage": self.baggage, "args": args}
        exec(source, scope)
        return scope.get("result")
def build_root_object(powers, parameters, baggage):
    return Root(baggage, parameters)
"""
PURSE = """
class Deposits(Facet):
    def deposit(self, amount): return self.of.deposit(amount)
class Purse(Durable):
    owner: str
    balance: int = 0
    deposits = facet(Deposits)
    def deposit(self, amount):
        self.balance += amount
        return self.balance
"""


def start_vat(source=PURSE, **options):
    return DrivenVat(source + RUN, **options)


# What survives ---------------------------------------------------------------------------------


def test_a_null_upgrade_keeps_durable_objects_collections_and_baggage():
    vat = start_vat()
    source = """
purse = Purse('alice', 5)
baggage['purses'] = DurableMap(alice=purse)
baggage['facets'] = DurableSet([purse.deposits])
baggage['names'] = DurableWeakMap({purse: ['a', args[0]]})
result = [purse, purse.deposits]
"""
    assert run(vat, source, Ref("o-50")) == [Ref("o+d10/1"), Ref("o+d10/1:0")]
    assert vat.upgrade(PURSE + RUN) == []
    assert vat.call("deposit", 2, target="o+d10/1") == [("resolve", ("p-60", 7))]
    assert vat.call("deposit", 2, target="o+d10/1:0") == [("resolve", ("p-60", 9))]
    source = """
purse = baggage['purses']['alice']
result = [purse is args[0], purse.deposits in baggage['facets'], baggage['names'][purse], purse.balance]
"""
    assert run(vat, source, Ref("o+d10/1")) == [True, True, ["a", Ref("o-50")], 9]


def test_the_new_code_runs():
    vat = start_vat()
    run(vat, "baggage['purse'] = Purse('alice', 5)")
    vat.upgrade(PURSE.replace("+= amount", "+= 2 * amount") + RUN)
    assert run(vat, "result = baggage['purse'].deposit(3)") == 11


def test_parameters_and_powers_are_those_of_the_new_incarnation():
    vat = start_vat(parameters={"a": 1})
    assert run(vat, "result = root.parameters") == {"a": 1}
    vat.upgrade(PURSE + RUN, parameters={"a": 2})
    assert run(vat, "result = root.parameters") == {"a": 2}
    assert json.loads(vat.session.hello()) == ["hello", {"protocol": 1, "vat": "v1", "incarnation": 1, "delivered": 4}]


def test_numbers_go_on():
    vat = start_vat()
    assert run(vat, "result = [far(lambda: 1), Purse('a'), DurableSet()]") == [
        Ref("o+1"), Ref("o+d10/1"), Ref("o+d8/3")]  # fmt: skip
    run(vat, "E(args[0]).ask()", Ref("o-50"))
    vat.upgrade(PURSE + "class New(Durable): pass\n" + RUN)
    assert run(vat, "result = [far(lambda: 1), Purse('a'), DurableSet(), New()]") == [
        Ref("o+2"), Ref("o+d10/2"), Ref("o+d8/4"), Ref("o+d11/1")]  # fmt: skip
    [send, *_] = vat.call("run", "E(args[0]).ask()", Ref("o-50"))
    assert send == ("send", "o-50", "ask", [], "p+6")


def test_an_upgraded_vat_is_replayed_through_its_incarnations():
    vat = start_vat()
    run(vat, "baggage['purse'] = Purse('alice', 5)")
    vat.upgrade(PURSE.replace("+= amount", "+= 2 * amount") + RUN)
    run(vat, "baggage['purse'].deposit(1); root.kept.append(args[0])", Ref("o-51"))
    vat.upgrade(PURSE + RUN)
    run(vat, "baggage['purse'].deposit(1)")
    again = vat.replayed()
    assert again.records == vat.records
    assert json.loads(again.session.hello())[1]["incarnation"] == 2
    assert again.bring_out_your_dead() == vat.bring_out_your_dead() != []
    assert run(again, "result = baggage['purse'].balance") == run(vat, "result = baggage['purse'].balance") == 8


def test_ids_of_errors_go_on():
    vat = start_vat()
    assert vat.call("run", "1 / 0")[0][1][1] == "rejected"
    assert vat.console[0].startswith("error:liveSlots:v1#70001: ")
    vat.upgrade(PURSE + RUN)
    vat.call("run", "1 / 0")
    assert vat.console[0].startswith("error:liveSlots:v1#70002: ")


# What is gone ----------------------------------------------------------------------------------


def test_objects_of_the_heap_are_gone_and_the_root_is_another():
    vat = start_vat()
    assert run(vat, "root.mark = 1; result = far(lambda: 1)") == Ref("o+1")
    vat.upgrade(PURSE + RUN)
    with pytest.raises(DeliveryError, match=r"o\+1 is not a reference of this vat"):
        vat.call("f", target="o+1")
    assert run(vat, "result = hasattr(root, 'mark')") is False


def test_virtual_data_is_swept_and_lets_go_of_what_it_held():
    vat = start_vat(PURSE + "class Memo(Virtual):\n    what: object = None\n")
    source = """
class Local(Exo): pass
purse = Purse('bob')
root.kept = [Memo([purse, args[0], Local(), Memo()]), VirtualMap({args[1]: Memo()}), VirtualWeakMap({args[2]: Local()})]
baggage['kept'] = args[3]
result = root.kept
"""
    run(vat, source, *[Ref(f"o-{number}") for number in (50, 51, 52, 53)])
    vat.upgrade(PURSE + "class Memo(Virtual):\n    what: object = None\n" + RUN)
    assert [key for key in vat.records if "o+v" in key or "vc.3." in key or "vc.4." in key] == []
    assert [key for key in vat.records if key.endswith("nextID")] == ["vom.dkind.10.nextID"]
    assert vat.bring_out_your_dead() == [
        ("dropImports", ["o-50", "o-51", "o-52"]),
        ("retireImports", ["o-50", "o-51", "o-52"]),
    ]
    assert [key for key in vat.records if "o+d10/1" in key] == []
    assert run(vat, "result = Memo(1)") == Ref("o+v12/1")


def test_what_only_the_old_heap_held_is_let_go():
    vat = start_vat()
    run(vat, "root.kept = [args[0], Purse('nobody'), args[1]]; baggage['x'] = args[1]", Ref("o-50"), Ref("o-51"))
    vat.upgrade(PURSE + RUN)
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]
    assert "vom.o+d10/1" not in vat.records


def test_an_import_whose_recognizer_went_just_before_the_upgrade_is_retired():
    vat = start_vat()
    run(vat, "baggage['w'] = DurableWeakSet([args[0]])", Ref("o-50"))
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"])]
    run(vat, "baggage['w'].discard(args[0])", Ref("o-50"))
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]
    run(vat, "baggage['w'].add(args[0])", Ref("o-50"))
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"])]
    run(vat, "del baggage['w']")
    vat.upgrade(PURSE + RUN)
    assert vat.bring_out_your_dead() == [("retireImports", ["o-50"])]


def test_a_virtual_recognizer_that_is_swept_lets_its_keys_be_retired():
    vat = start_vat()
    run(vat, "root.w = VirtualWeakSet([args[0]])", Ref("o-50"))
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"])]
    vat.upgrade(PURSE + RUN)
    assert vat.bring_out_your_dead() == [("retireImports", ["o-50"])]


def test_what_the_new_incarnation_got_again_is_not_let_go():
    vat = start_vat()
    run(vat, "root.kept = [args[0]]", Ref("o-50"))
    vat.upgrade(PURSE + RUN)
    run(vat, "root.kept = [args[0]]", Ref("o-50"))
    assert vat.bring_out_your_dead() == []


def test_calls_that_wait_end_and_can_do_nothing_more():
    source = """
class Root(Exo):
    def __init__(self, baggage): self.baggage = baggage
    async def wait(self, promise):
        purse = Purse('alice')
        self.baggage['purse'] = purse
        try:
            await promise
        finally:
            for change in (lambda: purse.deposit(1), lambda: self.baggage.clear(), lambda: Purse('x')):
                try:
                    change()
                except RuntimeError:
                    pass
            await promise
    def balance(self): return self.baggage['purse'].balance
def build_root_object(powers, parameters, baggage): return Root(baggage)
"""
    vat = DrivenVat(PURSE + source)
    vat.call("wait", Ref("p-61"))
    before = vat.records
    assert vat.upgrade(PURSE + source) == []
    assert vat.records == before
    assert vat.notify(("p-61", 1)) == []
    assert vat.call("balance") == [("resolve", ("p-60", 0))]


def test_a_promise_that_the_old_incarnation_was_to_be_told_of_is_one_of_the_kernels_now():
    vat = start_vat()
    run(vat, "root.kept = E(args[0]).ask()", Ref("o-50"))
    vat.upgrade(PURSE + RUN)
    assert vat.call("run", "root.kept.append(args[0])", Ref("p+5")) == [
        ("subscribe", "p+5"),
        ("resolve", ("p-60", None)),
    ]
    assert vat.notify(("p+5", 7)) == []
    assert vat.call("run", "result = root.kept[0]") == [("resolve", ("p-60", 7))]
    assert vat.call("run", "pass", Ref("p+9"))[0][1][1] == "rejected"


# Kinds, defined again --------------------------------------------------------------------------


def upgrade_error(before, after, make="result = Purse('a')"):
    vat = start_vat(before)
    run(vat, make)
    with pytest.raises(DeliveryError) as raised:
        vat.upgrade(after + RUN)
    return str(raised.value).splitlines()[-1]


def test_a_durable_kind_that_is_not_defined_again_fails_the_start_and_is_named():
    after = "class Other(Durable): pass\n"
    assert upgrade_error(PURSE + after, "", "Other(), Purse('a')") == (
        "the durable kinds Other, Purse of the last incarnation are not defined in this one; define their classes, "
        'under new names as class X(Durable, kind="the old name")'
    )


def test_a_kind_without_instances_need_not_be_defined_again():
    vat = start_vat(PURSE + "class Other(Durable): pass\n")
    run(vat, "Purse('a')")
    assert vat.upgrade(PURSE + RUN) == []


def test_a_kind_may_be_defined_as_late_as_in_build_root_object():
    vat = start_vat()
    run(vat, "baggage['x'] = Purse('a', 3)")
    late = """
async def build_root_object(powers, parameters, baggage):
    await asyncio.sleep(0)
    import purses
    return Root(baggage, parameters)
"""
    files = make_files(RUN.partition("def build_root_object")[0] + late)
    files["purses.py"] = "from kernel_py.vat import *\n" + PURSE
    vat.spec = protocol.VatSpec("v1", 1, "tested", "seed", "main.py", files)
    vat.say(protocol.dump_upgrade(vat.spec))
    assert vat.deliver(["startVat", capdata(None)]) == []
    assert run(vat, "result = baggage['x'].balance") == 3


def test_a_class_may_have_another_name():
    vat = start_vat()
    assert run(vat, "baggage['x'] = Purse('a', 3); result = baggage['x']").iface == "Purse"
    vat.upgrade(PURSE.replace("class Purse(Durable)", "class Wallet(Durable, kind='Purse')") + RUN)
    assert run(vat, "result = [type(baggage['x']).__name__, baggage['x'].balance, Wallet('b')]") == [
        "Wallet",
        3,
        Ref("o+d10/2"),
    ]


def test_two_kinds_of_one_name_are_refused():
    with pytest.raises(
        DeliveryError, match=r"there is a durable kind 'Purse' already, v1\.main\.Purse: give the other"
    ):
        start_vat(PURSE + "class Wallet(Durable, kind='Purse'): pass\n")


def test_a_kind_of_a_library_is_found_again_though_it_is_imported_once(monkeypatch):
    library = ModuleType("purse_library")
    monkeypatch.setitem(sys.modules, "purse_library", library)
    exec("from kernel_py.vat import *\n" + PURSE, library.__dict__)
    source = "from purse_library import Purse\n"
    vat = start_vat(source)
    run(vat, "baggage['x'] = Purse('a', 3)")
    vat.upgrade(source + RUN)
    assert run(vat, "result = [baggage['x'].balance, isinstance(baggage['x'], Purse)]") == [3, True]
    vat.upgrade(source + RUN)
    vat.upgrade(RUN)
    assert run(vat, "result = baggage['x'].deposits.deposit(1)") == 4


def test_virtual_kinds_may_have_one_name():
    vat = start_vat(PURSE + "def make():\n    class Memo(Virtual): pass\n    return Memo()\n")
    assert run(vat, "result = [make(), make()]") == [Ref("o+v10/1"), Ref("o+v11/1")]


def test_a_kind_stays_what_it_was():
    after = "class Purse(DurableMap): pass\n"
    assert upgrade_error(PURSE, after) == ("TypeError: the durable kind 'Purse' was an object, and cannot become a map")
    assert upgrade_error(after, PURSE, "Purse()") == (
        "TypeError: the durable kind 'Purse' was a map, and cannot become an object"
    )


# Fields ----------------------------------------------------------------------------------------


def with_fields(lines):
    return PURSE.replace("    balance: int = 0\n", lines)


def test_a_lost_field_fails_the_start():
    assert upgrade_error(PURSE, with_fields("    amount: int = 0\n")) == (
        "TypeError: the durable kind 'Purse' has lost its field 'balance': objects that have it exist"
    )


def test_a_new_field_needs_a_default():
    assert upgrade_error(PURSE, with_fields("    limit: int\n    balance: int = 0\n")) == (
        "TypeError: the field 'limit' of the durable kind 'Purse' is new and has no default, which objects need that "
        "were made before"
    )


def test_old_objects_have_the_default_that_a_field_was_added_with_whatever_it_is_later():
    vat = start_vat()
    run(vat, "baggage['old'] = Purse('old')")
    added = "    balance: int = 0\n    limit: int = {}\n    log: object = field(default_factory=DurableSet)\n"
    vat.upgrade(with_fields(added.format(10)) + RUN)
    run(vat, "baggage['newer'] = Purse('newer')")
    assert run(vat, "result = [baggage[name].limit for name in ('old', 'newer')]") == [10, 10]
    vat.upgrade(with_fields(added.format(99)) + RUN)
    run(vat, "baggage['newest'] = Purse('newest'); baggage['newer'].limit += 1")
    assert run(vat, "result = [baggage[name].limit for name in ('old', 'newer', 'newest')]") == [10, 11, 99]
    source = "log = baggage['old'].log; log.add(1); result = [list(baggage['old'].log), baggage['old'].log is log]"
    assert run(vat, source) == [[1], True]
    assert run(vat, "result = list(baggage['old'].log)") == [1]


def test_a_new_fields_default_is_data():
    vat = start_vat("holder = []\n" + PURSE)
    run(vat, "baggage['x'] = Purse('a')")
    with pytest.raises(DeliveryError, match=r"the default of Purse\.set refers to an object; use default_factory"):
        vat.upgrade(with_fields("    balance: int = 0\n    set: object = DurableSet()\n") + RUN)


@pytest.mark.parametrize("before, after", [("int", "int | str"), ("int", "float"), ("int", "object")])
def test_a_fields_type_may_become_wider(before, after):
    vat = start_vat(with_fields(f"    balance: {before} = 0\n"))
    run(vat, "baggage['x'] = Purse('a')")
    vat.upgrade(with_fields(f"    balance: {after} = 0\n") + RUN)
    run(vat, "baggage['x'].balance = 1.5" if after != "int | str" else "baggage['x'].balance = 'x'")
    assert run(vat, "result = type(baggage['x'].balance).__name__") in {"float", "str"}


def test_a_fields_type_that_is_another_fails_the_start():
    assert upgrade_error(with_fields("    balance: int | None = 0\n"), with_fields("    balance: int = 0\n")) == (
        "'balance' of the durable kind 'Purse' was None | int, and cannot become int: objects that have it exist, and "
        "would not fit a type that is not wider"
    )


def test_a_type_that_was_wider_in_an_incarnation_stays_so():
    vat = start_vat(with_fields("    balance: int = 0\n"))
    run(vat, "baggage['x'] = Purse('a')")
    vat.upgrade(with_fields("    balance: int | str = 0\n") + RUN)
    with pytest.raises(DeliveryError, match=r"'balance' of the durable kind 'Purse' was int \| str, and cannot become"):
        vat.upgrade(with_fields("    balance: int = 0\n") + RUN)


def test_what_a_pattern_says_may_change():
    vat = start_vat(with_fields("    balance: int = 0\n"))
    run(vat, "baggage['x'] = Purse('a', 3)")
    vat.upgrade(with_fields("    balance: Nat = 0\n") + RUN)
    assert run(vat, "baggage['x'].balance -= 4") == "ValueError: Purse.balance: must be >= 0, not int -1"


def test_the_default_of_a_new_field_must_fit_it():
    error = "the default of Purse.limit: expected int, not None"
    assert upgrade_error(PURSE, with_fields("    balance: int = 0\n    limit: int = None\n")) == error


def test_the_types_of_a_collection_may_become_wider_and_not_narrower():
    source = "class Table(DurableMap, key=str, value={}): pass\n"
    vat = start_vat(source.format("int"))
    run(vat, "baggage['x'] = Table(a=1)")
    vat.upgrade(source.format("float") + RUN)
    assert run(vat, "baggage['x']['b'] = 1.5; result = list(baggage['x'].values())") == [1, 1.5]
    with pytest.raises(DeliveryError, match=r"'value' of the durable kind 'Table' was float \| int, and cannot become"):
        vat.upgrade(source.format("int") + RUN)


# Facets ----------------------------------------------------------------------------------------

FACETS = "class F(Facet):\n    def name(self): return '{}'\n"


def facets(*names):
    lines = "".join(
        f"    {name} = facet(type('F_{name}', (F,), {{'ping': lambda self: '{name}'}}))\n" for name in names
    )
    return "class F(Facet): pass\nclass Thing(Durable):\n    size: int = 0\n" + lines


@pytest.mark.parametrize(
    "before, after, numbers",
    [
        (["b"], ["b"], "b"),
        (["b", "c"], ["b", "c"], "bc"),
        (["b", "c"], ["c", "b"], "bc"),
        (["b", "c"], ["a", "b", "c"], "bca"),
        (["b", "c"], ["b", "bb", "c"], "bc?"),
        (["b", "c"], ["z", "b", "c", "y"], "bcyz"),
        ([], ["b", "a"], "ab"),
    ],
)
def test_facets_keep_their_numbers_and_new_ones_get_the_next(before, after, numbers):
    vat = start_vat(facets(*before))
    run(vat, f"baggage['x'] = x = Thing(); result = [x, *[getattr(x, n) for n in {before!r}]]")
    vat.upgrade(facets(*after) + RUN)
    for number, name in enumerate(numbers.replace("?", "")):
        vref = run(vat, f"result = baggage['x'].{name}")
        assert vref == Ref(f"o+d10/1:{number}")
        assert vat.call("ping", target=vref.vref) == [("resolve", ("p-60", name))]


@pytest.mark.parametrize(
    "before, after, lost", [(["a", "b"], ["b"], "facet 'a'"), (["a", "b"], [], "facet 'a', facet 'b'")]
)
def test_a_lost_facet_fails_the_start(before, after, lost):
    assert upgrade_error(facets(*before), facets(*after), "Thing()") == (
        f"TypeError: the durable kind 'Thing' has lost its {lost}: objects that have it exist"
    )


def test_export_status_holds_across_a_new_facet():
    vat = start_vat(facets("b", "c"))
    run(vat, "x = Thing(); result = [x.c]")
    vat.upgrade(facets("a", "b", "c") + RUN)
    assert run(vat, "x = args[0].of; result = x.a", Ref("o+d10/1:1")) == Ref("o+d10/1:2")
    assert vat.records["vom.es.o+d10/1"] == "nnrr"
    vat.deliver(["dropExports", ["o+d10/1:1", "o+d10/1:2"]])
    assert vat.bring_out_your_dead() == [("retireExports", ["o+d10/1:1", "o+d10/1:2"])]


# The root and the start ------------------------------------------------------------------------


def test_the_root_cannot_be_durable():
    with pytest.raises(DeliveryError, match="must return a new Exo, not the virtual or durable <Thing"):
        DrivenVat("class Thing(Durable): pass\ndef build_root_object(*args): return Thing()")


def test_a_start_that_raises_fails_the_delivery():
    vat = start_vat()
    with pytest.raises(DeliveryError, match="ZeroDivisionError"):
        vat.upgrade("1 / 0")


# The protocol ----------------------------------------------------------------------------------


def test_an_upgrade_is_of_this_vat_to_the_next_incarnation():
    for changes in ({"incarnation": 0}, {"incarnation": 2}, {"vat": "v2", "incarnation": 1}):
        vat = start_vat()
        values = {"vat": "v1", "incarnation": 1, "name": "n", "seed": "s", "main": "m", "files": {}} | changes
        with pytest.raises(Failed, match=f"incarnation {values['incarnation']} of {values['vat']} cannot follow 0"):
            vat.say(protocol.dump_upgrade(protocol.VatSpec(**values)))


def test_an_upgrade_before_start_fails():
    vat = start_vat(start=False)
    session = type(vat.session)()
    [answer] = session.receive(protocol.dump_upgrade(vat.spec))
    assert "an upgrade came before start" in json.loads(answer)[1]


def test_an_upgraded_vat_must_be_started():
    vat = start_vat()
    vat.say(protocol.dump_upgrade(protocol.VatSpec("v1", 1, "n", "s", "main.py", make_files(PURSE + RUN))))
    with pytest.raises(DeliveryError, match="this vat has not been started"):
        vat.call("run", "pass")
