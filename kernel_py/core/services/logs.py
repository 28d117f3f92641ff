"""The service ``log``: lines for whoever watches the kernel.

    log.debug(...), log.info(...), log.warning(...), log.error(...)   arguments are shown as print shows them

A line is an event of class Logged. It leaves with the commit of the crank that wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernel_py.core import kmarshal
from kernel_py.core.events import Log
from kernel_py.core.schema import GRANT
from kernel_py.core.services.service import NO_CONFIG, LocalCall, Method

LEVELS = ("debug", "info", "warning", "error")


class LogService:
    """Writes to the kernel's log."""

    name = "log"
    config_schema: dict[str, Any] = NO_CONFIG

    def __init__(self, log: Log) -> None:
        self._log = log
        self.methods: Mapping[str, Mapping[str, Method]] = {GRANT: {level: self._make(level) for level in LEVELS}}

    def _make(self, level: str) -> Method:
        def write(call: LocalCall, /, *args: object) -> None:
            if self._log.is_observed:
                self._log.logged(call.record.cluster, call.target, level, " ".join(map(_show, args)))

        return write


def _show(value: object) -> str:
    return value if isinstance(value, str) else kmarshal.show(value)
