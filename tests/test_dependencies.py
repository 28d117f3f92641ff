"""wire, core, vat and wasm need nothing but Python's standard library."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "kernel_py"
MODULES = sorted(path for layer in ("wire", "core", "vat", "wasm") for path in (PACKAGE / layer).rglob("*.py"))


def imported_packages(source: str) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                names += [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(module)):
                names.append(module)
            case _:
                pass
    return [name.partition(".")[0] for name in names]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_only_the_standard_library_and_this_package(path):
    foreign = [
        name for name in imported_packages(path.read_text()) if name not in {*sys.stdlib_module_names, "kernel_py"}
    ]
    assert foreign == []
