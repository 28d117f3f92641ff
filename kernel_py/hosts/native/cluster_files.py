"""Clusters on disk: a cluster file, and the sources around it, as a launch request takes them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from kernel_py.wire.errors import RequestError

CLUSTER_FILE = "cluster.json"

BINARY_SUFFIXES = (".wasm", ".whl")
"""Of files that are given as base64."""


def read_cluster(path: Path) -> dict[str, Any]:
    """The ``config`` and ``files`` of the cluster at `path`: a folder with a cluster.json, or such a file.

    The files are all Python files, WebAssembly modules and wheels in the folder and below, by their path in it. In the
    command line of a vat of kind "command", what begins with ``./`` lies in that folder too.

    Raises:
        RequestError: there is no cluster, or a file is not text.
    """
    file = path / CLUSTER_FILE if path.is_dir() else path
    try:
        config = json.loads(_read(file))
    except ValueError as error:
        raise RequestError(f"{file} is not JSON: {error}") from None
    _place_commands(config, file.parent.resolve())
    return {"config": config, "files": read_sources(file.parent)}


def read_sources(folder: Path) -> dict[str, str]:
    """All Python files in a folder and below, by their path in it, and the modules and wheels there as base64.

    Raises:
        RequestError: a file is not text, or cannot be read.
    """
    found = [path for suffix in (".py", *BINARY_SUFFIXES) for path in sorted(folder.rglob(f"*{suffix}"))]
    sources = [source for source in found if not _is_hidden(source.relative_to(folder))]
    return {
        source.relative_to(folder).as_posix(): _read_binary(source)
        if source.suffix in BINARY_SUFFIXES
        else _read(source)
        for source in sources
    }


def _read_binary(file: Path) -> str:
    try:
        return base64.b64encode(file.read_bytes()).decode()
    except OSError as error:
        raise RequestError(f"{file} cannot be read: {error.strerror}") from None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"{file} is not UTF-8: {error}") from None
    except OSError as error:
        raise RequestError(f"{file} cannot be read: {error.strerror}") from None


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "__pycache__")) for part in path.parts)


def _place_commands(config: Any, folder: Path) -> None:
    """Make the paths of commands absolute. What is wrong with a config is for the kernel to say."""
    vats = config.get("vats") if isinstance(config, dict) else None
    for vat in vats.values() if isinstance(vats, dict) else ():
        command = vat.get("command") if isinstance(vat, dict) else None
        if isinstance(command, list):
            vat["command"] = [
                str(folder / part) if isinstance(part, str) and part.startswith("./") else part for part in command
            ]
