"""Compiled modules on disk: what is loaded, what is not, and what is removed."""

from __future__ import annotations

import dataclasses
import os

import pytest

from kernel_py.hosts.native.artifacts import ArtifactStore, make_key
from kernel_py.hosts.native.wasm_config import EngineConfig
from kernel_py.hosts.native.wasm_engine import WasmtimeEngine, compile_now
from kernel_py.hosts.native.wasm_loading import ModuleLoader
from kernel_py.wasm.metering import GAS, STACK
from kernel_py.wire.errors import HostFault
from tests.wasm.sources import load_metered

pytestmark = pytest.mark.native

DAY_S = 24 * 3_600


class Time:
    now_s = 1_000_000_000.0


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def store(tmp_path, time):
    return ArtifactStore(tmp_path / "artifacts", size_bytes_max=100, now_s=lambda: time.now_s)


def add(store, name, content=b"machine code"):
    temporary = store.make_temporary(key_of(name))
    temporary.write_bytes(content)
    return store.add(key_of(name), temporary)


def key_of(name):
    return make_key(name.encode().hex().rjust(64, "0"), "f" * 64)


def test_an_artifact_is_found_by_its_key(store):
    path = add(store, "a")
    assert store.find(key_of("a")) == path
    assert path.read_bytes() == b"machine code"
    assert store.find(key_of("b")) is None


def test_a_store_opened_again_has_what_it_had(store, tmp_path):
    path = add(store, "a")
    assert ArtifactStore(tmp_path / "artifacts").find(key_of("a")) == path


def test_pitfall_23_no_flipped_bit_is_ever_loaded(store):
    content = bytes(range(64))
    for place in range(0, len(content) * 8, 7):
        path = add(store, "a", content)
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert store.find(key_of("a")) is None
        assert not path.exists()


def test_pitfall_23_a_damaged_artifact_is_compiled_again_and_computes_the_same(tmp_path):
    config = EngineConfig()
    store = ArtifactStore(tmp_path / "artifacts")
    module = load_metered("basics")
    engine = WasmtimeEngine(config, compile_module=ModuleLoader(store, config))
    temporary = store.make_temporary(make_key(module.digest, config.digest))
    code = compile_now(engine.raw, module).serialize()
    temporary.write_bytes(code)
    path = store.add(make_key(module.digest, config.digest), temporary)
    with path.open("r+b") as file:
        file.seek(len(code) // 3)
        file.write(bytes([code[len(code) // 3] ^ 0x10]))
    instance = engine.instantiate(module, {})
    instance.set_global(GAS, 100_000)
    instance.set_global(STACK, 10_000)
    assert instance.call("fib", 10) == 55
    assert not path.exists()
    engine.close()


def test_pitfall_23_a_truncated_or_half_written_artifact_is_not_there(store):
    path = add(store, "a")
    path.write_bytes(b"machine")
    assert store.find(key_of("a")) is None
    temporary = store.make_temporary(key_of("b"))
    temporary.write_bytes(b"mach")
    assert store.find(key_of("b")) is None


def test_pitfall_23_a_folder_that_others_can_enter_is_refused(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    with pytest.raises(HostFault, match="closed to others"):
        ArtifactStore(folder)


def test_the_folder_and_its_files_are_closed_to_others(store, tmp_path):
    path = add(store, "a")
    assert (tmp_path / "artifacts").stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_artifact_of_the_right_kind_is_loaded_and_not_compiled(tmp_path, monkeypatch):
    config = EngineConfig()
    store = ArtifactStore(tmp_path / "artifacts")
    module = load_metered("basics")
    engine = WasmtimeEngine(config, compile_module=ModuleLoader(store, config))
    temporary = store.make_temporary(make_key(module.digest, config.digest))
    temporary.write_bytes(compile_now(engine.raw, module).serialize())
    store.add(make_key(module.digest, config.digest), temporary)
    monkeypatch.setattr("kernel_py.hosts.native.wasm_loading.compile_now", lambda *args: pytest.fail("compiled"))
    instance = engine.instantiate(module, {})
    instance.set_global(GAS, 100_000)
    instance.set_global(STACK, 10_000)
    assert instance.call("fib", 10) == 55
    engine.close()


# Keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"opt_level": "none"},
        {"wasm_stack_bytes": 1_500_000},
        {"memory_reservation_bytes": 65_536},
        {"stack_slots_max": 16_384},
    ],
)
def test_pitfall_24_every_setting_is_in_the_key(changes):
    assert EngineConfig(**changes).digest != EngineConfig().digest
    assert EngineConfig(**changes).digest == EngineConfig(**changes).digest


def test_pitfall_24_no_setting_is_forgotten():
    assert {field.name for field in dataclasses.fields(EngineConfig)} == {
        "opt_level", "wasm_stack_bytes", "memory_reservation_bytes", "stack_slots_max",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["metadata.version", "describe_machine", "PASS_VERSION"])
def test_pitfall_24_engine_machine_and_pass_are_in_the_key(monkeypatch, name):
    before = EngineConfig().digest
    value = "other" if name == "PASS_VERSION" else lambda *args: "other"
    monkeypatch.setattr(f"kernel_py.hosts.native.wasm_config.{name}", value)
    assert EngineConfig().digest != before


def test_pitfall_24_an_artifact_of_other_settings_is_not_found(tmp_path):
    """Wasmtime would take it."""
    store = ArtifactStore(tmp_path / "artifacts")
    module = load_metered("basics")
    key = make_key(module.digest, EngineConfig(opt_level="none").digest)
    temporary = store.make_temporary(key)
    temporary.write_bytes(b"code")
    store.add(key, temporary)
    assert store.find(key) is not None
    assert store.find(make_key(module.digest, EngineConfig().digest)) is None


# Pruning ---------------------------------------------------------------------------------------


def test_pitfall_25_the_least_recently_used_go_first_when_there_is_too_much(store, time):
    for name in "abcd":
        add(store, name, bytes(30))
        time.now_s += 1
    assert store.find(key_of("a")) is not None  # used again: now b is the oldest
    time.now_s += 2 * DAY_S
    add(store, "e", bytes(30))
    assert [name for name in "abcde" if store.find(key_of(name))] == ["a", "d", "e"]


def test_pitfall_25_age_alone_removes_nothing(store, time):
    """Hosts that restarted had to compile everything again."""
    add(store, "a", bytes(90))
    time.now_s += 1_000 * DAY_S
    assert store.prune() == []
    assert store.find(key_of("a")) is not None


def test_pitfall_25_what_was_used_a_short_while_ago_stays_whatever_it_takes(store, time):
    add(store, "a", bytes(90))
    time.now_s += DAY_S - 1
    add(store, "b", bytes(90))
    assert store.find(key_of("a")) is not None
    assert store.find(key_of("b")) is not None


def test_files_of_makers_that_died_are_removed_after_a_while(store, time):
    temporary = store.make_temporary(key_of("a"))
    os.utime(temporary, (time.now_s, time.now_s))
    time.now_s += DAY_S - 1
    assert store.prune() == []
    time.now_s += 2
    assert store.prune() == [temporary]
