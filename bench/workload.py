"""The cluster that the benchmarks run: a driver that calls another vat, one call after the other or all at once."""

from __future__ import annotations

from typing import Any

SOURCE = """
from kernel_py.vat import E, Exo


class Echo(Exo):
    def bootstrap(self, vats, services):
        pass

    def echo(self, number):
        return number


class Driver(Exo):
    def bootstrap(self, vats, services):
        self.echo = vats["echo"]

    async def one_after_the_other(self, count):
        for number in range(count):
            assert await E(self.echo).echo(number) == number
        return count

    async def all_at_once(self, count):
        promises = [E(self.echo).echo(number) for number in range(count)]
        for number, promise in enumerate(promises):
            assert await promise == number
        return count


def build_root_object(powers, parameters, baggage):
    return Driver() if parameters.get("drives") else Echo()
"""

FILES = {"bench.py": SOURCE}


def config(kind: str = "iframe") -> dict[str, Any]:
    """A cluster file: the driver and what it calls, both of one worker kind."""
    return {
        "name": f"bench-{kind}",
        "bootstrap": "driver",
        "vats": {
            "driver": {"source": "bench.py", "kind": kind, "parameters": {"drives": True}},
            "echo": {"source": "bench.py", "kind": kind},
        },
    }
