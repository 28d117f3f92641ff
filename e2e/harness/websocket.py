"""The client's side of WebSocket, as far as a debugger needs it: text messages, on this machine.

Source: RFC 6455.
"""

from __future__ import annotations

import base64
import os
import socket
import struct
from urllib.parse import urlsplit

_TEXT, _PING, _PONG = 1, 9, 10


class WebSocket:
    """One connection. Blocking."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._socket = socket.create_connection((parts.hostname, parts.port or 80))
        self._buffer = b""
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        status = self._read_headers()
        if " 101 " not in status:
            raise ConnectionError(f"{url}: {status}")

    def close(self) -> None:
        self._socket.close()

    def send(self, text: str) -> None:
        self._send(_TEXT, text.encode())

    def receive(self) -> str:
        """The next message."""
        parts: list[bytes] = []
        while True:
            is_last, code, payload = self._read_frame()
            if code == _PING:
                self._send(_PONG, payload)
            elif code in {0, _TEXT}:
                parts.append(payload)
                if is_last:
                    return b"".join(parts).decode()
            else:
                raise ConnectionError("the browser closed the connection")

    def _send(self, code: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | code, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | code, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | code, 0x80 | 127, size)
        # A mask of zeros leaves the payload as it is; it guards proxies, of which there is none here.
        self._socket.sendall(head + bytes(4) + payload)

    def _read_frame(self) -> tuple[bool, int, bytes]:
        first, second = self._read(2)
        size = second & 127
        if size == 126:
            (size,) = struct.unpack("!H", self._read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._read(8))
        return bool(first & 0x80), first & 15, self._read(size)

    def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            chunk = self._socket.recv(65536)
            if not chunk:
                raise ConnectionError("the browser is gone")
            self._buffer += chunk
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _read_headers(self) -> str:
        while b"\r\n\r\n" not in self._buffer:
            chunk = self._socket.recv(65536)
            if not chunk:
                raise ConnectionError("the browser is gone")
            self._buffer += chunk
        headers, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return headers.partition(b"\r\n")[0].decode()
