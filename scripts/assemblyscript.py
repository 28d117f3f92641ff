"""Compile every vat in AssemblyScript beside which a binary is kept: ``python -m scripts.assemblyscript``.

The compiler comes with the npm packages, pinned; the same source gives the same bytes. The binaries are in the
repository for readers, and tests, that have no Node; `tests/wasm/test_modules.py` fails when one is stale.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from scripts.wat import FOLDERS, ROOT

_OPTIONS = ("-O3", "--noAssert", "--runtime", "incremental", "--use", "abort=examples/wasm/src/kernel/abort")


def find_sources() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.ts"))]


def compile_source(path: Path) -> bytes:
    """The module of a source."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "module.wasm"
        asc = ROOT / "node_modules/.bin/asc"
        command: list[str | Path] = [asc, path.relative_to(ROOT), "--outFile", out, *_OPTIONS]
        subprocess.run(command, cwd=ROOT, check=True)
        return out.read_bytes()


def main() -> None:
    for path in find_sources():
        path.with_suffix(".wasm").write_bytes(compile_source(path))
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
