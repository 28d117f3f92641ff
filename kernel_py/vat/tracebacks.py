"""Tracebacks as a vat's author wants to see them: with source lines, without the frames of the machinery."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Iterator, Mapping

from kernel_py.vat import loop as _loop_module
from kernel_py.wire.errors import cut_middle
from kernel_py.wire.limits import Limits

_MACHINERY = (_loop_module.__file__.removesuffix("loop.py"), _loop_module.ASYNCIO_FOLDER)


def format_error(error: BaseException, sources: Mapping[str, str], limits: Limits) -> str:
    """The traceback of `error` and of what caused it.

    Args:
        sources: source texts by the file names under which they were compiled.
    """
    for name, text in sources.items():
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    shown = traceback.TracebackException.from_exception(error)
    for part in _walk(shown):
        part.stack[:] = [frame for frame in part.stack if not frame.filename.startswith(_MACHINERY)]
    return cut_middle("".join(shown.format()).rstrip("\n"), limits.error_chars_max)


def _walk(shown: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    pending = [shown]
    while pending:
        part = pending.pop()
        yield part
        pending += [link for link in (part.__cause__, part.__context__, *(part.exceptions or ())) if link is not None]
