"""A vat that tries to get out of its realm.

Every probe raises if it got nowhere, and returns a description of what it got if it got somewhere: nothing, or an
empty list, is nowhere. `run` tries them all. The probes know how the realm is built; none may succeed, and each must
fail in the expected way (`test_confinement.py`), so that a probe that is merely broken is noticed.
"""

from __future__ import annotations

import asyncio
import builtins
import gc
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Callable
from typing import Any

from kernel_py.vat import Exo

PROBES: dict[str, Callable[[int], Any]] = {}

JS_TYPE_NAMES = (
    "JsBuffer",
    "JsCallable",
    "JsDoubleProxy",
    "JsException",
    "JsPromise",
    "JsProxy",
    "PyodideFuture",
    "WebLoop",
)


def probe(function: Callable[[int], Any]) -> Callable[[int], Any]:
    PROBES[function.__name__] = function
    return function


class Prober(Exo):
    def bootstrap(self, vats, services):
        pass

    def names(self):
        return list(PROBES)

    def run(self, port):
        """Try everything; `port` is where a web server listens on this machine. How each probe ended, by name."""
        return {name: outcome(function, port) for name, function in PROBES.items()}


def outcome(function: Callable[[int], Any], port: int) -> str:
    try:
        got = function(port)
    except BaseException as error:
        return type(error).__name__
    return f"ESCAPED: {got!r:.300}" if got else "nothing"


def build_root_object(powers, parameters, baggage):
    return Prober()


def import_anew(name: str) -> types.ModuleType:
    """Import past the refusals in sys.modules."""
    root = name.partition(".")[0]
    for known in [known for known in sys.modules if known == root or known.startswith(root + ".")]:
        del sys.modules[known]
    return importlib.import_module(name)


def live_objects() -> list[Any]:
    gc.collect()
    return gc.get_objects()


# --- network ------------------------------------------------------------------------------------


@probe
def tcp(port):
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"GET /tcp HTTP/1.0\r\n\r\n")
        return connection.recv(100)


@probe
def tcp_without_blocking(port):
    import socket

    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex(("127.0.0.1", port))
    return connection.send(b"GET /tcp HTTP/1.0\r\n\r\n")


@probe
def udp(port):
    import socket

    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", ("127.0.0.1", port))


@probe
def listening(port):
    import socket

    server = socket.socket()
    server.bind(("127.0.0.1", port + 1))
    server.listen()
    server.setblocking(False)
    return server.accept()


@probe
def unix_socket(port):
    import socket

    return socket.socket(socket.AF_UNIX).connect("/tmp/socket")


@probe
def urllib(port):
    import urllib.request

    return urllib.request.urlopen(f"http://127.0.0.1:{port}/urllib").read()


@probe
def http_client(port):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/http_client")
    return connection.getresponse().read()


@probe
def https(port):
    import http.client

    http.client.HTTPSConnection("127.0.0.1", port).request("GET", "/https")
    return "sent"


@probe
def asyncio_streams(port):
    return asyncio.get_event_loop().run_until_complete(asyncio.open_connection("127.0.0.1", port))


@probe
def asyncio_run(port):
    async def connect():
        return await asyncio.open_connection("127.0.0.1", port)

    return asyncio.run(connect())


@probe
def web_browser(port):
    import webbrowser

    return webbrowser.open(f"http://127.0.0.1:{port}/webbrowser")


@probe
def pyodide_http(port):
    return import_anew("pyodide.http").open_url(f"http://127.0.0.1:{port}/pyodide_http").read()


# --- the bridge to JavaScript -------------------------------------------------------------------


@probe
def import_js(port):
    import js

    return js


@probe
def import_js_anew(port):
    return import_anew("js")


@probe
def import_pyodide_js(port):
    import pyodide_js

    return pyodide_js


@probe
def import_pyodide_js_anew(port):
    return import_anew("pyodide_js._api")


@probe
def import_pyodide(port):
    import pyodide

    return pyodide


@probe
def import_pyodide_anew(port):
    return import_anew("pyodide")


@probe
def import_micropip(port):
    import micropip

    return micropip


@probe
def import_pyodide_core(port):
    import _pyodide_core

    return _pyodide_core


@probe
def import_pyodide_core_anew(port):
    return import_anew("_pyodide_core")


@probe
def create_pyodide_core(port):
    import _imp

    return _imp.create_builtin(importlib.machinery.ModuleSpec("_pyodide_core", None))


@probe
def load_pyodide_core(port):
    sys.modules.pop("_pyodide_core", None)
    # It gives a module of that name with nothing in it.
    return importlib.machinery.BuiltinImporter.load_module("_pyodide_core").create_proxy


@probe
def run_js(port):
    return import_anew("pyodide.code").run_js("globalThis")


@probe
def run_js_of_private_module(port):
    return import_anew("pyodide._run_js").run_js("globalThis")


@probe
def make_proxy(port):
    return import_anew("pyodide.ffi").create_proxy(object())


@probe
def convert_to_js(port):
    return import_anew("pyodide.ffi").to_js({})


@probe
def register_js_finder_anew(port):
    hook = import_anew("_pyodide._importhook")
    hook.register_js_finder()
    try:
        return import_anew("js")
    finally:
        sys.meta_path.remove(hook.jsfinder)


@probe
def finders_of_js(port):
    finders = [*sys.meta_path, *(finder for finder in live_objects() if hasattr(type(finder), "find_spec"))]
    return [finder for finder in finders if getattr(finder, "jsproxies", None)]


@probe
def modules_of_js(port):
    return [name for name, module in sys.modules.items() if type(module).__name__ in JS_TYPE_NAMES]


@probe
def objects_of_js(port):
    return [type(found).__name__ for found in live_objects() if type(found).__name__ in JS_TYPE_NAMES]


@probe
def referents_of_js(port):
    """One step further than the collector looks: what its objects hold."""
    return [
        type(found).__name__
        for holder in live_objects()
        for found in gc.get_referents(holder)
        if type(found).__name__ in JS_TYPE_NAMES
    ]


@probe
def functions_of_the_bridge(port):
    names = ("run_js", "create_proxy", "to_js", "run_sync", "raw_call", "create_once_callable", "destroy_proxies")
    return [
        found for found in live_objects() if isinstance(found, types.BuiltinFunctionType) and found.__name__ in names
    ]


@probe
def instance_of_js_proxy(port):
    js_proxy = next(cls for cls in object.__subclasses__() if cls.__name__ == "JsProxy")
    return object.__new__(js_proxy).constructor


@probe
def instances_of_all_js_types(port):
    got = []
    for cls in [found for found in live_objects() if isinstance(found, type) and found.__module__ == "pyodide.ffi"]:
        try:
            got.append(cls().constructor)
        except Exception:
            continue
    return got


@probe
def converters(port):
    """Objects that Pyodide keeps for converting arguments: they convert nothing without a proxy."""
    got = []
    for found in [found for found in live_objects() if "2Js" in type(found).__name__ or "2Py" in type(found).__name__]:
        for argument in ({}, len, "text"):
            try:
                got.append(type(found(argument)).__name__)
            except Exception:
                continue
    return [name for name in got if name in JS_TYPE_NAMES]


@probe
def frames(port):
    """The stack down to its bottom: who called is Python, and what it can see is the vat's own."""
    seen = []
    frame = sys._getframe()
    while frame is not None:
        names = {**frame.f_globals, **frame.f_locals}
        seen += [name for name, value in names.items() if type(value).__name__ in JS_TYPE_NAMES]
        frame = frame.f_back
    return seen


@probe
def frames_of_a_traceback(port):
    try:
        raise ValueError
    except ValueError as error:
        frame = error.__traceback__.tb_frame
    while frame.f_back is not None:
        frame = frame.f_back
    return [name for name, value in frame.f_globals.items() if type(value).__name__ in JS_TYPE_NAMES]


@probe
def main_module(port):
    return [name for name in vars(sys.modules["__main__"]) if not name.startswith("__")]


@probe
def javascript_event_loop(port):
    for get in (asyncio.get_running_loop, lambda: asyncio.get_event_loop_policy().get_event_loop()):
        try:
            if type(get()).__name__ == "WebLoop":
                return get()
        except Exception:
            continue
    return None


@probe
def weak_references(port):
    import weakref

    alive = [found() for found in live_objects() if isinstance(found, weakref.ref)]
    return [type(found).__name__ for found in alive if type(found).__name__ in JS_TYPE_NAMES]


# --- machine code and the interpreter -----------------------------------------------------------


@probe
def import_ctypes(port):
    import ctypes

    return ctypes.CDLL(None)


@probe
def import_ctypes_anew(port):
    return import_anew("_ctypes")


@probe
def create_ctypes(port):
    import _imp

    return _imp.create_builtin(importlib.machinery.ModuleSpec("_ctypes", None))


@probe
def shared_library(port):
    path = "/tmp/escape.so"
    with builtins.open(path, "wb") as file:
        # A side module that imports nothing: the dylink.0 section alone.
        file.write(bytes.fromhex("0061736d0100000000100864796c696e6b2e3001050000000000"))
    loader = importlib.machinery.ExtensionFileLoader("escape", path)
    spec = importlib.util.spec_from_file_location("escape", path, loader=loader)
    return importlib.util.module_from_spec(spec)


@probe
def import_testcapi(port):
    return import_anew("_testcapi")


@probe
def import_testinternalcapi(port):
    return import_anew("_testinternalcapi")


@probe
def import_remote_debugging(port):
    return import_anew("_remote_debugging")


@probe
def import_mmap(port):
    return import_anew("mmap")


@probe
def import_faulthandler(port):
    return import_anew("faulthandler")


@probe
def import_posixsubprocess(port):
    return import_anew("_posixsubprocess")


@probe
def subinterpreter(port):
    return importlib.import_module("_interpreters").create()


# --- processes, threads, files ------------------------------------------------------------------


@probe
def fork(port):
    return os.fork()


@probe
def execute(port):
    return os.execv("/bin/sh", ["sh"])


@probe
def spawn(port):
    return os.posix_spawn("/bin/sh", ["sh"], {})


@probe
def shell(port):
    # -1, or a status: there is no shell either way.
    return os.system("echo escaped > /tmp/escaped") == 0 and os.path.exists("/tmp/escaped")


@probe
def run_process(port):
    import subprocess

    return subprocess.run(["sh", "-c", "echo"], check=True)


@probe
def start_thread(port):
    import threading

    thread = threading.Thread(target=print)
    thread.start()
    return thread


@probe
def start_worker_process(port):
    import multiprocessing

    process = multiprocessing.Process(target=print)
    process.start()
    return process


@probe
def files_of_the_machine(port):
    return builtins.open("/etc/passwd").read()


@probe
def foreign_files(port):
    """The file system is the realm's own, with Python in it, the store of a worker vat, and nothing else."""
    return [path for path in os.listdir("/") if path not in {"dev", "home", "lib", "proc", "store", "tmp"}]


@probe
def extension_file(port):
    import zipimport

    return zipimport.zipimporter("chrome-extension://invalid/kernel_py.zip")


@probe
def file_url(port):
    import urllib.request

    return urllib.request.urlopen("file:///etc/passwd").read()


@probe
def devices(port):
    return [name for name in os.listdir("/dev") if name not in DEVICES]


DEVICES = {"null", "tty", "tty1", "random", "urandom", "shm", "stdin", "stdout", "stderr"}


@probe
def environment(port):
    return [name for name in os.environ if name not in ENVIRONMENT]


ENVIRONMENT = {
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "PATH",
    "PWD",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHASHSEED",
    "PYTHONINSPECT",
    "TZ",
    "USER",
    "_",
}


@probe
def standard_input(port):
    return sys.__stdin__.readline()


@probe
def sqlite_extension(port):
    import sqlite3

    connection = sqlite3.connect(":memory:")
    connection.enable_load_extension(True)
    return connection.execute("SELECT load_extension('/tmp/escape.so')").fetchall()


@probe
def timer_signal(port):
    import signal

    signal.setitimer(signal.ITIMER_REAL, 0.001)
    return signal.getitimer(signal.ITIMER_REAL)[0] and signal.sigtimedwait({signal.SIGALRM}, 0)


# --- clocks and entropy -------------------------------------------------------------------------


@probe
def clock(port):
    import time

    first = [time.time(), time.monotonic(), time.perf_counter(), time.process_time()]
    for _ in range(100_000):
        pass
    return first != [time.time(), time.monotonic(), time.perf_counter(), time.process_time()]


@probe
def write_file(port):
    """Files live in JavaScript, where nothing of a vat may be: a snapshot of its heap has all there is."""
    return builtins.open("/tmp/file", "w")


@probe
def change_file(port):
    return os.chmod("/lib/kernel_py.zip", 0o600) or "changed"


@probe
def make_folder(port):
    return os.mkdir("/tmp/folder") or "made"


@probe
def clock_below_python(port):
    """The times of what Python makes in its file system come from JavaScript's clock."""
    times = set()
    for _ in range(3):
        times.add(os.fstat(os.pipe()[0]).st_mtime_ns)
        for _ in range(50_000):
            pass
    return len(times) > 1


@probe
def sleep(port):
    import time

    return time.sleep(0.001) or "slept"


@probe
def entropy_below_python(port):
    """Devices are served by JavaScript."""
    with builtins.open("/dev/urandom", "rb", buffering=0) as device:
        return device.read(16) != device.read(16)
