"""Pages that copies have before they need them."""

from __future__ import annotations

import ctypes
import mmap
import sys

import pytest

pytest.importorskip("resource", reason="it is not in Pyodide")
from kernel_py.hosts.native.prefault import scout, touch

pytestmark = [pytest.mark.native, pytest.mark.skipif(sys.platform != "linux", reason="a matter of Linux")]

PAGE = mmap.PAGESIZE
PAGES = 100


@pytest.fixture
def memory():
    memory = mmap.mmap(-1, PAGES * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.write(bytes([7]) * (PAGES * PAGE))
    yield memory
    memory.close()


def address_of(memory):
    view = ctypes.c_char.from_buffer(memory)
    address = ctypes.addressof(view)
    del view
    return address


def covers(ranges, address):
    return [advice for advice, start, size in ranges if start <= address < start + size]


def test_what_a_copy_writes_to_is_found_and_what_it_reads_is_not(memory):
    def work():
        memory[40 * PAGE] = memory[80 * PAGE]

    ranges = scout(work)
    start = address_of(memory)
    assert covers(ranges, start + 40 * PAGE) == [23]
    assert covers(ranges, start + 80 * PAGE) == []
    assert memory[40 * PAGE] == 7


def test_pages_that_are_near_each_other_are_one_call(memory):
    def work():
        for page in (10, 12, 15, 30):
            memory[page * PAGE] = 1

    start = address_of(memory)
    found = [(at - start, size) for _, at, size in scout(work) if start <= at < start + PAGES * PAGE]
    assert found == [(10 * PAGE, 6 * PAGE), (30 * PAGE, PAGE)]


def test_a_scout_that_fails_finds_nothing(capfd):
    def work():
        raise OSError("no such work")

    assert scout(work) == []


def test_what_cannot_be_had_is_left_alone(memory):
    touch([(23, 0, PAGE), (23, address_of(memory), PAGE), (99, address_of(memory), PAGE), (22, 1 << 60, PAGE)])
    assert memory[0] == 7
