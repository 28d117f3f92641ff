"""Tracebacks as a vat's author wants to see them: with source lines, without the frames of the machinery.

A remote error is shown with its id, under which the vat that raised it, and each that passed it on, has reported its
own part of the way.
"""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Iterator, Mapping

from kernel_py.vat import loop as _loop_module
from kernel_py.wire.errors import cut_middle
from kernel_py.wire.limits import Limits
from kernel_py.wire.passable import RemoteError

_MACHINERY = (_loop_module.__file__.removesuffix("loop.py"), _loop_module.ASYNCIO_FOLDER)


def format_error(error: BaseException, sources: Mapping[str, str], limits: Limits) -> str:
    """The traceback of `error` and of what caused it.

    Args:
        sources: source texts by the file names under which they were compiled.
    """
    for name, text in sources.items():
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    shown = traceback.TracebackException.from_exception(error)
    for part, of in _walk(shown, error):
        part.stack[:] = [frame for frame in part.stack if not frame.filename.startswith(_MACHINERY)]
        if isinstance(of, RemoteError) and of.error_id is not None:
            part.__notes__ = [*(part.__notes__ or ()), f"reported as {of.error_id}"]
    return cut_middle("".join(shown.format()).rstrip("\n"), limits.error_chars_max)


def _walk(
    shown: traceback.TracebackException, error: BaseException
) -> Iterator[tuple[traceback.TracebackException, BaseException]]:
    """Every exception that is shown."""
    pending = [(shown, error)]
    while pending:
        part, of = pending.pop()
        yield part, of
        links = [(part.__cause__, of.__cause__), (part.__context__, of.__context__)]
        if isinstance(of, BaseExceptionGroup):
            links += zip(part.exceptions or (), of.exceptions, strict=False)
        pending += [(link, cause) for link, cause in links if link is not None and cause is not None]
