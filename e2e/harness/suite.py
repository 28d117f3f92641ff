"""The unit tests of the vat side, packed for a vat that runs them: `e2e/vats/tester.py`."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

from e2e.harness.browser import ROOT

RUNS_IN_REALMS = "not soak and not oracle and not native and not shared_process"
"""The marks of tests that can run in a realm."""

SUITE = "tests/vat"
_PACKAGES = ("pytest", "pluggy", "iniconfig", "packaging", "Pygments", "hypothesis", "sortedcontainers")
_SOURCES = (SUITE, "kernel_py/testing", "kernel_py/hosts/native", "scripts", "examples")
_FILES = ("pyproject.toml", "tests/conftest.py", "tests/virtual_loop.py")
_KEPT = {".py", ".json", ".txt"}


def pack() -> str:
    """A zip archive in base64: the repository's files as they lie, packages in ``site-packages``."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, name in _list_files():
            archive.write(file, name)
    return base64.b64encode(target.getvalue()).decode()


def _list_files() -> Iterator[tuple[Path, str]]:
    for package in _PACKAGES:
        for file in distribution(package).files or ():
            if file.suffix in _KEPT or file.name == "METADATA":
                yield Path(str(file.locate())), str(PurePosixPath("site-packages", file))
    for folder in _SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in _KEPT and "__pycache__" not in path.parts:
                yield path, path.relative_to(ROOT).as_posix()
    for name in _FILES:
        yield ROOT / name, name


def count_tests() -> dict[str, int]:
    """How many tests each file of the suite has that run in realms, as pytest counts them here."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-m", RUNS_IN_REALMS, SUITE]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {name: int(count) for name, count in re.findall(r"^(\S+\.py): (\d+)$", listed, re.MULTILINE)}
