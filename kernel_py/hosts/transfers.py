"""Archives that clients send and get: the whole state of a kernel, in pieces, beside the control requests.

Owns the form on a client's connection. An archive (`kernel_py.core.archive`) travels as notifications, each with
the id of the request that it belongs to:

    {"method": "archive", "params": {"id": request, "index": n, "text": piece}}

*export* is answered with ``{parts, pieces}`` once all pieces were sent. For *import* the pieces come first; the request
says how many there were. A request that is made again, because a connection was lost, finds none of them: the client is
told to begin anew. Neither is recorded: an export changes nothing, after an import there is nothing to record it in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kernel_py.core import control, jsonschema
from kernel_py.wire import canonical
from kernel_py.wire.errors import KernelError, RequestError

PIECE_CHARS = 500_000
"""Text in one notification: several a second, and no copy of it hurts."""

_PIECE = {
    "type": "object",
    "required": ["id", "index", "text"],
    "properties": {"id": {"type": "string"}, "index": {"type": "integer"}, "text": {"type": "string"}},
}
_IMPORT = {"type": "object", "required": ["pieces"], "properties": {"pieces": {"type": "integer"}}}


Export = Callable[[Callable[[bytes], object]], Awaitable[int]]
"""Writes an archive, whole lines at a time; the number of its parts."""


async def send_archive(key: str, send: Callable[[str], None], export: Export) -> None:
    """Carry out an export."""
    outgoing = _Outgoing(key, send)
    try:
        parts = await export(outgoing.write)
    except KernelError as error:
        send(control.dump_error(key, control.SERVER_ERROR, error))
        return
    outgoing.flush()
    send(control.dump_result(key, {"parts": parts, "pieces": outgoing.pieces}))


class _Outgoing:
    """Sends an archive to a client.

    Attributes:
        pieces: those that were sent.
    """

    def __init__(self, key: str, send: Callable[[str], None]) -> None:
        self._key = key
        self._send = send
        self._gathered: list[str] = []
        self._chars = 0
        self.pieces = 0

    def write(self, lines: bytes) -> None:
        """Take whole lines of the archive."""
        text = lines.decode()
        self._gathered.append(text)
        self._chars += len(text)
        if self._chars >= PIECE_CHARS:
            self.flush()

    def flush(self) -> None:
        """Send what was gathered."""
        if not self._gathered:
            return
        params = {"id": self._key, "index": self.pieces, "text": "".join(self._gathered)}
        self._send(canonical.dump({"jsonrpc": "2.0", "method": "archive", "params": params}))
        self.pieces += 1
        self._gathered.clear()
        self._chars = 0


class Incoming:
    """Archives that a client is sending, by the id of the import."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[str]] = {}

    def take(self, params: dict[str, Any]) -> None:
        """Take a piece. One that is out of order is of an earlier connection, or of nobody's: forget the archive.

        Raises:
            RequestError: it is no piece.
        """
        jsonschema.validate(params, _PIECE, "params")
        if params["index"] == 0:
            self._pieces.clear()  # one archive at a time is enough
            self._pieces[params["id"]] = []
        pieces = self._pieces.get(params["id"], [])
        if params["index"] == len(pieces):
            pieces.append(params["text"])
        else:
            self._pieces.pop(params["id"], None)

    async def put(
        self, call: control.Call, send: Callable[[str], None], replace: Callable[[list[bytes]], Awaitable[int]]
    ) -> None:
        """Carry out an import.

        Args:
            replace: puts an archive in the place of the host's state; the number of its parts.
        """
        try:
            parts = await replace(self._complete(call.key, call.params))
        except KernelError as error:
            send(control.dump_error(call.key, control.SERVER_ERROR, error))
        else:
            send(control.dump_result(call.key, {"parts": parts}))

    def _complete(self, key: str, params: dict[str, Any]) -> list[bytes]:
        """The archive of an import.

        Raises:
            RequestError: pieces of it are missing.
        """
        jsonschema.validate(params, _IMPORT, "params")
        pieces = self._pieces.pop(key, [])
        if len(pieces) != params["pieces"]:
            raise RequestError(
                f"{len(pieces)} of the archive's {params['pieces']} pieces arrived: the connection was lost meanwhile. "
                "Nothing was changed; begin again"
            )
        return [piece.encode() for piece in pieces]
