"""The native host is killed at random moments under load, and nothing is lost or done twice.

Everything is real: the program, its store, its workers, SIGKILL. The moments are drawn from a seed, as numbers of
lines that the program has printed, so that a failure comes again.
"""

from __future__ import annotations

import ast
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

pytestmark = pytest.mark.native

PAYMENTS = 12
AMOUNT = 3


class BankUnderFire:
    """The bank in a process that is killed, and clients that ask again."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.store = folder / "bank.db"
        self.random = random.Random(seed)
        self.kills = 0

    def start(self) -> subprocess.Popen[str]:
        program = [sys.executable, "-m", "kernel_py.hosts.native", "run", "--serve", "--store", str(self.store)]
        pipe = subprocess.PIPE
        return subprocess.Popen(program, cwd=ROOT, text=True, stdin=pipe, stdout=pipe, stderr=pipe)

    def ask(self, requests: dict[str, dict[str, Any]], *, kills_max: int = 0) -> dict[str, Any]:
        """Send requests by key until each is answered, over at most `kills_max` deaths of the kernel."""
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


@pytest.mark.parametrize("seed", range(2))
def test_payments_are_made_once_each_wherever_the_kernel_was_killed(tmp_path: Path, seed: int) -> None:
    from kernel_py.hosts.native.cluster_files import read_cluster

    bank = BankUnderFire(tmp_path, seed)
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
    answers = bank.ask(requests, kills_max=5)
    assert bank.kills >= 5
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
    children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert len(children) == 4
    watches = [os.pidfd_open(pid) for pid in children]
    process.kill()
    process.wait()
    process.stdout.close()
    for watch in watches:
        assert select.select([watch], [], [], 60)[0]
        os.close(watch)
