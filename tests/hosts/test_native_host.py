"""The native host: vats in worker processes of every kind, and what survives whose death."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("resource", reason="it is not in Pyodide")
from kernel_py.hosts.native.native_host import NativeKernel
from tests.hosts.native_driver import CONFINED, NODE, PYTHON, WASM, launch, open_kernel, run_native, send

pytestmark = pytest.mark.native

KINDS = [
    pytest.param(PYTHON, id="process"),
    pytest.param({**PYTHON, "kind": "worker"}, id="process-worker"),
    pytest.param(NODE, id="command"),
    pytest.param(CONFINED, id="confined"),
    pytest.param(WASM, id="wasm"),
]

PROBE = """
import os, sys, time, random
from kernel_py.vat import Exo

class Probe(Exo):
    def bootstrap(self, vats, services):
        return None

    def environment(self):
        return dict(os.environ)

    def descriptors(self):
        "Open file descriptors that lead to a file, a socket or a terminal."
        kinds = []
        for name in os.listdir("/proc/self/fd"):
            try:
                target = os.readlink(f"/proc/self/fd/{name}")
            except OSError:
                continue
            if target != "/dev/null" and not target.startswith(("pipe:", f"/proc/{os.getpid()}")):
                kinds.append(target)
        return kinds

    def look(self):
        "What would differ between two runs, were it the machine's."
        return [hash("text"), random.random(), time.time(), list({"a", "b", "c"}), os.urandom(4)]

    def import_foreign(self):
        import pytest

    def write(self):
        os.write(1, b"rubbish on standard output")
        sys.__stdout__.write("more of it")
        sys.__stdout__.flush()
        return sys.__stdin__.read()

    def spin(self):
        while True:
            pass

    def die(self):
        os.kill(os.getpid(), 9)

    def give_up(self):
        os.write(2, b"no more of this")
        os._exit(3)

    def session(self):
        return [os.getpid() == os.getsid(0), os.getpid() == os.getpgid(0)]

def build_root_object(powers, parameters, baggage):
    return Probe()
"""


def native(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in a real event loop."""

    def run(tmp_path: Path) -> None:
        run_native(test(tmp_path))

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


@pytest.mark.parametrize("kind", KINDS)
def test_two_vats_of_a_kind_work_together(tmp_path: Path, kind: dict[str, Any]) -> None:
    async def main() -> None:
        async with open_kernel(tmp_path) as kernel:
            roots = await launch(kernel, a=kind, b=kind)
            assert await send(kernel, roots["a"], "relay", f"{roots['b']}, 'x'") == "1"
            assert await send(kernel, roots["b"], "add", "'y'") == "2"
            assert await send(kernel, roots["a"], "fail", "'out of stock'") == "ValueError('out of stock')"

    run_native(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_vat_goes_on_where_it_was(tmp_path: Path, kind: dict[str, Any]) -> None:
    async def main() -> None:
        async with open_kernel(tmp_path) as kernel:
            roots = await launch(kernel, a=kind, b=kind)
            await send(kernel, roots["a"], "relay", f"{roots['b']}, 'x'")
            waiting = asyncio.ensure_future(send(kernel, roots["a"], "wait"))
            await send(kernel, roots["b"], "add", "'y'")
            await kernel.idle()
            waiting.cancel()
        async with open_kernel(tmp_path) as kernel:
            assert await send(kernel, roots["a"], "relay", f"{roots['b']}, 'z'") == "3"
            assert await send(kernel, roots["a"], "settle", "'late'") in {"None", "undefined", "Undefined"}

    run_native(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_worker_is_replaced_and_its_delivery_done_once(tmp_path: Path, kind: dict[str, Any]) -> None:
    async def main() -> None:
        async with open_kernel(tmp_path) as kernel:
            roots = await launch(kernel, a=kind)
            pid = kernel.workers.find_pid("v1")
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            adding = asyncio.ensure_future(send(kernel, roots["a"], "add", "'x'"))
            while not (await kernel.request("status"))["vats"][0]["inflight"]:
                pass
            os.kill(pid, signal.SIGKILL)
            assert await adding == "1"
            assert kernel.workers.find_pid("v1") != pid
            assert await send(kernel, roots["a"], "add", "'y'") == "2"

    run_native(main())


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_terminated_vats_process_is_gone_at_once(tmp_path: Path, kind: dict[str, Any]) -> None:
    async def main() -> None:
        async with open_kernel(tmp_path) as kernel:
            await launch(kernel, a=kind)
            pid = kernel.workers.find_pid("v1")
            assert pid is not None
            await kernel.request("terminateVat", {"vat": "v1"})
            while is_there(pid):  # a server of realms is told to end it
                await kernel.request("status")

    run_native(main())


def test_vats_of_different_kinds_work_together(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_kernel(tmp_path) as kernel:
            roots = await launch(kernel, python=PYTHON, node=NODE, confined=CONFINED, wasm=WASM)
            names = [*roots, next(iter(roots))]
            for caller, called in pairwise(names):
                assert await send(kernel, roots[caller], "relay", f"{roots[called]}, 'x'") == "1"

    run_native(main())


async def launch_probe(kernel: Any) -> str:
    return (await launch(kernel, {"probe.py": PROBE}, probe={"source": "probe.py"}))["probe"]


@native
async def test_a_worker_inherits_neither_environment_nor_descriptors(tmp_path: Path) -> None:
    os.environ["SECRET_OF_A_TEST"] = "hush"
    with (tmp_path / "file").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        async with open_kernel(tmp_path) as kernel:
            probe = await launch_probe(kernel)
            environment = await send(kernel, probe, "environment")
            assert "PYTHONHASHSEED" in environment
            assert "SECRET_OF_A_TEST" not in environment
            assert "PATH" not in environment
            assert await send(kernel, probe, "descriptors") == "[]"
            assert await send(kernel, probe, "session") == "[True, True]"
    del os.environ["SECRET_OF_A_TEST"]


@native
async def test_a_worker_imports_only_the_standard_library_and_this_package(tmp_path: Path) -> None:
    async with open_kernel(tmp_path) as kernel:
        probe = await launch_probe(kernel)
        assert "No module named 'pytest'" in await send(kernel, probe, "import_foreign")


@native
async def test_clock_entropy_and_hashes_are_the_same_after_replay(tmp_path: Path) -> None:
    async with open_kernel(tmp_path) as kernel:
        probe = await launch_probe(kernel)
        first = await send(kernel, probe, "look")
    async with open_kernel(tmp_path) as kernel:
        second = await send(kernel, probe, "look")
        assert second != first
        vat = (await kernel.request("status"))["vats"][0]
        assert (vat["realm"], vat["fault"]) == ("ready", "")


@native
async def test_what_a_vat_writes_to_standard_output_is_no_protocol(tmp_path: Path) -> None:
    async with open_kernel(tmp_path) as kernel:
        probe = await launch_probe(kernel)
        assert await send(kernel, probe, "write") == "''"


@native
async def test_a_delivery_that_takes_too_long_is_a_host_fault_and_the_vat_lives_on(tmp_path: Path) -> None:
    async with open_kernel(tmp_path, answer_s_max=4) as kernel:
        probe = await launch_probe(kernel)
        rejected = await send(kernel, probe, "spin")
        assert "died 3 times under this message: no answer within 4 s: its process was killed" in rejected
        assert await send(kernel, probe, "session") == "[True, True]"


@pytest.mark.parametrize(
    "method, reason", [("die", "killed by SIGKILL"), ("give_up", "exited with code 3: no more of this")]
)
def test_a_message_that_ends_the_process_is_rejected_with_the_reason(tmp_path: Path, method: str, reason: str) -> None:
    async def main() -> None:
        async with open_kernel(tmp_path) as kernel:
            probe = await launch_probe(kernel)
            assert reason in await send(kernel, probe, method)

    run_native(main())


@pytest.mark.parametrize(
    "command, reason",
    [
        (["/nowhere/vat"], "No such file or directory: '/nowhere/vat'"),
        (["sh", "-c", "echo sorry >&2; exit 4"], "exited with code 4: sorry"),
        (["sh", "-c", "exec >&-; sleep 100"], "closed its output and did not exit"),
        (["sh", "-c", "echo hello; sleep 100"], "a vat's message is not JSON"),
        (["sh", "-c", r"printf '\377\n'; sleep 100"], "a vat's message is not JSON"),
        (["sh", "-c", "sleep 100"], "no answer within 2 s"),
    ],
)
def test_a_program_that_is_no_vat_fails_the_launch_with_the_reason(
    tmp_path: Path, command: list[str], reason: str
) -> None:
    async def main() -> None:
        async with open_kernel(tmp_path, answer_s_max=2 if "no answer" in reason else 60) as kernel:
            config = {"bootstrap": "a", "vats": {"a": {"kind": "command", "command": command}}}
            with pytest.raises(Exception, match="was not launched") as caught:
                await kernel.request("launch", {"config": config, "files": {}})
            assert reason in str(caught.value)

    run_native(main())


@native
async def test_commands_are_refused_unless_they_were_allowed(tmp_path: Path) -> None:
    async with NativeKernel.open(tmp_path / "store.db") as kernel:
        with pytest.raises(Exception, match="does not run vats of kind 'command'"):
            await launch(kernel, a=NODE)


@native
async def test_a_store_with_commands_is_not_run_unless_they_are_allowed(tmp_path: Path) -> None:
    async with open_kernel(tmp_path) as kernel:
        roots = await launch(kernel, a=NODE)
    with pytest.raises(Exception, match=r"v1 \(a\) runs a program \(node .*conforming.mjs\): allow commands"):
        await NativeKernel.open(tmp_path / "store.db").__aenter__()
    async with open_kernel(tmp_path) as kernel:
        assert await send(kernel, roots["a"], "add", "1") == "1"
        await kernel.request("terminateCluster", {"cluster": "c1"})
    async with NativeKernel.open(tmp_path / "store.db") as kernel:
        assert (await kernel.request("status"))["vats"][0]["state"] == "terminated"


@native
async def test_waiting_for_a_vat_that_cannot_be_brought_back_ends(tmp_path: Path) -> None:
    async with open_kernel(tmp_path) as kernel:
        roots = await launch(kernel, a=PYTHON)
        await send(kernel, roots["a"], "add", "'x'")
    with sqlite3.connect(tmp_path / "store.db") as db:
        db.execute("UPDATE transcripts SET entry = replace(entry, '+1', '+9')")
    db.close()
    async with open_kernel(tmp_path) as kernel:
        sending = asyncio.ensure_future(send(kernel, roots["a"], "add", "'y'"))
        with pytest.raises(Exception, match=r"v1 \(a\) cannot go on: entry 3 of the transcript of v1 is damaged"):
            await kernel.idle()
        sending.cancel()


# What is confined ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["iframe", "worker"])
def test_python_vats_are_confined_unless_the_user_says_otherwise(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        notes: list[str] = []
        async with open_kernel(tmp_path, unconfined=False, on_note=notes.append) as kernel:
            vats = {"probe": {"source": "probe.py", "kind": kind}}
            roots = await launch(kernel, {"probe.py": PROBE}, **vats)
            assert "there are no files here" in await send(kernel, roots["probe"], "descriptors")
        assert [note for note in notes if "not confined" in note] == []

    run_native(main())


@native
async def test_a_vat_goes_on_confined_that_was_a_plain_process(tmp_path: Path) -> None:
    async with open_kernel(tmp_path) as kernel:
        roots = await launch(kernel, a=PYTHON)
        await send(kernel, roots["a"], "add", "'x'")
    async with open_kernel(tmp_path, unconfined=False) as kernel:
        assert await send(kernel, roots["a"], "add", "'y'") == "2"


@native
async def test_what_is_not_confined_is_said_once(tmp_path: Path) -> None:
    notes: list[str] = []
    async with open_kernel(tmp_path, on_note=notes.append) as kernel:
        roots = await launch(kernel, a=PYTHON, b=NODE, c=CONFINED, d=WASM)
        pid = kernel.workers.find_pid("v1")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await send(kernel, roots["a"], "add", "'x'")
    said = [note for note in notes if "not confined" in note]
    assert len(said) == 2
    assert said[0] == "v1 (a) runs as a plain process: it is not confined, and may do whatever you may"
    assert said[1].startswith("v2 (b) runs as a program (node ")


@native
async def test_plain_processes_are_refused_unless_they_were_allowed(tmp_path: Path) -> None:
    vat = {"source": "conforming.py", "kind": "process"}
    async with NativeKernel.open(tmp_path / "store.db") as kernel:
        with pytest.raises(Exception, match="does not run vats of kind 'process'"):
            await launch(kernel, a=vat)
    async with open_kernel(tmp_path) as kernel:
        await launch(kernel, a=vat)
    with pytest.raises(Exception, match=r"v\d+ \(a\) runs as a plain process, which is not confined: allow that"):
        await NativeKernel.open(tmp_path / "store.db").__aenter__()
