"""Translate every WebAssembly text beside which a binary is kept: ``python -m scripts.wat``.

The binaries are in the repository so that tests inside Pyodide, and readers without wasmtime, have them;
`tests/wasm/test_modules.py` fails when one is stale.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("tests/wasm/modules", "examples/wasm")


def find_texts() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.wat"))


def translate(path: Path) -> bytes:
    """The binary form of a text."""
    from wasmtime import wat2wasm  # noqa: PLC0415 (not in Pyodide, where this module is imported by tests)

    return bytes(wat2wasm(path.read_text()))


def main() -> None:
    for path in find_texts():
        path.with_suffix(".wasm").write_bytes(translate(path))
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
