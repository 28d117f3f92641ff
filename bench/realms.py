"""Benchmarks of native realms: short-lived vats of each kind, one after the other, through their worker processes."""

from __future__ import annotations

import asyncio
import base64
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from bench.figures import Figure
from kernel_py.core.store import MemoryBackend
from kernel_py.hosts.native.confined import ConfinedEngine
from kernel_py.hosts.native.confined_component import artifact_store, cache_folder, provide
from kernel_py.hosts.native.wasm_runtime import WasmRuntime
from kernel_py.hosts.native.workers import ProcessWorkers
from kernel_py.wire import canonical, protocol

LIVES = {"confined": 10_000, "wasm": 1_000, "process": 100}
"""Vats of each kind."""
DELIVERIES = 10
_VATS = Path(__file__).resolve().parent.parent / "tests" / "hosts" / "vats"
_MESSAGE = canonical.dump(["message", "o+0", {"methargs": {"body": '#["add",["x"]]', "slots": []}, "result": "p-60"}])
_START = '["startVat",{"body":"#{}","slots":[]}]'


def measure(report: Callable[[Figure], None]) -> None:
    """Run every benchmark of native realms, reporting each figure as it is there."""
    _measure_loading(report)
    for kind, lives in LIVES.items():
        asyncio.run(_measure_lives(report, kind, lives))


def _measure_loading(report: Callable[[Figure], None]) -> None:
    component = provide(cache_folder(), print)
    started = time.perf_counter()
    ConfinedEngine(component, artifact_store(cache_folder())).close()
    report(
        Figure("confined: load what was compiled", (time.perf_counter() - started) * 1000, "ms", is_less_better=True)
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        ConfinedEngine(component, artifact_store(Path(folder))).close()
        report(Figure("confined: compile", time.perf_counter() - started, "s", is_less_better=True))


class Lives:
    """Makes vats of one kind, uses them and ends them, one after the other."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.main = "conforming.wasm" if kind == "wasm" else "conforming.py"
        data = (_VATS / self.main).read_bytes()
        self.files = {self.main: base64.b64encode(data).decode() if kind == "wasm" else data.decode()}
        self.texts: asyncio.Queue[str] = asyncio.Queue()
        self.runtime = WasmRuntime()
        self.tasks: set[asyncio.Task[None]] = set()
        self.workers = ProcessWorkers(
            find_command=lambda vat: (),
            spawn=self._spawn,
            runtime=self.runtime,
            read_chunk=MemoryBackend().read_chunk,
        )
        self.workers.listener = self
        self.count = 0

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def vat_text(self, vat: str, text: str) -> None:
        self.texts.put_nowait(text)

    def vat_lost(self, vat: str, reason: str) -> None:
        self.texts.put_nowait(f"lost: {reason}")

    def restore_failed(self, vat: str, reason: str) -> None:
        raise AssertionError(reason)

    async def live(self, deliveries: int) -> tuple[float, list[float]]:
        """Seconds until the first delivery was answered, and of each further one."""
        self.count += 1
        vat = f"v{self.count}"
        started = time.perf_counter()
        await self.runtime.check(self.kind, self.main, self.files)
        self.workers.create(vat, 0, self.kind)
        await self._hear('["hello"')
        self._post(vat, protocol.dump_start(protocol.VatSpec(vat, 0, "bench", "seed", self.main, self.files)))
        self._post(vat, protocol.dump_go(0))
        self._post(vat, protocol.dump_deliver(1, 0, _START), protocol.dump_deliver(2, 0, _MESSAGE))
        for answer in ('["ready"', '["done",1,["ok"', '["done",2,["ok"'):
            await self._hear(answer)
        first_s = time.perf_counter() - started
        others = []
        for number in range(3, 3 + deliveries):
            started = time.perf_counter()
            self._post(vat, protocol.dump_deliver(number, 0, _MESSAGE))
            await self._hear(f'["done",{number},["ok"')
            others.append(time.perf_counter() - started)
        self.workers.destroy(vat)
        return first_s, others

    def _post(self, vat: str, *texts: str) -> None:
        self.workers.post(vat, "\n".join(texts))

    async def _hear(self, start: str) -> None:
        text = await self.texts.get()
        if not text.startswith(start):
            raise RuntimeError(f"{start} was awaited: {text[:2_000]}")

    def close(self) -> None:
        self.workers.close()


def memory_bytes() -> int:
    """What this process and its children have for themselves, shared pages in parts."""
    process = psutil.Process()
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total


async def _measure_lives(report: Callable[[Figure], None], kind: str, lives: int) -> None:
    vats = Lives(kind)
    try:
        for _ in range(lives // 10):
            await vats.live(1)
        before, peak = memory_bytes(), 0
        firsts, others = [], []
        for number in range(lives):
            first_s, other_s = await vats.live(DELIVERIES)
            firsts.append(first_s)
            others += other_s
            if number % (lives // 10) == 0:
                peak = max(peak, memory_bytes())
    finally:
        vats.close()
    targets = (5.0, 0.5, 110.0) if kind == "confined" else (None, None, None)
    name = f"{kind}: {lives:,} vats, one after the other"
    report(
        Figure(
            f"{name}: launch and first delivery",
            statistics.median(firsts) * 1000,
            "ms",
            targets[0],
            is_less_better=True,
        )
    )
    report(Figure(f"{name}: a delivery", statistics.median(others) * 1000, "ms", targets[1], is_less_better=True))
    report(
        Figure(f"{name}: most memory", 100 * peak / before, "% of that after a tenth", targets[2], is_less_better=True)
    )
