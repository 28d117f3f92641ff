"""From source files to a running vat, and what is said when that fails."""

from __future__ import annotations

import json

import pytest

from kernel_py.vat.session import VatSession
from kernel_py.wire import canonical, protocol
from tests.vat.driving import PRELUDE, TIME_MS, DeliveryError, DrivenVat, Ref, capdata
from tests.virtual_loop import run_async


def start_error(source, **options):
    with pytest.raises(DeliveryError) as raised:
        DrivenVat(source, **options)
    return str(raised.value)


def lines_of(error):
    """The frames and the last line of a traceback."""
    lines = error.split("\n")
    return [line.strip() for line in lines if line.startswith("  File ")] + [lines[-1]]


# Starting --------------------------------------------------------------------------------------


def test_build_root_object_gets_powers_parameters_and_baggage():
    vat = DrivenVat(
        """
        class Root(Exo):
            def __init__(self, *args): self.args = args
            def tell(self):
                powers, parameters, baggage = self.args
                return [powers.vat_name, powers.now_ms, powers.time_ms(), parameters, dict(baggage)]
        def build_root_object(powers, parameters, baggage):
            baggage["started"] = powers.now_ms
            return Root(powers, parameters, baggage)
        """,
        parameters={"amount": 3, "friend": Ref("o-50")},
    )
    assert vat.call("tell") == [
        (
            "resolve",
            (
                "p-60",
                ["tested", TIME_MS + 2, TIME_MS + 2, {"amount": 3, "friend": Ref("o-50")}, {"started": TIME_MS + 1}],
            ),
        )
    ]


def test_build_root_object_may_be_asynchronous_and_send():
    vat = DrivenVat(
        """
        class Root(Exo):
            def read(self): return 1
        async def build_root_object(powers, parameters, baggage):
            E(parameters).hello()
            await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
            return Root()
        """,
        parameters=Ref("o-50"),
    )
    assert vat.call("read") == [("resolve", ("p-60", 1))]
    assert '"hello"' in vat.transcript[0].replace("\\", "")


@pytest.mark.parametrize("make", ["far(Thing())", "make_promise_of(Root())", "asyncio.ensure_future(later())"])
def test_the_root_may_be_any_far_object_or_a_promise_of_one(make):
    vat = DrivenVat(f"""
        class Thing:
            def read(self): return 1
        class Root(Exo):
            def read(self): return 1
        async def later(): return Root()
        def make_promise_of(value):
            promise, resolver = make_promise()
            resolver.resolve(value)
            return promise
        def build_root_object(powers, parameters, baggage):
            return {make}
        """)
    assert vat.call("read") == [("resolve", ("p-60", 1))]


def test_source_that_does_not_parse_is_shown_with_its_line():
    error = start_error("def build_root_object(:\n    pass")
    assert 'File "v1/main.py", line 3' in error
    assert "def build_root_object(:" in error
    assert error.split("\n")[-1].startswith("SyntaxError: ")
    assert "kernel_py" not in error


def test_a_neighbour_that_does_not_parse_is_named():
    error = start_error("import purse", files={"purse.py": "x ="})
    assert lines_of(error) == [
        'File "v1/main.py", line 3, in <module>',
        'File "v1/purse.py", line 1',
        "SyntaxError: invalid syntax",
    ]


def test_a_module_that_raises_is_shown_with_the_users_frames_only():
    error = start_error(
        "import purse\ndef build_root_object(*args): pass", files={"purse.py": "def f():\n    return 1 / 0\nf()"}
    )
    assert lines_of(error) == [
        'File "v1/main.py", line 3, in <module>',
        'File "v1/purse.py", line 3, in <module>',
        'File "v1/purse.py", line 2, in f',
        "ZeroDivisionError: division by zero",
    ]
    assert "    return 1 / 0" in error


def test_build_root_object_that_raises_is_shown_with_what_caused_it():
    error = start_error("""
        def build_root_object(powers, parameters, baggage):
            try:
                parameters["missing"]
            except TypeError as error:
                raise ValueError("no parameters") from error
        """)
    assert "TypeError: 'NoneType' object is not subscriptable" in error
    assert "The above exception was the direct cause" in error
    assert lines_of(error)[-1] == "ValueError: no parameters"
    assert "kernel_py/vat" not in error


def test_an_asynchronous_build_root_object_that_raises_is_shown_too():
    error = start_error("""
        async def build_root_object(powers, parameters, baggage):
            await asyncio.sleep(0)
            raise SystemExit("enough")
        """)
    assert lines_of(error) == ['File "v1/main.py", line 6, in build_root_object', "SystemExit: enough"]


def test_a_missing_build_root_object_is_named():
    assert start_error("build_root_object = 3").endswith(
        "v1/main.py does not define build_root_object(powers, parameters, baggage)"
    )


def test_a_main_file_that_is_missing_is_named():
    session = VatSession()
    session.receive(protocol.dump_start(protocol.VatSpec("v1", 0, "n", "seed", "main.py", {"b.py": "", "a.py": ""})))
    session.receive(protocol.dump_go(0))
    [done] = session.receive(protocol.dump_deliver(1, TIME_MS, canonical.dump(["startVat", capdata(None)])))
    _, _, [status, error], _, _ = json.loads(done)
    assert (status, error) == ("error", "ImportError: the vat's source 'main.py' is not among its files: a.py, b.py")


@pytest.mark.parametrize(
    "wait, where",
    [
        ("await make_promise()[0]", "what build_root_object awaits in v1/main.py, line 8"),
        ("await deeper(parameters)", "what deeper awaits in v1/main.py, line 5"),
        ("return make_promise()[0]", "a promise"),
    ],
)
def test_build_root_object_that_waits_for_another_delivery_is_told_where(wait, where):
    error = start_error(
        f"""
        async def deeper(promise):
            await E(promise).ask()

        async def build_root_object(powers, parameters, baggage):
            {wait}
        """,
        parameters=Ref("p-61"),
    )
    assert error.startswith(f"build_root_object did not finish: it waits for {where}.")


@pytest.mark.parametrize("root", ["None", "{}", "3", "object()", "Exo", "parameters"])
def test_a_root_that_is_no_far_object_is_refused(root):
    error = start_error(
        f"def build_root_object(powers, parameters, baggage):\n    return {root}", parameters=Ref("o-50")
    )
    assert error.startswith("build_root_object must return an Exo or another far object, not ")


def test_parameters_that_cannot_be_decoded_are_an_error():
    vat = DrivenVat("class Root(Exo): pass", start=False)
    vat.go()
    with pytest.raises(DeliveryError, match="MarshalError"):
        vat.deliver(["startVat", {"body": "#{", "slots": []}])


def test_a_failed_start_makes_no_syscalls():
    vat = DrivenVat(
        "def build_root_object(powers, parameters, baggage):\n    E(parameters).f()\n    1 / 0", start=False
    )
    vat.go()
    with pytest.raises(DeliveryError):
        vat.deliver(["startVat", capdata(Ref("o-50"))])
    assert '"sc":[]' in vat.transcript[0]


def test_a_vat_starts_once():
    vat = DrivenVat("class Root(Exo): pass")
    with pytest.raises(DeliveryError, match="started already"):
        vat.deliver(["startVat", capdata(None)])


def test_a_message_before_the_start_is_an_error():
    vat = DrivenVat("class Root(Exo): pass", start=False)
    vat.go()
    with pytest.raises(DeliveryError, match="has not been started"):
        vat.call("f")


@pytest.mark.parametrize(
    "delivery",
    [["changeVatOptions", {"reapInterval": 7}], ["changeVatOptions", {"of": "tomorrow"}], ["stopVat", capdata("bye")]],
)
def test_options_and_the_announcement_of_an_end_change_nothing_in_a_vat(delivery):
    source = """
class Root(Exo):
    count = 0
    def add(self):
        self.count += 1
        return self.count
"""
    vat = DrivenVat(source)
    vat.call("add")
    assert vat.deliver(delivery) == []
    assert vat.call("add") == [("resolve", ("p-60", 2))]
    assert vat.replayed().call("add") == [("resolve", ("p-60", 3))]


# Running ---------------------------------------------------------------------------------------


def test_errors_name_object_and_method_and_python_says_the_rest():
    vat = DrivenVat("""
        class Counter(Exo):
            def increment(self, by, *, twice=False): pass
        class Root(Counter): pass
        """)

    def error(*args, **kwargs):
        [(_, (_, verdict, text))] = vat.call(*args, **kwargs)
        assert verdict == "rejected"
        return text

    assert error("decrement") == "AttributeError: Root has no method 'decrement'; it has: increment"
    assert error("increment") == "TypeError: Counter.increment() missing 1 required positional argument: 'by'"
    assert error("increment", 1, 2) == "TypeError: Counter.increment() takes 2 positional arguments but 3 were given"
    assert error("increment", 1, thrice=True).startswith(
        "TypeError: Counter.increment() got an unexpected keyword argument 'thrice'"
    )
    assert not [line for line in vat.console if "File" in line]


@pytest.mark.parametrize(
    "error", ["SystemExit(1)", "KeyboardInterrupt()", "GeneratorExit()", "asyncio.CancelledError()", "StopIteration()"]
)
@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_whatever_a_method_raises_rejects_its_result_and_the_vat_lives_on(keyword, error):
    vat = DrivenVat(f"class Root(Exo):\n    {keyword} leave(self): raise {error}\n    def stay(self): return 1")
    [(_, (_, verdict, _))] = vat.call("leave")
    assert verdict == "rejected"
    assert vat.call("stay") == [("resolve", ("p-60", 1))]


def test_endless_recursion_rejects_and_the_vat_lives_on():
    vat = DrivenVat("""
        class Root(Exo):
            def down(self): return self.down()
            def stay(self): return 1
        """)
    [(_, (_, verdict, text))] = vat.call("down")
    assert (verdict, text.partition(":")[0]) == ("rejected", "RecursionError")
    assert len(vat.console) < 50
    assert vat.call("stay") == [("resolve", ("p-60", 1))]


def test_failures_that_nobody_has_looked_at_are_in_the_console_of_their_delivery():
    vat = DrivenVat("""
        async def fail(): raise ValueError("in a task")
        class Root(Exo):
            def start(self, other):
                self.task = asyncio.create_task(fail())
                E(other).ask()
            async def look(self, other):
                try:
                    await E(other).ask()
                except KeyError: pass
        """)
    vat.call("start", Ref("o-50"))
    assert vat.console[0] == "a failure that nobody has looked at yet: Traceback (most recent call last):"
    assert vat.console[-1] == "ValueError: in a task"
    vat.notify(("p+5", KeyError("answer"), "rejected"))
    assert vat.console[-1].endswith("RemoteKeyError: 'answer'")
    vat.call("look", Ref("o-50"))
    vat.notify(("p+6", KeyError("answer"), "rejected"))
    assert vat.console == []


def test_a_vat_runs_within_the_hosts_own_event_loop():
    async def host():
        vat = DrivenVat("class Root(Exo):\n    async def f(self):\n        await asyncio.sleep(0)\n        return 1")
        return vat.call("f")

    assert run_async(host()) == [("resolve", ("p-60", 1))]


def test_line_numbers_are_those_of_the_file():
    assert PRELUDE.count("\n") == 2
    error = start_error("\n\n1 / 0")
    assert lines_of(error)[0] == 'File "v1/main.py", line 5, in <module>'
