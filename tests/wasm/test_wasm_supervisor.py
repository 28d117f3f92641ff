"""A wasm vat: deliveries in, batches out, its store, and how it is stopped."""

from __future__ import annotations

import base64
import dataclasses

import pytest

from kernel_py.hosts.native.wasm_engine import WasmtimeEngine
from kernel_py.vat.store import VatStore
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS
from kernel_py.wire import canonical, protocol
from kernel_py.wire.limits import DEFAULT_LIMITS
from scripts.wat import ROOT
from tests.vat.driving import TIME_MS, Failed, capdata, message
from tests.wasm.driving import DrivenWasm
from tests.wasm.node_engine import NodeEngine
from tests.wasm.sources import load

pytestmark = pytest.mark.native

PUPPET = load("puppet")
COUNTER_IN_C = (ROOT / "examples/wasm/counter_c.wasm").read_bytes()
SMALL = dataclasses.replace(DEFAULT_WASM_LIMITS, gas_delivery=100_000)


@pytest.fixture(scope="module", params=["wasmtime", "node"])
def engine(request, tmp_path_factory):
    """What runs guests: natively, and as in a browser."""
    made = WasmtimeEngine() if request.param == "wasmtime" else NodeEngine(tmp_path_factory.mktemp("node"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def wasmtime_engine():
    engine = WasmtimeEngine()
    yield engine
    engine.close()


@pytest.fixture
def vat(engine):
    return DrivenWasm(engine, PUPPET, wasm_limits=SMALL)


# Deliveries and syscalls -----------------------------------------------------------------------


def test_a_guest_sees_number_time_and_delivery(vat):
    [line] = vat.told("echo", "hi")
    methargs = '{"body":"#[\\"echo\\",[\\"hi\\"]]","slots":[]}'
    assert line == f'[2,{TIME_MS + 2},["message","o+0",{{"methargs":{methargs},"result":"p-60"}}]]'


@pytest.mark.parametrize("text", ["\x00\x1f\x7f", "\ud800", "\U0001f600 \ue000 \ufeff", "\\ud800 / \u2028", '"\\'])
def test_a_guest_sees_the_same_bytes_on_every_host(vat, text):
    delivery = ["message", "o+0", {"methargs": {"body": '#["echo",[]]' + text, "slots": []}, "result": "p-60"}]
    assert vat.deliver(delivery)[0] == "ok"
    assert vat.console == [canonical.dump([2, TIME_MS + 2, delivery])]


def test_a_syscall_is_acknowledged_and_in_the_batch(vat):
    status, _, syscalls = vat.call("s", "['subscribe','p-7']")
    assert (status, vat.console, syscalls) == ("ok", ["0"], [["subscribe", "p-7"]])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "['send']", "['subscribe','o+1']", "['vatstoreGet','a']", "[" * 500, "NaN", "['subscribe','p-1','p-1']",
     "['subscribe','p-01']", "['resolve',[['p-1',0,{'body':'','slots':[]}]]]", "['dropImports',['p-1']]",
     "['exit',true,{'body':'','slots':[],'more':1}]", "['subscribe','p-1'],"],
)  # fmt: skip
def test_a_malformed_syscall_is_refused_and_the_batch_goes_on(vat, text):
    assert vat.told("s", text) == ["-2"]
    assert vat.told("y") == ["-2"]


def test_memory_outside_the_guests_own_is_refused(vat):
    assert vat.told("x") == ["-4", "-4"]


def test_too_many_syscalls_are_refused(engine):
    limits = dataclasses.replace(DEFAULT_LIMITS, batch_syscalls_max=18)
    vat = DrivenWasm(engine, PUPPET, limits=limits)
    status, _, syscalls = vat.call("b", "['subscribe','p-7']")
    assert status == "ok"
    assert vat.console == ["0"] * 18 + ["-3"] * 2
    assert len(syscalls) == 18


def test_a_syscall_over_a_limit_is_refused(engine):
    vat = DrivenWasm(engine, PUPPET, limits=dataclasses.replace(DEFAULT_LIMITS, slots_max=1))
    assert vat.told("s", "['dropImports',['o-1']]") == ["0"]
    assert vat.told("s", "['dropImports',['o-1','o-2']]") == ["-3"]


def test_a_delivery_that_the_guest_cannot_carry_out_says_why(vat):
    assert vat.call("f", "not today") == ("error", "not today", [])
    assert vat.call("q") == ("error", "deliver returned 7", [])


def test_what_is_printed_is_cut(engine):
    vat = DrivenWasm(engine, PUPPET, limits=dataclasses.replace(DEFAULT_LIMITS, console_chars_max=5))
    assert vat.told("p", "123456789") == ["12345", "... what follows was cut: one delivery may print 5 characters"]


# The store -------------------------------------------------------------------------------------


def test_the_store_keeps_texts_in_order(vat):
    assert vat.told("g", "b") == ["-1"]
    for key in ("b", "a", "bb"):
        assert vat.told("w", key) == ["0"]
    assert vat.told("g", "b") == ["1", "b"]
    assert vat.told("n", "a") == ["1", "b"]
    assert vat.told("n", "b") == ["2", "bb"]
    assert vat.told("n", "bb") == ["-1"]
    for key in ("\U0001f600", "\ue000"):
        assert vat.told("w", key) == ["0"]
    assert vat.told("n", "bb") == ["3", "\ue000"]  # by UTF-8, not by UTF-16
    assert vat.told("d", "b") == ["0"]
    assert vat.told("g", "b") == ["-1"]


def test_the_empty_text_is_a_value(vat):
    assert vat.told("w", "") == ["0"]
    assert vat.told("g", "") == ["0", ""]


# Stopping --------------------------------------------------------------------------------------


def test_out_of_gas_is_a_poison_message_with_the_guests_frames(vat):
    status, reason, syscalls = vat.call("l")
    assert (status, syscalls) == ("poison", [])
    assert reason == "out of gas: a delivery has 100,000"
    assert vat.console[0] == "deterministic: out of gas: a delivery has 100,000"
    assert vat.console[1].startswith("    at deliver (function 9, offset 0x")


def test_calls_that_nest_too_deeply_are_a_poison_message(engine):
    vat = DrivenWasm(engine, PUPPET)
    status, reason, _ = vat.call("r")
    assert status == "poison"
    assert reason == "calls nest too deeply: there is room for 32,768 slots"
    assert [line.partition(" (")[0] for line in vat.console[1:11]] == ["    at depth"] * 10


def test_a_trap_is_a_poison_message(vat):
    status, reason, _ = vat.call("u")
    assert status == "poison"
    assert reason == "trap: unreachable"


def test_the_same_text_again_gets_the_same_answer_and_anything_else_fails(vat):
    vat.call("l")
    text = protocol.dump_deliver(vat.number, TIME_MS + vat.number, canonical.dump(message("o+0", "l")))
    first = vat.session.receive(text)
    assert '"poison"' in first[0]
    with pytest.raises(Failed, match="of no use any more"):
        vat.call("p", "hello")


def test_the_reason_is_the_same_wherever_the_delivery_is_tried(vat):
    again = vat.replayed(wasm_limits=SMALL)
    assert vat.call("l") == again.call("l")


def test_a_poisoned_vat_comes_back_by_replay_without_the_message(vat):
    vat.told("w", "kept")
    vat.call("l")
    vat.number -= 1
    again = vat.replayed(wasm_limits=SMALL)
    assert again.told("g", "kept") == ["4", "kept"]


def test_a_start_that_is_stopped_is_an_error(engine):
    limits = dataclasses.replace(DEFAULT_WASM_LIMITS, gas_delivery=5)
    vat = DrivenWasm(engine, PUPPET, wasm_limits=limits, start=False)
    vat.go()
    status, reason, _ = vat.deliver(["startVat", capdata(None)])
    assert status == "error"
    assert reason == "out of gas: a delivery has 5"


@pytest.mark.parametrize(
    "code, error",
    [
        (b"nonsense", "vat.wasm: offset 0x0: not a core WebAssembly module"),
        (load("basics"), "vat.wasm: it does not export the function 'alloc'"),
        (load("refused_atomics"), "vat.wasm: function 0, offset 0x22: opcode 0xfe"),
    ],
)
def test_a_module_that_is_none_is_an_error_of_the_start(engine, code, error):
    vat = DrivenWasm(engine, code, start=False)
    vat.go()
    status, reason, _ = vat.deliver(["startVat", capdata(None)])
    assert status == "error"
    assert reason.startswith(error)


def test_memory_does_not_grow_beyond_the_limit(engine):
    vat = DrivenWasm(engine, PUPPET, wasm_limits=dataclasses.replace(DEFAULT_WASM_LIMITS, memory_pages_max=10))
    assert vat.told("M", "12345") == ["4"]
    assert vat.told("M", "12") == ["-1"]
    assert vat.told("m") == ["-1"]


# Meters ----------------------------------------------------------------------------------------


def test_gas_is_told(vat):
    vat.told("y")
    used, left = vat.usage["meter"]
    assert 0 < used < 10_000
    assert left is None


def test_a_meter_lowers_the_gas_of_a_delivery(engine):
    vat = DrivenWasm(engine, PUPPET, meter={"delivery": 50_000})
    assert vat.call("l")[:2] == ("poison", "out of gas: a delivery has 50,000")


def test_a_tank_is_for_all_messages_together(engine):
    vat = DrivenWasm(engine, PUPPET, meter={"delivery": 50_000, "tank": 60_000, "refill_per_second": 1_000_000})
    first = vat.call("s", "['subscribe','p-7']")
    left = vat.usage["meter"][1]
    assert first[0] == "ok"
    assert left < 60_000
    vat.told("y")
    assert vat.usage["meter"][1] == left + 1_000 - vat.usage["meter"][0]  # a millisecond later


# The host's failures ---------------------------------------------------------------------------


class BrokenStore(VatStore):
    def get(self, key):
        raise OSError("the disk is gone")


def test_a_store_that_fails_is_the_hosts_fault_and_ends_the_session(wasmtime_engine):
    vat = DrivenWasm(wasmtime_engine, PUPPET, make_store=BrokenStore)
    with pytest.raises(Failed) as raised:
        vat.call("g", "a")
    assert "transient: the host failed in store_get\n" in str(raised.value)
    assert "caused by OSError: the disk is gone" in str(raised.value)


def test_a_guest_that_goes_on_calling_a_broken_host_is_stopped(wasmtime_engine):
    vat = DrivenWasm(wasmtime_engine, PUPPET, make_store=BrokenStore)
    with pytest.raises(Failed, match="the host failed in store_get"):
        vat.call("k")


def test_memory_is_told(vat):
    vat.told("y")
    assert vat.usage["memory_bytes"] == 4 * 65_536


def test_a_wasm_vat_is_upgraded_to_another_module_with_its_store(engine):
    vat = DrivenWasm(engine, COUNTER_IN_C)
    vat.call("increment", 5)
    files = {"vat.wasm": base64.b64encode(PUPPET).decode()}
    vat.say(protocol.dump_upgrade(dataclasses.replace(vat.spec, incarnation=1, files=files)))
    assert vat.deliver(["startVat", capdata(None)])[0] == "ok"
    assert vat.told("g", "count.o+0") == ["1", "5"]
    assert vat.usage["memory_bytes"] == 4 * 65_536


def test_a_wasm_vat_replays(vat):
    vat.told("w", "kept")
    vat.call("s", "['subscribe','p-7']")
    again = vat.replayed(wasm_limits=SMALL)
    assert again.told("g", "kept") == vat.told("g", "kept") == ["4", "kept"]
    assert again.session.hello() == vat.session.hello()
