"""``kernel-py``: what it prints, what it keeps, and how it fails."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.hosts.native_driver import NODE, VATS

pytestmark = pytest.mark.native

RUN_S_MAX = 120
PROGRAM = [sys.executable, "-m", "kernel_py.hosts.native"]
ENVIRONMENT = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)}

LINGERER = """
from kernel_py.vat import Exo

class Lingerer(Exo):
    def bootstrap(self, vats, services):
        print("here")

    async def linger(self):
        from kernel_py.vat import make_promise
        self.promise, self.resolver = make_promise()
        return await self.promise

    def release(self):
        self.resolver.resolve("at last")

    def spin(self):
        while True:
            pass

def build_root_object(powers, parameters, baggage):
    return Lingerer()
"""


RUNNING = {"travel", "run", "send", "terminate", "upgrade", "collect", "pin", "unpin", "revoke"}


class Shell:
    """A folder with a store, and the program. Its vats are plain processes, which start sooner."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, *args: str, **options: Any) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        options = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "env": ENVIRONMENT, **options}
        unconfined = ["--unconfined"] if args[0] in RUNNING else []
        return subprocess.Popen([*PROGRAM, *args, *unconfined], cwd=self.folder, text=True, **options)

    def run(self, *args: str, code: int = 0, given: str = "") -> str:
        """Standard output, or standard error if it is to fail."""
        process = self.start(*args)
        out, err = process.communicate(given, timeout=RUN_S_MAX)
        assert process.returncode == code, (process.returncode, out, err)
        assert re.search("^Traceback", err, re.MULTILINE) is None
        return out if code == 0 else re.sub(r"^.* it is not confined, .*\n", "", err, flags=re.MULTILINE)

    def json(self, *args: str) -> Any:
        return [json.loads(line) for line in self.run(*args, "--json", "--store", "s.db").splitlines()]

    def write_cluster(self, source: str, name: str = "cluster", **config: Any) -> str:
        folder = self.folder / name
        folder.mkdir()
        (folder / "main.py").write_text(source)
        config = {"name": name, "bootstrap": "main", "vats": {"main": {"source": "main.py"}}, **config}
        (folder / "cluster.json").write_text(json.dumps(config))
        return name


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return Shell(tmp_path)


def test_the_bank_runs_and_prints_its_messages(shell: Shell) -> None:
    out = shell.run("run", "examples/bank", "--store", "s.db")
    assert re.search(r"v1:\d+ +sends ko21.accept_purse\('dollar', <Purse ko\d+>\) -> kp\d+\n", out)
    assert re.search(r"v2:\d+ +gets ko21.accept_purse\('dollar', <Purse ko\d+>\) -> kp\d+\n", out)
    assert re.search(r"v1:\d+ +prints bob cannot pay 10000: bob has 550 dollar, not 10000\n", out)
    assert "c1       bank is running" in out
    assert out.splitlines()[-1].startswith("cluster bank (c1) is launched; its root is ko20: {'audit': ")


SLEEPER = """
from kernel_py.vat import E, Exo

class Sleeper(Exo):
    def bootstrap(self, vats, services):
        self.timer = services["timer"]
        self.sleep()

    async def sleep(self):
        await E(self.timer).delay(0.2)
        print("awake")

def build_root_object(powers, parameters, baggage):
    return Sleeper()
"""


def test_a_run_does_not_end_before_its_timers(shell: Shell) -> None:
    source = SLEEPER.replace("self.sleep()", "self.going = E(self).sleep()", 1)
    cluster = shell.write_cluster(source, services=["timer"])
    assert "awake" in shell.run("run", cluster, "--store", "s.db")


def test_the_log_is_json_lines_on_demand(shell: Shell) -> None:
    events = shell.json("run", "examples/bank")
    assert {event["class"] for event in events} >= {"Sent", "Got", "Fulfilled", "Rejected", "Notified", "Console"}
    assert events[-1]["class"] == "Launched"
    assert events[-1]["result"]["status"] == "fulfilled"


def test_a_second_run_goes_on_where_the_first_was(shell: Shell) -> None:
    shell.run("run", "examples/counter", "--store", "s.db")
    assert shell.run("send", "ko20", "increment", "by=5", "--store", "s.db") == "5\n"
    process = shell.start("run", "examples/counter", "--store", "s.db")
    out, err = process.communicate(timeout=RUN_S_MAX)
    assert (out, err) == ("", "cluster counter (c1) goes on\n")
    assert shell.run("send", "ko20", "increment", "--store", "s.db") == "6\n"


def test_an_answer_that_is_a_reference_can_be_used(shell: Shell) -> None:
    shell.run("run", "examples/counter", "--store", "s.db", "--quiet")
    (made,) = shell.json("send", "ko20", "make_counter", "10")
    assert shell.run("send", made["slots"][0], "read", "--store", "s.db") == "10\n"


KEEPER = """
from kernel_py.vat import Exo

class Keeper(Exo):
    def bootstrap(self, vats, services):
        return None

    def edition(self):
        return "first"

def build_root_object(powers, parameters, baggage):
    return Keeper()
"""


def test_a_vat_is_upgraded(shell: Shell) -> None:
    cluster = shell.write_cluster(KEEPER)
    shell.run("run", cluster, "--store", "s.db", "--quiet")
    assert shell.run("send", "ko20", "edition", "--store", "s.db") == "'first'\n"
    source = shell.folder / cluster / "main.py"
    source.write_text(KEEPER.replace("first", "second"))
    assert shell.run("upgrade", "v1", cluster, "--store", "s.db") == "v1 is incarnation 1\n"
    assert shell.run("send", "ko20", "edition", "--store", "s.db") == "'second'\n"
    source.write_text("raise ValueError('not yet')")
    assert "not yet" in shell.run("upgrade", "v1", cluster, "--store", "s.db", code=1)
    assert shell.run("send", "ko20", "edition", "--store", "s.db") == "'second'\n"


def test_objects_are_pinned_and_revoked(shell: Shell) -> None:
    shell.run("run", "examples/counter", "--store", "s.db", "--quiet")
    assert shell.run("pin", "ko20", "--store", "s.db") == "ko20 is pinned\n"
    assert shell.run("unpin", "ko20", "--store", "s.db") == "ko20 is not pinned\n"
    assert shell.run("revoke", "ko20", "--store", "s.db") == "ko20 is revoked\n"
    assert "revoked" in shell.run("send", "ko20", "read", "--store", "s.db", code=1)


def test_a_rejection_is_an_error_with_code_1(shell: Shell) -> None:
    shell.run("run", "examples/bank", "--store", "s.db", "--quiet")
    (purse, *_) = [
        item["kref"] for item in shell.json("objects", "--vat", "v1")[0]["objects"] if item["iface"] == "Purse"
    ]
    assert shell.run("send", purse, "withdraw", "-3", "--store", "s.db", code=1) == (
        "Error: rejected: ValueError('an amount is a whole number above 0, not -3')\n"
    )


def test_an_answer_that_takes_long_can_be_asked_for_again(shell: Shell) -> None:
    cluster = shell.write_cluster(LINGERER)
    shell.run("run", cluster, "--store", "s.db", "--quiet")
    said = shell.run("send", "ko20", "linger", "--store", "s.db", "--key", "my-question", code=5)
    assert said == "Error: not settled yet; ask again with --key my-question\n"
    shell.run("send", "ko20", "release", "--store", "s.db")
    assert shell.run("send", "ko20", "linger", "--store", "s.db", "--key", "my-question") == "'at last'\n"


def test_looking_starts_no_vats_and_changes_nothing(shell: Shell) -> None:
    shell.run("run", "examples/bank", "--store", "s.db", "--quiet")
    (status,) = shell.json("status")
    assert [cluster["name"] for cluster in status["clusters"]] == ["bank"]
    (vats,) = shell.json("vats")
    assert [vat["name"] for vat in vats] == ["bank", "alice", "bob", "escrow"]
    assert shell.json("vats") == [vats]
    shown = shell.run("vats", "--store", "s.db")
    assert re.search(r"^v2 +alice +c1 +iframe +running +ko21 ", shown, re.MULTILINE)
    shown = shell.run("objects", "--vat", "v4", "--store", "s.db")
    assert re.search(r"^ko23 +v4 +root of escrow ", shown, re.MULTILINE)
    assert re.search(r"^c1 +bank +running +4 +bank", shell.run("status", "--store", "s.db"), re.MULTILINE)


def test_the_log_can_be_made_afterwards(shell: Shell) -> None:
    live = shell.json("run", "examples/bank")
    log = shell.json("log")
    count = len([event for event in live if event["class"] in {"Sent", "Got", "Fulfilled", "Rejected", "Notified"}])
    assert len(log) == count > 100
    assert {event["vat"] for event in shell.json("log", "--vat", "v2")} == {"v2"}
    assert re.search(r"v2:\d+ +gets ko21.accept_purse\(", shell.run("log", "--store", "s.db"))
    shell.run("log", "--trace", "out.json", "--store", "s.db")
    trace = json.loads((shell.folder / "out.json").read_text())
    assert sum(item["ph"] == "s" for item in trace) == sum(event["class"] == "Sent" for event in log)


def test_vats_and_clusters_are_terminated(shell: Shell) -> None:
    shell.run("run", "examples/bank", "--store", "s.db", "--quiet")
    assert shell.run("terminate", "v2", "--store", "s.db") == "v2 is terminated\n"
    assert [vat["state"] for vat in shell.json("vats")[0]] == ["running", "terminated", "running", "running"]
    shell.run("terminate", "c1", "--reason", "enough", "--store", "s.db")
    assert shell.json("status")[0]["clusters"][0]["reason"] == "enough"
    assert "v2 (alice) was terminated already" in shell.run("terminate", "v2", "--store", "s.db", code=1)


def test_garbage_is_collected(shell: Shell) -> None:
    shell.run("run", "examples/bank", "--store", "s.db", "--quiet")
    before = [vat["deliveries"] for vat in shell.json("vats")[0]]
    assert shell.run("collect", "--store", "s.db") == "asked v1, v2, v3, v4\n"
    after = [vat["deliveries"] for vat in shell.json("vats")[0]]
    assert all(now > then for now, then in zip(after, before, strict=True))
    assert shell.json("collect", "--vat", "v1") == [{"vats": ["v1"]}]


def test_a_store_moves_to_another_file(shell: Shell) -> None:
    shell.run("run", "examples/counter", "--store", "s.db", "--quiet")
    shell.run("send", "ko20", "increment", "5", "--store", "s.db")
    shell.run("export", "state.jsonl", "--store", "s.db")
    shell.run("import", "state.jsonl", "--store", "t.db")
    assert shell.run("send", "ko20", "increment", "--store", "t.db") == "6\n"
    assert "the store is not empty" in shell.run("import", "state.jsonl", "--store", "t.db", code=3)


def test_a_damaged_archive_is_refused_with_the_part_and_leaves_no_store(shell: Shell) -> None:
    shell.run("run", "examples/counter", "--store", "s.db", "--quiet")
    shell.run("export", "state.jsonl", "--store", "s.db")
    archive = shell.folder / "state.jsonl"
    archive.write_text(archive.read_text().replace("startVat", "stopVat"))
    said = shell.run("import", "state.jsonl", "--store", "t.db", code=3)
    assert said == (
        "Error: the archive is damaged in transcript v1: its digest does not match; nothing of it was imported\n"
    )
    assert not (shell.folder / "t.db").exists()


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    """Read lines until one contains `text`."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"{text!r} was not printed: {process.stderr and process.stderr.read()}")


def test_a_store_in_use_is_refused_and_its_holder_named(shell: Shell) -> None:
    process = shell.start("run", "examples/counter", "--store", "s.db", "--stay")
    wait_for(process, "is launched")
    said = shell.run("status", "--store", "s.db", code=3)
    assert "s.db: in use by another kernel" in said
    assert f"it is process {process.pid} (__main__.py run)" in said
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=RUN_S_MAX)
    shell.run("status", "--store", "s.db")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_is_clean(shell: Shell, number: signal.Signals) -> None:
    cluster = shell.write_cluster(LINGERER)
    process = shell.start("run", cluster, "--store", "s.db", "--stay")
    wait_for(process, "is launched")
    process.send_signal(number)
    out, err = process.communicate(timeout=RUN_S_MAX)
    assert (process.returncode, out) == (130, "")
    assert err.endswith("Error: stopped; everything that was printed is stored\n")
    assert list(shell.folder.glob("s.db*")) == [shell.folder / "s.db"]


def test_stopping_while_a_vat_hangs_ends_the_vat_too(shell: Shell) -> None:
    cluster = shell.write_cluster(LINGERER)
    shell.run("run", cluster, "--store", "s.db", "--quiet")
    process = shell.start("send", "ko20", "spin", "--store", "s.db", "--log")
    wait_for(process, "gets ko20.spin()")
    children = find_children(process.pid)
    assert len(children) == 1
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=RUN_S_MAX)
    assert process.returncode == 130
    assert not Path(f"/proc/{children[0]}").exists()


def find_children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_it_ends_when_nobody_reads_any_more(shell: Shell) -> None:
    process = shell.start("run", "examples/bank", "--store", "s.db", "--stay", stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read().endswith("Error: stopped; everything that was printed is stored\n")
    assert process.wait(timeout=RUN_S_MAX) == 130
    process.stderr.close()
    shell.run("status", "--store", "s.db")


def test_requests_are_served_on_standard_input(shell: Shell) -> None:
    requests = [
        {"jsonrpc": "2.0", "id": "a", "method": "send", "params": {"target": "ko20", "method": "read", "args": ""}},
        {"jsonrpc": "2.0", "id": "b", "method": "nonsense", "params": {}},
    ]
    shell.run("run", "examples/counter", "--store", "s.db", "--quiet")
    out = shell.run("run", "--serve", "--store", "s.db", given="".join(json.dumps(item) + "\n" for item in requests))
    answers = {answer["id"]: answer for answer in map(json.loads, out.splitlines())}
    assert answers["a"]["result"]["value"] == "0"
    assert "unknown request 'nonsense'" in answers["b"]["error"]["message"]


def test_programs_are_vats_only_if_allowed(shell: Shell) -> None:
    cluster = shell.write_cluster("", vats={"main": {"kind": "command", "command": ["node", "./conforming.mjs"]}})
    shutil.copy(VATS / "conforming.mjs", shell.folder / cluster)
    said = shell.run("run", cluster, "--store", "s.db", code=1)
    assert said == (
        "Error: config.vats.main.kind: this host does not run vats of kind 'command'; it runs: iframe, worker, "
        "confined, pyodide, wasm, process\n"
    )
    shell.run("run", cluster, "--store", "s.db", "--quiet", "--allow-commands")
    assert shell.run("send", "ko20", "add", "1", "--store", "s.db", "--allow-commands") == "1\n"
    assert "allow commands" in shell.run("send", "ko20", "add", "1", "--store", "s.db", code=4)
    assert NODE["command"][0] == "node"


@pytest.mark.parametrize(
    "args, code, said",
    [
        (["run", "nowhere", "--store", "s.db"], 2, "Path 'nowhere' does not exist"),
        (["run", "--store", "s.db"], 2, "name a CLUSTER"),
        (["run", "examples", "--store", "s.db"], 1, "examples/cluster.json cannot be read: No such file"),
        (["run", "examples/bank/bank.py", "--store", "s.db"], 1, "examples/bank/bank.py is not JSON"),
        (["run", "examples/bank", "--store", "no/s.db"], 3, "no/s.db: cannot be opened"),
        (["run", "examples/bank", "--store", "examples/bank/bank.py"], 3, "not a store: it is not an SQLite file"),
        (["run", "examples/bank"], 2, "Missing option '--store'"),
        (["status", "--store", "s.db"], 2, "File 's.db' does not exist"),
        (["export", "no/state", "--store", "t.db"], 3, "no/state cannot be written: No such file"),
        (["send", "ko20", "add", "--store", "t.db"], 1, "there is no object ko20"),
        (["send", "20", "add", "--store", "t.db"], 1, "params.target: not a"),
        (["terminate", "v9", "--store", "t.db"], 1, "there is no vat 'v9'"),
        (["objects", "--vat", "v9", "--store", "t.db"], 1, "there is no vat 'v9'"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(shell: Shell, args: list[str], code: int, said: str) -> None:
    if "t.db" in args:
        shell.run("run", "--serve", "--store", "t.db")
    assert said in shell.run(*args, code=code)


def test_a_bootstrap_that_fails_says_so(shell: Shell) -> None:
    source = LINGERER.replace('print("here")', 'raise ValueError("not today")')
    said = shell.run("run", shell.write_cluster(source), "--store", "s.db", "--quiet", code=1)
    assert said == "Error: cluster 'cluster' was not launched: bootstrap was rejected: ValueError('not today')\n"


def test_vats_are_confined_and_those_that_are_not_say_so(shell: Shell) -> None:
    cluster = shell.write_cluster(LINGERER, vats={"main": {"source": "main.py", "kind": "process"}})
    process = shell.start("run", cluster, "--store", "s.db")
    out, err = process.communicate(timeout=RUN_S_MAX)
    assert process.returncode == 0, (out, err)
    assert err == "v1 (main) runs as a plain process: it is not confined, and may do whatever you may\n"
    assert "process (not confined)" in shell.run("vats", "--store", "s.db")
    done = subprocess.run(
        [*PROGRAM, "send", "ko20", "release", "--store", "s.db"],
        cwd=shell.folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "Error: v1 (main) runs as a plain process, which is not confined: allow that\n"


def test_a_cluster_of_modules_is_run_from_its_folder(shell: Shell) -> None:
    cluster = shell.write_cluster("", vats={"main": {"kind": "wasm", "source": "counter.wasm"}})
    shutil.copy(ROOT / "examples" / "wasm" / "counter.wasm", shell.folder / cluster)
    assert "its root is ko20: 'counting from 0'" in shell.run("run", cluster, "--store", "s.db")
    assert shell.run("send", "ko20", "increment", "5", "--store", "s.db") == "5\n"
    assert shell.run("send", "ko20", "increment", "5", "--store", "s.db") == "10\n"


def test_what_vats_have_ever_done_is_done_again_and_compared(shell: Shell) -> None:
    shutil.copy(ROOT / "tests/core/stores/v2.archive", shell.folder / "old.jsonl")
    told = shell.run("replay", "old.jsonl", "--unconfined")
    assert told.splitlines() == ["v1 (a): 5 deliveries: as recorded", "v2 (b): 4 deliveries: as recorded"]
    (report,) = map(json.loads, shell.run("replay", "old.jsonl", "--unconfined", "--vat", "v2", "--json").splitlines())
    assert (report["vat"], report["deliveries"], report["differences"]) == ("v2", 4, [])


def test_the_past_of_a_vat_is_looked_at_in_an_export(shell: Shell) -> None:
    shell.run("run", shell.write_cluster(TALLY), "--store", "s.db")
    for amount in ("1", "2", "3"):
        shell.run("send", "ko20", "add", amount, "--store", "s.db")
    shell.run("export", "state.jsonl", "--store", "s.db")
    deliveries = range(1, 6)
    totals = [shell.run("travel", "state.jsonl", "v1", str(number), "root.total").strip() for number in deliveries]
    assert totals == ["0", "0", "1", "3", "6"]
    assert "'root.total' was" in shell.run("travel", "state.jsonl", "v1", "4", "f\"'root.total' was {root.total}\"")
    listed = shell.run("travel", "state.jsonl", "v1", "4")
    assert re.search(r"export +o\+0 +Tally +<Tally> total=3", listed)
    assert re.search(
        r"changed +export o\+0 +<Tally> total=1 +<Tally> total=6",
        shell.run("travel", "state.jsonl", "v1", "3", "--compare", "5"),
    )
    assert "deliveries 1 to 5" in shell.run("travel", "state.jsonl", "v1", "99", code=1)


TALLY = """
from kernel_py.vat import Exo

class Tally(Exo):
    def __init__(self):
        self.total = 0

    def bootstrap(self, vats, services):
        pass

    def add(self, amount):
        self.total += amount

def build_root_object(powers, parameters, baggage):
    return Tally()
"""
