"""Writing one function anew: stretches of code with their charges, prologue and epilogue.

A **stretch** is code that is entered at its beginning only and left at its end only, unless it traps. What it costs
is subtracted where it begins, inline: calling a function to charge was measured to cost three times as much. Going
below zero is noticed at the next function entry or loop head; between two of these there is never more than one
function's code and the short ones that it calls, and that is bounded.

    prologue   stack -= weight; gas -= cost of the first stretch; trap if either is below zero; block
    ...        the function, its stretches charged where they begin, with a check at each loop's head
    epilogue   end; stack += weight

The function becomes the content of one block, so that a branch to the function's own label, which has the index of the
new block now, leads to the epilogue without being rewritten; only `return` becomes such a branch.
"""

from __future__ import annotations

from functools import lru_cache

from kernel_py.wasm.reader import Reader
from kernel_py.wasm.surroundings import Surroundings
from kernel_py.wasm.writer import write_bytes, write_signed, write_u32
from kernel_py.wire.errors import InvalidModule


@lru_cache(maxsize=1_000)
def make_charge(gas: int, cost: int) -> bytes:
    """``gas -= cost``."""
    index = write_u32(gas)
    return b"\x23" + index + b"\x42" + write_signed(-cost) + b"\x7c\x24" + index


class StretchWriter:
    """The output of one function's instrumentation: the input, and what is put into it."""

    def __init__(self, around: Surroundings, index: int, code: bytes, start: int, end: int) -> None:
        """Prepare for function `index`, whose locals and code are ``code[start:end]``."""
        self.around = around
        self.index = index
        self.type = around.functions[index]
        self.code = code
        self.end = end
        self.pos = start
        self.at = start
        """Where the instruction being handled begins."""
        self.cost = 0
        self.entry_cost = 0
        """What the first stretch costs: its charge is part of the prologue."""
        self.total_cost = 0
        """What all stretches so far cost together."""
        self.is_dead = False
        """Whether the code being read is never reached."""
        self.locals_count = 0
        self.scratch: dict[int, int] = {}
        self._copied = start
        self._out: list[bytes] = []
        self._slot: int | None = None
        self._is_checked = False
        self._returns: list[tuple[int, int]] = []
        self._tail_calls: list[int] = []
        self.check = b"\x23" + write_u32(around.gas) + b"\x42\x00\x53\x04\x40\x00\x0b"
        """Trap if the gas is below zero."""

    def fail(self, message: str, offset: int | None = None) -> InvalidModule:
        name = self.around.function_names.get(self.index)
        message = f"{message}, in {name}" if name else message
        return InvalidModule(message, function=self.index, offset=self.at if offset is None else offset)

    def peek(self) -> int:
        if self.pos >= self.end:
            raise self.fail("the function ends in the middle", self.pos)
        return self.code[self.pos]

    def read_u32(self) -> int:
        byte = self.peek()
        if byte < 0x80:
            self.pos += 1
            return byte
        reader = Reader(self.code, self.pos, self.end)
        value = reader.u32()
        self.pos = reader.pos
        return value

    # Output ------------------------------------------------------------------------------------

    def copy(self, upto: int) -> None:
        """Bring the output up to the input's `upto`."""
        if upto > self._copied:
            self._out.append(self.code[self._copied : upto])
            self._copied = upto

    def insert(self, data: bytes) -> None:
        """Put `data` behind the instruction being handled."""
        self.copy(self.pos)
        self._out.append(data)

    def insert_before(self, data: bytes) -> None:
        """Put `data` before the instruction being handled."""
        self.copy(self.at)
        self._out.append(data)

    def open(self, *, check: bool = False) -> None:
        """Begin a stretch behind the instruction being handled."""
        self.copy(self.pos)
        self._slot = len(self._out)
        self._out.append(b"")
        self._is_checked = check
        self.cost = 0

    def begin(self) -> None:
        """Begin the output, and the first stretch, at the instruction to be read next."""
        self._copied = self.pos
        self.open()

    def close(self) -> None:
        """End the stretch with the instruction being handled, which it pays."""
        self.total_cost += self.cost
        if self._slot is not None and not self.is_dead:
            charge = make_charge(self.around.gas, self.cost) if self.cost else b""
            if self._slot:
                self._out[self._slot] = charge + self.check if self._is_checked else charge
            else:
                self.entry_cost = self.cost
        elif self._slot is not None and self._is_checked:
            self._out[self._slot] = self.check
        self._slot = None

    def next(self, *, check: bool = False) -> None:
        self.close()
        self.open(check=check)

    def use_scratch(self, kind: int) -> bytes:
        """Index of a local of this type that only inserted code uses."""
        index = self.scratch.setdefault(kind, self.locals_count + len(self.scratch))
        return write_u32(index)

    def write_return(self, depth: int) -> None:
        """Instead of the return being handled, inside `depth` blocks: a way out that passes the epilogue."""
        self.copy(self.at)
        self._returns.append((len(self._out), depth))
        self._out.append(b"\x0f")
        self._copied = self.pos

    def write_tail_call(self) -> None:
        """Before the tail call being handled: what the epilogue would do."""
        self.copy(self.at)
        self._tail_calls.append(len(self._out))
        self._out.append(b"")

    def finish(self, groups: list[bytes], weight: int | None, *, is_checked: bool) -> bytes:
        """The function's new locals and code.

        Args:
            groups: the declarations of its own locals.
            weight: of its frame; None if its depth is not counted.
            is_checked: whether there is a check of the gas at its entry.
        """
        charge = make_charge(self.around.gas, self.entry_cost) if self.entry_cost else b""
        self.copy(self.pos)
        if weight is not None:
            self._count_depth(weight, charge)
        else:
            self._out[0] = charge + self.check if is_checked else charge
        groups = [*groups, *(b"\x01" + bytes([kind]) for kind in self.scratch)]
        return write_bytes(write_u32(len(groups)) + b"".join(groups) + b"".join(self._out))

    def _count_depth(self, weight: int, charge: bytes) -> None:
        """Make prologue and epilogue, and lead every way out through the latter."""
        stack = write_u32(self.around.stack)

        def add(slots: int) -> bytes:
            return b"\x23" + stack + b"\x41" + write_signed(slots) + b"\x6a\x24" + stack

        below_zero = b"\x23" + write_u32(self.around.gas) + b"\x42\x00\x53\x23" + stack + b"\x41\x00\x48\x72"
        trap = b"\x04\x40\x00\x0b"
        block = b"\x02" + self.around.block_type(self.type.results)
        self._out[0] = add(-weight) + charge + below_zero + trap + block
        for place, depth in self._returns:
            self._out[place] = b"\x0c" + write_u32(depth)
        for place in self._tail_calls:
            self._out[place] = add(weight)
        self._out.append(add(weight) + b"\x0b")  # the end before it is that of the block
