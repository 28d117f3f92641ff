"""Flatness: what is left of messages that created objects and promises, and dropped them.

Measured when everything is idle and collected. Transcripts are counted apart: they grow by design, with every delivery.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass

from bench.figures import Figure
from kernel_py.core.store import Delta, MemoryBackend
from kernel_py.hosts.memory import MemoryHost

MESSAGES = 100_000
ROUNDS = 10
GROWTH_MAX = 5.0
"""Percent, of what there was after the first round."""

SOURCE = """
from kernel_py.vat import E, Exo, make_promise

class Thing(Exo):
    def __init__(self, other):
        self.other = other
    def take(self, other):
        self.other = other
        return self

class Maker(Exo):
    def bootstrap(self, vats, services):
        pass
    def make(self, other):
        return Thing(other)

class Driver(Exo):
    def bootstrap(self, vats, services):
        self.maker = vats["maker"]
    async def churn(self, count):
        # Of each five messages: an object each way, a promise that is passed and settled later, and one in a circle.
        # The objects are let go in the end: circles of objects across vats are not collected.
        for _ in range(count // 5):
            mine = Thing(None)
            theirs = await E(self.maker).make(mine)
            promise, resolver = make_promise()
            taken = E(theirs).take([promise, mine])
            resolver.resolve({"later": [promise, E(self.maker).make(promise)]})
            await taken
            await E(theirs).take(None)
            await E(E(self.maker).make(promise)).take(None)

def build_root_object(powers, parameters, baggage):
    return Driver() if parameters.get("drives") else Maker()
"""

CONFIG = {
    "name": "flat",
    "bootstrap": "driver",
    "vats": {
        "driver": {"source": "flat.py", "kind": "iframe", "parameters": {"drives": True}},
        "maker": {"source": "flat.py", "kind": "iframe"},
    },
}


class CountingBackend(MemoryBackend):
    """A store that counts transcripts instead of keeping them."""

    def __init__(self) -> None:
        super().__init__()
        self.transcript_chars = 0

    async def commit(self, delta: Delta) -> None:
        self.transcript_chars += sum(len(entry) for _, _, entry in delta.transcript)
        delta.transcript.clear()
        await super().commit(delta)


@dataclass(frozen=True, slots=True)
class Size:
    """What there is at one moment.

    Attributes:
        blocks: of memory that Python has allocated since before there was a kernel.
        rows, chars: of the kernel's state as it is stored, without transcripts.
    """

    blocks: int
    rows: int
    chars: int
    transcript_chars: int


class Churn:
    """A kernel with two vats, and what they leave."""

    def __init__(self) -> None:
        gc.collect()
        self._blocks = sys.getallocatedblocks()
        self._backend = CountingBackend()
        self._host = MemoryHost(self._backend, cranks_per_commit=100)
        self._root = self._host.launch(CONFIG, {"flat.py": SOURCE})["root"]

    def send(self, messages: int) -> Size:
        """Have so many messages sent; what there is then, with all garbage collected."""
        outcome = self._host.send(self._root, "churn", str(messages))
        assert outcome["status"] == "fulfilled", outcome
        for _ in range(4):  # a chain of references across vats takes a round for each link
            self._host.request("collectGarbage")
            self._host.run()
        gc.collect()
        texts = self._backend.texts
        chars = sum(map(len, texts)) + sum(map(len, texts.values()))
        return Size(sys.getallocatedblocks() - self._blocks, len(texts), chars, self._backend.transcript_chars)


def measure(report: Callable[[Figure], None]) -> None:
    """Report how much more there is after MESSAGES than after the first of ROUNDS parts of them."""
    churn = Churn()
    first = churn.send(MESSAGES // ROUNDS)
    for _ in range(ROUNDS - 1):
        last = churn.send(MESSAGES // ROUNDS)
    for name, before, after in (("memory", first.blocks, last.blocks), ("store", first.chars, last.chars)):
        growth = 100 * (after / before - 1)
        report(Figure(f"flat: {name} over {MESSAGES:,} messages", growth, "% more", GROWTH_MAX, is_less_better=True))
    each = (last.transcript_chars - first.transcript_chars) / (MESSAGES - MESSAGES // ROUNDS)
    report(Figure("flat: transcripts, which grow by design", each, "chars/message", is_less_better=True))
