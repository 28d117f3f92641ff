"""The component in which confined Python vats run: built and compiled once, then found again.

    python -m kernel_py.hosts.native.confined_component

It is CPython with the vat side of this package in its memory, and imports nothing. Its name is the digest of the
sources in it and of what builds it, so that a change of either makes another one. Building takes componentize-py ten
seconds, compiling wasmtime half a minute; both are shared by all kernels of a user. Who comes meanwhile waits.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import kernel_py
from kernel_py.hosts.native.artifacts import ArtifactStore
from kernel_py.hosts.native.confined import ConfinedEngine
from kernel_py.wire.errors import HostFault

PACKAGE = Path(kernel_py.__file__).parent
PARTS = ("__init__.py", "wire", "vat", "hosts/__init__.py", "hosts/confined", "hosts/preloaded.py")
"""Of the package, what is in the component."""
COMPONENTS_KEPT = 3
"""Older ones are removed: each has 20 MB."""

_BUILD = "import sys; from componentize_py import script; sys.exit(script())"
_ERROR_CHARS_SHOWN = 2_000


def cache_folder() -> Path:
    """Where this user's components and compiled modules are: `KERNEL_PY_CACHE`, else the system's place for caches."""
    named = os.environ.get("KERNEL_PY_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kernel_py"


def artifact_store(folder: Path) -> ArtifactStore:
    """The compiled modules in a cache folder."""
    return ArtifactStore(folder / "artifacts")


def component_path(folder: Path) -> Path:
    """The file of the component that goes with this very package."""
    return folder / "components" / f"{_digest()}.wasm"


def _sources() -> Iterator[Path]:
    for part in PARTS:
        path = PACKAGE / part
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.suffix in {".py", ".wit"})


def _digest() -> str:
    digest = hashlib.sha256(f"componentize-py {_version()}".encode())
    for path in _sources():
        data = path.read_bytes()
        digest.update(f"\n{path.relative_to(PACKAGE)} {len(data)}\n".encode() + data)
    return digest.hexdigest()


def _version() -> str:
    try:
        return metadata.version("componentize-py")
    except metadata.PackageNotFoundError:
        raise HostFault(
            "confined Python vats need the packages wasmtime and componentize-py: pip install 'kernel_py[cli]'"
        ) from None


def provide(folder: Path, say: Callable[[str], None]) -> Path:
    """The component's file, built and compiled if it is not there.

    Args:
        say: told what takes long.

    Raises:
        HostFault: it cannot be built; the message says what to install, or what went wrong.
    """
    path = component_path(folder)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(path.parent):
        if not path.exists():
            say("building the component for confined Python vats, once: about 10 s ...")
            build(path)
            _prune(path.parent)
        if not ConfinedEngine.is_compiled(path, artifact_store(folder)):
            say("compiling it, once: about half a minute ...")
            ConfinedEngine(path, artifact_store(folder)).close()
    return path


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here, and keep others out."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _prune(folder: Path) -> None:
    built = sorted(folder.glob("*.wasm"), key=lambda path: path.stat().st_mtime)
    for path in built[:-COMPONENTS_KEPT]:
        path.unlink()


def build(target: Path) -> None:
    """Write the component to `target`.

    Raises:
        HostFault: it cannot be built.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in _sources():
            copy = folder / "kernel_py" / path.relative_to(PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        built = folder / "vat.wasm"
        wit = folder / "kernel_py" / "hosts" / "confined" / "vat.wit"
        command = [sys.executable, "-c", _BUILD, "-d", str(wit), "-w", "vat", "componentize", "--stub-wasi"]
        command += ["kernel_py.hosts.confined.guest", "-o", str(built)]
        done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
        if done.returncode:
            raise HostFault(f"building the component failed: {done.stderr[-_ERROR_CHARS_SHOWN:]}")
        temporary = target.with_suffix(f".{os.getpid()}.tmp")
        shutil.copy(built, temporary)
        temporary.rename(target)


def main() -> int:
    """Build what is missing, and say what takes long."""
    try:
        provide(cache_folder(), lambda text: print(text, flush=True))  # noqa: T201 (its output)
    except HostFault as fault:
        print(fault, file=sys.stderr)  # noqa: T201 (its output)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
