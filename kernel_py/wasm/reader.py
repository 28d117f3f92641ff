"""Reading the binary format: bytes, LEB128 numbers, names.

A reader never goes past its end, takes only encodings that every engine takes, and says where it stopped.

Source: WebAssembly core specification 2.0, 5.1 and 5.2.
"""

from __future__ import annotations

import re

from kernel_py.wire.errors import InvalidModule

LEB = rb"[\x80-\xff]*+[\x00-\x7f]"
"""A LEB128 number of any length, as a regular expression; engines refuse those that are too long."""

_CONST_EXPR = re.compile(
    rb"((?:"
    rb"[\x41\x42\x23\xd2]" + LEB + rb"|\x43.{4}|\x44.{8}|\xd0[\x6f\x70]|[\x6a-\x6c\x7c-\x7e]|\xfd\x0c.{16}"
    rb")*+)\x0b",
    re.DOTALL,
)
_REF_FUNC = re.compile(
    rb"[\x41\x42\x23]" + LEB + rb"|\x43.{4}|\x44.{8}|\xd0.|[\x6a-\x7e]|\xfd\x0c.{16}|\xd2(" + LEB + rb")", re.DOTALL
)


class Reader:
    """A position in `code`, and its end."""

    __slots__ = ("code", "end", "pos")

    def __init__(self, code: bytes, pos: int = 0, end: int | None = None) -> None:
        self.code = code
        self.pos = pos
        self.end = len(code) if end is None else end

    def fail(self, message: str) -> InvalidModule:
        """An error about this place, to be raised."""
        return InvalidModule(message, offset=self.pos)

    def byte(self) -> int:
        if self.pos >= self.end:
            raise self.fail("the module ends in the middle")
        self.pos += 1
        return self.code[self.pos - 1]

    def take(self, size: int) -> bytes:
        if size > self.end - self.pos:
            raise self.fail(f"{size:,} bytes are announced, {self.end - self.pos:,} are left")
        self.pos += size
        return self.code[self.pos - size : self.pos]

    def u32(self) -> int:
        """An unsigned number of 32 bits."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 28:
                raise self.fail("a number of more than 32 bits")
        if value >= 1 << 32:
            raise self.fail("a number of more than 32 bits")
        return value

    def count(self, what: str, count_max: int) -> int:
        """A number of things that follow, each of at least one byte."""
        count = self.u32()
        if count > count_max:
            raise self.fail(f"{count:,} {what}; the limit is {count_max:,}")
        if count > self.end - self.pos:
            raise self.fail(f"{count:,} {what} are announced, {self.end - self.pos:,} bytes are left")
        return count

    def name(self) -> str:
        data = self.take(self.u32())
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self.fail(f"a name is not UTF-8: {error}") from error

    def const_expr(self) -> tuple[int, ...]:
        """Skip a constant expression. Returns the indices of the functions that it refers to."""
        match = _CONST_EXPR.match(self.code, self.pos, self.end)
        if match is None:
            raise self.fail("a constant expression that is malformed or not supported")
        self.pos = match.end()
        body = match[1]
        return tuple(Reader(found).u32() for found in _REF_FUNC.findall(body) if found) if b"\xd2" in body else ()

    def expect_end(self, what: str) -> None:
        if self.pos != self.end:
            raise self.fail(f"{what}: {self.end - self.pos} bytes too many")
