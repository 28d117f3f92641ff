"""Cuts Python off from JavaScript inside a realm, before any code of a vat runs.

Owns the list of what a vat cannot import. Cutting is defence in depth: what confines a realm is that
its JavaScript globals are scrubbed (``web/src/realm/scrub.ts``), and, for iframe vats, its opaque origin
and content security policy. Whoever restored the bridge would find nothing at its other end. Python
itself has no wall between a vat's objects, so this removes things instead of hiding them.

Invariants, checked at the end: no object of a JavaScript type exists, and no module of Pyodide's is
importable. From outside, ``web/src/realm/cut.ts`` completes it: it takes the names in `BUILTINS_CUT` from the
interpreter's table of built-in modules, and empties Pyodide's table of JavaScript references.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import time
import types
from typing import Any

from kernel_py.vat.meter import hide_monitoring

_ROOTS_CUT = ("js", "pyodide_js", "pyodide", "_pyodide", "_pyodide_core", "micropip")
"""Top-level packages that reach JavaScript."""

BUILTINS_CUT = (
    "_ctypes",  # calls any function at any address
    "_posixsubprocess",
    "_pyodide_core",
    "_remote_debugging",  # reads the interpreter's memory
    "_testcapi",  # the _test modules reach into the interpreter
    "_testclinic",
    "_testclinic_limited",
    "_testinternalcapi",
    "_testlimitedcapi",
    "_xxtestfuzz",
    "faulthandler",  # crashes on purpose
    "mmap",
    "termios",
    "xxsubtype",
)
"""Built-in modules that a vat has no use for, and that could undo the cut or crash the realm."""


class BridgeError(RuntimeError):
    """Something of the bridge to JavaScript is left; the realm must not be used."""


def cut_bridge() -> None:
    """Remove every way from Python to JavaScript. Afterwards only calls from JavaScript to Python work.

    Raises:
        BridgeError: something is left.
    """
    js_types = _get_js_types()
    _stop_event_loop()
    _remove_finders()
    _empty_loaders()
    # Before the modules are emptied: importing needs their finders.
    clear_extension = importlib.import_module("_testinternalcapi").clear_extension
    for module in _remove_modules():
        vars(module).clear()
    # Single-phase modules are cached by the interpreter, and would come back whole.
    for name in BUILTINS_CUT:
        clear_extension(name, name)
    del clear_extension
    _empty_main()
    hide_monitoring()
    sys.path_importer_cache.clear()
    gc.collect()
    _check_nothing_left(js_types)
    # What is there now stays: a vat that brings out its dead need not look at it each time.
    gc.freeze()


def _get_js_types() -> tuple[type, ...]:
    """The types of all proxies: Pyodide's C type and the abstract class of the same name."""
    return tuple(
        cls for cls in object.__subclasses__() if cls.__module__ == "pyodide.ffi" and cls.__name__ == "JsProxy"
    )


def _stop_event_loop() -> None:
    """Pyodide's event loop runs on JavaScript's timers; a vat has its own. Undo what it replaced, too."""
    asyncio._set_running_loop(None)  # noqa: SLF001 (there is no other way to leave a loop from inside)
    asyncio.events._event_loop_policy = None  # type: ignore[attr-defined]  # noqa: SLF001
    for module, name in ((asyncio, "run"), (time, "sleep")):
        replaced = getattr(module, name)
        setattr(module, name, getattr(replaced, "__wrapped__", replaced))


def _remove_finders() -> None:
    for finder in list(sys.meta_path):
        if _get_root(getattr(finder, "__module__", "")) == "_pyodide":
            vars(finder).get("jsproxies", {}).clear()
            sys.meta_path.remove(finder)


def _empty_loaders() -> None:
    """JavaScript holds the specs of the modules made of its objects; those hold loaders, and those the objects."""
    for loader in gc.get_objects():
        if _get_root(type(loader).__module__) == "_pyodide" and type(loader).__name__ == "JsLoader":
            vars(loader).clear()


def _remove_modules() -> list[types.ModuleType]:
    cut = [name for name in sys.modules if _get_root(name) in _ROOTS_CUT or name in BUILTINS_CUT]
    modules: list[Any] = [sys.modules.pop(name) for name in cut]
    # Importing what is None raises ImportError.
    sys.modules.update(dict.fromkeys((*_ROOTS_CUT, *BUILTINS_CUT)))  # type: ignore[arg-type]
    # Modules made of JavaScript objects are proxies, and hold nothing.
    return [module for module in modules if type(module) is types.ModuleType]


def _empty_main() -> None:
    namespace = sys.modules["__main__"].__dict__
    for name in [name for name in namespace if not name.startswith("__")]:
        del namespace[name]


def _check_nothing_left(js_types: tuple[type, ...]) -> None:
    if not js_types:
        raise BridgeError("the types of JavaScript proxies were not found: this Pyodide is of another version")
    # Proxies are not tracked by the collector, but what holds one is.
    held = (found for holder in gc.get_objects() for found in gc.get_referents(holder))
    left = sorted({type(found).__name__ for found in held if _is_proxy(found, js_types)})
    if left:
        raise BridgeError(f"JavaScript objects are still held by Python: {', '.join(left)}")
    for finder in sys.meta_path:
        if _get_root(getattr(finder, "__module__", "")) in _ROOTS_CUT:
            raise BridgeError(f"{finder!r} still imports JavaScript modules")


def _is_proxy(found: object, js_types: tuple[type, ...]) -> bool:
    # By the type's own bases: isinstance() would ask abstract classes, which look at the object.
    return not isinstance(found, type) and any(base in js_types for base in type.mro(type(found)))


def _get_root(module: str) -> str:
    return module.partition(".")[0]
