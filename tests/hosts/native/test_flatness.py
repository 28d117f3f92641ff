"""Short-lived vats leave nothing behind: neither memory, nor processes, nor descriptors."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("resource", reason="it is not in Pyodide")
import psutil

from bench.realms import Lives
from kernel_py.hosts.native.forks import SPARES_MAX

pytestmark = pytest.mark.native

WARM_UP, VATS = 50, 300


@pytest.mark.parametrize("kind", ["confined", "wasm"])
def test_three_hundred_short_lived_vats_leave_nothing_behind(kind: str) -> None:
    async def main() -> None:
        lives = Lives(kind)
        process = psutil.Process()
        try:
            for _ in range(WARM_UP):
                await lives.live(2)
            (server,) = process.children()
            before = measure(process, server)
            for _ in range(VATS):
                await lives.live(2)
            after = measure(process, server)
            assert all(now <= 1.1 * then for now, then in zip(after, before, strict=True)), (before, after)
            assert len(server.children()) <= 2 * SPARES_MAX
        finally:
            lives.close()
        with pytest.raises(psutil.NoSuchProcess):
            server.status()

    asyncio.run(main())


def measure(process: psutil.Process, server: psutil.Process) -> tuple[int, int, int, int]:
    """Memory and descriptors of the kernel's process and of the server of realms."""
    return process.memory_info().rss, server.memory_info().rss, process.num_fds(), server.num_fds()
