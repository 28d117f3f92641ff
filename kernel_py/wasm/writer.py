"""Writing the binary format. Every number is written in its shortest form, so output is the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence


def write_u32(value: int) -> bytes:
    """LEB128, unsigned."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_signed(value: int) -> bytes:
    """LEB128, signed."""
    out = bytearray()
    while not -0x40 <= value < 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


def write_bytes(data: bytes) -> bytes:
    return write_u32(len(data)) + data


def write_name(name: str) -> bytes:
    return write_bytes(name.encode())


def write_vector(items: Sequence[bytes]) -> bytes:
    return write_u32(len(items)) + b"".join(items)


def write_section(number: int, content: bytes) -> bytes:
    return bytes([number]) + write_bytes(content)
