"""The state of a guest as bytes, and back."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_py.hosts.native.wasm import make_preparer
from kernel_py.hosts.native.wasm_config import EngineConfig
from kernel_py.hosts.native.wasm_engine import WasmtimeEngine
from kernel_py.hosts.native.wasm_loading import ModuleLoader
from kernel_py.vat.store import VatStore
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS
from kernel_py.wasm.snapshots import SnapshotError, take_snapshot
from kernel_py.wasm.supervisor import WasmSupervisor
from kernel_py.wire import canonical
from kernel_py.wire.protocol import METERS_PATH, VatSpec
from tests.vat.driving import TIME_MS, capdata, message
from tests.wasm.sources import load, load_metered

pytestmark = pytest.mark.native

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "wasm"
GUESTS = {
    "puppet": load("puppet"),
    "wat": (EXAMPLES / "counter.wasm").read_bytes(),
    "c": (EXAMPLES / "counter_c.wasm").read_bytes(),
}


@pytest.fixture(scope="module")
def engine():
    engine = WasmtimeEngine(compile_module=ModuleLoader(None, EngineConfig()))
    yield engine
    engine.close()


def make_vat(engine, name, limits=DEFAULT_WASM_LIMITS, meter=None):
    files = {"vat.wasm": base64.b64encode(GUESTS[name]).decode()}
    if meter is not None:
        files[METERS_PATH] = canonical.dump({"tested": meter})
    spec = VatSpec("v1", 0, "tested", "seed", "vat.wasm", files)
    return WasmSupervisor(spec, VatStore(), engine, make_preparer(limits), wasm_limits=limits)


def start(engine, name, **options):
    vat = make_vat(engine, name, **options)
    assert vat.deliver(1, TIME_MS, ["startVat", capdata({"start": 5})]).error is None
    return vat


def restored(engine, name, data, **options):
    vat = make_vat(engine, name, **options)
    vat.restore_snapshot(data)
    return vat


def did(vat, number, delivery):
    """All that can be seen of a delivery: its outcome, its gas, and the state after it."""
    outcome = vat.deliver(number, TIME_MS + number, delivery)
    return outcome, vat.gas_used, hashlib.sha256(vat.take_snapshot()).hexdigest()


CALLS = [
    message("o+0", "increment"),
    message("o+0", "make_counter", 7),
    message("o+1", "increment", 100),
    message("o+0", "read"),
    message("o+1", "explode"),
    ["bringOutYourDead"],
]


@pytest.mark.parametrize("name", ["wat", "c"])
@pytest.mark.parametrize("count", range(len(CALLS)))
def test_a_vat_from_a_snapshot_goes_on_the_same_with_the_same_gas_and_state(engine, name, count):
    vat = start(engine, name)
    for number, call in enumerate(CALLS[:count], start=2):
        vat.deliver(number, TIME_MS + number, call)
    again = restored(engine, name, vat.take_snapshot())
    assert again.take_snapshot() == vat.take_snapshot()
    for number, call in enumerate(CALLS[count:], start=2 + count):
        assert did(again, number, call) == did(vat, number, call)


PUPPET_CALLS = st.tuples(st.sampled_from("swdgnpfM"), st.sampled_from(["", "a", "b", "['subscribe','p-7']"]))


@settings(max_examples=30)
@given(st.lists(PUPPET_CALLS, max_size=8), st.integers(0, 8))
def test_any_deliveries_can_be_cut_by_a_snapshot(engine, calls, place):
    vat = start(engine, "puppet")
    twin = start(engine, "puppet")
    for number, (method, text) in enumerate(calls, start=2):
        if number - 2 == place:
            vat = restored(engine, "puppet", vat.take_snapshot())
        call = message("o+0", method, text)
        assert did(vat, number, call) == did(twin, number, call)


def test_memory_that_grew_is_in_a_snapshot(engine):
    vat = start(engine, "puppet")
    vat.deliver(2, TIME_MS, message("o+0", "M", "12345678"))
    size = vat.memory_bytes()
    again = restored(engine, "puppet", vat.take_snapshot())
    assert again.memory_bytes() == size == 12 * 65_536


def test_zeros_take_no_room(engine):
    vat = start(engine, "puppet")
    vat.deliver(2, TIME_MS, message("o+0", "M", "1" * 200))
    assert len(vat.take_snapshot()) < 100_000 < vat.memory_bytes()


def test_the_store_is_in_a_snapshot_with_the_empty_key(engine):
    vat = start(engine, "puppet")
    for number, key in enumerate(("b", "", "a"), start=2):
        vat.deliver(number, TIME_MS, message("o+0", "w", key))
    again = restored(engine, "puppet", vat.take_snapshot())
    assert [again._store.get(key) for key in ("", "a", "b", "c")] == ["", "a", "b", None]


def test_a_start_function_is_not_run_again(engine):
    module = load_metered("basics")
    assert module.has_start
    module = dataclasses.replace(module, has_hidden_state=False)
    instance = engine.instantiate(module, {})
    assert b'"globals":[5,7]' in take_snapshot(instance, module, VatStore())


def test_hidden_state_is_refused(engine):
    module = load_metered("basics")
    with pytest.raises(SnapshotError, match="neither in its memory nor in its integer globals"):
        take_snapshot(engine.instantiate(module, {}), module, VatStore())


def test_a_vat_that_is_not_started_has_no_snapshot(engine):
    with pytest.raises(SnapshotError, match="not started"):
        make_vat(engine, "c").take_snapshot()


def test_only_a_fresh_vat_is_restored(engine):
    vat = start(engine, "c")
    with pytest.raises(SnapshotError, match="fresh"):
        vat.restore_snapshot(vat.take_snapshot())


def test_a_snapshot_of_another_module_is_refused(engine):
    with pytest.raises(SnapshotError, match="the snapshot is of the module"):
        restored(engine, "wat", start(engine, "c").take_snapshot())


def test_a_snapshot_of_another_pass_is_refused(engine):
    """Other limits give another module: the gas of what follows would differ."""
    limits = dataclasses.replace(DEFAULT_WASM_LIMITS, memory_pages_max=100)
    with pytest.raises(SnapshotError, match="the snapshot is of the module"):
        restored(engine, "c", start(engine, "c", limits=limits).take_snapshot())


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: b"",
        lambda data: b"{}\n",
        lambda data: data.replace(b'"version":2', b'"version":3'),
        lambda data: b"[" * 1_000,
        lambda data: data.replace(b'"globals":[', b'"globals":[1,'),
    ],
)
def test_a_damaged_snapshot_is_refused(engine, change):
    data = start(engine, "c").take_snapshot()
    with pytest.raises(SnapshotError):
        restored(engine, "c", change(data))


def test_a_restored_vat_has_what_is_left_in_its_tank(engine):
    meter = {"delivery": 50_000, "tank": 60_000, "refill_per_second": 1_000}
    vat = start(engine, "c", meter=meter)
    again = restored(engine, "c", vat.take_snapshot(), meter=meter)
    assert again.take_snapshot() == vat.take_snapshot()
    outcomes = [each.deliver(2, TIME_MS + 50, message("o+0", "increment")) for each in (vat, again)]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].meter[1] < 60_000
