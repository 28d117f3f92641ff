"""Benchmarks in a real Chromium with the real extension, without a debugger on what is measured."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import durable, workload
from bench.figures import Figure
from e2e.harness.control import Control
from e2e.harness.plain import PlainChromium, wait_until

ROUNDS = 3
SEQUENTIAL_CALLS = 500
PIPELINED_CALLS = 1_000
DEATHS = 10
LAUNCHES = 5
VATS = 8
IDLE_MS = 3_000
DURABLE_OBJECTS = 20_000
DURABLE_PER_DELIVERY = 5_000

START_MS_MAX = 400
SNAPSHOT_MS_MAX = 150

CHUNKS = """async () => {
  const settle = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const database = await settle(indexedDB.open("kernel_py"));
  const chunks = await settle(database.transaction("chunks").objectStore("chunks").getAll());
  database.close();
  return [chunks.reduce((sum, { length }) => sum + length, 0), chunks.length];
}"""

RATE_TARGETS: dict[str, tuple[float | None, float | None]] = {"iframe": (150, 1_000), "worker": (None, None)}


def measure(report: Callable[[Figure], None]) -> None:
    """Run every benchmark of the browser, reporting each figure as it is there."""
    for kind in ("iframe", "worker"):
        _in_browser(lambda chromium, control, kind=kind: _measure_rates(control, kind, report))  # type: ignore[misc]
        _in_browser(lambda chromium, control, kind=kind: _measure_durable(control, kind, report))  # type: ignore[misc]
        _in_browser(lambda chromium, control, kind=kind: _measure_launches(control, kind, report))  # type: ignore[misc]
        _in_browser(lambda chromium, control, kind=kind: _measure_snapshots(control, kind, report))  # type: ignore[misc]
        _in_browser(lambda chromium, control, kind=kind: _measure_memory(chromium, control, kind, report))  # type: ignore[misc]
    _in_browser(lambda chromium, control: _measure_deaths(chromium, control, report))


def _in_browser(run: Callable[[PlainChromium, Control], None]) -> None:
    """`run` with a fresh browser and profile."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        chromium = PlainChromium(Path(folder) / "profile")
        try:
            run(chromium, chromium.open_control())
        finally:
            chromium.close()


def _launch(control: Control, kind: str) -> str:
    root: str = control.request("launch", config=workload.config(kind), files=workload.FILES)["root"]
    return root


def _measure_rates(control: Control, kind: str, report: Callable[[Figure], None]) -> None:
    root = _launch(control, kind)

    def rate(method: str, calls: int) -> float:
        """The best of some rounds: what the code can do when the machine lets it."""
        control.call(root, method, "100")
        times = []
        for _ in range(ROUNDS):
            control.call(root, method, str(calls))
            times.append(control.last_ms / 1000)
        return calls / min(times)

    sequential, pipelined = RATE_TARGETS[kind]
    sequential_rate = rate("one_after_the_other", SEQUENTIAL_CALLS)
    report(Figure(f"{kind} vats: sequential, durable", sequential_rate, "round trips/s", sequential))
    report(
        Figure(f"{kind} vats: 1,000 at once, durable", rate("all_at_once", PIPELINED_CALLS), "messages/s", pipelined)
    )


def _measure_durable(control: Control, kind: str, report: Callable[[Figure], None]) -> None:
    """Reads and writes of durable objects in a map, many in one delivery, which is durable when it is answered."""
    vats = {"root": {"source": "durable.py", "kind": kind}}
    root = control.launch({"durable.py": durable.SOURCE}, vats)["root"]

    def rate(method: str) -> float:
        times = []
        for start in range(0, DURABLE_OBJECTS, DURABLE_PER_DELIVERY):
            control.call(root, method, f"{start}, {start + DURABLE_PER_DELIVERY}")
            times.append(control.last_ms / 1000)
        return DURABLE_PER_DELIVERY / min(times)

    created = f"{kind} vats: durable: creations of an object in a map"
    report(Figure(created, rate("create"), "creates/s"))
    for name, target, method in [("reads", 5_000, "read"), ("writes", 2_500, "write")]:
        figure = f"{kind} vats: durable: {name} of an object in a map, of {DURABLE_OBJECTS:,}"
        report(Figure(figure, rate(method), f"{method}s/s", target))


def _measure_launches(control: Control, kind: str, report: Callable[[Figure], None]) -> None:
    vats = {"echo": {"source": "bench.py", "kind": kind}}
    times = []
    for _ in range(LAUNCHES):
        control.launch(workload.FILES, vats)
        times.append(control.last_ms)
    launch_ms = statistics.median(times)
    report(Figure(f"{kind} vats: launch a cluster of one", launch_ms, "ms", START_MS_MAX, is_less_better=True))


def _measure_snapshots(control: Control, kind: str, report: Callable[[Figure], None]) -> None:
    """A snapshot after a vat has changed, and its way back into memory."""
    root = control.launch(workload.FILES, {"echo": {"source": "bench.py", "kind": kind}})["root"]
    snapshots, restores = [], []
    for number in range(LAUNCHES):
        control.call(root, "echo", str(number))
        wait_until(lambda: "taken" if control.vat_status("v1")["snapshots"] else None)
        began = time.perf_counter()
        control.request("evictVat", vat="v1")
        while control.vat_status("v1").get("realm") not in {None, "absent"}:
            pass  # each look takes its time
        snapshots.append((time.perf_counter() - began) * 1000)
        control.call(root, "echo", str(number))
        restores.append(control.last_ms)
    name = f"{kind} vats: sent out of memory, with a snapshot"
    report(Figure(name, statistics.median(snapshots), "ms", SNAPSHOT_MS_MAX, is_less_better=True))
    name = f"{kind} vats: restored from eviction, and answered"
    report(Figure(name, statistics.median(restores), "ms", START_MS_MAX, is_less_better=True))
    packed, count = control.evaluate(f"({CHUNKS})()")
    report(Figure(f"{kind} vats: chunks of two snapshots, packed", packed / 1024, "KiB"))
    report(Figure(f"{kind} vats: chunks of two snapshots", count, "chunks"))


def _measure_memory(chromium: PlainChromium, control: Control, kind: str, report: Callable[[Figure], None]) -> None:
    """What each of VATS more vats adds to all processes of the browser: proportional set size, after idling."""

    def launch(count: int) -> None:
        control.launch(workload.FILES, {f"echo{n}": {"source": "bench.py", "kind": kind} for n in range(count)})

    launch(1)
    control.wait_ms(IDLE_MS)
    before = chromium.memory_bytes()
    launch(VATS)
    control.wait_ms(IDLE_MS)
    each = (chromium.memory_bytes() - before) / VATS
    report(Figure(f"{kind} vats: memory of a live vat (PSS, over {VATS})", each / 2**20, "MiB", is_less_better=True))


def _measure_deaths(chromium: PlainChromium, control: Control, report: Callable[[Figure], None]) -> None:
    root = _launch(control, "iframe")
    times = []
    for _ in range(DEATHS):
        chromium.kill_service_worker()
        control.call(root, "one_after_the_other", "1")
        times.append(control.last_ms)
    report(Figure("service worker dead to an answered request", statistics.median(times), "ms"))
