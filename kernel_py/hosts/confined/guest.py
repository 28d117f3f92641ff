"""The component's Python side: one vat session, called with texts and answering with texts.

Runs when the component is built, up to here; what is in memory then is what every vat begins with. There is no system
below: what reaches for it traps, which is the end of the realm. So what Python itself does along the way, such as
looking for the source of a line in a traceback, is answered here already, with the error of a file that there is not.
"""

from __future__ import annotations

import codecs
import gc
import importlib.machinery
import os
import sys
import traceback
from typing import Any, Final, NoReturn

from wit_world import WitWorld as World

from kernel_py.hosts.confined.rehearsal import live_once, open_store
from kernel_py.hosts.preloaded import preload
from kernel_py.vat.determinism import install_determinism
from kernel_py.vat.session import VatSession
from kernel_py.wire import canonical

_FILE_FUNCTIONS: Final = (
    "chdir",
    "getcwd",
    "link",
    "listdir",
    "lstat",
    "mkdir",
    "open",
    "readlink",
    "remove",
    "rename",
    "replace",
    "rmdir",
    "scandir",
    "stat",
    "symlink",
    "truncate",
    "unlink",
    "utime",
)

_ENCODINGS: Final = ("ascii", "hex", "idna", "latin-1", "utf-8", "utf-16", "utf-16-be", "utf-16-le", "utf-32")
"""Python loads them when they are first used."""


def _refuse(*_args: object, **_options: object) -> NoReturn:
    raise FileNotFoundError("there are no files here")


def _refuse_open(event: str, _args: tuple[object, ...]) -> None:
    if event == "open":
        _refuse()


def _close_files() -> None:
    """Let Python's own ways to files end here. It is not what confines: there is nothing to reach."""
    system: Any = sys.modules["posix"]
    for name in _FILE_FUNCTIONS:
        for module in (os, system):
            if hasattr(module, name):
                setattr(module, name, _refuse)
    os.access = lambda *_args, **_options: False
    sys.addaudithook(_refuse_open)  # also in C, where a syntax error looks for its line
    sys.path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.meta_path.remove(importlib.machinery.PathFinder)


preload()
for _encoding in _ENCODINGS:
    codecs.lookup(_encoding)
_ambient = install_determinism()
live_once(_ambient)
_store = open_store()
_session = VatSession(ambient=_ambient, make_store=lambda: _store)
_close_files()
gc.collect()
gc.freeze()  # what is in the image stays: the collector need not look at it, which would touch all of its pages


class WitWorld(World):  # type: ignore[misc]  # it is made when the component is built
    """What `vat.wit` exports."""

    def hello(self) -> str:
        return _session.hello()

    def receive(self, text: str) -> list[str]:
        try:
            return _session.receive(text)
        except BaseException:  # noqa: BLE001 (the component's outermost frame: nothing may pass)
            return [canonical.dump(["failed", traceback.format_exc()])]
