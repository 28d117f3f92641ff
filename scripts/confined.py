"""Build the component in which confined Python vats run: ``python -m scripts.confined [file]``.

Needs the extra ``confined``. Takes about ten seconds; the component has 18 MB, is CPython with the vat side of this
package in its memory, and imports nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = ROOT / "out" / "confined" / "vat.wasm"
PARTS = ("__init__.py", "wire", "vat", "hosts/__init__.py", "hosts/confined", "hosts/preloaded.py")
"""Of the package, what is in the component."""


def build(target: Path) -> None:
    """Write the component to `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in PARTS:
            source, copy = ROOT / "kernel_py" / part, folder / "kernel_py" / part
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        wit = folder / "kernel_py" / "hosts" / "confined" / "vat.wit"
        program = Path(sys.executable).with_name("componentize-py")
        command = [str(program), "-d", str(wit), "-w", "vat", "componentize", "--stub-wasi"]
        command += ["kernel_py.hosts.confined.guest", "-o", str(target)]
        subprocess.run(command, cwd=folder, check=True)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT)
