"""The batch refuses what would make all of it illegal."""

from __future__ import annotations

import dataclasses

import pytest

from kernel_py.vat.batch import Batch
from kernel_py.wire.capdata import CapData, Message
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.limits import DEFAULT_LIMITS
from kernel_py.wire.refs import Vref
from kernel_py.wire.syscalls import Exit, Resolution, Send, Subscribe, parse_syscall


def make(**limits):
    return Batch(dataclasses.replace(DEFAULT_LIMITS, **limits))


def send(body="#0"):
    return Send(Vref("o-50"), Message(CapData(body), None))


def resolution(vpid="p-60", body="#0"):
    return Resolution(vpid, False, CapData(body))


def test_syscalls_are_taken_once_in_order_and_in_the_form_of_the_wire():
    batch = make()
    syscalls = [send(), Subscribe(Vref("p+5")), Exit(False, CapData("#0"))]
    batch.send(syscalls[0])
    batch.subscribe(syscalls[1])
    batch.exit(syscalls[2])
    batch.resolve(resolution(), resolution("p-61"))
    taken = batch.take()
    assert [item[0] for item in taken] == ["send", "subscribe", "exit", "resolve"]
    assert [parse_syscall(_listed(item)) for item in taken[:3]] == syscalls
    assert batch.take() == []


def _listed(value):
    """JSON's own forms: tuples as lists."""
    match value:
        case list() | tuple():
            return [_listed(item) for item in value]
        case dict():
            return {key: _listed(item) for key, item in value.items()}
        case _:
            return value


def test_sends_are_refused_before_the_batch_is_full_and_settlements_are_not():
    batch = make(batch_syscalls_max=10)
    for _ in range(9):
        batch.send(send())
    with pytest.raises(MarshalError, match="one delivery has made 9 syscalls"):
        batch.send(send())
    batch.resolve(resolution())
    assert len(batch.take()) == 10


def test_sends_are_refused_before_the_batch_is_too_long():
    batch = make(batch_chars_max=10_000)
    batch.send(send("#" + "1" * 8000))
    with pytest.raises(MarshalError, match="one delivery can send 9,000 characters"):
        batch.send(send("#" + "1" * 1000))
    batch.send(send())


def test_a_batch_that_is_over_a_limit_all_the_same_is_an_error_and_gone():
    batch = make(batch_syscalls_max=10)
    for number in range(11):
        batch.resolve(resolution(f"p-{number}"))
    with pytest.raises(MarshalError, match="11 syscalls"):
        batch.take()
    assert batch.take() == []


def test_settlements_that_are_too_much_for_one_syscall_are_made_one_by_one():
    batch = make(body_chars_max=100)
    batch.resolve(*(resolution(f"p-{number}", "#" + "1" * 40) for number in range(3)))
    assert [[item[0] for item in settled] for _, settled in batch.take()] == [["p-0"], ["p-1"], ["p-2"]]
