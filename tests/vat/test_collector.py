"""Garbage: who keeps what alive, and what bringOutYourDead tells the kernel.

The scenarios are deliveries and syscalls. Each runs twice: with Python's collector as it is, and with one that
is late: everything that the vat's tables know is held by the test until bringOutYourDead.
"""

from __future__ import annotations

import gc

import pytest

from tests.vat.driving import DrivenVat, Ref

O50, O51 = Ref("o-50"), Ref("o-51")

SOURCE = """
class Parts(Facet):
    def ping(self): return "part"

class Holder(Durable):
    what: object = None
    part = facet(Parts)
    other = facet(Parts)

class Memo(Virtual):
    what: object = None

class Local(Exo):
    what = None

class Pair(Durable):
    what: object
    more: object

class Watcher(Durable):
    def on_fulfilled(self, value, *args): pass

class Root(Exo):
    def __init__(self, baggage):
        self.baggage = baggage
        self.heap = {}
    def run(self, source, *args):
        scope = globals() | {"root": self, "heap": self.heap, "baggage": self.baggage, "args": args}
        exec(source, scope)
        return scope.get("result")

def build_root_object(powers, parameters, baggage):
    return Root(baggage)
"""


class LateCollector:
    """Holds all values that a vat's tables know, so that none is collected before `release`."""

    def __init__(self):
        self.vat = None
        self.held = []

    def hold(self):
        if self.vat is not None:
            references = self.vat.session._supervisor._liveslots.slots._references
            self.held += [value for reference in references.values() if (value := reference()) is not None]

    def __call__(self):
        self.held.clear()
        while gc.collect():
            pass


class Vat(DrivenVat):
    """A vat that runs what it is told."""

    def __init__(self, is_late=False, **options):
        self.late = LateCollector() if is_late else None
        if self.late:
            options["collect"] = self.late
        super().__init__(SOURCE, **options)
        if self.late:
            self.late.vat = self

    def deliver_raw(self, delivery):
        try:
            return super().deliver_raw(delivery)
        finally:
            if self.late and delivery != ["bringOutYourDead"]:
                self.late.hold()

    def run(self, source, *args):
        """Let the root run it; the value of `result`, or the text of the error."""
        [*_, (_, (_, *outcome))] = self.call("run", source, *args)
        return outcome[0] if len(outcome) == 1 else outcome[1]

    def refs(self, op, *vrefs):
        assert self.deliver([op, list(vrefs)]) == []

    def keys(self, *parts):
        """The keys of the vat store in which any of `parts` occurs."""
        return [key for key in self.records if any(part in key for part in parts)]


@pytest.fixture(params=[False, True], ids=["collector", "late collector"])
def is_late(request):
    return request.param


@pytest.fixture
def vat(is_late):
    return Vat(is_late=is_late)


# Presences -------------------------------------------------------------------------------------


def test_a_presence_that_nothing_holds_is_dropped_and_retired(vat):
    vat.run("heap['a'] = args[0]", O50)
    assert vat.bring_out_your_dead() == []
    vat.run("heap.clear()")
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]
    assert vat.bring_out_your_dead() == []


def test_what_is_dropped_is_told_once_and_sorted(vat):
    vat.run("pass", *[Ref(f"o-{number}") for number in (9, 100, 11)])
    assert vat.bring_out_your_dead() == [
        ("dropImports", ["o-100", "o-11", "o-9"]),
        ("retireImports", ["o-100", "o-11", "o-9"]),
    ]


def test_a_presence_that_comes_again_before_its_death_is_brought_out_is_not_dropped(vat):
    vat.run("pass", O50)
    vat.run("heap['a'] = args[0]", O50)
    assert vat.bring_out_your_dead() == []
    vat.run("heap.clear()")
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]


def test_a_presence_that_was_dropped_may_come_again(vat):
    for _ in range(2):
        vat.run("pass", O50)
        assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]


def test_cycles_of_the_heap_are_taken(vat):
    vat.run("cycle = [args[0]]; cycle.append(cycle)", O50)
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]


def test_an_error_that_was_reported_holds_nothing(vat):
    vat.run("held = args; raise ValueError('with a traceback')", O50)
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]


PINS = {
    "an asynchronous method that raised": "return await fail(args)",
    "an error that was caught": "try: await fail(args)\n    except ValueError: pass",
    "an error with a cause": "try: await fail(args)\n    except ValueError as error: raise KeyError('k') from error",
    "a task that failed unseen": "asyncio.ensure_future(fail(args))",
    "a task group": "async with asyncio.TaskGroup() as group: [group.create_task(fail(args)) for _ in range(2)]",
    "a task that was passed, and awaited": "task = asyncio.ensure_future(fail(args)); E.when(task); await task",
    "a coroutine that was passed, and held": "call = fail(args); await E.when(call)",
    "a task that gave what holds it": "local = Local(); local.task = asyncio.ensure_future(give([local, args]));"
    " await E.when(local.task)",
    "a cancelled task": "task = asyncio.ensure_future(wait(args)); await asyncio.sleep(0); task.cancel()",
    "a rejected promise": "await E.when(fail(args), None, lambda error: None)",
    "a promise that is pending for ever": "E.when(make_promise()[0], lambda _: args)",
    "a generator that was left": "next(yielding(args))",
    "an asynchronous generator that was left": "async for _ in ayielding(args): break",
    "a local send that failed": "try: await E(Local()).fail(args[0])\n    except AttributeError: pass",
    "an endless recursion": "def again(args): again(args)\n    again(args)",
}


@pytest.mark.parametrize("pin", PINS)
def test_nothing_of_the_machinery_holds_on_to_what_is_over(pin):
    source = f"""
async def fail(args):
    held = args
    raise ValueError("fails")
async def wait(args): await asyncio.get_running_loop().create_future()
async def give(value): return value
def yielding(args):
    yield args
    yield args
async def ayielding(args):
    yield args
    yield args
class Local(Exo): pass
class Root(Exo):
  async def run(self, *args):
    {PINS[pin]}
"""
    vat = DrivenVat(source)
    vat.call("run", O50)
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]


def test_a_suspended_call_holds_what_it_has(vat):
    vat.run(
        """
async def wait(promise, other): await promise
global task
import asyncio
heap['task'] = asyncio.ensure_future(wait(*args))
""",
        Ref("p-70"),
        O50,
    )
    assert vat.bring_out_your_dead() == []
    vat.run("heap.clear()")
    vat.notify(("p-70", 1))
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]


def test_a_pending_promise_holds_what_it_will_be_told_of(vat):
    vat.run("heap['p'] = E(args[0]).ask()", O50)
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]
    vat.notify(("p+5", [O51]))
    assert vat.bring_out_your_dead() == []
    vat.run("heap.clear()")
    assert vat.bring_out_your_dead() == [("dropImports", ["o-51"]), ("retireImports", ["o-51"])]


PLACES = {
    "durable state": ("baggage['x'] = Holder(args[0])", "baggage['x'].what = None"),
    "virtual state": ("heap['x'] = Memo([args[0]])", "heap['x'].what = None"),
    "a state, nested": ("baggage['x'] = Holder({'a': [Holder(args[0])]})", "baggage['x'].what = None"),
    "an overwritten state": ("baggage['x'] = Holder(args[0])", "baggage['x'].what = [baggage['x']]"),
    "a map's value": ("baggage['x'] = args[0]", "del baggage['x']"),
    "a map's key": ("baggage[args[0]] = 1", "baggage.clear()"),
    "a map's value, overwritten": ("baggage['x'] = [args[0]]", "baggage['x'] = []"),
    "a set": ("baggage['s'] = DurableSet([args[0]])", "baggage['s'].pop()"),
    "a virtual map": ("heap['m'] = VirtualMap({args[0]: args[0]})", "heap['m'].clear()"),
    "a map in a map": ("baggage['m'] = DurableMap(x=DurableMap(y=args[0]))", "del baggage['m']['x']"),
    "a weak map's value": ("heap['k'] = baggage['k'] = Holder(); baggage['w'] = DurableWeakMap({heap['k']: args[0]})",
                           "del baggage['w'][heap['k']]"),
    "a watcher's arguments": ("heap['p'], heap['r'] = make_promise(); watch_promise(heap['p'], Watcher(), args[0])",
                              "heap['r'].resolve(None); heap.clear()"),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_the_vat_store_keeps_a_presence(vat, place):
    keep, let_go = PLACES[place]
    vat.run(keep, O50)
    assert vat.bring_out_your_dead() == []
    assert vat.bring_out_your_dead() == []
    vat.run(let_go)
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]
    assert vat.keys("o-50") == []


def test_the_heap_keeps_what_the_store_lets_go(vat):
    vat.run("baggage['x'] = heap['x'] = args[0]", O50)
    vat.run("del baggage['x']")
    assert vat.bring_out_your_dead() == []
    vat.run("heap.clear()")
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]


def test_two_mentions_are_two_pillars(vat):
    vat.run("baggage['x'] = [args[0], args[0]]; baggage['y'] = args[0]", O50)
    assert vat.records["vom.rc.o-50"] == "2"
    vat.run("del baggage['x']")
    assert vat.bring_out_your_dead() == []
    vat.run("del baggage['y']")
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]


# Far objects of the heap -----------------------------------------------------------------------


def test_an_exported_object_lives_until_the_kernel_drops_it_and_is_retired_then(vat):
    assert vat.run("result = Local()") == Ref("o+1")
    assert vat.bring_out_your_dead() == []
    vat.refs("dropExports", "o+1")
    assert vat.bring_out_your_dead() == [("retireExports", ["o+1"])]
    assert vat.bring_out_your_dead() == []


def test_an_object_that_the_kernel_has_retired_is_not_retired_again(vat):
    vat.run("result = heap['x'] = Local()")
    vat.refs("dropExports", "o+1")
    vat.refs("retireExports", "o+1")
    vat.run("heap.clear()")
    assert vat.bring_out_your_dead() == []


def test_an_object_that_the_vat_holds_is_neither_gone_nor_told_of(vat):
    vat.run("result = heap['x'] = Local()")
    vat.refs("dropExports", "o+1")
    assert vat.bring_out_your_dead() == []
    assert vat.run("result = heap['x']") == Ref("o+1")
    vat.run("heap.clear()")
    assert vat.bring_out_your_dead() == []
    vat.refs("dropExports", "o+1")
    assert vat.bring_out_your_dead() == [("retireExports", ["o+1"])]


def test_a_failed_send_exports_nothing(vat):
    vat.run("heap['x'] = Local()")
    assert vat.run("E(args[0]).take(heap['x'], {1})", O50).startswith("MarshalError")
    vat.run("heap.clear()")
    assert ("retireExports", ["o+1"]) not in vat.bring_out_your_dead()


def test_virtual_data_keeps_a_far_object_of_the_heap(vat):
    vat.run("heap['m'] = Memo([Local(), args[0]]); result = heap['m'].what[0]", O50)
    vat.refs("dropExports", "o+1")
    assert vat.bring_out_your_dead() == []
    assert vat.run("result = heap['m'].what[0]") == Ref("o+1")
    vat.refs("dropExports", "o+1")
    vat.refs("retireExports", "o+1")
    assert vat.run("result = heap['m'].what[0]") == Ref("o+1")
    vat.refs("dropExports", "o+1")
    vat.run("heap['m'].what = None")
    assert vat.bring_out_your_dead() == [
        ("dropImports", ["o-50"]),
        ("retireImports", ["o-50"]),
        ("retireExports", ["o+1"]),
    ]


def test_what_a_dead_object_of_the_heap_held_goes_with_it(vat):
    vat.run("a = Local(); a.what = [Local(), args[0], Holder(args[1])]; result = [a, a.what[0]]", O50, O51)
    vat.refs("dropExports", "o+1", "o+2")
    assert vat.bring_out_your_dead() == [
        ("dropImports", ["o-50", "o-51"]),
        ("retireImports", ["o-50", "o-51"]),
        ("retireExports", ["o+1", "o+2"]),
    ]


# Virtual and durable objects -------------------------------------------------------------------

MAKERS = {"durable": ("Holder", "o+d10/1"), "virtual": ("Memo", "o+v10/1")}


@pytest.fixture(params=MAKERS)
def maker(request):
    return MAKERS[request.param]


def is_there(vat, base):
    return f"vom.{base}" in vat.records


def assert_gone(vat, base):
    """No record of it is left, nor of what it mentioned."""
    assert vat.keys(base, "o-50") == []


# Pillars come and go: heap (h), store (s), export (e); capital letters take them away.
LIVES = ["hH", "sS", "eE", "hsHS", "hsSH", "heHE", "heEH", "seSE", "seES", "hseHSE", "hseESH", "hseSHE", "shSsHS",
         "ehEeHE", "ehEsHheSHE", "heHsEhSH"]  # fmt: skip
PUT = {"h": "heap['h'] = x", "s": "table['s'] = x", "e": "result = x"}
TAKE = {"h": "del heap['h']", "s": "del table['s']"}


@pytest.mark.parametrize("life", LIVES)
def test_an_object_lives_as_long_as_any_pillar_stands(vat, maker, life):
    cls, base = maker
    vat.run("heap['table'] = VirtualMap()")
    table = "table = heap['table']\n"
    pillars = set()
    for step in life:
        if step == "E":
            vat.refs("dropExports", base)
        elif step.isupper():
            vat.run(table + TAKE[step.lower()])
        elif not pillars:
            vat.run(f"{table}x = {cls}([args[0]])\n{PUT[step]}", O50)
        elif "e" in pillars:
            vat.run(f"{table}x = args[0]\n{PUT[step]}", Ref(base))
        else:
            held = "heap['h']" if "h" in pillars else "table['s']"
            vat.run(f"{table}x = {held}\n{PUT[step]}")
        pillars ^= {step.lower()}
        if pillars:
            assert vat.bring_out_your_dead() == []
            assert is_there(vat, base)
    exported = [("retireExports", [base])] if "e" in life else []
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"]), *exported]
    assert_gone(vat, base)


def test_an_object_that_the_kernel_has_retired_is_deleted_without_a_word(vat, maker):
    cls, base = maker
    vat.run(f"result = {cls}([args[0]])", O50)
    vat.refs("dropExports", base)
    vat.refs("retireExports", base)
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]
    assert_gone(vat, base)


def test_an_object_that_the_kernel_has_retired_may_be_exported_again(vat, maker):
    cls, base = maker
    vat.run(f"result = heap['x'] = {cls}()")
    vat.refs("dropExports", base)
    vat.refs("retireExports", base)
    assert vat.run("result = heap['x']") == Ref(base)
    vat.run("heap.clear()")
    assert vat.bring_out_your_dead() == []
    vat.refs("dropExports", base)
    assert vat.bring_out_your_dead() == [("retireExports", [base])]


def test_what_the_kernel_says_of_an_object_that_is_gone_does_nothing(vat, maker):  # deliveries may be given ahead
    cls, base = maker
    vat.run(f"result = {cls}()")
    vat.refs("dropExports", base)
    assert vat.bring_out_your_dead() == [("retireExports", [base])]
    vat.refs("retireExports", base)
    assert vat.bring_out_your_dead() == []
    assert vat.keys(base) == []


def test_a_chain_of_objects_goes_in_one_bring_out_your_dead(vat):
    vat.run("x = args[0]\nfor _ in range(50): x = Holder([x, Memo(x).what])\nheap['x'] = x", O50)
    assert vat.bring_out_your_dead() == []
    vat.run("heap.clear()")
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]
    assert vat.keys("o+d10/", "o+v", "o-50") == []


def test_cycles_through_the_vat_store_are_not_collected(vat):  # as in the reference
    vat.run("a, b = Holder(), Holder(); a.what, b.what = b, a")
    assert vat.bring_out_your_dead() == []
    assert is_there(vat, "o+d10/1")


def test_an_object_whose_initialization_failed_goes(vat):
    assert vat.run("Pair(what=args[0])", O50) == "TypeError: Pair() is missing the field 'more'"
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]
    assert vat.keys("o+d10/1") == []


# Facets ----------------------------------------------------------------------------------------


def export_facets(vat):
    assert vat.run("x = Holder(args[0]); result = [x, x.part, x.other]", O50) == [
        Ref("o+d10/1"),
        Ref("o+d10/1:1"),
        Ref("o+d10/1:0"),
    ]


@pytest.mark.parametrize("order", ["012", "120", "201", "021"])
def test_any_exported_facet_keeps_the_object(vat, order):
    export_facets(vat)
    names = ["o+d10/1", "o+d10/1:0", "o+d10/1:1"]
    assert vat.records["vom.es.o+d10/1"] == "rrr"
    for index in order:
        assert vat.bring_out_your_dead() == []
        vat.refs("dropExports", names[int(index)])
    assert vat.bring_out_your_dead() == [
        ("dropImports", ["o-50"]),
        ("retireImports", ["o-50"]),
        ("retireExports", names),
    ]
    assert_gone(vat, "o+d10/1")


def test_facets_that_the_kernel_has_retired_or_never_knew_are_not_told(vat):
    assert vat.run("x = Holder(); result = x.part") == Ref("o+d10/1:1")
    vat.refs("dropExports", "o+d10/1:1")
    assert vat.records["vom.es.o+d10/1"] == "nns"
    assert vat.bring_out_your_dead() == [("retireExports", ["o+d10/1:1"])]
    vat.run("x = Holder(); result = [x.part, x.other]")
    vat.refs("dropExports", "o+d10/2:0", "o+d10/2:1")
    vat.refs("retireExports", "o+d10/2:0")
    assert vat.bring_out_your_dead() == [("retireExports", ["o+d10/2:1"])]


@pytest.mark.parametrize("kept", ["heap['x'] = x.part", "baggage['x'] = x.part"])
def test_a_facet_that_is_held_keeps_the_object(vat, kept):
    vat.run(f"x = Holder(args[0]); {kept}", O50)
    assert vat.bring_out_your_dead() == []
    assert (
        vat.run("f = heap.get('x') or baggage['x']; result = [f.of.part is f, f.of.what is args[0]]", O50) == [True] * 2
    )
    vat.run("heap.clear(); baggage.clear()")
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]


# Collections -----------------------------------------------------------------------------------


@pytest.mark.parametrize("life", ["hH", "hsHS", "heHE", "heEH", "hseHSE"])
@pytest.mark.parametrize(
    "make, base",
    [
        ("DurableMap({args[0]: 1, 'a': args[0]})", "o+d6/4"),
        ("VirtualMap({args[0]: 1, 'a': args[0]})", "o+v2/4"),
        ("DurableSet([args[0]])", "o+d8/4"),
        ("DurableWeakMap([(Holder(), args[0])])", "o+d7/4"),
    ],
)
def test_a_collection_lives_as_an_object_does(vat, make, base, life):
    vat.run("heap['table'] = VirtualMap()")
    vat.run(f"heap['h'] = {make}", O50)
    for step in life[1:]:
        match step:
            case "s":
                vat.run("heap['table']['s'] = heap['h']")
            case "e":
                vat.run("result = heap['h']")
            case "H":
                vat.run("del heap['h']")
            case "S":
                vat.run("del heap['table']['s']")
            case "E":
                vat.refs("dropExports", base)
        if step != life[-1] and "Weak" not in make:
            assert vat.bring_out_your_dead() == []
            assert "vc.4.|schemata" in vat.records
    calls = dict(vat.bring_out_your_dead())
    assert calls == {"dropImports": ["o-50"], "retireImports": ["o-50"]} | (
        {"retireExports": [base]} if "e" in life else {}
    )
    assert vat.keys("vc.4.", base, "o-50") == []


def test_deleting_a_large_collection_leaves_nothing(vat):
    vat.run("heap['m'] = DurableMap((n, Holder(n)) for n in range(300))")
    vat.run("heap.clear()")
    assert vat.bring_out_your_dead() == []
    assert vat.keys("vc.3.", "o+d10/") == []


# Weak keys -------------------------------------------------------------------------------------


WEAK = ["DurableWeakMap({args[0]: args[1]})", "VirtualWeakMap({args[0]: args[1]})"]


@pytest.mark.parametrize("make", WEAK)
def test_a_weak_key_is_dropped_but_not_retired_until_the_kernel_says_so(vat, make):
    vat.run(f"heap['w'] = {make}", O50, O51)
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"])]
    vat.refs("retireImports", "o-50")
    assert vat.keys("o-50") == []
    assert vat.bring_out_your_dead() == [("dropImports", ["o-51"]), ("retireImports", ["o-51"])]


@pytest.mark.parametrize("make", WEAK)
def test_a_weak_key_that_comes_again_finds_its_entry(vat, make):
    vat.run(f"heap['w'] = {make}", O50, O51)
    vat.bring_out_your_dead()
    assert vat.run("result = heap['w'][args[0]] is args[1]", O50, O51) is True


@pytest.mark.parametrize("let_go", ["del heap['w'][args[0]]", "heap.clear()"])
@pytest.mark.parametrize("is_held", [True, False])
def test_an_import_that_nothing_recognizes_any_more_is_retired(vat, let_go, is_held):
    vat.run("heap['w'] = DurableWeakMap({args[0]: 1})", O50)
    if is_held:
        vat.run("root.kept = args[0]", O50)
        assert vat.bring_out_your_dead() == []
    else:
        assert vat.bring_out_your_dead() == [("dropImports", ["o-50"])]
    vat.run(let_go, *([O50] if is_held or "args" in let_go else []))
    if is_held:
        assert vat.bring_out_your_dead() == []
        vat.run("root.kept = None")
    calls = vat.bring_out_your_dead()
    expected = [("dropImports", ["o-50"])] if is_held or "args" in let_go else []
    assert calls == [*expected, ("retireImports", ["o-50"])]
    assert vat.keys("o-50") == []


def test_an_import_is_retired_when_the_last_of_two_recognizers_goes(vat):
    vat.run("heap['v'], heap['w'] = DurableWeakSet([args[0]]), VirtualWeakSet([args[0]])", O50)
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"])]
    vat.run("del heap['v']")
    assert vat.bring_out_your_dead() == []
    vat.run("del heap['w']")
    assert vat.bring_out_your_dead() == [("retireImports", ["o-50"])]


def test_an_import_that_the_kernel_has_retired_is_not_retired_again(vat):  # "double retire import"
    vat.run("heap['w'] = DurableWeakSet([args[0]])", O50)
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"])]
    vat.run("heap.clear()")
    vat.refs("retireImports", "o-50")
    assert vat.bring_out_your_dead() == []


@pytest.mark.parametrize("make", ["Holder()", "Memo()", "Local()"])
def test_an_entry_goes_with_its_key_and_lets_its_value_go(vat, make):
    vat.run(f"heap['w'] = VirtualWeakMap(); heap['k'] = {make}; heap['w'][heap['k']] = args[0]", O50)
    assert vat.bring_out_your_dead() == []
    assert vat.run("result = heap['w'][heap['k']] is args[0]", O50) is True
    vat.run("del heap['k']")
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]
    assert [key for key in vat.records if key.startswith(("vc.3.r", "vc.3.|o", "vom.ir"))] == []


def test_an_exported_weak_key_stays_until_the_kernel_drops_it(vat):
    assert vat.run("k = Holder(); heap['w'] = DurableWeakMap({k: args[0]}); result = k", O50) == Ref("o+d10/1")
    assert vat.bring_out_your_dead() == []
    assert vat.run("result = heap['w'][args[0]] is args[1]", Ref("o+d10/1"), O50) is True
    vat.refs("dropExports", "o+d10/1")
    assert vat.bring_out_your_dead() == [
        ("dropImports", ["o-50"]),
        ("retireImports", ["o-50"]),
        ("retireExports", ["o+d10/1"]),
    ]
    assert vat.keys("vom.ir", "vc.3.r") == []


def test_facets_are_weak_keys_of_their_own(vat):
    vat.run("k = Holder(); heap['k'] = k; heap['w'] = DurableWeakMap({k: 1, k.part: 2})")
    assert vat.run("k = heap['k']; w = heap['w']; result = [w[k], w[k.part], k.other in w]") == [1, 2, False]
    vat.run("del heap['k']")
    assert vat.bring_out_your_dead() == []
    assert vat.keys("vom.ir", "vc.3.r", "o+d10/1") == []


def test_a_weak_value_does_not_keep_its_key_unless_it_mentions_it(vat):
    vat.run("k = Holder(); k.what = args[0]; heap['w'] = DurableWeakMap({k: k.what})", O50)
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]
    vat.run("k = Holder(); heap['w'][k] = k")
    assert vat.bring_out_your_dead() == []  # a cycle through the store: ephemerons it has none


def test_a_weak_key_survives_the_death_of_its_collection(vat):  # "dropped collection weakrefs"
    vat.run("heap['k'] = Holder(); w = DurableWeakSet([heap['k']])")
    assert vat.bring_out_your_dead() == []
    assert vat.keys("vom.ir", "vc.3.") == []
    assert is_there(vat, "o+d10/1")


def test_key_and_value_may_die_together(vat):
    vat.run("heap['w'] = VirtualWeakMap(); heap['w'][Local()] = Holder(args[0])", O50)
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]
    assert vat.keys("o+d10/1", "vom.ir") == []


def test_an_object_may_lose_its_last_pillars_one_after_the_other_while_the_dead_are_brought_out(vat):
    source = """
memo, local, key = Memo(), Local(), Holder()
local.what = memo
heap['w'] = VirtualWeakMap({key: local})
result = memo
"""
    assert vat.run(source) == Ref("o+v10/1")
    vat.refs("dropExports", "o+v10/1")
    assert vat.bring_out_your_dead() == [("retireExports", ["o+v10/1"])]
    assert vat.keys("o+v10/1", "o+d11/1") == []


def test_key_and_collection_may_die_together(vat):
    vat.run("heap['k'] = Holder(); heap['w'] = DurableWeakMap({heap['k']: args[0]}); heap.clear()", O50)
    assert vat.bring_out_your_dead() == [("dropImports", ["o-50"]), ("retireImports", ["o-50"])]
    assert vat.keys("vom.ir", "vc.3.", "o+d10/1") == []


# The collector of Python -----------------------------------------------------------------------


def test_nothing_but_bring_out_your_dead_depends_on_when_python_collects():
    """The same deliveries, with Python's collector running always or never, make the same syscalls and records."""

    def drive(is_late):
        vat = Vat(is_late=is_late)
        said = []
        for round_ in range(3):
            said.append(
                vat.call(
                    "run",
                    "a = [args[0], Local(), Holder(args[1])]; a.append(a); heap['x'] = a[2]; result = a[1:3]",
                    O50,
                    O51,
                )
            )
            if not is_late:
                gc.collect()
            said.append(
                vat.call(
                    "run", "result = [repr(args[0]), repr(heap.pop('x')), repr(Memo())]", Ref("o-50", f"other {round_}")
                )
            )
            if round_ == 1:
                said.append(vat.bring_out_your_dead())
        said.append(vat.deliver(["dropExports", ["o+1", "o+d10/1", "o+d10/2"]]))
        said.append(vat.bring_out_your_dead())
        return said, vat.records

    assert drive(is_late=True) == drive(is_late=False)
