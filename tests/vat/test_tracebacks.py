"""Tracebacks show the vat's code, and nothing of the machinery."""

from __future__ import annotations

import dataclasses

from kernel_py.vat.tracebacks import format_error
from kernel_py.wire.limits import DEFAULT_LIMITS
from kernel_py.wire.passable import make_remote_error

SOURCE = """
def fail():
    raise ValueError("inner")

def chain():
    try:
        fail()
    except ValueError as error:
        raise KeyError("outer") from error

def group():
    errors = []
    for function in (fail, chain):
        try:
            function()
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup("several", errors)
"""


def catch(function, name="v1/main.py"):
    module = {}
    exec(compile(SOURCE, name, "exec"), module)
    try:
        module[function]()
    except Exception as error:  # noqa: BLE001
        return error


def test_source_lines_are_shown():
    text = format_error(catch("fail"), {"v1/main.py": SOURCE}, DEFAULT_LIMITS)
    assert '  File "v1/main.py", line 3, in fail\n    raise ValueError("inner")\n' in text
    assert text.endswith("ValueError: inner")


def test_causes_and_members_of_groups_are_shown():
    text = format_error(catch("group"), {"v1/main.py": SOURCE}, DEFAULT_LIMITS)
    for part in (
        "ValueError: inner",
        "KeyError: 'outer'",
        "The above exception was the direct cause",
        "several (2 sub-exceptions)",
    ):
        assert part in text


def test_each_vat_has_its_own_source_also_under_the_same_name():
    other = "\n\n    # another source\n"
    error = catch("fail")
    assert "raise ValueError" in format_error(error, {"v1/main.py": SOURCE}, DEFAULT_LIMITS)
    assert "# another source" in format_error(catch("fail"), {"v1/main.py": other}, DEFAULT_LIMITS)
    assert "raise ValueError" in format_error(catch("fail"), {"v1/main.py": SOURCE}, DEFAULT_LIMITS)


def test_a_long_one_is_cut_in_the_middle():
    limits = dataclasses.replace(DEFAULT_LIMITS, error_chars_max=200)
    text = format_error(catch("group"), {}, limits)
    assert len(text) <= 250
    assert "characters left out" in text


def test_a_remote_error_is_shown_with_its_id_also_as_a_cause_or_member():
    remote = make_remote_error("ValueError", "no", "error:liveSlots:v7#70001")
    error = KeyError("outer")
    error.__cause__ = ExceptionGroup("several", [KeyError("first"), remote])
    text = format_error(error, {}, DEFAULT_LIMITS)
    assert "RemoteValueError: no\n    | reported as error:liveSlots:v7#70001\n" in text
    assert format_error(remote, {}, DEFAULT_LIMITS).endswith(
        "RemoteValueError: no\nreported as error:liveSlots:v7#70001"
    )
    assert "reported" not in format_error(make_remote_error("ValueError", "no", None), {}, DEFAULT_LIMITS)
