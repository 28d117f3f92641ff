"""A module with one function that traps: what an import that no host provides is bound to."""

from __future__ import annotations

from kernel_py.wasm.surroundings import FuncType
from kernel_py.wasm.writer import write_bytes, write_name, write_section, write_vector

STUB = "stub"


def write_stub(kind: FuncType) -> bytes:
    """A module that exports `STUB`, of this type."""
    signature = b"\x60" + write_bytes(bytes(kind.params)) + write_bytes(bytes(kind.results))
    return b"\0asm\1\0\0\0" + b"".join(
        [
            write_section(1, write_vector([signature])),
            write_section(3, write_vector([b"\x00"])),
            write_section(7, write_vector([write_name(STUB) + b"\x00\x00"])),
            write_section(10, write_vector([write_bytes(b"\x00\x00\x0b")])),
        ]
    )
