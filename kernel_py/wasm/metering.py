"""Instrumenting a module, so that it runs the same everywhere and no longer than it is given gas for.

`meter` takes a core module and gives one that

* counts gas and the depth of calls in two added globals, which its host sets and reads by name;
* has canonical NaNs, and limits on its memory and tables;
* imports only what its host provides, or was told to leave missing;
* exports its mutable globals, its memory and its start function under reserved names, so that a host can start it at
  its own time, under the meter, and can take its state and put it back.

What cannot be made deterministic is refused, and so is what is not known. Nothing is renumbered: types, globals and
exports are added at the end, functions keep their places. The same input gives the same bytes on every Python.

Whether the module is *valid* is for an engine to say. One that is not may pass here, but not become valid by it in a
way that matters: code cannot name the added globals.

Source: WebAssembly core specification 2.0, 5.5; theory in docs/wasm-vats.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from kernel_py.wasm import opcodes
from kernel_py.wasm.bodies import FunctionPass, forget_runs
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS, WasmLimits
from kernel_py.wasm.names import parse_function_names
from kernel_py.wasm.reader import Reader
from kernel_py.wasm.surroundings import FuncType, Import, Surroundings
from kernel_py.wasm.writer import write_bytes, write_name, write_section, write_signed, write_u32, write_vector
from kernel_py.wire.errors import InvalidModule

PASS_VERSION = 1
"""Of what `meter` writes: a change of it changes every vat's gas, and so what a replay can expect."""

RESERVED = "kernel:"
"""Names of exports that begin so are this module's own."""
GAS = "kernel:gas"
STACK = "kernel:stack"
MEMORY = "kernel:memory"
START = "kernel:start"
GLOBAL = "kernel:global:"
"""Followed by the global's index."""

_MAGIC = b"\0asm\1\0\0\0"
_ORDER = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11)
_TYPE, _IMPORT, _FUNCTION, _TABLE, _MEMORY, _GLOBAL, _EXPORT, _START, _ELEMENT, _CODE, _DATA, _DATA_COUNT = range(1, 13)
_ADDED_GLOBALS = 2
_INTEGERS = (opcodes.I32, opcodes.I64)

_Read = TypeVar("_Read", bound="Callable[[_ModulePass, Reader], bytes | None]")


@dataclass(frozen=True, slots=True)
class HiddenGlobal:
    """A mutable global of the guest, exported as `name`. `type` is a value type of the binary format."""

    name: str
    type: int


@dataclass(frozen=True, slots=True)
class Metered:
    """An instrumented module.

    Attributes:
        code: its bytes, for any engine.
        digest: SHA-256 of `code`, in hexadecimal.
        imports: module, name and type of what it imports, in its order.
        missing: those of them that are not provided: calling one must trap.
        exports: names of its own exported functions, with their types.
        state: its mutable globals.
        has_memory: whether it has one.
        has_start: whether it has a start function; the host calls `START` before all else, once.
        has_hidden_state: whether some of its state is neither in its memory nor in an integer global: then a copy of
            these is not a snapshot.
        function_names: of those that its name section names, by index.
    """

    code: bytes
    digest: str
    imports: tuple[tuple[str, str, FuncType], ...]
    missing: frozenset[tuple[str, str]]
    exports: Mapping[str, FuncType]
    state: tuple[HiddenGlobal, ...]
    has_memory: bool
    has_start: bool
    has_hidden_state: bool
    function_names: Mapping[int, str]


def meter(
    code: bytes,
    *,
    imports: Mapping[tuple[str, str], Import],
    missing: frozenset[tuple[str, str]] = frozenset(),
    limits: WasmLimits = DEFAULT_WASM_LIMITS,
) -> Metered:
    """Instrument a core module.

    Args:
        imports: what the host provides, by module and name.
        missing: what may be imported although no host provides it, by module and name; calling it traps.

    Raises:
        InvalidModule: the module is malformed, over a limit, imports what there is not, or contains what cannot be made
            deterministic. The error names function, offset and opcode.
    """
    return _ModulePass(code, imports, missing, limits).run()


@dataclass(slots=True)
class _Module:
    """What was read of the module so far."""

    types: list[FuncType] = field(default_factory=list)
    imports: list[tuple[str, str, int]] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    """Type indices, imports first."""
    tables: int = 0
    memories: int = 0
    globals: list[tuple[int, bool]] = field(default_factory=list)
    """Value type and whether it is mutable."""
    exports: list[tuple[str, int, int]] = field(default_factory=list)
    start: int | None = None
    function_names: dict[int, str] = field(default_factory=dict)


_READERS: dict[int, Callable[[_ModulePass, Reader], bytes | None]] = {}


def _reads(number: int) -> Callable[[_Read], _Read]:
    """Enter a method in the table of sections."""

    def enter(method: _Read) -> _Read:
        _READERS[number] = method
        return method

    return enter


class _ModulePass:
    def __init__(
        self,
        code: bytes,
        imports: Mapping[tuple[str, str], Import],
        missing: frozenset[tuple[str, str]],
        limits: WasmLimits,
    ) -> None:
        self._code = code
        self._provided = imports
        self._missing = missing
        self._limits = limits
        self._module = _Module()
        self._sections: dict[int, bytes] = {}
        self._bodies: tuple[int, int] | None = None
        self._names = b""

    def run(self) -> Metered:
        limits = self._limits
        if len(self._code) > limits.module_bytes_max:
            raise InvalidModule(f"a module of {len(self._code):,} bytes; the limit is {limits.module_bytes_max:,}")
        if self._code[:8] != _MAGIC:
            raise InvalidModule("not a core WebAssembly module of version 1", offset=0)
        self._read_sections()
        module = self._module
        around = Surroundings(
            types=module.types,
            functions=[module.types[index] for index in module.functions],
            imports=[self._import_of(import_) for import_ in module.imports],
            globals=len(module.globals),
            limits=limits,
            gas=len(module.globals),
            stack=len(module.globals) + 1,
            function_names=module.function_names,
        )
        sections = self._sections
        if self._bodies is not None:
            sections[_CODE] = self._rewrite_bodies(around, *self._bodies)
        elif len(module.functions) > len(module.imports):
            raise InvalidModule("functions are declared, and there is no code")
        self._add_types(around)
        self._add_globals()
        self._add_exports()
        out = [_MAGIC, *(write_section(number, sections[number]) for number in _ORDER if number in sections)]
        if self._names:
            out.append(write_section(0, write_name("name") + self._names))
        code = b"".join(out)
        return self._describe(code, around)

    def _describe(self, code: bytes, around: Surroundings) -> Metered:
        module = self._module
        return Metered(
            code=code,
            digest=hashlib.sha256(code).hexdigest(),
            imports=tuple((where, name, module.types[index]) for where, name, index in module.imports),
            missing=frozenset(
                (where, name) for where, name, _ in module.imports if (where, name) not in self._provided
            ),
            exports={name: around.functions[index] for name, kind, index in module.exports if kind == 0},
            state=tuple(
                HiddenGlobal(f"{GLOBAL}{index}", kind)
                for index, (kind, is_mutable) in enumerate(module.globals)
                if is_mutable
            ),
            has_memory=module.memories > 0,
            has_start=module.start is not None,
            has_hidden_state=around.has_hidden_state or any(m and kind not in _INTEGERS for kind, m in module.globals),
            function_names=module.function_names,
        )

    # Reading -----------------------------------------------------------------------------------

    def _read_sections(self) -> None:
        reader = Reader(self._code, len(_MAGIC))
        last = -1
        while reader.pos < reader.end:
            at = reader.pos
            number = reader.byte()
            size = reader.u32()
            start = reader.pos
            reader.take(size)
            section = Reader(self._code, start, reader.pos)
            if number == 0:
                self._read_custom(section)
                continue
            if number not in _ORDER:
                raise InvalidModule(f"section {number} is not supported", offset=at)
            if _ORDER.index(number) <= last:
                raise InvalidModule(f"section {number} is out of order", offset=at)
            last = _ORDER.index(number)
            if number == _CODE:
                self._bodies = (start, section.end)
                continue
            read = _READERS.get(number)
            if read is None:
                self._sections[number] = section.take(size)
                continue
            content = read(self, section)
            section.expect_end(f"section {number}")
            if content is not None:
                self._sections[number] = content
        if self._module.start is not None and self._module.start >= len(self._module.functions):
            raise InvalidModule(f"the start function is {self._module.start}; there are {len(self._module.functions)}")

    def _read_custom(self, section: Reader) -> None:
        """Keep the names; what else there is would be stale, or is of no use here."""
        if section.name() == "name" and not self._names:
            self._module.function_names = parse_function_names(section.code[section.pos : section.end])
            self._names = section.take(section.end - section.pos)

    @_reads(_TYPE)
    def _read_types(self, section: Reader) -> bytes:
        start = section.pos
        count_max = self._limits.functions_max
        for _ in range(section.count("types", count_max)):
            form = section.byte()
            if form != 0x60:
                raise section.fail(f"a type of form 0x{form:02x}, which is not supported (garbage collection)")
            self._module.types.append(FuncType(self._read_value_types(section), self._read_value_types(section)))
        return section.code[start : section.pos]

    def _read_value_types(self, section: Reader) -> tuple[int, ...]:
        return tuple(self._read_value_type(section) for _ in range(section.count("values", self._limits.signature_max)))

    @staticmethod
    def _read_value_type(section: Reader) -> int:
        kind = section.byte()
        if kind not in opcodes.VALUE_TYPES:
            raise section.fail(f"a value of type 0x{kind:02x}, which is not supported")
        return kind

    @_reads(_IMPORT)
    def _read_imports(self, section: Reader) -> bytes:
        start = section.pos
        module = self._module
        for _ in range(section.count("imports", self._limits.imports_max)):
            where, name = section.name(), section.name()
            kind = section.byte()
            if kind != 0:
                what = {1: "a table", 2: "a memory", 3: "a global", 4: "a tag"}.get(kind, f"kind {kind}")
                raise section.fail(f"the import {where}.{name} is {what}; only functions can be imported")
            index = self._read_type_index(section)
            self._check_import(section, where, name, module.types[index])
            module.imports.append((where, name, index))
            module.functions.append(index)
        return section.code[start : section.pos]

    def _check_import(self, section: Reader, where: str, name: str, kind: FuncType) -> None:
        provided = self._provided.get((where, name))
        if provided is None and (where, name) not in self._missing:
            known = ", ".join(sorted(f"{module}.{known}" for module, known in self._provided)) or "nothing"
            raise section.fail(f"the import {where}.{name} is unknown; there is: {known}")
        if provided is not None and provided.type != kind:
            raise section.fail(f"the import {where}.{name} is of another type than the host's")

    def _import_of(self, import_: tuple[str, str, int]) -> Import:
        where, name, index = import_
        return self._provided.get((where, name)) or Import(self._module.types[index])

    def _read_type_index(self, section: Reader) -> int:
        index = section.u32()
        if index >= len(self._module.types):
            raise section.fail(f"type {index}; there are {len(self._module.types)}")
        return index

    @_reads(_FUNCTION)
    def _read_functions(self, section: Reader) -> bytes:
        start = section.pos
        functions = self._module.functions
        for _ in range(section.count("functions", self._limits.functions_max)):
            functions.append(self._read_type_index(section))
        if len(functions) > self._limits.functions_max:
            raise section.fail(f"{len(functions):,} functions; the limit is {self._limits.functions_max:,}")
        return section.code[start : section.pos]

    def _read_limits(self, section: Reader, what: str, limit: int) -> bytes:
        """Read a size and its maximum; the maximum lowered to `limit`."""
        flags = section.byte()
        if flags & ~1:
            name = "threads" if flags & 2 else "64-bit addresses" if flags & 4 else "custom page sizes"
            raise section.fail(f"{what} with flags 0x{flags:02x}, which is not supported ({name})")
        least = section.u32()
        most = min(section.u32(), limit) if flags & 1 else limit
        if least > limit:
            raise section.fail(f"{what} of at least {least:,}; the limit is {limit:,}")
        return b"\x01" + write_u32(least) + write_u32(most)

    @_reads(_TABLE)
    def _read_tables(self, section: Reader) -> bytes:
        tables = []
        for _ in range(section.count("tables", self._limits.tables_max)):
            kind = section.byte()
            if kind not in opcodes.REFERENCE_TYPES:
                raise section.fail(f"a table of type 0x{kind:02x}, which is not supported")
            tables.append(bytes([kind]) + self._read_limits(section, "a table", self._limits.table_elements_max))
        self._module.tables = len(tables)
        return write_vector(tables)

    @_reads(_MEMORY)
    def _read_memories(self, section: Reader) -> bytes:
        count = section.count("memories", 1)
        self._module.memories = count
        pages_max = self._limits.memory_pages_max
        return write_vector([self._read_limits(section, "a memory of 64-KiB pages", pages_max) for _ in range(count)])

    @_reads(_GLOBAL)
    def _read_globals(self, section: Reader) -> bytes:
        count = section.count("globals", self._limits.globals_max)
        start = section.pos
        for _ in range(count):
            kind = self._read_value_type(section)
            flag = section.byte()
            if flag > 1:
                raise section.fail(f"a global with flags 0x{flag:02x}, which is not supported (threads)")
            if flag and kind in opcodes.REFERENCE_TYPES:
                raise section.fail("a mutable global that holds a reference is not supported")
            self._check_references(section, section.const_expr())
            self._module.globals.append((kind, flag == 1))
        return section.code[start : section.pos]

    def _check_references(self, section: Reader, functions: tuple[int, ...]) -> None:
        for index in functions:
            if index < len(self._module.imports):
                raise section.fail("a reference to a function of the host is not supported: call it directly")

    @_reads(_EXPORT)
    def _read_exports(self, section: Reader) -> None:
        module = self._module
        counts = (len(module.functions), module.tables, module.memories, len(module.globals))
        for _ in range(section.count("exports", self._limits.functions_max)):
            name, kind, index = section.name(), section.byte(), section.u32()
            if name.startswith(RESERVED):
                raise section.fail(f"an export named {name!r:.100}: names that begin with {RESERVED!r} are reserved")
            if kind > 3 or index >= counts[kind]:
                raise section.fail(f"the export {name!r:.100} of kind {kind}, index {index}: there is none")
            if kind == 0 and index < len(module.imports):
                raise section.fail(f"the export {name!r:.100} is a function of the host")
            module.exports.append((name, kind, index))

    @_reads(_START)
    def _read_start(self, section: Reader) -> None:
        """The start function becomes an export, to be called under the meter."""
        self._module.start = section.u32()
        if self._module.start < len(self._module.imports):
            raise section.fail("the start function is the host's")

    @_reads(_ELEMENT)
    def _read_elements(self, section: Reader) -> bytes:
        start = section.pos
        for _ in range(section.count("element segments", self._limits.functions_max)):
            flags = section.u32()
            if flags > 7:
                raise section.fail(f"an element segment with flags {flags}, which is not supported")
            if flags & 3 == 2:
                section.u32()
            if not flags & 1:
                self._check_references(section, section.const_expr())
            if flags & 3:
                section.byte()
            for _ in range(section.count("elements", self._limits.table_elements_max)):
                functions = section.const_expr() if flags & 4 else (section.u32(),)
                self._check_references(section, functions)
        return section.code[start : section.pos]

    # Writing -----------------------------------------------------------------------------------

    def _rewrite_bodies(self, around: Surroundings, start: int, end: int) -> bytes:
        reader = Reader(self._code, start, end)
        count = reader.u32()
        first = len(around.imports)
        if count != len(around.functions) - first:
            raise reader.fail(f"{count:,} bodies for {len(around.functions) - first:,} functions")
        bodies = []
        for index in range(first, first + count):
            size = reader.u32()
            if size > self._limits.function_bytes_max:
                raise InvalidModule(
                    f"{size:,} bytes of code; the limit is {self._limits.function_bytes_max:,}",
                    function=index,
                    offset=reader.pos,
                )
            begin = reader.pos
            reader.take(size)
            bodies.append(FunctionPass(around, index, self._code, begin, reader.pos).run())
        reader.expect_end("the code section")
        forget_runs()
        return write_vector(bodies)

    def _add_types(self, around: Surroundings) -> None:
        """Add the types of the blocks that functions with several results became."""
        if not around.wrappers:
            return
        added = [b"\x60\x00" + write_bytes(bytes(results)) for results in around.wrappers]
        own = Reader(self._sections[_TYPE])
        own.u32()
        head = write_u32(len(around.types) + len(added))
        self._sections[_TYPE] = head + own.take(own.end - own.pos) + b"".join(added)

    def _add_globals(self) -> None:
        """Add gas and stack. Both are zero until the host sets them: nothing runs unmetered."""
        added = (
            bytes([opcodes.I64, 1]) + b"\x42\x00\x0b" + bytes([opcodes.I32, 1]) + b"\x41" + write_signed(0) + b"\x0b"
        )
        count = len(self._module.globals)
        self._sections[_GLOBAL] = write_u32(count + _ADDED_GLOBALS) + self._sections.get(_GLOBAL, b"") + added

    def _add_exports(self) -> None:
        module = self._module
        count = len(module.globals)
        added = [(GAS, 3, count), (STACK, 3, count + 1)]
        if module.memories:
            added.append((MEMORY, 2, 0))
        if module.start is not None:
            added.append((START, 0, module.start))
        added += [(f"{GLOBAL}{index}", 3, index) for index, (_, is_mutable) in enumerate(module.globals) if is_mutable]
        self._sections[_EXPORT] = write_vector(
            [write_name(name) + bytes([kind]) + write_u32(index) for name, kind, index in (*module.exports, *added)]
        )
