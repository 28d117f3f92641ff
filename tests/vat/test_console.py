"""The console collects what a delivery prints, up to a limit."""

from __future__ import annotations

import dataclasses
import sys

from kernel_py.vat.console import Console
from kernel_py.wire.limits import DEFAULT_LIMITS
from tests.vat.driving import DrivenVat


def make(chars_max=100):
    return Console(dataclasses.replace(DEFAULT_LIMITS, console_chars_max=chars_max))


def test_lines_are_taken_once():
    console = make()
    print("a\nb", file=console)
    print("c", end="", file=console)
    assert console.take() == ["a", "b", "c"]
    assert console.take() == []


def test_a_line_of_its_own_ends_what_was_begun():
    console = make()
    console.write("begun")
    console.line("whole")
    assert console.take() == ["begun", "whole"]


def test_what_is_over_the_limit_is_cut_with_a_note():
    console = make(10)
    print("12345", file=console)
    print("1234567890", file=console)
    print("more", file=console)
    assert console.take() == ["12345", "1234", "... what follows was cut: one delivery may print 10 characters"]
    print("again", file=console)
    assert console.take() == ["again"]


def test_standard_streams_are_redirected_only_meanwhile():
    console, outer = make(), (sys.stdout, sys.stderr)
    with console:
        print("out")  # noqa: T201
        print("err", file=sys.stderr)  # noqa: T201
    assert (sys.stdout, sys.stderr) == outer
    assert console.take() == ["out", "err"]


def test_a_vat_that_replaces_the_streams_replaces_them_for_itself():
    outer = sys.stdout, sys.stderr
    vat = DrivenVat("""
        import sys
        class Root(Exo):
            def spoil(self):
                print("before")
                sys.stdout.close()
                sys.stdout = sys.stderr = None
            def speak(self): print("still here")
        """)
    vat.call("spoil")
    assert vat.console == ["before"]
    assert (sys.stdout, sys.stderr) == outer
    vat.call("speak")
    assert vat.console == ["still here"]


def test_prints_of_a_vat_go_with_their_delivery():
    vat = DrivenVat("""
        print("loading")
        class Root(Exo):
            async def speak(self):
                print("first")
                await asyncio.sleep(0)
                print("second")
        """)
    assert vat.console == ["loading"]
    vat.call("speak")
    assert vat.console == ["first", "second"]
    vat.call("speak", 1, result=None)
    assert vat.console[-1].startswith("a call whose result nobody wants failed: TypeError: ")
