"""Random modules that end: typed expressions and statements, in binary form.

A module has some functions of i64 and f64 parameters. Each calls only those before it, so that calls end; each loop
counts a local down, so that loops end. Function results, memory and globals are what two runs are compared by.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from kernel_py.wasm.writer import write_bytes, write_name, write_section, write_signed, write_u32, write_vector

I32, I64, F32, F64, V128 = 0x7F, 0x7E, 0x7D, 0x7C, 0x7B
TYPES = (I32, I64, F32, F64)
LOCALS = (I32, I64, F32, F64, I32, V128)
"""Of every function, behind its parameters (i64, f64). The second i32 counts loops; the vector is for SIMD."""
PARAMS = 2
LOCAL_OF = {I32: 2, I64: 3, F32: 4, F64: 5}
COUNTER, VECTOR = 6, 7

BINARY = {
    I32: [*range(0x6A, 0x6D), *range(0x71, 0x79)],
    I64: [*range(0x7C, 0x7F), *range(0x83, 0x8B)],
    F32: [*range(0x92, 0x99)],
    F64: [*range(0xA0, 0xA7)],
}
TRAPPING = {I32: [0x6D, 0x6E, 0x6F, 0x70], I64: [0x7F, 0x80, 0x81, 0x82]}
UNARY = {
    I32: [0x67, 0x68, 0x69, 0x45, 0xC0, 0xC1],
    I64: [0x79, 0x7A, 0x7B, 0xC2, 0xC3, 0xC4],
    F32: [*range(0x8B, 0x92)],
    F64: [*range(0x99, 0xA0)],
}
CONVERT = {
    I32: [(0xA7, I64), (0xBC, F32), (0x50, I64)],
    I64: [(0xAC, I32), (0xAD, I32), (0xBD, F64)],
    F32: [(0xB2, I32), (0xB3, I32), (0xB4, I64), (0xB6, F64), (0xBE, I32)],
    F64: [(0xB7, I32), (0xB9, I64), (0xBB, F32), (0xBF, I64)],
}
COMPARE = [(op, I32) for op in range(0x46, 0x50)] + [(op, I64) for op in range(0x51, 0x5B)]
COMPARE += [(op, F32) for op in range(0x5B, 0x61)] + [(op, F64) for op in range(0x61, 0x67)]
LOAD = {I32: 0x28, I64: 0x29, F32: 0x2A, F64: 0x2B}
STORE = {I32: 0x36, I64: 0x37, F32: 0x38, F64: 0x39}
ADDRESS_MASK = 0xFFF8
SPECIAL_F64 = [
    bytes(8),
    bytes(7) + b"\x80",
    bytes(6) + b"\xf0\x7f",
    bytes(6) + b"\xf8\xff",
    b"\x01" + bytes(5) + b"\xf4\x7f",
]
SPECIAL_F32 = [bytes(4), b"\0\0\0\x80", b"\0\0\x80\x7f", b"\0\0\xc0\xff", b"\1\0\xa0\x7f"]


@dataclass
class Shape:
    """What code may refer to: how many functions there are before, and how many labels are around."""

    functions: int
    labels: int = 0
    depth: int = 0


def const(draw, kind: int) -> bytes:
    if kind == I32:
        return b"\x41" + write_signed(draw(st.integers(-(2**31), 2**31 - 1)))
    if kind == I64:
        return b"\x42" + write_signed(draw(st.integers(-(2**63), 2**63 - 1)))
    if kind == F32:
        return b"\x43" + draw(st.sampled_from(SPECIAL_F32) | st.binary(min_size=4, max_size=4))
    return b"\x44" + draw(st.sampled_from(SPECIAL_F64) | st.binary(min_size=8, max_size=8))


def address(draw, shape: Shape) -> bytes:
    return expression(draw, I32, shape) + b"\x41" + write_signed(ADDRESS_MASK) + b"\x71"


def expression(draw, kind: int, shape: Shape) -> bytes:  # noqa: C901, PLR0912 (a list of forms)
    """Code that leaves one value of this type."""
    inner = Shape(shape.functions, shape.labels, shape.depth + 1)
    if inner.depth > 4:
        return (
            draw(st.sampled_from([b"\x20" + write_u32(LOCAL_OF[kind])])) if draw(st.booleans()) else const(draw, kind)
        )
    match draw(st.integers(0, 13)):
        case 0 | 1:
            return const(draw, kind)
        case 2 | 3:
            return b"\x20" + write_u32(LOCAL_OF[kind])
        case 4 | 5:
            op = draw(st.sampled_from(BINARY[kind]))
            return expression(draw, kind, inner) + expression(draw, kind, inner) + bytes([op])
        case 6:
            return expression(draw, kind, inner) + bytes([draw(st.sampled_from(UNARY[kind]))])
        case 7:
            op, source = draw(st.sampled_from(CONVERT[kind]))
            return expression(draw, source, inner) + bytes([op])
        case 8:
            return address(draw, inner) + bytes([LOAD[kind]]) + b"\x00\x00"
        case 9:
            inside = Shape(shape.functions, shape.labels + 1, inner.depth)
            then, other = expression(draw, kind, inside), expression(draw, kind, inside)
            return expression(draw, I32, inner) + b"\x04" + bytes([kind]) + then + b"\x05" + other + b"\x0b"
        case 10 if kind in TRAPPING:
            op = draw(st.sampled_from(TRAPPING[kind]))
            return expression(draw, kind, inner) + expression(draw, kind, inner) + bytes([op])
        case 10:
            values = expression(draw, kind, inner) + expression(draw, kind, inner)
            return values + expression(draw, I32, inner) + b"\x1b"
        case 11 if kind == I32:
            op, source = draw(st.sampled_from(COMPARE))
            return expression(draw, source, inner) + expression(draw, source, inner) + bytes([op])
        case 11 if kind == F64:
            lanes = b"\xfd\x14" + b"\x20" + write_u32(VECTOR)
            op = draw(st.sampled_from([0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7]))
            return (
                expression(draw, F64, inner)
                + lanes
                + b"\xfd"
                + write_u32(op)
                + b"\x22"
                + write_u32(VECTOR)
                + b"\xfd\x21\x01"
            )
        case 12 if kind in {I64, F64} and shape.functions:
            index = draw(st.integers(0, shape.functions - 1))
            call = expression(draw, I64, inner) + expression(draw, F64, inner)
            if draw(st.booleans()):
                call += b"\x10" + write_u32(index)
            else:
                call += b"\x41" + write_signed(index) + b"\x11\x00\x00"
            # Functions give (i64, f64).
            return call + (
                b"\x1a" if kind == I64 else b"\x21" + write_u32(LOCAL_OF[F64]) + b"\x1a\x20" + write_u32(LOCAL_OF[F64])
            )
        case 13 if kind in {I32, I64}:
            return b"\x23" + write_u32(0 if kind == I32 else 1)
        case _:
            return b"\x20" + write_u32(LOCAL_OF[kind])


def statement(draw, shape: Shape) -> bytes:  # noqa: C901 (a list of forms)
    """Code that leaves nothing."""
    kind = draw(st.sampled_from(TYPES))
    inner = Shape(shape.functions, shape.labels, shape.depth + 1)
    if inner.depth > 4:
        return expression(draw, kind, inner) + b"\x21" + write_u32(LOCAL_OF[kind])
    match draw(st.integers(0, 12)):
        case 0 | 1 | 2:
            return expression(draw, kind, shape) + b"\x21" + write_u32(LOCAL_OF[kind])
        case 3:
            return address(draw, inner) + expression(draw, kind, inner) + bytes([STORE[kind]]) + b"\x00\x00"
        case 4:
            inside = Shape(shape.functions, shape.labels + 1, inner.depth)
            return expression(draw, I32, inner) + b"\x04\x40" + statements(draw, inside) + b"\x0b"
        case 5:
            inside = Shape(shape.functions, shape.labels + 1, inner.depth)
            return b"\x02\x40" + statements(draw, inside) + b"\x0b"
        case 6 if shape.labels < 3:
            return loop(draw, shape, inner.depth)
        case 7 if shape.labels:
            return expression(draw, I32, inner) + b"\x0d" + write_u32(draw(st.integers(0, shape.labels - 1)))
        case 8 if shape.labels:
            targets = draw(st.lists(st.integers(0, shape.labels - 1), max_size=3))
            rest = write_u32(draw(st.integers(0, shape.labels - 1)))
            return expression(draw, I32, inner) + b"\x0e" + write_vector([write_u32(each) for each in targets]) + rest
        case 9:
            return expression(draw, I64, inner) + expression(draw, F64, inner) + b"\x0f"
        case 10:
            index = draw(st.integers(0, 1))
            return expression(draw, (I32, I64)[index], inner) + b"\x24" + write_u32(index)
        case 11:
            size = expression(draw, I32, inner) + b"\x41" + write_signed(0xFF) + b"\x71"
            if draw(st.booleans()):
                return address(draw, inner) + expression(draw, I32, inner) + size + b"\xfc\x0b\x00"
            return address(draw, inner) + address(draw, inner) + size + b"\xfc\x0a\x00\x00"
        case 12:
            return b"\x41" + write_signed(draw(st.integers(0, 2))) + b"\x40\x00\x1a"
        case _:
            return b"\x01"


def loop(draw, shape: Shape, depth: int) -> bytes:
    """A loop inside a block; nothing but its own end leads back to its head, and the counter is put back after it."""
    rounds = draw(st.integers(1, 3))
    inside = Shape(shape.functions, 0, depth)
    counter = write_u32(COUNTER)
    body = statements(draw, inside)
    again = b"\x20" + counter + b"\x41\x01\x6b\x22" + counter + b"\x41\x00\x4a\x0d\x00"
    start = b"\x20" + counter + b"\x41" + write_signed(rounds) + b"\x21" + counter
    return start + b"\x03\x40" + body + again + b"\x0b" + b"\x21" + counter


def statements(draw, shape: Shape) -> bytes:
    return b"".join(statement(draw, shape) for _ in range(draw(st.integers(0, 4))))


@st.composite
def modules(draw) -> bytes:
    count = draw(st.integers(1, 4))
    signature = b"\x60" + write_bytes(bytes([I64, F64])) + write_bytes(bytes([I64, F64]))
    bodies = []
    for index in range(count):
        shape = Shape(index)
        code = statements(draw, shape) + expression(draw, I64, shape) + expression(draw, F64, shape)
        groups = write_vector([b"\x01" + bytes([kind]) for kind in LOCALS])
        bodies.append(write_bytes(groups + code + b"\x0b"))
    exports = [write_name(f"f{index}") + b"\x00" + write_u32(index) for index in range(count)]
    exports.append(write_name("memory") + b"\x02\x00")
    exports += [write_name(f"g{index}") + b"\x03" + write_u32(index) for index in range(2)]
    table = b"\x70\x00" + write_u32(count)
    return b"\0asm\1\0\0\0" + b"".join(
        [
            write_section(1, write_vector([signature])),
            write_section(3, write_vector([b"\x00"] * count)),
            write_section(4, write_vector([table])),
            write_section(5, b"\x01\x00\x02"),
            write_section(6, write_vector([b"\x7f\x01\x41\x05\x0b", b"\x7e\x01\x42\x07\x0b"])),
            write_section(7, write_vector(exports)),
            write_section(9, write_vector([b"\x00\x41\x00\x0b" + write_vector([write_u32(i) for i in range(count)])])),
            write_section(10, write_vector(bodies)),
        ]
    )
