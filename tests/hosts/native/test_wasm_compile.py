"""Compiling in processes of their own, and running vats in others."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="it is not in Pyodide")
from kernel_py.hosts.native import wasm_compile
from kernel_py.hosts.native.artifacts import ArtifactStore
from kernel_py.hosts.native.compile_queue import CompileQueue, CoolingDown
from kernel_py.hosts.native.forks import Forks
from kernel_py.hosts.native.realm_limits import EXECUTE_LIMITS, PREPARE_LIMITS, RealmLimits
from kernel_py.hosts.native.wasm_compile import Compiler, run_job
from kernel_py.hosts.native.wasm_config import EngineConfig
from kernel_py.hosts.native.wasm_runtime import WasmRuntime
from kernel_py.hosts.native.worker_limits import make_command, make_environment
from kernel_py.wire import canonical, protocol
from kernel_py.wire.errors import HostFault, InvalidModule
from tests.vat.driving import TIME_MS, capdata, message
from tests.wasm.sources import load, load_metered

pytestmark = pytest.mark.native

ANSWER_S_MAX = 60


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

    def __init__(self, folder, code, limits=None):
        self.runner = asyncio.Runner()
        self.runtime = WasmRuntime(folder, limits=limits)
        files = {"vat.wasm": base64.b64encode(code).decode()}
        self.child = self.runner.run(self.open(files))
        self.number = 0
        self.hello = self.hear()
        self.say(protocol.dump_start(protocol.VatSpec("v1", 0, "tested", "seed", "vat.wasm", files)))
        self.say(protocol.dump_go(0))
        assert self.hear() == ["ready", 0]

    def start(self):
        assert self.deliver(["startVat", capdata(None)])[2] == ["ok", None]
        return self

    async def open(self, files):
        await self.runtime.check("wasm", "vat.wasm", files)
        return await self.runtime.fork("wasm")

    def say(self, text):
        self.child.stdin.write(text.encode() + b"\n")

    def hear(self):
        line = self.child.stdout.readline()
        return json.loads(line) if line else None

    def deliver(self, delivery):
        self.number += 1
        self.say(protocol.dump_deliver(self.number, TIME_MS, canonical.dump(delivery)))
        return self.hear()

    def end(self):
        """Its exit code."""
        return self.runner.run(self.child.wait(ANSWER_S_MAX))

    def close(self):
        self.child.stdin.close()
        self.child.stdout.close()
        self.runner.run(self.stop())
        self.runner.close()

    async def stop(self):
        self.runtime.close()


@pytest.fixture
def worker(tmp_path):
    vat = WorkerVat(tmp_path, load("puppet")).start()
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


def test_a_vat_that_takes_too_much_processor_time_is_the_end_of_its_process(tmp_path):
    vat = WorkerVat(
        tmp_path, load("puppet"), RealmLimits(execute=dataclasses.replace(EXECUTE_LIMITS, cpu_s_max=1))
    ).start()
    assert vat.deliver(message("o+0", "l")) is None
    assert vat.end() == -signal.SIGXCPU
    vat.close()


def test_nothing_is_compiled_where_guests_run(tmp_path):
    vat = WorkerVat(tmp_path, load("puppet"))
    for path in (tmp_path / "artifacts").iterdir():
        path.unlink()
    assert vat.deliver(["startVat", capdata(None)])[0] == "failed"
    vat.close()


def test_a_module_is_prepared_again_after_its_artifact_was_removed(tmp_path):
    async def main():
        runtime = WasmRuntime(tmp_path)
        files = {"vat.wasm": base64.b64encode(load("puppet")).decode()}
        await runtime.check("wasm", "vat.wasm", files)
        (artifact,) = (tmp_path / "artifacts").iterdir()
        artifact.unlink()
        await runtime.prepare("wasm", "vat.wasm", files)
        runtime.close()
        return artifact

    assert asyncio.run(main()).exists()


# Servers of realms -----------------------------------------------------------------------------


def find_parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().split()[3])


def count_pipes(pid):
    targets = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    return sum(target.startswith(("pipe:", "socket:")) for target in targets)


def test_a_server_that_ends_takes_its_copies_with_it_and_the_next_realm_gets_another(tmp_path):
    async def main():
        runtime = WasmRuntime(tmp_path)
        child = await runtime.fork("wasm")
        assert child.stdout.readline().startswith(b'["hello"')
        os.kill(find_parent(child.pid), signal.SIGKILL)
        assert child.stdout.readline() == b""
        assert await child.wait(ANSWER_S_MAX) is None
        again = await runtime.fork("wasm")
        assert again.stdout.readline().startswith(b'["hello"')
        for each in (child, again):
            each.stdin.close()
            each.stdout.close()
        runtime.close()

    asyncio.run(main())


def test_a_copy_that_is_killed_tells_how_it_ended_and_its_server_goes_on(tmp_path):
    async def main():
        runtime = WasmRuntime(tmp_path)
        children = [await runtime.fork("wasm") for _ in range(3)]
        children[0].kill()
        os.kill(children[1].pid, signal.SIGABRT)
        assert [await child.wait(ANSWER_S_MAX) for child in children[:2]] == [-signal.SIGKILL, -signal.SIGABRT]
        children[2].stdin.close()
        assert await children[2].wait(ANSWER_S_MAX) == 0
        for each in children:
            each.stdin.close()
            each.stdout.close()
        runtime.close()

    asyncio.run(main())


def test_a_copy_has_no_descriptors_but_its_own(tmp_path):
    async def main():
        runtime = WasmRuntime(tmp_path)
        children = [await runtime.fork("wasm") for _ in range(3)]
        counts = set()
        for child in children:
            child.stdout.readline()
            counts.add(count_pipes(child.pid))
            child.stdin.close()
            child.stdout.close()
        runtime.close()
        return counts

    assert asyncio.run(main()) == {3}  # its input, its output, and the server's standard error


def test_a_server_that_does_not_start_says_why(tmp_path):
    async def main():
        forks = Forks("kernel_py.hosts.native.no_such_module", list)
        with pytest.raises(HostFault, match="No module named"):
            await forks.fork()

    asyncio.run(main())
