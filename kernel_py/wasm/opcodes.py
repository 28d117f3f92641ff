"""The instructions that a metered module may contain: how they are decoded, and what they do to the operand stack.

Plain instructions, whose immediates say nothing to the instrumentation, are decoded in runs by one regular
expression, in C. All others are in `Op`, and each has a handler in `kernel_py.wasm.bodies`. What is in neither is
refused: an instruction that is not known cannot be charged for. `describe` names what is refused.

An opcode is written as one number; those after a prefix are ``prefix << 8 | number``, such as 0xfc0a.

Source: WebAssembly core specification 2.0, 5.4; the proposals for threads, relaxed SIMD, exceptions, garbage
collection, function references and stack switching, for the names of what is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from kernel_py.wasm.reader import LEB


class Op(IntEnum):
    """Instructions that are decoded one at a time."""

    UNREACHABLE = 0x00
    BLOCK = 0x02
    LOOP = 0x03
    IF = 0x04
    ELSE = 0x05
    END = 0x0B
    BR = 0x0C
    BR_IF = 0x0D
    BR_TABLE = 0x0E
    RETURN = 0x0F
    CALL = 0x10
    CALL_INDIRECT = 0x11
    RETURN_CALL = 0x12
    RETURN_CALL_INDIRECT = 0x13
    SELECT_TYPED = 0x1C
    GLOBAL_GET = 0x23
    GLOBAL_SET = 0x24
    TABLE_SET = 0x26
    MEMORY_GROW = 0x40
    REF_FUNC = 0xD2
    PREFIX_MISC = 0xFC
    PREFIX_SIMD = 0xFD


# Plain instructions ----------------------------------------------------------------------------

_NO_IMMEDIATE = rb"[\x01\x1a\x1b\x45-\x8c\x98-\x9a\xa6-\xb5\xb7-\xba\xbc-\xc4\xd1]"
_INDEX_OR_CONST = rb"[\x20-\x22\x25\x41\x42]" + LEB
_MEMORY_ACCESS = rb"[\x28-\x3e][\x00-\x04]" + LEB  # alignment in its shortest form, and not of a second memory
_PLAIN = b"|".join(
    [
        _INDEX_OR_CONST,
        _NO_IMMEDIATE,
        _MEMORY_ACCESS,
        rb"\x43.{4}",
        rb"\x44.{8}",
        rb"\x3f\x00",
        rb"\xd0[\x6f\x70]",
    ]
)

PLAIN_RUN = re.compile(rb"(?:" + _PLAIN + rb")*+", re.DOTALL)
"""As many plain instructions as there are, perhaps none."""
PLAIN_OPCODES = re.compile(rb"(?=(.))(?:" + _PLAIN + rb")", re.DOTALL)
"""One plain instruction; its group is the opcode."""


def _make_heights() -> tuple[int, ...]:
    """What each plain instruction adds to the height of the operand stack."""
    heights = [0] * 256
    for opcodes, height in (
        ([0x20, 0x3F, 0x41, 0x42, 0x43, 0x44, 0xD0], 1),
        ([0x1A, 0x21], -1),
        ([0x1B], -2),
        (range(0x36, 0x3F), -2),  # stores
        (range(0x46, 0x50), -1),  # comparisons
        (range(0x51, 0x67), -1),
        (range(0x6A, 0x79), -1),  # arithmetic on two operands
        (range(0x7C, 0x8B), -1),
        ([0x98, 0xA6], -1),
    ):
        for opcode in opcodes:
            heights[opcode] = height
    return tuple(heights)


PLAIN_HEIGHTS = _make_heights()


# Floats ----------------------------------------------------------------------------------------

F32, F64, V128, I32, I64 = 0x7D, 0x7C, 0x7B, 0x7F, 0x7E
VALUE_TYPES = frozenset([I32, I64, F32, F64, V128, 0x70, 0x6F])
REFERENCE_TYPES = frozenset([0x70, 0x6F])

FLOAT_OPS: dict[int, tuple[int, int]] = {
    **dict.fromkeys((*range(0x8D, 0x92), 0xB6), (F32, 0)),
    **dict.fromkeys(range(0x92, 0x98), (F32, -1)),
    **dict.fromkeys((*range(0x9B, 0xA0), 0xBB), (F64, 0)),
    **dict.fromkeys(range(0xA0, 0xA6), (F64, -1)),
}
"""Instructions whose NaN may be any: by opcode, the type of the result and what they add to the stack's height."""

NAN_ABSORBERS = frozenset([*FLOAT_OPS, *range(0x5B, 0x67), *range(0xA8, 0xAC), *range(0xAE, 0xB2), 0x1A])
"""Instructions that, of a NaN on top of the stack, see only that it is one: its bits need not be canonical yet."""


# Behind a prefix -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prefixed:
    """An instruction behind a prefix.

    Attributes:
        immediate: what follows the number, as a regular expression.
        height: what it adds to the stack's height.
        nan: for a SIMD instruction whose NaNs may be any, the shape of its lanes (F32 or F64); else 0.
    """

    immediate: re.Pattern[bytes]
    height: int
    nan: int = 0


_NONE = re.compile(rb"")
_LANE = re.compile(rb".", re.DOTALL)
_MEMARG = re.compile(rb"[\x00-\x04]" + LEB)
_MEMARG_LANE = re.compile(rb"[\x00-\x04]" + LEB + rb".", re.DOTALL)
_INDEX = re.compile(LEB)
_INDICES = re.compile(LEB + LEB)
_BYTES_16 = re.compile(rb".{16}", re.DOTALL)

MISC: dict[int, Prefixed] = {
    **dict.fromkeys(range(8), Prefixed(_NONE, 0)),  # saturating truncations
    8: Prefixed(re.compile(LEB + rb"\x00"), -3),  # memory.init
    9: Prefixed(_INDEX, 0),  # data.drop
    10: Prefixed(re.compile(rb"\x00\x00"), -3),  # memory.copy
    11: Prefixed(re.compile(rb"\x00"), -3),  # memory.fill
    12: Prefixed(_INDICES, -3),  # table.init
    13: Prefixed(_INDEX, 0),  # elem.drop
    14: Prefixed(_INDICES, -3),  # table.copy
    15: Prefixed(_INDEX, -1),  # table.grow
    16: Prefixed(_INDEX, 1),  # table.size
    17: Prefixed(_INDEX, -3),  # table.fill
}
"""Behind 0xfc."""
MISC_BYTES_SIZED = frozenset([8, 10, 11])
"""Bulk instructions with a number of bytes on top of the stack."""
MISC_ELEMENTS_SIZED = frozenset([12, 14, 15, 17])
"""Bulk instructions with a number of elements on top of the stack."""
MISC_UNSNAPSHOTTED = frozenset([9, 12, 13, 14, 15, 17])
"""What these change is neither in a memory nor in a global."""


def _make_simd() -> dict[int, Prefixed]:
    table: dict[int, Prefixed] = {}

    def add(numbers: list[int] | range, height: int, immediate: re.Pattern[bytes] = _NONE, nan: int = 0) -> None:
        table.update(dict.fromkeys(numbers, Prefixed(immediate, height, nan)))

    add([*range(11), 92, 93], 0, _MEMARG)
    add([11], -2, _MEMARG)
    add([12], 1, _BYTES_16)
    add([13], -1, _BYTES_16)
    add([14], -1)
    add(range(15, 21), 0)
    add([21, 22, 24, 25, 27, 29, 31, 33], 0, _LANE)
    add([23, 26, 28, 30, 32, 34], -1, _LANE)
    add([*range(35, 77), 78, 79, 80, 81], -1)
    add([77, 83], 0)
    add([82], -2)
    add(range(84, 88), -1, _MEMARG_LANE)
    add(range(88, 92), -2, _MEMARG_LANE)
    # Integers of 8, 16, 32 and 64 bits; what is left out is not assigned.
    add([*range(96, 101), *range(124, 130), 131, 132, *range(135, 139)], 0)
    add([101, 102, *range(107, 116), *range(118, 122), 123, 130, 133, 134, *range(139, 148)], -1)
    add([*range(149, 154), 155, *range(156, 160)], -1)
    add([160, 161, 163, 164, *range(167, 171), 192, 193, 195, 196, *range(199, 203)], 0)
    add([*range(171, 175), 177, *range(181, 187), *range(188, 192)], -1)
    add([*range(203, 207), 209, *range(213, 224)], -1)
    # Floats.
    add([94, 103, 104, 105, 106, 227], 0, nan=F32)
    add(range(228, 234), -1, nan=F32)
    add([95, 116, 117, 122, 148, 239], 0, nan=F64)
    add(range(240, 246), -1, nan=F64)
    add([224, 225, 236, 237, *range(248, 256)], 0)
    add([234, 235, 246, 247], -1)
    return table


SIMD: dict[int, Prefixed] = _make_simd()
"""Behind 0xfd."""


# What is refused -------------------------------------------------------------------------------

_REFUSED = (
    (0x06, 0x0A, "exception handling"),
    (0x14, 0x15, "function references"),
    (0x18, 0x19, "exception handling"),
    (0x1F, 0x1F, "exception handling"),
    (0xD3, 0xD6, "garbage collection and function references"),
    (0xE0, 0xE6, "stack switching"),
    (0xFB00, 0xFBFF, "garbage collection"),
    (0xFC12, 0xFC12, "memory control"),
    (0xFC13, 0xFC16, "wide arithmetic"),
    (0xFD0100, 0xFD012F, "relaxed SIMD: its results depend on the machine"),
    (0xFE00, 0xFEFF, "threads: their results depend on timing"),
)


def describe(opcode: int) -> str:
    """An opcode that is not supported, for people."""
    text = " ".join(f"0x{byte:02x}" for byte in opcode.to_bytes(max(1, (opcode.bit_length() + 7) // 8), "big"))
    for first, last, name in _REFUSED:
        if first <= opcode <= last:
            return f"opcode {text} ({name})"
    return f"opcode {text}, which is malformed here or unknown"
