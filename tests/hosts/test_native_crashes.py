"""The native host is killed at random moments under load, and nothing is lost or done twice.

Everything is real: the program, its store, its workers, SIGKILL. The moments are drawn from a seed, as numbers of
lines that the program has printed, so that a failure comes again.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

pytest.importorskip("resource", reason="it is not in Pyodide")
import psutil

pytestmark = pytest.mark.native

WORKER_KILL_CHANCE = 0.1
"""That a line which the program prints is the last of a worker."""

PAYMENTS = 12
AMOUNT = 3


class BankUnderFire:
    """The bank in a process that is killed, and clients that ask again."""

    def __init__(self, folder: Path, seed: int, *options: str) -> None:
        self.options = options
        self.store = folder / "bank.db"
        self.random = random.Random(seed)
        self.kills = 0
        self.worker_kills = 0

    def start(self) -> subprocess.Popen[str]:
        program = [sys.executable, "-m", "kernel_py.hosts.native", "run", "--serve", "--store", str(self.store)]
        program += self.options
        pipe = subprocess.PIPE
        return subprocess.Popen(program, cwd=ROOT, text=True, stdin=pipe, stdout=pipe, stderr=pipe)

    def kill_worker(self, kernel: int) -> None:
        """End the realm of one vat, if there is any: the processes that have none of their own."""
        with contextlib.suppress(psutil.NoSuchProcess):  # one has just ended by itself
            running = psutil.Process(kernel).children(recursive=True)
            realms = [process for process in running if not process.children()]
            if realms:
                self.random.choice(realms).kill()
                self.worker_kills += 1

    def ask(
        self, requests: dict[str, dict[str, Any]], *, kills_max: int = 0, worker_kills_max: int = 0
    ) -> dict[str, Any]:
        """Send requests by key until each is answered, over at most so many deaths of the kernel, and of workers."""
        answers: dict[str, Any] = {}
        kills_left = kills_max
        while len(answers) < len(requests):
            process = self.start()
            assert process.stdin is not None
            assert process.stdout is not None
            fuse = self.random.randrange(30) if kills_left else None
            process.stdin.write('{"jsonrpc":"2.0","id":"subscribe","method":"subscribe"}\n')
            for key, request in requests.items():
                if key not in answers:
                    process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": key, **request}) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                message = json.loads(line)
                if message.get("id") in requests:
                    answers[message["id"]] = message
                if len(answers) == len(requests):
                    break
                if self.worker_kills < worker_kills_max and self.random.random() < WORKER_KILL_CHANCE:
                    self.kill_worker(process.pid)
                if fuse is not None:
                    fuse -= 1
                    if fuse < 0:
                        process.send_signal(signal.SIGKILL)
                        break
            if len(answers) < len(requests):
                process.kill()
                kills_left -= 1
                self.kills += 1
            process.communicate(timeout=120)
        return answers

    def send(self, target: str, method: str, args: str = "") -> dict[str, Any]:
        request = {"method": "send", "params": {"target": target, "method": method, "args": args}}
        key = f"{method}-{self.random.getrandbits(64):x}"
        return dict(self.ask({key: request})[key]["result"])


@pytest.mark.parametrize(
    ("seed", "options", "worker_kills"), [(0, (), 0), (1, (), 0), (2, ("--unconfined",), 6), (3, (), 6)]
)
def test_payments_are_made_once_each_whatever_was_killed(
    tmp_path: Path, seed: int, options: tuple[str, ...], worker_kills: int
) -> None:
    from kernel_py.hosts.native.cluster_files import read_cluster

    bank = BankUnderFire(tmp_path, seed, *options)
    launch = {"method": "launch", "params": read_cluster(ROOT / "examples/bank")}
    launched = bank.ask({"launch": launch}, kills_max=3)["launch"]["result"]
    root = launched["root"]
    alice, bob = (bank.send(root, "get_user", repr(name))["slots"][0] for name in ("alice", "bob"))
    requests = {
        f"pay-{number}": {
            "method": "send",
            "params": {"target": alice, "method": "pay", "args": f"{bob}, {AMOUNT}, request='fire-{number}'"},
        }
        for number in range(PAYMENTS)
    }
    answers = bank.ask(requests, kills_max=5, worker_kills_max=worker_kills)
    assert bank.kills >= 5
    assert (bank.worker_kills > 0) == (worker_kills > 0)
    paid = [ast.literal_eval(answer["result"]["value"]) for answer in answers.values()]
    assert len(set(paid)) == PAYMENTS
    audit = ast.literal_eval(bank.send(root, "audit")["value"])
    assert audit["is_conserved"]
    assert audit["repeated"] == []
    assert audit["requests"] == 5 + PAYMENTS
    balances = ast.literal_eval(bank.send(root, "balances")["value"])
    assert balances["bob"]["dollar"] == 650 + PAYMENTS * AMOUNT
    assert balances["alice"]["dollar"] == 850 - PAYMENTS * AMOUNT


def test_no_worker_outlives_a_kernel_that_was_killed(tmp_path: Path) -> None:
    bank = BankUnderFire(tmp_path, 0)
    process = subprocess.Popen(
        [sys.executable, "-m", "kernel_py.hosts.native", "run", "examples/bank", "--store", str(bank.store), "--stay"],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    next(line for line in process.stdout if "is launched" in line)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) > 4  # the vats' realms, and the process that they are copies of
    watches = [os.pidfd_open(child.pid) for child in children]
    process.kill()
    process.wait()
    process.stdout.close()
    for watch in watches:
        assert select.select([watch], [], [], 60)[0]
        os.close(watch)
