"""Compiled modules on disk: written once, checked at each load, removed when there are too many.

An artifact is machine code that will run in our process: wasmtime believes its bytes. So

* its **key** is made of the module's digest and `EngineConfig.digest`, which holds every setting of ours, the engine's
  version and the machine: wasmtime itself takes artifacts that were compiled under other settings;
* its file's name holds the key and the digest of the content, which is computed again before each load. What does not
  match is removed, as if it had never been there;
* the folder belongs to this user and is closed to all others;
* a file gets its name when it is complete and on disk.

Pruning goes by size, least recently used first, and never touches what was used a short while ago: a host that restarts
must find what it had.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kernel_py.wire.errors import HostFault

SUFFIX = ".cwasm"
SIZE_BYTES_MAX = 10 * 1_073_741_824
"""What all artifacts may take."""
AGE_S_MIN = 24 * 3_600.0
"""How long an artifact is kept after its last use, whatever it takes."""

_NAME = re.compile(r"([0-9a-f]{64}-[0-9a-f]{64})\.([0-9a-f]{64})\.cwasm")


def make_key(module_digest: str, config_digest: str) -> str:
    """The key of an artifact: of a module's digest and `EngineConfig.digest`."""
    return f"{module_digest}-{config_digest}"


class ArtifactStore:
    """A private folder of artifacts. Several processes may use one."""

    def __init__(
        self,
        folder: Path,
        *,
        size_bytes_max: int = SIZE_BYTES_MAX,
        age_s_min: float = AGE_S_MIN,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Open a folder, making it if there is none.

        Raises:
            HostFault: it is not this user's alone.
        """
        self._folder = folder
        self._size_bytes_max = size_bytes_max
        self._age_s_min = age_s_min
        self._now_s = now_s
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise HostFault(f"{folder} must belong to this user and be closed to others: what is in it is run as code")

    def find(self, key: str) -> Path | None:
        """The file of an artifact, its content checked; None if there is none that is whole."""
        for path in sorted(self._folder.glob(f"{key}.*{SUFFIX}")):
            match = _NAME.fullmatch(path.name)
            if match is None or match[1] != key:
                continue
            with suppress(FileNotFoundError):
                if _digest(path) == match[2]:
                    now_s = self._now_s()
                    os.utime(path, (now_s, now_s))
                    return path
                path.unlink()
        return None

    def make_temporary(self, key: str) -> Path:
        """A new, empty file in the folder, for `add`; nobody else writes or loads it."""
        path = self._folder / f"{key}.{os.urandom(8).hex()}.tmp"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        return path

    def add(self, key: str, temporary: Path) -> Path:
        """Make a temporary file the artifact of this key, durably, and remove what is over the limit."""
        with temporary.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        path = self._folder / f"{key}.{digest}{SUFFIX}"
        now_s = self._now_s()
        os.utime(temporary, (now_s, now_s))
        temporary.rename(path)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.prune()
        return path

    def prune(self) -> list[Path]:
        """Remove artifacts that are over the limit, the least recently used first. Returns them.

        Temporary files that nobody has written to for as long go too: their makers died.
        """
        now_s = self._now_s()
        files: list[tuple[float, int, Path]] = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        files.sort()
        excess = sum(size for _, size, path in files if path.suffix == SUFFIX) - self._size_bytes_max
        removed: list[Path] = []
        for used_s, size, path in files:
            if now_s - used_s < self._age_s_min:
                break
            if path.suffix == SUFFIX:
                if excess <= 0:
                    continue
                excess -= size
            path.unlink(missing_ok=True)
            removed.append(path)
        return removed


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
