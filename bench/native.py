"""Benchmarks outside the browser: the in-process host, over memory and over SQLite."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import durable, workload
from bench.figures import Figure
from kernel_py.core.store import Backend
from kernel_py.hosts.memory import MemoryHost, run_now
from kernel_py.hosts.native.sqlite_store import SqliteBackend

SEQUENTIAL_CALLS = 3_000
PIPELINED_CALLS = 1_000
ROUNDS = 5


def measure(report: Callable[[Figure], None]) -> None:
    """Run every native benchmark, reporting each figure as it is there."""
    _measure_host(report, "in memory", None, 1_000, (3_000, 10_000))
    with tempfile.TemporaryDirectory() as folder:
        backend = SqliteBackend(Path(folder) / "store.db")
        _measure_host(report, "SQLite, a commit per crank", backend, 1, (1_000, None))
        run_now(backend.close())
    durable.measure(report)


def _measure_host(
    report: Callable[[Figure], None],
    name: str,
    backend: Backend | None,
    cranks_per_commit: int,
    targets: tuple[float | None, float | None],
) -> None:
    host = MemoryHost(backend, cranks_per_commit=cranks_per_commit)
    started = time.perf_counter()
    cluster = host.launch(workload.config(), workload.FILES)
    report(Figure(f"native, {name}: launch a cluster of 2", (time.perf_counter() - started) * 1000, "ms"))

    def rate(method: str, calls: int) -> float:
        """The best of some rounds: what the code can do when the machine lets it."""
        host.send(cluster["root"], method, "100")
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            host.send(cluster["root"], method, str(calls))
            times.append(time.perf_counter() - started)
        return calls / min(times)

    report(
        Figure(
            f"native, {name}: sequential", rate("one_after_the_other", SEQUENTIAL_CALLS), "round trips/s", targets[0]
        ),
    )
    pipelined_rate = rate("all_at_once", PIPELINED_CALLS)
    report(Figure(f"native, {name}: 1,000 at once", pipelined_rate, "messages/s", targets[1]))
