"""The names of a module's functions, from its name section: for people only, so what is malformed is left out.

Source: WebAssembly core specification 2.0, appendix 7.4.
"""

from __future__ import annotations

from kernel_py.wasm.reader import Reader
from kernel_py.wire.errors import InvalidModule

_FUNCTIONS = 1
NAME_CHARS_MAX = 200
"""Demangled names of templates can fill pages."""


def parse_function_names(section: bytes) -> dict[int, str]:
    """Names by function index; none, if the section is malformed."""
    reader = Reader(section)
    names: dict[int, str] = {}
    try:
        while reader.pos < reader.end:
            kind, size = reader.byte(), reader.u32()
            end = reader.pos + size
            if kind == _FUNCTIONS:
                for _ in range(reader.count("names", len(section))):
                    index = reader.u32()
                    names[index] = reader.name()[:NAME_CHARS_MAX]
            reader.pos = end
    except InvalidModule:
        return {}
    return names
