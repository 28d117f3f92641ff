"""Make the virtual environment, with the packages pinned in pyproject.toml and constraints.txt.

Run by the system's Python, which may be old: standard library only, and the first thing is to say so.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from scripts.debian import install_package

ROOT = Path(__file__).resolve().parent.parent
PYTHON_MIN = (3, 11)
_VERSION = sys.version.split()[0]


def main() -> None:
    if sys.version_info < PYTHON_MIN:
        sys.exit(
            f"kernel_py needs Python {PYTHON_MIN[0]}.{PYTHON_MIN[1]} or newer; {sys.executable} is {_VERSION}.\n"
            "Install one, or name it: make PYTHON=/path/to/python3.11 ..."
        )
    if importlib.util.find_spec("ensurepip") is None and not install_package("python3-venv"):
        sys.exit(f"{sys.executable} cannot make virtual environments. As root: apt-get install python3-venv")
    python = ROOT / ".venv/bin/python"
    if not python.exists():
        print(f"making .venv with Python {_VERSION} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ROOT / ".venv")], check=True)
    print("installing Python packages ...", flush=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", "constraints.txt", "-e", ".[dev]"], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
