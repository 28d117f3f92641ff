"""Modules, realms and what they say, at their worst, under a whole kernel: it goes on, and what came of it is right.

"spy" is another vat of the same kernel, which must not notice anything.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("resource", reason="it is not in Pyodide")
from kernel_py.hosts.native import wasm_compile
from kernel_py.hosts.native.confined import ConfinedLimits
from kernel_py.hosts.native.guest_clock import ClockLimits
from kernel_py.hosts.native.native_host import NativeKernel
from kernel_py.hosts.native.realm_limits import EXECUTE_LIMITS, PRECHECK_LIMITS, RealmLimits
from kernel_py.wasm.limits import WasmLimits
from tests.hosts.native_driver import CONFINED, FILES, WASM, launch, open_kernel, run_native, send
from tests.wasm.sources import load

pytestmark = pytest.mark.native

GAS = 20_000_000
FUEL = 500_000_000
LIMITS = RealmLimits(wasm=WasmLimits(gas_delivery=GAS), confined=ConfinedLimits(fuel_delivery=FUEL))

HOSTILE = """
from kernel_py.vat import Exo

class Hostile(Exo):
    def __init__(self):
        self.count = 0

    def bootstrap(self, vats, services):
        return "here"

    def add(self, item):
        self.count += 1
        return self.count

    def misbehave(self, how):
        self.count += 100
        while how == "spin":
            pass
        while how == "catch":
            try:
                while True:
                    pass
            except BaseException:
                pass
        if how == "stop":
            import os
            os.abort()
        return len(bytes(2_000_000_000))

def build_root_object(powers, parameters, baggage):
    return Hostile()
"""
PYTHON_HOSTILE = {"source": "hostile.py", "kind": "confined"}


def test_every_way_to_be_stopped_is_a_poison_message_and_the_vat_goes_on_from_before_it(tmp_path: Path) -> None:
    reasons = {
        "spin": f"out of gas: a delivery has {GAS:,}",
        "flood": f"out of gas: a delivery has {GAS:,}",
        "recurse": "calls nest too deeply: there is room for 32,768 slots",
        "trap": "trap: unreachable",
        "escape": "trap: memory out of bounds",
    }

    async def main() -> None:
        async with open_kernel(tmp_path, realm_limits=LIMITS) as kernel:
            roots = await launch(kernel, vat=WASM, spy=WASM)
            count = 0
            for how, reason in reasons.items():
                count += 1
                assert await send(kernel, roots["vat"], "add", "'x'") == str(count)
                said = await send(kernel, roots["vat"], "misbehave", f"'{how}'")
                assert reason in said
                assert "died" not in said
            assert await send(kernel, roots["vat"], "add", "'x'") == str(count + 1)
            assert await send(kernel, roots["spy"], "add", "'x'") == "1"

    run_native(main())


def test_a_module_gets_no_more_memory_than_there_is_for_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_kernel(tmp_path, realm_limits=RealmLimits(wasm=WasmLimits(memory_pages_max=64))) as kernel:
            roots = await launch(kernel, vat=WASM)
            assert 0 < int(await send(kernel, roots["vat"], "hog")) < 64
            assert await send(kernel, roots["vat"], "hog") == "0"

    run_native(main())


@pytest.mark.parametrize("how", ["spin", "catch", "stop"])
def test_a_confined_vat_that_does_not_end_is_a_poison_message(tmp_path: Path, how: str) -> None:
    async def main() -> None:
        async with open_kernel(tmp_path, realm_limits=LIMITS) as kernel:
            roots = await launch(kernel, FILES | {"hostile.py": HOSTILE}, vat=PYTHON_HOSTILE, spy=CONFINED)
            assert await send(kernel, roots["vat"], "add", "'x'") == "1"
            said = await send(kernel, roots["vat"], "misbehave", f"'{how}'")
            assert ("trap: " if how == "stop" else f"out of fuel: there was {FUEL:,}") in said
            assert await send(kernel, roots["vat"], "add", "'x'") == "2"
            assert await send(kernel, roots["spy"], "add", "'x'") == "1"

    run_native(main())


def test_memory_that_a_confined_vat_cannot_have_is_its_own_error(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_kernel(tmp_path) as kernel:
            roots = await launch(kernel, {"hostile.py": HOSTILE}, vat=PYTHON_HOSTILE)
            assert "MemoryError" in await send(kernel, roots["vat"], "misbehave", "'memory'")
            assert await send(kernel, roots["vat"], "add", "'x'") == "101"

    run_native(main())


@pytest.mark.parametrize("vat", [WASM, PYTHON_HOSTILE], ids=["wasm", "confined"])
def test_over_its_wall_clock_is_a_host_fault_and_the_vat_goes_on(tmp_path: Path, vat: dict[str, Any]) -> None:
    async def main() -> None:
        limits = RealmLimits(
            wasm=WasmLimits(gas_delivery=10**15),
            confined=ConfinedLimits(fuel_delivery=10**15),
            clock=ClockLimits(budget_ns=1_000_000_000),
        )
        async with open_kernel(tmp_path, realm_limits=limits) as kernel:
            roots = await launch(kernel, FILES | {"hostile.py": HOSTILE}, vat=vat)
            assert await send(kernel, roots["vat"], "add", "'x'") == "1"
            said = await send(kernel, roots["vat"], "misbehave", "'spin'")
            assert "died 3 times under this message" in said
            assert "transient: stopped by the wall clock after" in said
            assert await send(kernel, roots["vat"], "add", "'x'") == "2"

    run_native(main())


def test_too_much_processor_time_is_a_host_fault(tmp_path: Path) -> None:
    async def main() -> None:
        limits = RealmLimits(
            wasm=WasmLimits(gas_delivery=10**15), execute=dataclasses.replace(EXECUTE_LIMITS, cpu_s_max=1)
        )
        async with open_kernel(tmp_path, realm_limits=limits) as kernel:
            roots = await launch(kernel, vat=WASM)
            assert "killed by SIGXCPU" in await send(kernel, roots["vat"], "misbehave", "'spin'")
            assert await send(kernel, roots["vat"], "add", "'x'") == "1"

    run_native(main())


# Before a module is accepted -------------------------------------------------------------------


async def refusal(kernel: NativeKernel, code: bytes, method: str = "launch", **params: Any) -> str:
    """Why a module was refused."""
    files = {"vat.wasm": base64.b64encode(code).decode()}
    config = {"bootstrap": "a", "vats": {"a": {"kind": "wasm", "source": "vat.wasm"}}}
    asked = {"files": files, **({"config": config} if method == "launch" else params)}
    with pytest.raises(Exception, match="source: ") as caught:
        await kernel.request(method, asked)
    return str(caught.value)


def test_a_compile_bomb_is_refused_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    from bench.wasm import make_large_module

    async def main() -> None:
        bomb, _ = make_large_module(20_000)
        strict = dataclasses.replace(PRECHECK_LIMITS, cpu_s_max=1)
        async with open_kernel(tmp_path, cache=tmp_path, realm_limits=RealmLimits(precheck=strict)) as kernel:
            said = await refusal(kernel, bomb)
            # By SIGXCPU; or, on a machine that has other things to do, by the wall clock.
            assert re.match("config.vats.a.source: (the compiling process ended with -24|compiling took more)", said)
            assert "it is tried again in" in await refusal(kernel, bomb)
            assert (await kernel.request("status"))["clusters"] == []
            assert list((tmp_path / "artifacts").iterdir()) == []

    run_native(main())


@pytest.mark.parametrize(
    "name, reason",
    [
        ("refused_shared", "function|memory|shared"),
        ("refused_relaxed", "opcode|relaxed"),
        ("refused_import_unknown", "import"),
        ("basics", "does not export the function 'alloc'"),
    ],
)
def test_what_cannot_be_a_vat_is_refused_at_the_launch(tmp_path: Path, name: str, reason: str) -> None:
    async def main() -> None:
        async with open_kernel(tmp_path) as kernel:
            assert re.search(reason, await refusal(kernel, load(name)))
            assert (await kernel.request("status"))["clusters"] == []

    run_native(main())


def test_an_upgrade_to_what_cannot_be_a_vat_is_refused_and_the_old_one_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_kernel(tmp_path) as kernel:
            roots = await launch(kernel, vat=WASM)
            said = await refusal(kernel, load("basics"), "upgradeVat", vat="v1", source="vat.wasm")
            assert said.startswith("params.source: it does not export")
            assert await send(kernel, roots["vat"], "add", "'x'") == "1"

    run_native(main())


def test_fifty_launches_of_one_module_at_once_compile_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[bytes] = []
    run_job = wasm_compile.run_job

    async def counted(code: bytes, *rest: Any) -> None:
        jobs.append(code)
        await run_job(code, *rest)

    monkeypatch.setattr(wasm_compile, "run_job", counted)

    async def main() -> None:
        async with open_kernel(tmp_path, cache=tmp_path) as kernel:
            asked = {"config": {"bootstrap": "a", "vats": {"a": WASM}}, "files": FILES}
            launched = await asyncio.gather(*(kernel.request("launch", asked) for _ in range(50)))
            assert len({each["root"] for each in launched}) == 50

    run_native(main())
    assert len(jobs) == 1


# Artifacts -------------------------------------------------------------------------------------


def test_pitfall_23_of_a_thousand_flipped_bits_none_is_run(tmp_path: Path) -> None:
    """Bits all over the artifact: none is found, and a realm that needs it gets one that was compiled again."""

    async def main() -> None:
        async with open_kernel(tmp_path, cache=tmp_path) as kernel:
            roots = await launch(kernel, vat=WASM)
            store = kernel.workers.runtime.artifacts
            (artifact,) = (tmp_path / "artifacts").iterdir()
            code = artifact.read_bytes()
            for number in range(1_000):
                artifact.write_bytes(flip(code, number * (len(code) * 8 - 1) // 999))
                if number % 250:
                    assert store.find(artifact.name.partition(".")[0]) is None
                    assert not artifact.exists()
                else:
                    await kernel.request("restartVat", {"vat": "v1"})
                    assert await send(kernel, roots["vat"], "add", "'x'") == str(number // 250 + 1)
                    assert artifact.read_bytes() == code

    run_native(main())


def flip(data: bytes, bit: int) -> bytes:
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


# What a realm's process says, and how it ends --------------------------------------------------

USAGE = '{"memory_bytes":null,"console":[]}'
REPLIES = {
    "no JSON": "rubbish",
    "nothing": "[]",
    "half": '["done"]',
    "another number": f'["done",77,["ok",null],[],{USAGE}]',
    "what it was never given": f'["done",N,["ok",null],[["send","o-99",{{}}]],{USAGE}]',
    "an unknown status": f'["done",N,["fine",null],[],{USAGE}]',
    "another's promise": f'["done",N,["ok",null],[["resolve",[["p-999",false,{{"body":"#1","slots":[]}}]]]],{USAGE}]',
    "ready again": '["ready",0]',
    "hello again": '["hello",{"protocol":1,"vat":null,"incarnation":0,"delivered":0}]',
    "a failure that is ours": '["failed","internal: the engine is to blame, not this vat"]',
    "depth": "[" * 100_000,
    "half a character": f'["done",N,["poison","\\\\ud800"],[],{USAGE}]',
}

LIAR = """
import json, sys
print('["hello",{"protocol":1,"vat":null,"incarnation":0,"delivered":0}]', flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if message[0] == "go":
        print(json.dumps(["ready", message[1]]), flush=True)
    elif message[0] == "deliver":
        number, delivery = message[1], message[3]
        answer = []
        if delivery[0] == "message" and "bootstrap" in delivery[2]["methargs"]["body"]:
            answer = [["resolve", [[delivery[2]["result"], False, {"body": "#null", "slots": []}]]]]
        if delivery[0] == "startVat" or answer:
            print(json.dumps(["done", number, ["ok", None], answer, {"memory_bytes": None, "console": []}]), flush=True)
        else:
            print(sys.argv[1].replace("N", str(number)), flush=True)
"""


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_hostile_reply_harms_nobody_but_its_vat(tmp_path: Path, reply: str) -> None:
    program = tmp_path / "liar.py"
    program.write_text(LIAR)

    async def main() -> None:
        async with open_kernel(tmp_path, answer_s_max=20) as kernel:
            liar = {"kind": "command", "command": ["python3", str(program), reply]}
            roots = await launch(kernel, spy=WASM, liar=liar)
            sent = await kernel.request("send", {"target": roots["liar"], "method": "any", "args": ""})
            assert sent["status"] == "rejected"
            assert await send(kernel, roots["spy"], "add", "'x'") == "1"
            assert kernel.host.failure is None

    run_native(main())


class Killer:
    """Ends a realm's process at the n-th thing that it is told or says."""

    def __init__(self, kernel: NativeKernel) -> None:
        self.kernel = kernel
        self.left: dict[str, int] = {}
        self._wrap(kernel.workers, "post", is_before=False)
        self._wrap(kernel.host, "vat_text", is_before=True)

    def _wrap(self, thing: Any, name: str, *, is_before: bool) -> None:
        original: Callable[[str, str], None] = getattr(thing, name)

        def call(vat: str, text: str) -> None:
            if is_before:
                self._count(vat)
            original(vat, text)
            if not is_before:
                self._count(vat)

        setattr(thing, name, call)

    def _count(self, vat: str) -> None:
        self.left[vat] = self.left.get(vat, 0) - 1
        pid = self.kernel.workers.find_pid(vat)
        if self.left[vat] == 0 and pid:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("kind", [WASM, CONFINED], ids=["wasm", "confined"])
def test_a_worker_that_is_killed_at_any_step_changes_nothing(tmp_path: Path, kind: dict[str, Any]) -> None:
    async def main() -> None:
        async with open_kernel(tmp_path) as kernel:
            killer = Killer(kernel)
            asked = {"config": {"bootstrap": "a", "vats": {"a": kind}}, "files": FILES}
            step = 0
            while step == 0 or killer.left[f"v{step}"] <= 0:
                step += 1
                killer.left[f"v{step}"] = step
                root = (await kernel.request("launch", asked))["root"]
                assert [await send(kernel, root, "add", "'x'") for _ in range(3)] == ["1", "2", "3"]
            assert step > 10

    run_native(main())
