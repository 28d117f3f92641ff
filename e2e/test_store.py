"""The store in IndexedDB: the conformance suite of all backends, in a real Chromium, and what is its own."""

from __future__ import annotations

import functools
import http.server
import importlib
import inspect
import json
import subprocess
import sys
import threading
import types
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, Playwright

from e2e.harness.browser import CHROMIUM_ARGUMENTS, ROOT
from kernel_py.core.store import Backend, Delta
from kernel_py.hosts.memory import run_now
from kernel_py.wire.errors import StoreError
from scripts.chromium import find_chromium
from tests.core import test_backends as conformance

DATABASE = "kernel_py"


class JsException(Exception):
    """As Pyodide's: an exception of JavaScript."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.js_error = types.SimpleNamespace(cause=None)


class StoreInPage:
    """The TypeScript store in a page, as Python under Pyodide sees it."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.epoch: int = self._run("open(name)", DATABASE)

    def load(self) -> Awaitable[str]:
        return self._call("load")

    def commit(self, text: str) -> Awaitable[None]:
        return self._call("commit", text)

    def readTranscript(self, vat: str, first: int, last: int) -> Awaitable[str]:  # noqa: N802
        return self._call("readTranscript", vat, first, last)

    def findBundle(self, id: str) -> Awaitable[object]:  # noqa: A002, N802
        return self._call("findBundle", id)

    def findChunk(self, id: str) -> Awaitable[object]:  # noqa: A002, N802
        return self._evaluate("findChunk(name)", id)

    def listTranscripts(self) -> Awaitable[str]:  # noqa: N802
        return self._call("listTranscripts")

    def listBundles(self) -> Awaitable[str]:  # noqa: N802
        return self._call("listBundles")

    def listChunks(self) -> Awaitable[str]:  # noqa: N802
        return self._call("listChunks")

    def closeStore(self) -> None:  # noqa: N802
        self._run("store.close()", None)

    async def _call(self, method: str, *arguments: Any) -> Any:
        return self._run(f"store.{method}(...name)", arguments)

    async def _evaluate(self, expression: str, argument: Any) -> Any:
        return self._run(expression, argument)

    def _run(self, expression: str, argument: Any) -> Any:
        try:
            return self._page.evaluate(f"(name) => {expression}", argument)
        except PlaywrightError as error:
            raise JsException(error.message) from error


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A web site with the store's module. URL of its page."""
    folder = tmp_path_factory.mktemp("site")
    rolldown = [ROOT / "node_modules/.bin/rolldown", ROOT / "web/src/store/indexed_db.ts", "--format", "esm"]
    subprocess.run([*rolldown, "-o", folder / "store.js"], check=True, capture_output=True)
    script = """
        import { IndexedDbStore, encodeBase64 } from "./store.js";
        globalThis.open = async (name) => (globalThis.store = await IndexedDbStore.open(name)).epoch;
        globalThis.findChunk = async (id) => {
            const packed = await store.findChunk(id);
            return packed === undefined ? undefined : encodeBase64(packed);
        };
    """
    (folder / "index.html").write_text(f"<!doctype html><title>store</title><script type=module>{script}</script>")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Any]:
    browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_ARGUMENTS))
    yield browser
    browser.close()


@pytest.fixture
def page(chromium: Any, site: str) -> Iterator[Page]:
    """A page with storage of its own."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(site)
    yield page
    context.close()


@pytest.fixture
def open_backend(page: Page, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Backend]:
    pyodide = types.ModuleType("pyodide")
    pyodide.ffi = types.ModuleType("pyodide.ffi")  # type: ignore[attr-defined]
    pyodide.ffi.JsException = JsException  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyodide", pyodide)
    monkeypatch.setitem(sys.modules, "pyodide.ffi", pyodide.ffi)
    monkeypatch.delitem(sys.modules, "kernel_py.hosts.browser.backend", raising=False)
    module = importlib.import_module("kernel_py.hosts.browser.backend")
    return lambda: module.IndexedDbBackend(StoreInPage(page))


@pytest.fixture
def reopen(page: Page, open_backend: Callable[[], Backend]) -> Callable[[], Backend]:
    """Opens the backend; called again, opens what the first one stored, in a page anew."""

    def reopen() -> Backend:
        page.reload()
        return open_backend()

    return reopen


# The tests of the conformance suite are those that ask for nothing but a backend.
globals().update(
    {
        name: test
        for name, test in vars(conformance).items()
        if name.startswith("test_") and "reopen" in inspect.signature(test).parameters
    }
)


def test_the_conformance_suite_is_here() -> None:
    assert "test_puts_and_deletes_survive_reopening" in globals()


def test_a_failed_commit_stores_nothing(reopen: Callable[[], Backend]) -> None:
    backend = reopen()
    run_now(backend.commit(Delta(puts={"a.1": "1"}, transcript=[("v1", 1, "a")])))
    with pytest.raises(StoreError, match="nothing of it was stored"):
        run_now(backend.commit(Delta(puts={"a.1": "2", "a.2": "3"}, transcript=[("v1", 1, "again")])))
    assert run_now(reopen().load()) == {"a.1": "1"}


def test_epochs_grow(reopen: Callable[[], Backend], page: Page) -> None:
    epochs = [StoreInPage(page).epoch for _ in range(3)]
    assert epochs == sorted(set(epochs))


def test_a_database_of_a_newer_layout_is_refused_and_left_alone(reopen: Callable[[], Backend], page: Page) -> None:
    backend = reopen()
    run_now(backend.commit(Delta(puts={"a.1": "1"})))
    with pytest.raises(StoreError):
        run_now(backend.read_bundle("none"))  # makes a checkpoint
    page.reload()
    page.evaluate(UPGRADE, DATABASE)
    with pytest.raises(JsException, match="has layout 4, and this version reads up to 3"):
        StoreInPage(page)
    assert page.evaluate(READ, DATABASE) == "1"


UPGRADE = """(name) => new Promise((resolve) => {
    const request = indexedDB.open(name, 4);
    request.onsuccess = () => { request.result.close(); resolve(); };
})"""

READ = """(name) => new Promise((resolve) => {
    const request = indexedDB.open(name);
    request.onsuccess = () => {
        const reading = request.result.transaction("kv").objectStore("kv").get("a.1");
        reading.onsuccess = () => resolve(reading.result);
    };
})"""


def test_a_database_of_the_first_layout_is_converted(reopen: Callable[[], Backend], page: Page) -> None:
    page.evaluate(MAKE_LAYOUT_1, DATABASE)
    backend = reopen()
    assert run_now(backend.load()) == {"a.1": "1"}
    run_now(backend.commit(Delta(transcript=[("v1", 3, "c")])))
    assert run_now(backend.read_transcript("v1", 1, 3)) == ["a", "b", "c"]
    assert run_now(backend.read_bundle("b1-1")) == "one"


def test_a_database_of_the_second_layout_is_converted(reopen: Callable[[], Backend], page: Page) -> None:
    page.evaluate(MAKE_LAYOUT_2, DATABASE)
    backend = reopen()
    assert run_now(backend.load()) == {"a.1": "1"}
    run_now(backend.commit(Delta(chunks={"ab": b"1"})))
    assert run_now(reopen().list_chunks()) == ["ab"]


MAKE_LAYOUT_2 = """(name) => new Promise((resolve) => {
    const request = indexedDB.open(name, 2);
    request.onupgradeneeded = () => {
        for (const store of ["kv", "transcripts", "bundles", "meta"]) request.result.createObjectStore(store);
        request.result.createObjectStore("log", { autoIncrement: true });
        request.transaction.objectStore("kv").put("1", "a.1");
    };
    request.onsuccess = () => { request.result.close(); resolve(); };
})"""

MAKE_LAYOUT_1 = """(name) => new Promise((resolve) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => {
        const stores = ["kv", "transcripts", "bundles", "meta"].map((store) => request.result.createObjectStore(store));
        const [kv, transcripts, bundles, meta] = stores;
        kv.put("1", "a.1");
        transcripts.put("a", ["v1", 1]);
        transcripts.put("b", ["v1", 2]);
        bundles.put("one", "b1-1");
        meta.put(7, "epoch");
    };
    request.onsuccess = () => { request.result.close(); resolve(); };
})"""


def test_a_log_longer_than_its_limit_is_carried_over(reopen: Callable[[], Backend], page: Page) -> None:
    backend = reopen()
    for number in range(1, 33):
        text = "x" * 100_000
        delta = Delta(puts={f"a.{number}": text}, deletes=[f"a.{number - 1}"], transcript=[("v1", number, text)])
        run_now(backend.commit(delta))
    logged = page.evaluate(COUNT, [DATABASE, "log"])
    assert 0 < logged < 10
    assert page.evaluate(COUNT, [DATABASE, "transcripts"]) < 10
    backend = reopen()
    assert run_now(backend.load()) == {"a.32": "x" * 100_000}
    assert run_now(backend.read_transcript("v1", 2, 32)) == ["x" * 100_000] * 31


COUNT = """([name, store]) => new Promise((resolve) => {
    const request = indexedDB.open(name);
    request.onsuccess = () => {
        const counting = request.result.transaction(store).objectStore(store).count();
        counting.onsuccess = () => { request.result.close(); resolve(counting.result); };
    };
})"""


def test_another_version_that_upgrades_the_database_ends_this_one(reopen: Callable[[], Backend], page: Page) -> None:
    backend = reopen()
    page.evaluate(UPGRADE, DATABASE)
    with pytest.raises(StoreError, match="another version of this program"):
        run_now(backend.commit(Delta(puts={"a.1": "1"})))


def test_a_hundred_thousand_keys_load(reopen: Callable[[], Backend]) -> None:
    backend = reopen()
    puts = {f"v{n % 100}.clist.ko{n}": json.dumps(["R", f"o-{n}"]) for n in range(100_000)}
    run_now(backend.commit(Delta(puts=puts)))
    assert run_now(reopen().load()) == puts


def test_what_is_not_text_survives(reopen: Callable[[], Backend]) -> None:
    """Lone surrogates are escaped on the way; keys that are names of JavaScript's own mean nothing."""
    puts = {"a.__proto__": "1", "__proto__": "2", "constructor": "3", "a.\x00": "\x00", "b": "\ud800"}
    run_now(reopen().commit(Delta(puts=puts)))
    assert run_now(reopen().load()) == puts
