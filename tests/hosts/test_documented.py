"""What docs/command-line.md and docs/protocol.md show works as they show it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.hosts.native_driver import launch, open_kernel, run_native, send
from tests.hosts.test_worker_kinds import OpenRealm, ProcessRealm, Vat, settled

pytestmark = pytest.mark.native

COMMAND_LINE = (ROOT / "docs/command-line.md").read_text()
PROTOCOL = (ROOT / "docs/protocol.md").read_text()
RUN_S_MAX = 120


def sessions(text: str) -> list[tuple[str, str]]:
    """The commands of all console blocks, each with what it prints."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    steps = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", "".join(blocks), re.MULTILINE)
    return [(command, printed) for command, printed in steps]


def matches(shown: str, printed: str) -> bool:
    """Whether `printed` is what is shown, where "..." stands for anything, and spaces at the end of lines for none."""
    first, *parts = re.sub(r"^\.\.\.\n", "...", shown, flags=re.MULTILINE).split("...")
    printed = re.sub(r" +$", "", printed, flags=re.MULTILINE)
    if not parts:
        return first == printed
    *middle, last = parts
    if not printed.startswith(first) or not printed.endswith(last):
        return False
    rest = printed[len(first) : len(printed) - len(last)]
    for part in middle:
        if part not in rest:
            return False
        rest = rest[rest.index(part) + len(part) :]
    return True


@pytest.mark.parametrize(
    "shown, printed, is_match",
    [
        ("a\n...\nb\n", "a\nx\ny\nb\n", True),
        ("a\n...\nb\n", "a\nx\ny\nc\n", False),
        ("n is ...\n", "n is 5\n", True),
        ("n is (5)\n", "n is 5\n", False),
        ("", "", True),
        ("", "x\n", False),
    ],
)
def test_comparing_can_tell(shown: str, printed: str, *, is_match: bool) -> None:
    assert matches(shown, printed) is is_match


def test_the_session_goes_as_it_is_shown(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    program = tmp_path / "bin" / "kernel-py"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m kernel_py.hosts.native "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "150",
    }
    steps = sessions(COMMAND_LINE)
    assert len(steps) > 12
    for command, shown in steps:
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            environment[name] = value
            continue
        ran = subprocess.run(
            ["sh", "-c", command],
            cwd=tmp_path,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=RUN_S_MAX,
            check=False,
        )
        assert matches(shown, ran.stdout), (command, ran.stdout)
    assert json.loads((tmp_path / "out.json").read_text())


def test_the_exit_codes_are_those_of_the_program() -> None:
    from kernel_py.hosts.native import command_line

    documented = re.findall(r"^    (\d+) +", command_line.__doc__ or "", re.MULTILINE)
    assert re.findall(r"^\| (\d+) \|", COMMAND_LINE, re.MULTILINE) == documented
    named = {value for name, value in vars(command_line).items() if name.isupper() and isinstance(value, int)}
    assert {str(code) for code in named if code < 256} <= set(documented)


COUNTER, PIPELINING = re.findall(r"```js\n(.*?)```", PROTOCOL, re.DOTALL)


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    path = tmp_path / "counter.mjs"
    path.write_text(COUNTER)
    return path


ASKER = """
from kernel_py.vat import E, Exo

class Asker(Exo):
    def bootstrap(self, vats, services):
        self.relay = vats["relay"]

    async def ask(self):
        opened = E(self.relay).open()
        return [await E(opened).first(), await E(opened).second()]

def build_root_object(powers, parameters, baggage):
    return Asker()
"""


def test_a_program_that_pipelines_answers_for_what_it_has_not_resolved(tmp_path: Path) -> None:
    path = tmp_path / "relay.mjs"
    replaced = re.sub(r"^function carryOut.*?^}\n", lambda _: PIPELINING, COUNTER, flags=re.DOTALL | re.MULTILINE)
    assert replaced != COUNTER
    path.write_text(replaced)

    async def main() -> None:
        relay = {"kind": "command", "command": ["node", str(path)], "enable_pipelining": True}
        async with open_kernel(tmp_path) as kernel:
            files = {"asker.py": ASKER}
            roots = await launch(kernel, files, asker={"source": "asker.py"}, relay=relay)
            assert await send(kernel, roots["asker"], "ask") == "['first of p-60', 'second of p-60']"

    run_native(main())


def test_the_counter_counts_over_restarts(tmp_path: Path, counter: Path) -> None:
    async def main() -> None:
        async with open_kernel(tmp_path) as kernel:
            roots = await launch(kernel, {}, counter={"kind": "command", "command": ["node", str(counter)]})
            assert await send(kernel, roots["counter"], "increment") == "1"
        async with open_kernel(tmp_path) as kernel:
            assert await send(kernel, roots["counter"], "increment") == "2"
            assert await send(kernel, roots["counter"], "read") == "2"

    run_native(main())


def test_the_counter_keeps_the_rules_of_replay(counter: Path) -> None:
    opened: list[ProcessRealm] = []

    def open_counter() -> ProcessRealm:
        opened.append(ProcessRealm("command", ("node", str(counter))))
        return opened[-1]

    open_realm: OpenRealm = open_counter
    vat = Vat(open_realm())
    assert vat.bring_up() == ["ready", 0]
    vat.deliver(["startVat", {"body": "#{}", "slots": []}])
    text = vat.text_of(["message", "o+0", {"methargs": {"body": '#["increment",[]]', "slots": []}, "result": "p-60"}])
    assert vat.ask(text) == vat.ask(text)
    vat.transcript.append("")
    assert settled(vat.call("increment")) == [("p-60", False, 2)]
    again = Vat(open_realm())
    again.start()
    assert again.ask('["replay",[{"n":1,"t":0,"d":["startVat",{}],"sc":[["exit"]],"r":null}]]')[0] == "failed"
    assert again.ask('["go",1]')[0] == "failed"
    for realm in opened:
        realm.close()
