"""The unit tests of the vat side pass in real realms of both kinds, as they do on CPython and in Pyodide in Node.

A vat of each kind runs them, a file in a delivery, both at the same time.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e.harness.browser import ROOT
from e2e.harness.control import Control
from e2e.harness.suite import RUNS_IN_REALMS, SUITE, count_tests, pack

pytestmark = pytest.mark.skip(
    reason="pytest needs files to write to, and a realm's file system is read-only since its heap is snapshot"
)

KINDS = ("iframe", "worker")
FILES = sorted(path.name for path in (ROOT / SUITE).glob("test_*.py"))
ABOUT_THE_CLOCK = "test_determinism.py"
OPTIONS = [
    *("-q", "--tb=short", "-m", RUNS_IN_REALMS),
    *("-p", "no:faulthandler"),  # it is cut from realms
]


@pytest.fixture(scope="module")
def started(shared_control: Control) -> dict[tuple[str, str], str]:
    """The ids of the requests that run each file in each kind."""
    source = (Path(__file__).parent / "vats" / "tester.py").read_text()
    roots = {kind: shared_control.launch_one(source, kind) for kind in KINDS}
    archive = repr(pack())
    for root in roots.values():
        shared_control.call(root, "unpack", archive)

    def start(root: str, file: str) -> str:
        args = f"{[*OPTIONS, f'{SUITE}/{file}']!r}, lends_clock={file == ABOUT_THE_CLOCK}"
        return shared_control.start("send", target=root, method="run", args=args)

    return {(kind, file): start(roots[kind], file) for file in FILES for kind in KINDS}


@pytest.fixture(scope="module")
def counts() -> dict[str, int]:
    return count_tests()


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_the_suite_passes(
    shared_control: Control,
    started: dict[tuple[str, str], str],
    counts: dict[str, int],
    kind: str,
    file: str,
) -> None:
    settled = shared_control.result(started[kind, file])
    assert settled["status"] == "fulfilled", settled
    code, printed = json.loads(settled["body"].removeprefix("#"))
    assert code == "+0", printed
    assert f"\n{counts[f'{SUITE}/{file}']} passed" in f"\n{printed.splitlines()[-1]}", printed
