"""Archives: the whole state of a kernel as one file, the same whatever backend it comes from or goes to.

Owns the format: lines of JSON, objects to say what follows and lists that hold it.

    {"format": "kernel_py archive", "version": 1, "schema": 1}
    {"part": "bundle", "id": bundle}                            then one line: [text]
    {"part": "chunk", "id": chunk}                              then one line: [packed bytes, in base64]
    {"part": "transcript", "vat": vat, "first": n, "last": n}   then a line for each entry: [text]
    {"part": "state"}                                           then a line for each row: [key, value]
    {"end": name of the part, "lines": n, "sha256": of its lines}
    {"end": "archive", "parts": n, "sha256": of all lines before}

Every bundle comes first, then every chunk of a heap, then every transcript, then the state. Reading and writing hold
one line, or what goes into one commit, in memory at a time.

Invariants:
    * What does not agree with its digest is refused, with the name of the part; so is what ends early.
    * An archive of an earlier schema version is taken over as it is: the kernel that starts over it migrates it.
    * A store into which an import was not finished is no kernel's: it says so (`schema.IMPORTING`), and a kernel
      refuses it. It can be imported into again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from kernel_py.core import schema
from kernel_py.core.migrations import is_readable
from kernel_py.core.store import Backend, Delta
from kernel_py.wire import canonical
from kernel_py.wire.errors import StoreError
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits

FORMAT: Final = "kernel_py archive"
VERSION: Final = 2
_VERSION_WITHOUT_CHUNKS: Final = 1

_ENTRIES_READ = 200
"""Transcript entries in memory at a time."""

_COMMIT_CHARS = 4_000_000
"""Text gathered before it is committed."""

_LINE_OVERHEAD = 8
"""A text's JSON may be so many times as long in bytes: a control character is six, and there is the list around it."""

_SCHEMA_KEY: Final = schema.store_key(schema.KERNEL, schema.VERSION)

# --- writing ------------------------------------------------------------------------------------


async def export_archive(backend: Backend, write: Callable[[bytes], object]) -> int:
    """Write the whole state of a store that holds a kernel's. Nothing may be committed to it meanwhile.

    Args:
        write: takes the next bytes of the archive.

    Returns:
        The number of parts.

    Raises:
        StoreError: there is nothing to export, or it cannot be read. What was written is no archive.
    """
    texts = await backend.load()
    version = texts.get(_SCHEMA_KEY)
    if version != str(schema.SCHEMA_VERSION):
        raise StoreError(
            "the store is empty: there is nothing to export"
            if not texts
            else f"the store has schema version {version}, this program exports {schema.SCHEMA_VERSION}"
        )
    writer = _Writer(write)
    writer.say({"format": FORMAT, "version": VERSION, "schema": schema.SCHEMA_VERSION})
    for bundle in await backend.list_bundles():
        writer.begin({"part": "bundle", "id": bundle})
        writer.add([await backend.read_bundle(bundle)])
        writer.end(f"bundle {bundle}")
    for chunk in await backend.list_chunks():
        writer.begin({"part": "chunk", "id": chunk})
        writer.add([base64.b64encode(await backend.read_chunk(chunk)).decode()])
        writer.end(f"chunk {chunk}")
    for vat, first, last in await backend.list_transcripts():
        writer.begin({"part": "transcript", "vat": vat, "first": first, "last": last})
        for start in range(first, last + 1, _ENTRIES_READ):
            for entry in await backend.read_transcript(vat, start, min(start + _ENTRIES_READ - 1, last)):
                writer.add([entry])
        writer.end(f"transcript {vat}")
    writer.begin({"part": "state"})
    for key in sorted(texts):
        writer.add([key, texts[key]])
    writer.end("state")
    writer.finish()
    return writer.parts


class _Writer:
    """Counts and digests the lines it writes."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._whole = hashlib.sha256()
        self._part = hashlib.sha256()
        self._lines = 0
        self.parts = 0

    def say(self, value: object) -> bytes:
        line = canonical.dump(value).encode() + b"\n"
        self._whole.update(line)
        self._write(line)
        return line

    def begin(self, head: dict[str, Any]) -> None:
        self._part = hashlib.sha256()
        self._lines = 0
        self.say(head)

    def add(self, line: list[str]) -> None:
        self._part.update(self.say(line))
        self._lines += 1

    def end(self, name: str) -> None:
        self.say({"end": name, "lines": self._lines, "sha256": self._part.hexdigest()})
        self.parts += 1

    def finish(self) -> None:
        self.say({"end": "archive", "parts": self.parts, "sha256": self._whole.hexdigest()})


# --- reading ------------------------------------------------------------------------------------


class ArchiveImport:
    """Takes an archive in chunks and puts it into an empty store.

    Call `begin`, then `feed` until the archive has ended, then `finish`. After a failure of any of them, or instead of
    going on, call `abandon`, which leaves the store empty.
    """

    def __init__(self, backend: Backend, limits: Limits = DEFAULT_LIMITS) -> None:
        self._backend = backend
        self._line_bytes_max = limits.batch_chars_max * _LINE_OVERHEAD
        self._rest = bytearray()
        self._reader = _Reader()

    async def begin(self) -> None:
        """Make sure of the store.

        Raises:
            StoreError: it is not empty; nothing was changed, and `abandon` must not be called.
        """
        texts = await self._backend.load()
        if texts and texts.get(_SCHEMA_KEY) != schema.IMPORTING:
            raise StoreError("the store is not empty: import into a new one")
        await self.clear()

    async def clear(self) -> None:
        """Throw away what the store holds, whatever it is: from now on it says that an import is not finished."""
        await self._clear()
        await self._backend.commit(Delta(puts={_SCHEMA_KEY: schema.IMPORTING}))

    async def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the archive.

        Raises:
            StoreError: they are not an archive's, or cannot be stored.
        """
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._rest += end
            line, self._rest = bytes(self._rest), bytearray()
            self._reader.take(line)
            if self._reader.chars >= _COMMIT_CHARS:
                await self._backend.commit(self._reader.take_delta())
        self._rest += rest
        if len(self._rest) > self._line_bytes_max:
            raise self._reader.corrupt(f"a line of more than {self._line_bytes_max:,} bytes")

    async def finish(self) -> int:
        """The archive has ended: make the store a kernel's. Returns the number of parts.

        Raises:
            StoreError: it ended early.
        """
        if self._rest:
            raise self._reader.corrupt("its last line is cut off")
        self._reader.finish()
        delta = self._reader.take_delta()
        delta.puts[_SCHEMA_KEY] = str(self._reader.schema_version)
        await self._backend.commit(delta)
        return self._reader.parts

    async def abandon(self) -> None:
        """Leave the store empty."""
        await self._clear()

    async def _clear(self) -> None:
        vats = [vat for vat, _, _ in await self._backend.list_transcripts()]
        bundles, chunks = await self._backend.list_bundles(), await self._backend.list_chunks()
        keys = list(await self._backend.load())
        delta = Delta(deletes=keys, transcript_drops=vats, bundle_drops=bundles, chunk_drops=chunks)
        await self._backend.commit(delta)


def check_archive(chunks: Iterable[bytes]) -> None:
    """Read an archive to its end.

    Raises:
        StoreError: it is not sound.
    """
    reader = _Reader()
    for line in _split(chunks):
        reader.take(line)
        reader.take_delta()
    reader.finish()


async def replace_by_archive(backend: Backend, chunks: Iterable[bytes], limits: Limits = DEFAULT_LIMITS) -> int:
    """Put an archive in the place of all that a store holds, whatever it is. Returns the number of parts.

    Call `check_archive` before: of a damaged archive nothing is left, nor of what was there. A store in which this was
    cut off says so (`schema.IMPORTING`), and can be imported into again.

    Raises:
        StoreError: this is no sound archive, or the store cannot be written.
    """
    importing = ArchiveImport(backend, limits)
    await importing.clear()
    for chunk in chunks:
        await importing.feed(chunk)
    return await importing.finish()


def _split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of an archive, of which the last may be cut off."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


async def import_archive(backend: Backend, chunks: Iterable[bytes] | bytes, limits: Limits = DEFAULT_LIMITS) -> int:
    """Put an archive into an empty store, which stays empty if that fails. Returns the number of parts.

    Raises:
        StoreError: the store is not empty, cannot be written, or this is no sound archive.
    """
    importing = ArchiveImport(backend, limits)
    await importing.begin()
    try:
        for chunk in (chunks,) if isinstance(chunks, bytes) else chunks:
            await importing.feed(chunk)
        return await importing.finish()
    except BaseException:
        await importing.abandon()
        raise


class _Reader:
    """Checks an archive line by line, and gathers what it holds.

    Attributes:
        parts: those that are complete.
        schema_version: of the rows.
        chars: text gathered since the last `take_delta`.
    """

    def __init__(self) -> None:
        self.parts = 0
        self.schema_version = schema.SCHEMA_VERSION
        self.chars = 0
        self._delta = Delta()
        self._whole = hashlib.sha256()
        self._part = hashlib.sha256()
        self._lines = 0
        self._name = ""  # of the part that is being read
        self._done: dict[str, None] = {}
        self._take_line: Callable[[Any], None] | None = None
        self._has_head = False
        self._has_ended = False

    def corrupt(self, what: str) -> StoreError:
        """The error that says so, and where."""
        if not self._has_head:
            return StoreError(f"not an archive of a kernel: {what}")
        last = next(reversed(self._done), "its head")
        where = f"in {self._name}" if self._name else f"after {last}"
        return StoreError(f"the archive is damaged {where}: {what}; nothing of it was imported")

    def take_delta(self) -> Delta:
        delta, self._delta = self._delta, Delta()
        self.chars = 0
        return delta

    def take(self, line: bytes) -> None:
        if self._has_ended:
            raise self.corrupt("it goes on after its end")
        try:
            value = canonical.load(line.decode())
        except (ValueError, RecursionError) as error:
            raise self.corrupt(f"a line is not JSON: {error}") from None
        match value:
            case list() if self._take_line is not None:
                self._part.update(line + b"\n")
                self._lines += 1
                self._take_line(value)
            case {"format": str(name), "version": version, "schema": stored} if not self._has_head:
                self._check_head(name, version, stored)
            case {"part": _} if self._has_head and self._take_line is None:
                self._begin_part(value)
            case {"end": "archive", "parts": parts, "sha256": digest} if self._has_head and self._take_line is None:
                self._check_end(parts, digest)
            case {"end": str(name), "lines": lines, "sha256": digest} if self._take_line is not None:
                self._end_part(name, lines, digest)
            case _:
                raise self.corrupt(f"unexpected: {line[:100].decode(errors='replace')}")
        self._whole.update(line + b"\n")

    def _check_head(self, name: str, version: object, stored: object) -> None:
        if name != FORMAT:
            raise self.corrupt(f"its format is {name!r:.100}")
        if version not in (VERSION, _VERSION_WITHOUT_CHUNKS):
            raise StoreError(f"the archive has version {version!r:.20}, this program reads {VERSION}: use a newer one")
        if not isinstance(stored, int) or not is_readable(stored):
            raise StoreError(
                f"the archive has schema version {stored!r:.20}, this program reads {schema.SCHEMA_VERSION}: "
                "use the program that wrote it"
            )
        self._has_head = True
        self.schema_version = stored

    def _begin_part(self, head: dict[str, Any]) -> None:
        match head:
            case {"part": "bundle", "id": str(bundle)}:
                name = f"bundle {bundle}"
                self._take_line = lambda line: self._take_bundle(bundle, line)
            case {"part": "chunk", "id": str(chunk)}:
                name = f"chunk {chunk}"
                self._take_line = lambda line: self._take_chunk(chunk, line)
            case {"part": "transcript", "vat": str(vat), "first": int(first), "last": int(last)}:
                name = f"transcript {vat}"
                self._take_line = lambda line: self._take_entry(vat, first, last, line)
            case {"part": "state"}:
                name = "state"
                self._take_line = self._take_row
            case _:
                raise self.corrupt(f"unknown part: {head!s:.200}")
        if name in self._done:
            raise self.corrupt(f"{name} comes twice")
        self._name = name
        self._part = hashlib.sha256()
        self._lines = 0

    def _end_part(self, name: str, lines: object, digest: object) -> None:
        if name != self._name:
            raise self.corrupt(f"the end of {name!r:.100} comes first")
        if lines != self._lines:
            raise self.corrupt(f"it has {self._lines} lines of {lines!r:.20}")
        if digest != self._part.hexdigest():
            raise self.corrupt("its digest does not match")
        self._done[name] = None
        self._name = ""
        self._take_line = None
        self.parts += 1

    def _check_end(self, parts: object, digest: object) -> None:
        if parts != self.parts or digest != self._whole.hexdigest():
            raise self.corrupt("the digest of the whole does not match")
        self._has_ended = True

    def finish(self) -> None:
        if not self._has_ended:
            raise self.corrupt("it ends here, too early")
        if "state" not in self._done:
            raise self.corrupt("it has no state")

    # --- what the parts hold --------------------------------------------------------------------

    def _take_bundle(self, bundle: str, line: Any) -> None:
        match line:
            case [str(text)] if self._lines == 1:
                self._delta.bundles[bundle] = text
                self.chars += len(text)
            case _:
                raise self.corrupt("a bundle is one text")

    def _take_chunk(self, chunk: str, line: Any) -> None:
        match line:
            case [str(text)] if self._lines == 1:
                try:
                    self._delta.chunks[chunk] = base64.b64decode(text, validate=True)
                except binascii.Error as error:
                    raise self.corrupt(f"a chunk is not in base64: {error}") from None
                self.chars += len(text)
            case _:
                raise self.corrupt("a chunk is one text")

    def _take_entry(self, vat: str, first: int, last: int, line: Any) -> None:
        number = first + self._lines - 1
        match line:
            case [str(entry)] if number <= last:
                self._delta.transcript.append((vat, number, entry))
                self.chars += len(entry)
            case _:
                raise self.corrupt(f"unexpected in place of entry {number}")

    def _take_row(self, line: Any) -> None:
        match line:
            case [str(key), str(value)]:
                if self.schema_version == schema.SCHEMA_VERSION:
                    schema.decode(key, value)
                if key != _SCHEMA_KEY:
                    self._delta.puts[key] = value
                    self.chars += len(key) + len(value)
            case _:
                raise self.corrupt("unexpected in place of a row")
