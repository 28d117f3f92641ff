"""Nothing gets out of a realm: probes in Python, and in JavaScript as if the bridge to it were whole.

A vat's Python has no way to JavaScript. The second half does not rely on that: a debugger evaluates in the realm what
a vat could do that had found one.
"""

from __future__ import annotations

import ast
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Playwright

from e2e.harness.browser import Attached, ExtensionBrowser
from e2e.harness.control import Control

ESCAPES = (Path(__file__).parent / "vats/escapes.py").read_text()

KINDS = ("iframe", "worker")

PYTHON_PROBES = {
    "asyncio_run": "RuntimeError",
    "asyncio_streams": "RuntimeError",
    "change_file": "OSError",
    "clock": "nothing",
    "clock_below_python": "nothing",
    "convert_to_js": "ModuleNotFoundError",
    "converters": "nothing",
    "create_ctypes": "nothing",
    "create_pyodide_core": "nothing",
    "devices": "nothing",
    "entropy_below_python": "nothing",
    "environment": "nothing",
    "execute": "OSError",
    "extension_file": "ZipImportError",
    "file_url": "URLError",
    "files_of_the_machine": "FileNotFoundError",
    "finders_of_js": "nothing",
    "foreign_files": "nothing",
    "fork": "OSError",
    "frames": "nothing",
    "frames_of_a_traceback": "nothing",
    "functions_of_the_bridge": "nothing",
    "http_client": "OSError",
    "https": "OSError",
    "import_ctypes": "ModuleNotFoundError",
    "import_ctypes_anew": "ModuleNotFoundError",
    "import_faulthandler": "ModuleNotFoundError",
    "import_js": "ModuleNotFoundError",
    "import_js_anew": "ModuleNotFoundError",
    "import_micropip": "ModuleNotFoundError",
    "import_mmap": "ModuleNotFoundError",
    "import_posixsubprocess": "ModuleNotFoundError",
    "import_pyodide": "ModuleNotFoundError",
    "import_pyodide_anew": "ModuleNotFoundError",
    "import_pyodide_core": "ModuleNotFoundError",
    "import_pyodide_core_anew": "ModuleNotFoundError",
    "import_pyodide_js": "ModuleNotFoundError",
    "import_pyodide_js_anew": "ModuleNotFoundError",
    "import_remote_debugging": "ModuleNotFoundError",
    "import_testcapi": "ModuleNotFoundError",
    "import_testinternalcapi": "ModuleNotFoundError",
    "instance_of_js_proxy": "AttributeError",
    "instances_of_all_js_types": "nothing",
    "javascript_event_loop": "nothing",
    "listening": "OSError",
    "load_pyodide_core": "AttributeError",
    "main_module": "nothing",
    "make_folder": "OSError",
    "make_proxy": "ModuleNotFoundError",
    "modules_of_js": "nothing",
    "objects_of_js": "nothing",
    "pyodide_http": "ModuleNotFoundError",
    "referents_of_js": "nothing",
    "register_js_finder_anew": "ModuleNotFoundError",
    "run_js": "ModuleNotFoundError",
    "run_js_of_private_module": "ModuleNotFoundError",
    "run_process": "OSError",
    "shared_library": "OSError",
    "shell": "nothing",
    "sleep": "RuntimeError",
    "spawn": "AttributeError",
    "sqlite_extension": "AttributeError",
    "standard_input": "nothing",
    "start_thread": "RuntimeError",
    "start_worker_process": "ModuleNotFoundError",
    "subinterpreter": "ModuleNotFoundError",
    "tcp": "OSError",
    "tcp_without_blocking": "OSError",
    "timer_signal": "AttributeError",
    "udp": "OSError",
    "unix_socket": "AttributeError",
    "urllib": "URLError",
    "weak_references": "nothing",
    "web_browser": "ModuleNotFoundError",
    "write_file": "OSError",
}
"""How each probe of `vats/escapes.py` must end."""

JAVASCRIPT_PROBES = {
    # Network.
    "fetch": "fetch('http://127.0.0.1:PORT/fetch')",
    "fetch of an extension file": "fetch('/manifest.json')",
    "fetch of a data URL": "fetch('data:,1')",
    "XMLHttpRequest": "new XMLHttpRequest()",
    "WebSocket": "new WebSocket('ws://127.0.0.1:PORT/')",
    "WebSocketStream": "new WebSocketStream('ws://127.0.0.1:PORT/')",
    "EventSource": "new EventSource('http://127.0.0.1:PORT/')",
    "WebTransport": "new WebTransport('https://127.0.0.1:PORT/')",
    "Request": "new Request('http://127.0.0.1:PORT/')",
    "Response": "new Response('')",
    # Source text and machine code.
    "eval": "eval('1 + 1')",
    "Function": "new Function('return 1')()",
    "AsyncFunction": "(async () => {}).constructor('return 1')()",
    "GeneratorFunction": "(function* () {}).constructor('yield 1')().next()",
    "import of a data URL": "import('data:text/javascript,export default 1')",
    "import from the network": "import('http://127.0.0.1:PORT/import')",
    "importScripts": "importScripts('http://127.0.0.1:PORT/importScripts')",
    "WebAssembly.Module": "new WebAssembly.Module(EMPTY_MODULE)",
    "WebAssembly.compile": "WebAssembly.compile(EMPTY_MODULE)",
    "WebAssembly.instantiate": "WebAssembly.instantiate(EMPTY_MODULE)",
    # Storage.
    "indexedDB": "indexedDB.databases()",
    "caches": "caches.keys()",
    "file system": "navigator.storage.getDirectory()",
    "storage buckets": "navigator.storageBuckets.keys()",
    "FileReaderSync": "new FileReaderSync()",
    "Blob": "new Blob([])",
    "blob URLs": "URL.createObjectURL(new Blob([]))",
    # Other contexts.
    "BroadcastChannel": "new BroadcastChannel('x')",
    "MessageChannel": "new MessageChannel()",
    "postMessage": "postMessage('x') ?? 'sent'",
    "addEventListener": "addEventListener('message', () => 0) ?? 'added'",
    "dispatchEvent": "dispatchEvent(new Event('x'))",
    "Worker": "new Worker('/realm_worker.js')",
    "locks": "navigator.locks.query()",
    "close": "typeof close === 'function' ? 'can close' : close",
    # What is around.
    "navigator": "navigator.hardwareConcurrency",
    "location": "location.href",
    "origin": "origin",
    "Notification": "Notification.permission",
    "permissions": "navigator.permissions.query({ name: 'geolocation' })",
    "OffscreenCanvas": "new OffscreenCanvas(1, 1)",
    # Scheduling, clocks, entropy.
    "structuredClone": "structuredClone(1)",
    "queueMicrotask": "queueMicrotask(() => 0) ?? 'queued'",
    "setInterval": "setInterval(() => 0, 1)",
    "requestAnimationFrame": "requestAnimationFrame(() => 0)",
    "scheduler": "scheduler.postTask(() => 'ran')",
    "Atomics": "Atomics.load(new Int32Array(1), 0) + 1",
    "WeakRef": "new WeakRef({})",
    "FinalizationRegistry": "new FinalizationRegistry(() => 0)",
    "Intl": "new Intl.DateTimeFormat().resolvedOptions().timeZone",
    "subtle": "crypto.subtle.digest('SHA-256', new Uint8Array(1))",
    "randomUUID": "crypto.randomUUID()",
    "entropy": "crypto.getRandomValues(new Uint8Array(8)).some((byte) => byte !== 0x55) || NOTHING",
    "Math.random": "Math.random() !== Math.random() || NOTHING",
    "clock": "Date.now() > Date.UTC(2020) || NOTHING",
    "clock of new dates": "new Date().getTime() > Date.UTC(2020) || NOTHING",
    "clock of the real Date": "new (new Date().constructor)().getTime() > Date.UTC(2020) || NOTHING",
    "time as text": "!Date().includes('2000') || NOTHING",
    "uptime": "performance.now() !== 1000 || NOTHING",
}
"""Each must throw in a realm, and must succeed in an open worker."""

ABSENT_FROM_WORKERS = {
    "chrome": "chrome.runtime",
    "sendBeacon": "navigator.sendBeacon('http://127.0.0.1:PORT/beacon')",
    "RTCPeerConnection": "new RTCPeerConnection()",
    "SharedWorker": "new SharedWorker('/realm_worker.js')",
    "service worker": "navigator.serviceWorker.getRegistration()",
    "localStorage": "localStorage.length",
    "document": "document.body",
    "window": "window.name",
    "parent": "parent.postMessage('x', '*')",
    "frames": "document.createElement('iframe')",
    "SharedArrayBuffer": "new SharedArrayBuffer(1)",
}
"""Each must throw in a realm; no worker here has them."""

ATTEMPT = """(async () => {
  const EMPTY_MODULE = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
  try {
    return "ESCAPED: " + String(await (PROBE));
  } catch (error) {
    return error instanceof Error || error.constructor.name === "DOMException" ? error.name : typeof error;
  }
})()"""

REFUSALS = {"ReferenceError", "TypeError", "EvalError"}
"""How a probe may end: the name is unknown, it is not a function, or the policy forbids it."""


@dataclass
class Realms:
    """A vat of each kind that has tried all probes, and debuggers on their workers."""

    browser: ExtensionBrowser
    control: Control
    server: CountingServer
    outcomes: dict[str, dict[str, str]]
    workers: dict[str, Attached]

    def attempt(self, worker: str, probe: str) -> str:
        """How a JavaScript probe ended."""
        expression = ATTEMPT.replace("PROBE", probe.replace("PORT", str(self.server.port)))
        ended: str = self.workers[worker].evaluate(expression, may_eval=False)
        return ended


class CountingServer(http.server.ThreadingHTTPServer):
    """A web server on this machine: what a vat would reach if it could. Notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.paths: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(http.server.BaseHTTPRequestHandler):
    server: CountingServer

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - the base class's name

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def realms(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realms]:
    server = CountingServer()
    browser = ExtensionBrowser(playwright, tmp_path_factory.mktemp("confinement") / "profile")
    control = browser.open_control()
    outcomes: dict[str, dict[str, str]] = {}
    workers: dict[str, Attached] = {}
    for kind in KINDS:
        root = control.launch_one(ESCAPES, kind)
        workers[kind] = browser.attach_realm(kind)
        outcomes[kind] = ast.literal_eval(control.call(root, "run", str(server.port)))
    # A worker that was not told to become a realm.
    vat_host = browser.attach_vat_host()
    vat_host.evaluate("void (globalThis.openWorker = new Worker('/realm_worker.js?open', { type: 'module' }))")
    workers["open"] = vat_host.attach_child("worker", url="?open")
    yield Realms(browser, control, server, outcomes, workers)
    browser.close()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PYTHON_PROBES)
def test_python_gets_nowhere(realms: Realms, kind: str, name: str) -> None:
    assert realms.outcomes[kind][name] == PYTHON_PROBES[name]


def test_every_python_probe_was_tried(realms: Realms) -> None:
    for kind in KINDS:
        assert realms.outcomes[kind].keys() == PYTHON_PROBES.keys()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", {**JAVASCRIPT_PROBES, **ABSENT_FROM_WORKERS})
def test_javascript_gets_nowhere(realms: Realms, kind: str, name: str) -> None:
    assert realms.attempt(kind, {**JAVASCRIPT_PROBES, **ABSENT_FROM_WORKERS}[name]) in REFUSALS


def test_nothing_reached_the_network(realms: Realms) -> None:
    assert realms.server.paths == []


@pytest.mark.parametrize("kind", KINDS)
def test_only_listed_globals_are_left(realms: Realms, kind: str) -> None:
    names = realms.workers[kind].evaluate(LEFT)
    allowed = {*LANGUAGE, "TEMPORARY", "PERSISTENT"}
    assert set(names) - allowed == set()


LEFT = """(() => {
  const names = [];
  for (let object = globalThis; object !== Object.prototype; object = Object.getPrototypeOf(object)) {
    names.push(...Object.getOwnPropertyNames(object));
  }
  return names;
})()"""

LANGUAGE = {
    "AggregateError",
    "Array",
    "ArrayBuffer",
    "AsyncDisposableStack",
    "BigInt",
    "BigInt64Array",
    "BigUint64Array",
    "Boolean",
    "DataView",
    "Date",
    "DisposableStack",
    "Error",
    "EvalError",
    "Float16Array",
    "Float32Array",
    "Float64Array",
    "Function",
    "Infinity",
    "Int16Array",
    "Int32Array",
    "Int8Array",
    "Iterator",
    "JSON",
    "Map",
    "Math",
    "NaN",
    "Number",
    "Object",
    "Promise",
    "Proxy",
    "RangeError",
    "ReferenceError",
    "Reflect",
    "RegExp",
    "Set",
    "String",
    "SuppressedError",
    "Symbol",
    "SyntaxError",
    "TextDecoder",
    "TextEncoder",
    "TypeError",
    "URIError",
    "Uint16Array",
    "Uint32Array",
    "Uint8Array",
    "Uint8ClampedArray",
    "WeakMap",
    "WeakSet",
    "WebAssembly",
    "clearTimeout",
    "console",
    "crypto",
    "decodeURI",
    "decodeURIComponent",
    "encodeURI",
    "encodeURIComponent",
    "globalThis",
    "isFinite",
    "isNaN",
    "parseFloat",
    "parseInt",
    "performance",
    "setTimeout",
    "undefined",
}


# --- the probes themselves ----------------------------------------------------------------------


def test_javascript_probes_succeed_in_an_open_worker(realms: Realms) -> None:
    """But for what the extension's policy forbids there, too: source text, and code of foreign hosts."""
    refused = {name for name, probe in JAVASCRIPT_PROBES.items() if realms.attempt("open", probe) in REFUSALS}
    assert refused == FORBIDDEN_BY_POLICY


FORBIDDEN_BY_POLICY = {
    "AsyncFunction",
    "Function",
    "GeneratorFunction",
    "eval",
    "fetch of a data URL",
    "import from the network",
    "import of a data URL",
    "importScripts",
}

RUN_PROBES_IN_THE_OPEN = """async ({ source, names }) => {
  const { loadPyodide } = await import("/pyodide/pyodide.mjs");
  const lockFileContents = JSON.stringify({ info: { abi_version: "2026_0" }, packages: {} });
  const pyodide = await loadPyodide({ indexURL: "/pyodide/", lockFileContents });
  pyodide.FS.writeFile("/lib/kernel_py.zip", new Uint8Array(await (await fetch("/kernel_py.zip")).arrayBuffer()));
  pyodide.FS.writeFile("/home/pyodide/escapes.py", source);
  return pyodide.runPython(`
    import json, sys
    sys.path += ["/lib/kernel_py.zip", "/home/pyodide"]
    import escapes
    json.dumps({name: escapes.outcome(escapes.PROBES[name], 9) for name in ${JSON.stringify(names)}})
  `);
}"""

NOT_IN_A_PAGE = {"timer_signal"}
"""Probes that would break an unprepared Python down."""

OPEN_TO_PYTHON = {
    "change_file",
    "clock",
    "clock_below_python",
    "convert_to_js",
    "create_ctypes",
    "create_pyodide_core",
    "entropy_below_python",
    "finders_of_js",
    "functions_of_the_bridge",
    "import_ctypes",
    "import_ctypes_anew",
    "import_faulthandler",
    "import_js",
    "import_js_anew",
    "import_mmap",
    "import_posixsubprocess",
    "import_pyodide",
    "import_pyodide_anew",
    "import_pyodide_core",
    "import_pyodide_core_anew",
    "import_pyodide_js",
    "import_pyodide_js_anew",
    "import_remote_debugging",
    "import_testcapi",
    "import_testinternalcapi",
    "javascript_event_loop",
    "load_pyodide_core",
    "main_module",
    "make_folder",
    "make_proxy",
    "modules_of_js",
    "objects_of_js",
    "referents_of_js",
    "register_js_finder_anew",
    "sleep",
    "udp",
    "write_file",
}
"""What a Python that is not confined gives to the same probes."""


def test_python_probes_succeed_in_an_open_python(realms: Realms) -> None:
    argument = {"source": ESCAPES, "names": sorted(PYTHON_PROBES.keys() - NOT_IN_A_PAGE)}
    outcomes: dict[str, str] = json.loads(realms.browser.open_page().evaluate(RUN_PROBES_IN_THE_OPEN, argument))
    escaped = {name for name, outcome in outcomes.items() if outcome.startswith("ESCAPED")}
    assert escaped == OPEN_TO_PYTHON


# --- forged messages ----------------------------------------------------------------------------

FORGER = """
from kernel_py.hosts.browser import realm
from kernel_py.vat import Exo

class Forger(Exo):
    def bootstrap(self, vats, services):
        pass

    def forge(self, text):
        \"\"\"Answer everything from now on with this text.\"\"\"
        realm._session.receive = lambda _: [text]

    def act(self):
        return "acted"

def build_root_object(powers, parameters, baggage):
    return Forger()
"""

DONE = '["done",NEXT,["ok",null],[SYSCALL],{}]'

FORGED = {
    "not JSON": "escape",
    "not a message": '{"kind":"destroy","vat":"v1"}',
    "unknown message": '["terminate","v1"]',
    "empty": "[]",
    "hello of another vat": '["hello",{"protocol":1,"vat":"v1","incarnation":0,"delivered":0}]',
    "ready": '["ready",0]',
    "earlier delivery": '["done",1,["ok",null],[],{}]',
    "later delivery": '["done",99,["ok",null],[],{}]',
    "unknown syscall": DONE.replace("SYSCALL", '["exec","ls"]'),
    "malformed syscall": DONE.replace("SYSCALL", '["send"]'),
    "reference not held": DONE.replace("SYSCALL", '["send","o-50",{"methargs":{"body":"#[]","slots":[]}}]'),
    "reference of the kernel": DONE.replace("SYSCALL", '["send","ko20",{"methargs":{"body":"#[]","slots":[]}}]'),
    "promise that it does not decide": DONE.replace("SYSCALL", '["resolve",[["p-60",false,{"body":"#1","slots":[]}]]]'),
    "deep nesting": "[" * 100_000,
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_message_ends_the_vat_and_nothing_else(realms: Realms, name: str) -> None:
    control = realms.control
    launched = control.launch({"vat.py": FORGER}, {"forger": {"source": "vat.py", "kind": "worker"}})
    forger = launched["vats"]["forger"]
    upcoming = control.vat_status(forger)["deliveries"] + 2
    control.call(launched["root"], "forge", repr(FORGED[name].replace("NEXT", str(upcoming))))
    assert control.send(launched["root"], "act")["status"] == "rejected"
    states = {vat["vat"]: vat["state"] for vat in control.request("status")["vats"]}
    assert states.get(forger, "terminated") == "terminated"
    assert states["v1"] == states["v2"] == "running"
