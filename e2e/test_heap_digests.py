"""The same heap elsewhere: what a vat lived through in Chromium is replayed in Node, and the digests compared.

Of an iframe vat: the heap of a worker vat has an open database in a file, which there is not in Node.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from e2e.conftest import Start
from e2e.harness.browser import EXTENSION, ROOT
from e2e.harness.control import Control
from kernel_py.core.kernel import Kernel
from kernel_py.core.store import Delta, MemoryBackend
from kernel_py.hosts.loading import Loading
from kernel_py.hosts.memory import run_now
from kernel_py.wire import protocol

SOURCE = """
import math, random
from kernel_py.vat import Exo

class Worker(Exo):
    def bootstrap(self, vats, services):
        self.rows = {}

    def work(self, number):
        for step in range(20):
            row = (math.sin(number + step), str(random.random()), float("nan"), {"step": step})
            self.rows[number % 50, step] = row
        self.baggage["last"] = f"\u00e9\ud83d\ude00 {number}"
        return len(self.rows)

def build_root_object(powers, parameters, baggage):
    worker = Worker()
    worker.baggage = baggage
    return worker
"""

READ_STORES = """async () => {
  const settle = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const database = await settle(indexedDB.open("kernel_py"));
  const transaction = database.transaction(["kv", "transcripts", "bundles", "log"]);
  const read = async (name) => {
    const store = transaction.objectStore(name);
    const [keys, values] = await Promise.all([settle(store.getAllKeys()), settle(store.getAll())]);
    return keys.map((key, index) => [key, values[index]]);
  };
  const stores = {};
  for (const name of ["kv", "transcripts", "bundles", "log"]) stores[name] = await read(name);
  database.close();
  return stores;
}"""


def read_backend(control: Control) -> MemoryBackend:
    """What the browser has stored, but the chunks."""
    stores: dict[str, list[Any]] = control.evaluate(f"({READ_STORES})()")
    backend = MemoryBackend()
    entries = [
        (vat, first + index, text) for (vat, first), texts in stores["transcripts"] for index, text in enumerate(texts)
    ]
    run_now(backend.commit(Delta(puts=dict(stores["kv"]), transcript=entries, bundles=dict(stores["bundles"]))))
    for _, text in stores["log"]:
        fields = json.loads(text)
        fields["transcript"] = [tuple(entry) for entry in fields["transcript"]]
        run_now(backend.commit(Delta(**{**fields, "chunks": {}, "chunk_drops": []})))
    return backend


@contextmanager
def node_realm() -> Iterator[subprocess.Popen[str]]:
    program = ROOT / ".cache/build/node_realm.mjs"
    realm = subprocess.Popen(
        ["node", program, EXTENSION], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    with realm:
        yield realm
        realm.kill()


def replay_in_node(texts: list[str]) -> list[list[Any]]:
    """What a realm in Node answers."""
    with node_realm() as realm:
        out, _ = realm.communicate("".join(f"{text}\n" for text in texts))
    return [json.loads(line) for line in out.splitlines()]


async def read_life(kernel: Kernel, backend: MemoryBackend, vat: str) -> tuple[list[str], dict[int, tuple[str, str]]]:
    """The texts that let a realm live through a vat's life, and the digests that its heap had."""
    loading = Loading(kernel, backend, vat)
    texts = [text async for text in loading.read_texts()]
    return [*texts, protocol.dump_go(loading.delivered)], loading.marks


@pytest.mark.parametrize("calls", [300, pytest.param(10_000, marks=pytest.mark.soak)])
def test_a_replay_in_node_has_the_heaps_that_the_life_in_chromium_had(start_plain: Start, calls: int) -> None:
    control = start_plain().open_control()
    root = control.launch_one(SOURCE, "iframe")
    for start in range(0, calls, 100):
        keys = [
            control.start("send", target=root, method="work", args=str(number)) for number in range(start, start + 100)
        ]
        for key in keys:
            assert control.result(key)["status"] == "fulfilled"
    backend = read_backend(control)
    kernel = Kernel(run_now(backend.load()), seed="")
    texts, marks = run_now(read_life(kernel, backend, "v1"))
    assert len(marks) >= calls // 200
    answers = replay_in_node(texts)
    digests = [answer for answer in answers if answer[0] == "digest"]
    assert digests == [["digest", delivered, digest] for delivered, (_, digest) in marks.items()], answers[-1]
    assert answers[-1] == ["ready", kernel.get_delivered("v1")]
