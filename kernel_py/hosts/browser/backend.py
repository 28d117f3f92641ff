"""Kernel state in IndexedDB: the browser's backend.

Owns the form in which deltas cross to JavaScript (``web/src/store/indexed_db.ts``), which owns the database.
Everything that goes wrong over there is a `StoreError` here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Protocol, TypeVar

from pyodide.ffi import JsException

from kernel_py.core.store import Delta, missing_bundle, missing_chunk, missing_entry
from kernel_py.wire import canonical
from kernel_py.wire.errors import StoreError

_T = TypeVar("_T")


class StoreBridge(Protocol):
    """A store in JavaScript. Methods return promises, which reject if something goes wrong."""

    def load(self) -> Awaitable[str]: ...

    def commit(self, text: str) -> Awaitable[None]: ...

    def readTranscript(self, vat: str, first: int, last: int) -> Awaitable[str]: ...  # noqa: N802 (JavaScript's name)

    def findBundle(self, id: str) -> Awaitable[object]: ...  # noqa: A002, N802 (JavaScript's names)

    def findChunk(self, id: str) -> Awaitable[object]: ...  # noqa: A002, N802 (JavaScript's names)

    def listTranscripts(self) -> Awaitable[str]: ...  # noqa: N802 (JavaScript's name)

    def listBundles(self) -> Awaitable[str]: ...  # noqa: N802 (JavaScript's name)

    def listChunks(self) -> Awaitable[str]: ...  # noqa: N802 (JavaScript's name)

    def closeStore(self) -> None: ...  # noqa: N802 (JavaScript's name)


class IndexedDbBackend:
    """A backend over a store that JavaScript has opened."""

    def __init__(self, store: StoreBridge, on_commit: Callable[[int], None] = lambda _: None) -> None:
        """Make a backend; `on_commit` is told how many characters a commit had, when it is durable."""
        self._store = store
        self._on_commit = on_commit

    async def load(self) -> dict[str, str]:
        texts: dict[str, str] = json.loads(await _guard("the state cannot be read", self._store.load()))
        return texts

    async def commit(self, delta: Delta) -> None:
        text = canonical.dump(_fields(delta))
        await _guard("the state cannot be written", self._store.commit(text))
        self._on_commit(len(text))

    async def read_transcript(self, vat: str, first: int, last: int) -> list[str]:
        what = f"the transcript of {vat} cannot be read"
        entries: list[str] | int = json.loads(await _guard(what, self._store.readTranscript(vat, first, last)))
        if isinstance(entries, int):
            raise missing_entry(vat, entries)
        return entries

    async def read_bundle(self, bundle: str) -> str:
        text = await _guard(f"the bundle {bundle} cannot be read", self._store.findBundle(bundle))
        if not isinstance(text, str):
            raise missing_bundle(bundle)
        return text

    async def read_chunk(self, chunk: str) -> bytes:
        text = await _guard(f"the chunk {chunk} cannot be read", self._store.findChunk(chunk))
        if not isinstance(text, str):
            raise missing_chunk(chunk)
        return base64.b64decode(text)

    async def list_transcripts(self) -> list[tuple[str, int, int]]:
        ranges = json.loads(await _guard("the transcripts cannot be listed", self._store.listTranscripts()))
        return [(vat, first, last) for vat, first, last in ranges]

    async def list_bundles(self) -> list[str]:
        bundles: list[str] = json.loads(await _guard("the bundles cannot be listed", self._store.listBundles()))
        return bundles

    async def list_chunks(self) -> list[str]:
        chunks: list[str] = json.loads(await _guard("the chunks cannot be listed", self._store.listChunks()))
        return chunks

    async def close(self) -> None:
        self._store.closeStore()


def _fields(delta: Delta) -> dict[str, object]:
    """As `asdict`, which would copy every value; bytes in base64."""
    values = {field.name: getattr(delta, field.name) for field in fields(delta)}
    values["chunks"] = {chunk: base64.b64encode(packed).decode() for chunk, packed in delta.chunks.items()}
    return values


async def _guard(what: str, promise: Awaitable[_T]) -> _T:
    try:
        return await promise
    except JsException as error:
        cause = getattr(error.js_error, "cause", None)
        raise StoreError(f"{what}: {error}" + (f" ({cause})" if cause else "")) from error
