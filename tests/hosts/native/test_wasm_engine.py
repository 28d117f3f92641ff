"""wasmtime as an engine: its settings, its stack, its clock, and what passes through its binding."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import subprocess
import sys
import threading

import pytest

from kernel_py.hosts.native.guest_clock import ClockLimits
from kernel_py.hosts.native.native_stack import STACK_BYTES, call_with_stack, has_enough_stack
from kernel_py.hosts.native.wasm_config import EngineConfig, InvalidConfig
from kernel_py.hosts.native.wasm_engine import WasmtimeEngine
from kernel_py.wasm.calls import HostCalls
from kernel_py.wasm.faults import FaultClass, GuestFault
from kernel_py.wasm.interface import IMPORTS
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS
from kernel_py.wasm.metering import GAS, STACK, meter
from kernel_py.wire.errors import HostFault
from kernel_py.wire.limits import DEFAULT_LIMITS
from tests.wasm.driving import DrivenWasm
from tests.wasm.sources import load, load_metered

pytestmark = pytest.mark.native

PUPPET = load("puppet")


@pytest.fixture
def engine():
    engine = WasmtimeEngine()
    yield engine
    engine.close()


def start(engine, name, functions=None, *, gas=1_000_000, **options):
    instance = engine.instantiate(load_metered(name, **options), functions or {})
    instance.set_global(GAS, gas)
    instance.set_global(STACK, DEFAULT_WASM_LIMITS.stack_slots_max)
    return instance


def tell(instance, method, text=""):
    """Deliver a message to a puppet."""
    delivery = f'"#[\\"{method}\\",[\\"{text}\\"]]"'.encode()
    pointer = instance.call("alloc", len(delivery))
    instance.write(pointer, delivery)
    return instance.call("deliver", pointer, len(delivery))


# Settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"opt_level": "fast"},
        {"wasm_stack_bytes": 0},
        {"wasm_stack_bytes": -1},
        {"wasm_stack_bytes": 3 * 1_048_576},
        {"wasm_stack_bytes": 512 * 1_024},
        {"memory_reservation_bytes": -1},
        {"memory_reservation_bytes": 1 << 50},
        {"memory_reservation_bytes": 4_097},
    ],
)
def test_pitfall_26_a_setting_that_would_abort_the_process_is_refused_before_the_engine_sees_it(changes):
    with pytest.raises(InvalidConfig) as raised:
        EngineConfig(**changes)
    assert next(iter(changes)) in str(raised.value)
    assert isinstance(raised.value, HostFault)


@pytest.mark.parametrize("opt_level", ["none", "speed", "speed_and_size"])
def test_settings_at_the_ends_of_their_ranges_are_taken(opt_level):
    for stack in (1_048_576, 2 * 1_048_576 - 1):
        config = EngineConfig(opt_level=opt_level, wasm_stack_bytes=stack, memory_reservation_bytes=65_536)
        engine = WasmtimeEngine(config)
        assert start(engine, "basics").call("fib", 10) == 55
        engine.close()


# The stack -------------------------------------------------------------------------------------

IN_A_SMALL_THREAD = """
import threading
from kernel_py.hosts.native.native_stack import has_enough_stack
from kernel_py.hosts.native.wasm_engine import WasmtimeEngine
from kernel_py.wasm.faults import GuestFault
from kernel_py.wasm.metering import GAS, STACK
from tests.wasm.sources import load_metered

engine = WasmtimeEngine()

def run():
    instance = engine.instantiate(load_metered("basics"), {})
    instance.set_global(GAS, 10**9)
    instance.set_global(STACK, 32_768)
    try:
        instance.call("bottomless")
    except GuestFault as fault:
        print(has_enough_stack(), fault.reason, instance.get_global(STACK) < 0)

threading.stack_size(256 * 1024)
thread = threading.Thread(target=run)
thread.start()
thread.join()
engine.close()
"""


def test_pitfall_22_a_deep_recursion_in_a_thread_with_little_stack_ends_in_order():
    done = subprocess.run([sys.executable, "-c", IN_A_SMALL_THREAD], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False trap: unreachable True\n", "")


def test_what_needs_stack_runs_where_there_is_some():
    sizes = []

    def run():
        sizes.append(threading.current_thread().name)
        sizes.append(has_enough_stack())

    before = threading.stack_size(256 * 1_024)
    try:
        thread = threading.Thread(target=lambda: call_with_stack(run), name="small")
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert sizes == ["guest", True]
    assert 4 * EngineConfig().wasm_stack_bytes < STACK_BYTES


def test_what_is_raised_on_the_other_stack_is_raised_here(monkeypatch):
    monkeypatch.setattr("kernel_py.hosts.native.native_stack.has_enough_stack", lambda: False)
    with pytest.raises(ZeroDivisionError):
        call_with_stack(lambda: 1 // 0)
    assert call_with_stack(lambda: 7) == 7


# The clock -------------------------------------------------------------------------------------

SHORT = ClockLimits(budget_ns=20_000_000)


def test_a_guest_that_runs_too_long_is_stopped_by_the_wall_clock():
    engine = WasmtimeEngine(clock_limits=SHORT)
    instance = start(engine, "basics", gas=10**15)
    with pytest.raises(GuestFault, match="stopped by the wall clock") as raised:
        instance.call("forever")
    assert raised.value.fault_class is FaultClass.TRANSIENT
    assert raised.value.frames
    engine.close()


def test_pitfall_21_a_guest_that_calls_the_host_all_the_time_is_stopped_too():
    """Each call gave it another tick: a budget of 100 ms lasted 14 s. Here it would last until the gas ends."""
    engine = WasmtimeEngine(clock_limits=SHORT)
    functions = dict.fromkeys(IMPORTS, lambda *args: -1)
    instance = start(engine, "puppet", functions, gas=200_000_000)
    with pytest.raises(GuestFault, match="stopped by the wall clock"):
        tell(instance, "k")
    assert instance.get_global(GAS) > 0
    engine.close()


def test_the_wall_clocks_stop_is_the_hosts_fault_and_ends_the_session():
    engine = WasmtimeEngine(clock_limits=SHORT)
    vat = DrivenWasm(engine, PUPPET, wasm_limits=dataclasses.replace(DEFAULT_WASM_LIMITS, gas_delivery=10**15))
    with pytest.raises(Exception, match="transient: stopped by the wall clock"):
        vat.call("l")
    engine.close()


def test_guests_that_begin_do_not_make_time_go_faster(engine):
    """Each that begins wakes the ticker; epochs must not advance for it."""
    epochs = itertools.count()
    engine._ticker._tick = lambda: next(epochs)
    instance = start(engine, "basics")
    for _ in range(200):
        instance.call("increment", 1)
    assert next(epochs) < 100


# Host functions --------------------------------------------------------------------------------


def test_pitfall_27_what_a_host_function_raises_is_attributed_to_its_own_call(engine):
    """Eight threads whose host functions fail, each with its own error, through one engine."""
    calls_each = 40
    wrong: list[str] = []

    class Failing:
        def __init__(self, name):
            self.name = name

        def get(self, key):
            raise OSError(self.name)

        def close(self):
            pass

    def run(name):
        for number in range(calls_each):
            store = Failing(f"{name}-{number}")
            calls = HostCalls(store, DEFAULT_LIMITS)
            instance = start(engine, "puppet", calls.functions)
            calls.attach(instance)
            with contextlib.suppress(GuestFault):
                tell(instance, "g", "a")
            if str(calls.failure) != store.name:
                wrong.append(f"{calls.failure} for {store.name}")

    threads = [threading.Thread(target=run, args=(f"t{index}",)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    from wasmtime import _func

    assert _func.LAST_EXCEPTION is None


def test_an_import_that_is_allowed_to_be_missing_traps(engine):
    missing = (("env", "abort"),)
    instance = start(engine, "imports", {("kernel", "syscall"): lambda pointer, size: size}, missing=missing)
    assert instance.call("say", 9) == 9
    with pytest.raises(GuestFault, match="trap: unreachable") as raised:
        instance.call("give_up")
    assert raised.value.fault_class is FaultClass.DETERMINISTIC


def test_a_call_of_the_host_costs_gas_by_its_size(engine):
    instance = start(engine, "imports", {("kernel", "syscall"): lambda *args: 0}, missing=(("env", "abort"),))
    spent = []
    for size in (0, 8_000):
        before = instance.get_global(GAS)
        instance.call("say", size)
        spent.append(before - instance.get_global(GAS))
    assert spent[1] - spent[0] == 1_000
    assert spent[0] > 200


# Memory and modules ----------------------------------------------------------------------------


@pytest.mark.parametrize("pointer, size", [(-1, 1), (0, -1), (65_536, 1), (65_530, 7), (1 << 40, 1)])
def test_memory_outside_is_not_read_or_written(engine, pointer, size):
    instance = start(engine, "basics")
    with pytest.raises(IndexError):
        instance.read(pointer, size)
    if size > 0:
        with pytest.raises(IndexError):
            instance.write(pointer, bytes(size))


def test_memory_at_the_end_is_read_and_written(engine):
    instance = start(engine, "basics")
    instance.write(65_533, b"abc")
    assert instance.read(65_533, 3) == b"abc"
    assert instance.read(65_536, 0) == b""


def test_a_module_that_the_engine_does_not_take_is_invalid(engine):
    code = load("basics")
    place = code.index(b"\x20\x00\x41\x01\x6a\x0b")  # local.get, i32.const, i32.add: the last becomes i64.add
    broken = meter(code[: place + 4] + b"\x7c" + code[place + 5 :], imports={})
    with pytest.raises(Exception, match="the engine does not take it"):
        engine.instantiate(broken, {})


def test_importing_the_engine_does_not_import_wasmtime():
    code = (
        "import sys, kernel_py.hosts.native.wasm_engine, kernel_py.hosts.native.wasm; print('wasmtime' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
