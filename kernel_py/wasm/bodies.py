"""Instrumenting one function: gas, depth of the stack, canonical NaNs.

Owns the walk over the instructions: what each costs, what it does to the operand stack, and what is put in around it.
`kernel_py.wasm.stretches` writes.

A function that calls nothing and is cheap is charged and not checked at its entry: its callers are. One that calls
nothing and has a small frame does not count its depth: there is only one such frame at a time.

A frame's **weight** is its locals and the greatest height of its operand stack, in slots of 8 bytes, and a constant for
what engines put into every frame. No engine's frame needs more by more than the factor that hosts leave between the
limit and their native stack.

Source: theory in docs/wasm-vats.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from kernel_py.wasm import opcodes
from kernel_py.wasm.opcodes import F32, I32, V128, Op
from kernel_py.wasm.reader import Reader
from kernel_py.wasm.stretches import StretchWriter
from kernel_py.wasm.surroundings import FuncType, Surroundings
from kernel_py.wasm.writer import write_signed, write_u32

FRAME_SLOTS = 8
"""What a frame weighs without locals and operands: return address, saved registers, the engine's own."""
LEAF_SLOTS_MAX = 256
"""A frame that calls nothing and weighs no more is not counted."""
UNCHECKED_COST_MAX = 256
"""A function without calls and loops that costs no more is not checked."""

CALL_COST = 5
INDIRECT_CALL_COST = 10
IMPORT_COST = 200
"""A call to the host."""
PAGE_COST = 1_024
"""A page that `memory.grow` asks for: 64 bytes to clear for each unit."""
BYTES_PER_GAS_SHIFT = 3
"""Bulk instructions: 8 bytes for each unit."""
LOCALS_PER_GAS = 4

_FREE = frozenset([Op.BLOCK, Op.LOOP, Op.ELSE, Op.END])
_RUNS_KEPT = 50_000
"""Runs of plain instructions whose counts are remembered: they repeat a lot."""


@dataclass(slots=True)
class _Label:
    """An open block: where its operands begin, and how many it takes and leaves."""

    opcode: int
    base: int
    params: int
    results: int


@lru_cache(maxsize=_RUNS_KEPT)
def _measure_run(run: bytes) -> tuple[int, int, int]:
    """Of a run of plain instructions: how many, what they add to the stack's height, and its peak meanwhile."""
    numbers = b"".join(opcodes.PLAIN_OPCODES.findall(run))
    heights = list(accumulate(map(opcodes.PLAIN_HEIGHTS.__getitem__, numbers)))
    return len(heights), heights[-1], max(0, *heights) if heights else 0


def forget_runs() -> None:
    """Let go of what is remembered of the last module."""
    _measure_run.cache_clear()


_HANDLERS: dict[int, Callable[[FunctionPass], None]] = {}


def _handles(*numbers: int) -> Callable[[Callable[[FunctionPass], None]], Callable[[FunctionPass], None]]:
    """Enter a method in the table of instructions."""

    def enter(method: Callable[[FunctionPass], None]) -> Callable[[FunctionPass], None]:
        _HANDLERS.update(dict.fromkeys(numbers, method))
        return method

    return enter


class FunctionPass(StretchWriter):
    """Instruments one function; used once."""

    def __init__(self, around: Surroundings, index: int, code: bytes, start: int, end: int) -> None:
        """Prepare for function `index`, whose locals and code are ``code[start:end]``."""
        super().__init__(around, index, code, start, end)
        self._height = 0
        self._peak = 0
        self._labels: list[_Label] = []
        self._has_calls = False
        self._has_vectors = False

    def run(self) -> bytes:
        """The function's new locals and code.

        Raises:
            InvalidModule: it is malformed, over a limit, or contains what is not supported.
        """
        groups, slots = self._read_locals()
        self.begin()
        self.cost = self.locals_count // LOCALS_PER_GAS
        self._labels.append(_Label(Op.BLOCK, 0, 0, len(self.type.results)))
        self._walk()
        weight = FRAME_SLOTS + slots + self._peak * (2 if self._has_vectors else 1)
        is_counted = self._has_calls or weight > LEAF_SLOTS_MAX
        is_checked = self._has_calls or self.total_cost > UNCHECKED_COST_MAX
        return self.finish(groups, weight if is_counted else None, is_checked=is_checked)

    # The walk ----------------------------------------------------------------------------------

    def _walk(self) -> None:
        code, end = self.code, self.end
        match_run = opcodes.PLAIN_RUN.match
        handlers = _HANDLERS
        while self._labels:
            start = self.pos
            run = match_run(code, start, end)
            assert run is not None
            pos = run.end()
            if pos != start:
                count, height, peak = _measure_run(run[0])
                self.cost += count
                self._peak = max(self._peak, self._height + peak)
                self._height += height
            if pos >= end:
                raise self.fail("the function ends in the middle", pos)
            self.at = pos
            self.pos = pos + 1
            opcode = code[pos]
            handler = handlers.get(opcode)
            if handler is None:
                raise self.fail(f"{opcodes.describe(opcode)} is not supported", pos)
            if opcode not in _FREE:
                self.cost += 1
            handler(self)
        if self.pos != end:
            raise self.fail(f"{end - self.pos} bytes after the function's end", self.pos)

    def _read_locals(self) -> tuple[list[bytes], int]:
        """The declarations of locals, and how many slots they take with the parameters; counts them."""
        reader = Reader(self.code, self.pos, self.end)
        limits = self.around.limits
        groups = []
        params = self.type.params
        count, slots = len(params), len(params) + params.count(V128)
        for _ in range(reader.count("groups of locals", limits.locals_max)):
            start = reader.pos
            number = reader.u32()
            kind = reader.byte()
            if kind not in opcodes.VALUE_TYPES:
                raise self.fail(f"a local of type 0x{kind:02x}, which is not supported", reader.pos - 1)
            groups.append(self.code[start : reader.pos])
            count += number
            slots += number * (2 if kind == V128 else 1)
            if count > limits.locals_max:
                raise self.fail(f"{count:,} locals; the limit is {limits.locals_max:,}", start)
        self.pos = reader.pos
        self.locals_count = count
        return groups, slots

    def _die(self) -> None:
        """What follows is not reached, until the block ends."""
        self.close()
        self.is_dead = True
        self._height = self._labels[-1].base

    def _push(self, count: int) -> None:
        self._height += count
        self._peak = max(self._peak, self._height)

    # Blocks ------------------------------------------------------------------------------------

    def _enter(self, opcode: int) -> None:
        kind = self.peek()
        if kind == 0x40:
            self.pos += 1
            params, results = 0, 0
        elif kind in opcodes.VALUE_TYPES:
            self.pos += 1
            params, results = 0, 1
        else:
            index = self.read_u32()
            types = self.around.types
            # Its number is signed, and below zero it is a type in more bytes than it needs.
            if index >= len(types) or self.code[self.pos - 1] & 0x40:
                raise self.fail(f"a block of type {index}; there are {len(types)}")
            params, results = len(types[index].params), len(types[index].results)
        if len(self._labels) > self.around.limits.nesting_max:
            raise self.fail(f"more than {self.around.limits.nesting_max:,} blocks inside one another")
        self._labels.append(_Label(opcode, self._height - params, params, results))

    @_handles(Op.BLOCK)
    def _block(self) -> None:
        self._enter(Op.BLOCK)

    @_handles(Op.LOOP)
    def _loop(self) -> None:
        self._enter(Op.LOOP)
        self.next(check=True)

    @_handles(Op.IF)
    def _if(self) -> None:
        self._height -= 1
        self._enter(Op.IF)
        self.next()

    @_handles(Op.ELSE)
    def _else(self) -> None:
        label = self._labels[-1]
        if label.opcode != Op.IF:
            raise self.fail("an else without its if")
        label.opcode = Op.ELSE
        self._height = label.base + label.params
        self.close()
        self.is_dead = False
        self.open()

    @_handles(Op.END)
    def _end(self) -> None:
        label = self._labels.pop()
        self._height = label.base + label.results
        self._peak = max(self._peak, self._height)
        self.close()
        self.is_dead = False
        if self._labels:
            self.open()

    # Branches and calls ------------------------------------------------------------------------

    @_handles(Op.BR)
    def _br(self) -> None:
        self.read_u32()
        self._die()

    @_handles(Op.BR_IF)
    def _br_if(self) -> None:
        self.read_u32()
        self._height -= 1
        self.next()

    @_handles(Op.BR_TABLE)
    def _br_table(self) -> None:
        for _ in range(self._read_count() + 1):
            self.read_u32()
        self._die()

    def _read_count(self) -> int:
        count = self.read_u32()
        if count > self.end - self.pos:
            raise self.fail(f"{count:,} branches are announced, {self.end - self.pos:,} bytes are left")
        return count

    @_handles(Op.RETURN)
    def _return(self) -> None:
        self.write_return(len(self._labels) - 1)
        self._die()

    @_handles(Op.UNREACHABLE)
    def _unreachable(self) -> None:
        self._die()

    def _apply(self, kind: FuncType) -> None:
        self._height -= len(kind.params)
        self._push(len(kind.results))

    def _get_function(self) -> tuple[int, FuncType]:
        index = self.read_u32()
        functions = self.around.functions
        if index >= len(functions):
            raise self.fail(f"a call to function {index}; there are {len(functions)}")
        return index, functions[index]

    @_handles(Op.CALL)
    def _call(self) -> None:
        index, kind = self._get_function()
        imports = self.around.imports
        self._has_calls = True
        self.cost += CALL_COST - 1
        if index < len(imports):
            self.cost += IMPORT_COST
            if imports[index].is_sized:
                self._charge_by_size(BYTES_PER_GAS_SHIFT, 1)
        self._apply(kind)

    def _get_indirect(self) -> FuncType:
        index = self.read_u32()
        self.read_u32()
        types = self.around.types
        if index >= len(types):
            raise self.fail(f"a call of type {index}; there are {len(types)}")
        self.cost += INDIRECT_CALL_COST - 1
        self._has_calls = True
        return types[index]

    @_handles(Op.CALL_INDIRECT)
    def _call_indirect(self) -> None:
        kind = self._get_indirect()
        self._height -= 1
        self._apply(kind)

    def _tail_call(self) -> None:
        self.write_tail_call()
        self._die()

    @_handles(Op.RETURN_CALL)
    def _return_call(self) -> None:
        index, _ = self._get_function()
        if index < len(self.around.imports):
            raise self.fail("a tail call to the host is not supported")
        self._has_calls = True
        self.cost += CALL_COST - 1
        self._tail_call()

    @_handles(Op.RETURN_CALL_INDIRECT)
    def _return_call_indirect(self) -> None:
        self._get_indirect()
        self._tail_call()

    # Values ------------------------------------------------------------------------------------

    @_handles(Op.SELECT_TYPED)
    def _select_typed(self) -> None:
        for _ in range(self._read_count()):
            if self.peek() not in opcodes.VALUE_TYPES:
                raise self.fail(f"a type 0x{self.peek():02x}, which is not supported")
            self.pos += 1
        self._height -= 2

    def _check_global(self) -> None:
        index = self.read_u32()
        if index >= self.around.globals:
            raise self.fail(f"global {index}; there are {self.around.globals}")

    @_handles(Op.GLOBAL_GET)
    def _global_get(self) -> None:
        self._check_global()
        self._push(1)

    @_handles(Op.GLOBAL_SET)
    def _global_set(self) -> None:
        self._check_global()
        self._height -= 1

    @_handles(Op.TABLE_SET)
    def _table_set(self) -> None:
        self.read_u32()
        self._height -= 2
        self.around.has_hidden_state = True

    @_handles(Op.REF_FUNC)
    def _ref_func(self) -> None:
        index, _ = self._get_function()
        if index < len(self.around.imports):
            raise self.fail("a reference to a function of the host is not supported: call it directly")
        self._push(1)

    @_handles(Op.MEMORY_GROW)
    def _memory_grow(self) -> None:
        if self.read_u32() != 0:
            raise self.fail("a second memory is not supported")
        self._charge_by_size(0, PAGE_COST)

    def _charge_by_size(self, shift: int, factor: int) -> None:
        """Before the instruction being handled: charge for the number on top of the stack, and check."""
        gas, scratch = write_u32(self.around.gas), self.use_scratch(I32)
        amount = b"\x20" + scratch + b"\xad"  # zero-extended to 64 bits
        if shift:
            amount += b"\x42" + write_signed(shift) + b"\x88"
        if factor > 1:
            amount += b"\x42" + write_signed(factor) + b"\x7e"
        self.insert_before(b"\x22" + scratch + b"\x23" + gas + amount + b"\x7d\x24" + gas + self.check)

    @_handles(*opcodes.FLOAT_OPS)
    def _float(self) -> None:
        kind, height = opcodes.FLOAT_OPS[self.code[self.at]]
        self._height += height
        if self.peek() not in opcodes.NAN_ABSORBERS:
            self._canonicalize(kind)

    def _canonicalize(self, kind: int) -> None:
        """Make a NaN on top of the stack the canonical one: ``x == x ? x : NaN``."""
        scratch = self.use_scratch(kind)
        nan, equal = (b"\x43\x00\x00\xc0\x7f", b"\x5b") if kind == F32 else (b"\x44" + bytes(6) + b"\xf8\x7f", b"\x61")
        self.insert(b"\x22" + scratch + nan + (b"\x20" + scratch) * 2 + equal + b"\x1b")

    def _canonicalize_lanes(self, shape: int) -> None:
        """The same for each lane of a vector."""
        scratch = self.use_scratch(V128)
        lanes, equal = (
            (b"\x00\x00\xc0\x7f" * 4, b"\xfd\x41") if shape == F32 else ((bytes(6) + b"\xf8\x7f") * 2, b"\xfd\x47")
        )
        self.insert(b"\x22" + scratch + b"\xfd\x0c" + lanes + (b"\x20" + scratch) * 2 + equal + b"\xfd\x52")

    def _read_prefixed(self, prefix: int, table: dict[int, opcodes.Prefixed]) -> tuple[int, opcodes.Prefixed]:
        number = self.read_u32()
        found = table.get(number)
        match = None if found is None else found.immediate.match(self.code, self.pos, self.end)
        if found is None or match is None:
            opcode = prefix << (16 if number > 0xFF else 8) | number
            raise self.fail(f"{opcodes.describe(opcode)} is not supported")
        self.pos = match.end()
        self._height += max(found.height, 0)
        self._peak = max(self._peak, self._height)
        self._height += min(found.height, 0)
        return number, found

    @_handles(Op.PREFIX_MISC)
    def _misc(self) -> None:
        number, _ = self._read_prefixed(Op.PREFIX_MISC, opcodes.MISC)
        if number in opcodes.MISC_BYTES_SIZED:
            self._charge_by_size(BYTES_PER_GAS_SHIFT, 1)
        elif number in opcodes.MISC_ELEMENTS_SIZED:
            self._charge_by_size(0, 1)
        if number in opcodes.MISC_UNSNAPSHOTTED:
            self.around.has_hidden_state = True

    @_handles(Op.PREFIX_SIMD)
    def _simd(self) -> None:
        _, found = self._read_prefixed(Op.PREFIX_SIMD, opcodes.SIMD)
        self._has_vectors = True
        if found.nan:
            self._canonicalize_lanes(found.nan)

    @_handles(0xFE)
    def _refuse_threads(self) -> None:
        number = self.read_u32()
        raise self.fail(f"{opcodes.describe(0xFE00 | number & 0xFF)} is not supported")

    @_handles(0xFB)
    def _refuse_gc(self) -> None:
        number = self.read_u32()
        raise self.fail(f"{opcodes.describe(0xFB00 | number & 0xFF)} is not supported")
