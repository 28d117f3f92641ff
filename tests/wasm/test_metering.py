"""Instrumenting modules: what is added, what is refused, and that the bytes are the same everywhere."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kernel_py.wasm.interface import IMPORTS
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS
from kernel_py.wasm.metering import GAS, MEMORY, STACK, START, meter
from kernel_py.wasm.opcodes import I32, I64
from kernel_py.wasm.writer import write_bytes, write_section, write_vector
from kernel_py.wire.errors import InvalidModule
from tests.wasm.sources import load, load_metered


def limits(**changes):
    return dataclasses.replace(DEFAULT_WASM_LIMITS, **changes)


def test_the_same_bytes_come_out_on_every_python():
    metered = load_metered("basics")
    assert metered.digest == "0a0d44e825ccb820be9f2f587915d96010d56592679e8775cf06d748da68e3b6"


def test_what_there_is_for_the_host_is_told():
    metered = load_metered("basics")
    assert [(each.name, each.type) for each in metered.state] == [("kernel:global:0", I32), ("kernel:global:1", I64)]
    assert metered.has_memory
    assert metered.has_start
    assert metered.exports["fib"].params == metered.exports["fib"].results == (I32,)
    assert metered.function_names[6] == "fib"
    for name in (GAS, STACK, MEMORY, START):
        assert name.encode() in metered.code


def test_state_in_a_table_is_told():
    assert load_metered("basics").has_hidden_state
    assert not load_metered("imports", missing=(("env", "abort"),)).has_hidden_state


def test_metering_twice_is_refused():
    with pytest.raises(InvalidModule, match="reserved"):
        meter(load_metered("basics").code, imports={})


def test_custom_sections_but_names_are_left_out():
    code = load("basics")
    extended = code + b"\x00\x0a\x09producers" + b"\x00\x02\x01x"
    assert meter(extended, imports={}).code == load_metered("basics").code


REFUSED = {
    "atomics": "function 0, offset 0x22: opcode 0xfe 0x10 (threads",
    "shared": "(threads)",
    "relaxed": "function 0, offset 0x4e: opcode 0xfd 0x01 0x05 (relaxed SIMD",
    "exceptions": "section 13 is not supported",
    "throw": "function 0, offset 0x1b: opcode 0x1f (exception handling)",
    "gc": "function 0, offset 0x1a: opcode 0xfb 0x1c (garbage collection)",
    "call_ref": "offset 0x11: a value of type 0x63",
    "memory64": "(64-bit addresses)",
    "memories": "2 memories; the limit is 1",
    "second_memory": "2 memories; the limit is 1",
    "wide": "function 0, offset 0x25: opcode 0xfc 0x13 (wide arithmetic)",
    "import_memory": "the import kernel.memory is a memory; only functions can be imported",
    "import_unknown": "the import kernel.clock is unknown; there is: kernel.fail",
    "import_type": "the import kernel.syscall is of another type",
    "import_reference": "a reference to a function of the host",
    "reserved": "an export named 'kernel:gas'",
    "big_memory": "at least 65,536; the limit is 4,096",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_made_deterministic_is_refused_where_it_is(name):
    with pytest.raises(InvalidModule) as raised:
        load_metered(f"refused_{name}")
    assert REFUSED[name] in str(raised.value)


def test_an_error_in_a_function_names_it():
    code = load("basics")
    place = code.index(b"\x20\x00\x41\x01\x6a\x0b")
    broken = code[: place + 4] + b"\x06" + code[place + 5 :]
    with pytest.raises(
        InvalidModule, match=r"opcode 0x06 \(exception handling\) is not supported, in increment"
    ) as raised:
        meter(broken, imports={})
    assert raised.value.offset == place + 4
    assert raised.value.function == 2


def test_a_missing_import_is_an_error_unless_allowed_by_name():
    with pytest.raises(InvalidModule, match=r"the import env\.abort is unknown"):
        load_metered("imports")
    with pytest.raises(InvalidModule, match=r"the import env\.abort is unknown"):
        load_metered("imports", missing=(("env", "exit"), ("kernel", "abort")))
    metered = load_metered("imports", missing=(("env", "abort"), ("env", "exit")))
    assert metered.missing == {("env", "abort")}
    assert [(where, name) for where, name, _ in metered.imports] == [("kernel", "syscall"), ("env", "abort")]


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"module_bytes_max": 100}, "the limit is 100"),
        ({"functions_max": 3}, "the limit is 3"),
        ({"function_bytes_max": 10}, "function 3, offset .* bytes of code; the limit is 10"),
        ({"locals_max": 1}, "2 locals; the limit is 1"),
        ({"globals_max": 2}, "3 globals; the limit is 2"),
        ({"table_elements_max": 1}, "the limit is 1"),
        ({"tables_max": 0}, "1 tables; the limit is 0"),
        ({"signature_max": 1}, "2 values; the limit is 1"),
        ({"nesting_max": 0}, "function 3.*more than 0 blocks"),
    ],
)
def test_each_limit_is_kept(changes, error):
    with pytest.raises(InvalidModule, match=error):
        load_metered("basics", limits=limits(**changes))


def test_added_globals_cannot_be_named_by_code():
    """An index behind the module's own globals is invalid; after instrumenting it would be that of the gas."""
    code = load("basics")
    place = code.index(b"\x42\x08\x24\x01\x0b")
    broken = code[: place + 3] + b"\x03" + code[place + 4 :]
    with pytest.raises(InvalidModule, match=r"global 3; there are 3"):
        meter(broken, imports={})


def test_a_block_type_in_more_bytes_than_it_needs_is_refused():
    """Some engines take 0xc0 0x7f for 0x40, an empty block; here it would be type 16,320."""
    body = b"\x00\x02\xc0\x7f\x0b\x0b"
    types = write_section(1, write_vector([b"\x60\x00\x00"] * 20_000))
    code = (
        b"\0asm\1\0\0\0" + types + write_section(3, b"\x01\x00") + write_section(10, write_vector([write_bytes(body)]))
    )
    with pytest.raises(InvalidModule, match="a block of type 16320"):
        meter(code, imports={})


BASICS = load("basics")


@given(st.integers(8, len(BASICS) - 1), st.binary(max_size=6), st.integers(0, 6))
@example(len(BASICS) - 1, b"", 1)
def test_any_damage_is_refused_in_good_order_or_passes(place, data, length):
    damaged = BASICS[:place] + data + BASICS[place + length :]
    try:
        metered = meter(damaged, imports=IMPORTS)
    except InvalidModule:
        pass
    else:
        assert metered.code.startswith(b"\0asm\1\0\0\0")


@pytest.mark.parametrize("code", [b"", b"\0asm", b"\0asm\2\0\0\0", b"\0asm\r\0\1\0"])
def test_what_is_no_core_module_is_refused(code):
    with pytest.raises(InvalidModule, match="not a core WebAssembly module"):
        meter(code, imports={})


def test_the_empty_module_has_gas():
    metered = meter(b"\0asm\1\0\0\0", imports={})
    assert not metered.has_memory
    assert metered.state == ()
    assert GAS.encode() in metered.code
