"""What the command line prints: the log as lines, tables, and the same as JSON.

Owns the form. Results and the log go to standard output, notes and errors to standard error.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kernel_py.wire import canonical

_STYLES = {
    "Sent": "cyan",
    "Got": "green",
    "Fulfilled": "blue",
    "Rejected": "red",
    "Notified": "bright_black",
    "Console": "default",
    "Vat": "magenta",
    "Cluster": "magenta",
    "Fault": "bold red",
}


class _Output(Console):
    """Standard output, whose reader may leave: that is an OSError like any other, not the end of the program."""

    def on_broken_pipe(self) -> None:
        with open(os.devnull, "wb") as null:  # noqa: PTH123 (what Python still has to write at its end goes there)
            os.dup2(null.fileno(), sys.stdout.fileno())
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class Printer:
    """Prints for people, or as JSON: one value a line, so that ``jq`` can read the log while it grows."""

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json
        self._out = _Output(soft_wrap=True, highlight=False, markup=False, emoji=False)
        self._err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)

    def value(self, value: Any, text: str) -> None:
        """A result: `value` as JSON, or `text`."""
        self.line(canonical.dump(value) if self.is_json else text)

    def line(self, text: str) -> None:
        self._out.out(text, highlight=False)

    def note(self, text: str) -> None:
        """Something for people alone; standard output stays a program's."""
        self._err.out(text, highlight=False, style="bright_black")

    def event(self, event: dict[str, Any]) -> None:
        """One event of the log."""
        if self.is_json:
            self.line(canonical.dump(event))
        else:
            self._out.print(Text(describe_event(event), style=_STYLES.get(event["class"], "default")))

    def table(self, value: Any, columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> None:
        """A result that is a list: `value` as JSON, or `columns` of its `rows`."""
        if self.is_json:
            self.line(canonical.dump(value))
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, no_wrap=True)
        for row in rows:
            table.add_row(*(Text(_cell(row.get(column))) for column in columns))
        self._out.print(table)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else ""
        case _:
            return str(value)


def describe_event(event: dict[str, Any]) -> str:
    """One line for people."""
    moment = time.strftime("%H:%M:%S", time.gmtime(event["time_ms"] / 1000)) + f".{event['time_ms'] % 1000:03}"
    who = event["vat"] if "vat" in event else event["cluster"]
    place = f"{who}:{event['number']}" if "number" in event else who
    return f"{moment}  {place:<8} {_describe(event)}"


def _describe(event: dict[str, Any]) -> str:
    match event:
        case {"class": "Sent" | "Got" as kind, "target": target, "method": method, "args": args, "result": result}:
            answer = f" -> {result}" if result else ""
            return f"{'sends' if kind == 'Sent' else 'gets'} {target}.{method}({args}){answer}"
        case {"class": "Fulfilled" | "Rejected" as kind, "promise": promise, "value": value}:
            return f"{'fulfils' if kind == 'Fulfilled' else 'rejects'} {promise}: {value}"
        case {"class": "Notified", "promises": promises}:
            return f"learns {', '.join(promises)}"
        case {"class": "Console", "text": text}:
            return f"prints {text}"
        case {"class": "Vat" | "Cluster", "name": name, "state": state, "reason": reason}:
            return f"{name} is {state}{': ' if reason else ''}{reason}"
        case {"class": "Fault", "fault": fault, "reason": reason}:
            return f"{fault}: {reason}"
        case _:
            return canonical.dump(event)
