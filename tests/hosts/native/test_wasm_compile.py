"""Compiling in processes of their own, and running vats in others."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import subprocess
from dataclasses import asdict

import pytest

pytest.importorskip("resource", reason="it is not in Pyodide")
from kernel_py.hosts.native import wasm_compile
from kernel_py.hosts.native.artifacts import ArtifactStore
from kernel_py.hosts.native.compile_queue import CompileQueue, CoolingDown
from kernel_py.hosts.native.wasm_compile import PREPARE_LIMITS, Compiler, run_job
from kernel_py.hosts.native.wasm_config import EngineConfig
from kernel_py.hosts.native.wasm_worker import EXECUTE_LIMITS
from kernel_py.hosts.native.worker_limits import make_command, make_environment
from kernel_py.wire import canonical, protocol
from kernel_py.wire.errors import HostFault, InvalidModule
from tests.vat.driving import TIME_MS, capdata, message
from tests.wasm.sources import load, load_metered

pytestmark = pytest.mark.native

SETTINGS = json.dumps(asdict(EngineConfig()))


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


def make_compiler(store):
    return Compiler(store, CompileQueue(lambda: 0.0))


def test_a_module_is_checked_compiled_once_and_found(store):
    async def main():
        compiler = make_compiler(store)
        module = await compiler.precheck(load("puppet"))
        return await asyncio.gather(*(compiler.provide(module) for _ in range(50)))

    paths = asyncio.run(main())
    assert len(set(paths)) == 1
    assert paths[0].stat().st_size > 1_000


def test_a_precheck_refuses_what_cannot_be_a_vat(store):
    with pytest.raises(InvalidModule, match="threads"):
        asyncio.run(make_compiler(store).precheck(load("refused_atomics")))


def test_a_module_that_the_engine_refuses_is_invalid(store):
    code = load("puppet").replace(b"\x20\x00\x41\x01", b"\x20\x00\x42\x01")
    assert code != load("puppet")
    with pytest.raises(InvalidModule, match="the engine does not take it"):
        asyncio.run(make_compiler(store).precheck(code))
    assert list(store._folder.iterdir()) == []


@pytest.mark.parametrize("changes", [{"memory_bytes_max": 10_000_000}, {"file_bytes_max": 10}], ids=["memory", "files"])
def test_a_job_over_a_limit_has_failed_for_reasons_of_the_host(store, changes):
    limits = dataclasses.replace(PREPARE_LIMITS, **changes)
    module = load_metered("puppet")
    with pytest.raises(HostFault, match="the compiling process ended with"):
        asyncio.run(run_job(module.code, store.make_temporary("k"), EngineConfig(), limits))


def test_a_failed_job_cools_down_and_leaves_nothing(store, monkeypatch):
    monkeypatch.setattr(wasm_compile, "make_command", lambda *args: ["/bin/false"])

    async def main():
        compiler = make_compiler(store)
        module = load_metered("puppet")
        with pytest.raises(HostFault, match="ended with 1"):
            await compiler.provide(module)
        with pytest.raises(CoolingDown, match="ended with 1"):
            await compiler.provide(module)

    asyncio.run(main())
    assert list(store._folder.iterdir()) == []


@pytest.mark.parametrize("said", ["", "nonsense", '["internal"]', '{"ok":1}', "[" * 5_000])
def test_what_a_job_says_is_not_believed(store, monkeypatch, said):
    monkeypatch.setattr(wasm_compile, "make_command", lambda *args: ["/bin/echo", said])
    with pytest.raises(HostFault, match="the compiling process said"):
        asyncio.run(run_job(b"", store.make_temporary("k"), EngineConfig(), PREPARE_LIMITS))


def test_a_job_sees_nothing_of_the_environment(monkeypatch):
    monkeypatch.setenv("SECRET", "secret")
    command = [make_command("x")[0], "-sP", "-c", "import os; print(sorted(os.environ))"]
    done = subprocess.run(command, env=make_environment(), capture_output=True, text=True, check=True)
    assert "SECRET" not in done.stdout
    assert "PATH'" not in done.stdout.replace("PYTHONPATH'", "")


# A vat in a process of its own -----------------------------------------------------------------


class WorkerVat:
    """A wasm vat in a worker process, whose kernel is the test."""

    def __init__(self, store, code, limits=EXECUTE_LIMITS):
        self.process = subprocess.Popen(
            make_command("kernel_py.hosts.native.wasm_worker", limits.dump(), SETTINGS, str(store._folder)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=make_environment(),
        )
        self.number = 0
        self.hello = self.hear()
        files = {"vat.wasm": base64.b64encode(code).decode()}
        self.say(protocol.dump_start(protocol.VatSpec("v1", 0, "tested", "seed", "vat.wasm", files)))
        self.say(protocol.dump_go(0))
        assert self.hear() == ["ready", 0]
        assert self.deliver(["startVat", capdata(None)])[2] == ["ok", None]

    def say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def hear(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def deliver(self, delivery):
        self.number += 1
        self.say(protocol.dump_deliver(self.number, TIME_MS, canonical.dump(delivery)))
        return self.hear()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def worker(store):
    vat = WorkerVat(store, load("puppet"))
    yield vat
    vat.close()


def test_a_vat_runs_in_a_worker_process(worker):
    assert worker.hello == ["hello", {"protocol": 1, "vat": None, "incarnation": 0, "delivered": 0}]
    assert worker.deliver(message("o+0", "w", "kept"))[4]["console"] == ["0"]
    done = worker.deliver(message("o+0", "g", "kept"))
    assert done[:4] == ["done", 3, ["ok", None], []]
    assert done[4]["console"] == ["4", "kept"]


def test_a_poison_message_comes_out_of_a_worker_process(worker):
    assert worker.deliver(message("o+0", "u"))[2] == ["poison", "trap: unreachable"]


def test_a_vat_that_takes_too_much_processor_time_is_the_end_of_its_process(store):
    vat = WorkerVat(store, load("puppet"), dataclasses.replace(EXECUTE_LIMITS, cpu_s_max=1))
    assert vat.deliver(message("o+0", "l")) is None
    vat.close()
    assert vat.process.returncode < 0
