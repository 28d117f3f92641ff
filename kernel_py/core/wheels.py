"""Wheels: packages that a vat's config names, checked and taken apart when the cluster is launched.

Owns what a wheel must be: the very bytes that the config locks, and pure Python. What vats get of it are its
Python files, as texts, in a folder named as the wheel is; compiled parts, data files and scripts are nothing that a
vat could use.

Source: the binary distribution format, packaging.python.org/specifications/binary-distribution-format.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from importlib.util import decode_source

from kernel_py.wire.errors import RequestError

_PURE = re.compile(r".+-(?:[^-]+\.)?py3(?:\.[^-]+)?-none-any\.whl")
_COMPILED = re.compile(r"\.(?:so|pyd|dll|dylib|wasm)(?:\.|$)")
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError)


def open_package(package: Mapping[str, str], files: Mapping[str, str], path: str, *, chars_max: int) -> dict[str, str]:
    """The Python files of a wheel, by path: those of the folder that stands for the wheel.

    Args:
        package: an entry of ``packages``: ``{name, version, sha256, file}``.
        files: the cluster's files, in which wheels are base64.
        path: where in the config `package` stands, such as ``config.vats.shop.packages[0]``.
        chars_max: of all files of the wheel together.

    Raises:
        RequestError: it is not that wheel, or none that a vat can use; its path leads to what is wrong.
    """
    name = package["file"]
    if name not in files:
        wheels = ", ".join(sorted(file for file in files if file.endswith(".whl"))) or "none"
        raise RequestError(f"there is no file {name!r}; wheels given are: {wheels}", f"{path}.file")
    if _PURE.fullmatch(name) is None:
        raise RequestError(f"{name!r} is not a pure wheel for Python 3: such end in -py3-none-any.whl", f"{path}.file")
    try:
        data = base64.b64decode(files[name], validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"a wheel is given as base64, and {name!r} is not: {error}", f"{path}.file") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != package["sha256"]:
        raise RequestError(f"{name!r} has the digest {digest}, not {package['sha256']}", f"{path}.sha256")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            _insist_on_package(wheel, package, path)
            return _read_sources(wheel, name, f"{path}.file", chars_max)
    except _ZIP_ERRORS as error:
        raise RequestError(f"{name!r} is not a wheel: {error}", f"{path}.file") from None


def _insist_on_package(wheel: zipfile.ZipFile, package: Mapping[str, str], path: str) -> None:
    about = _read_about(wheel, "METADATA", path)
    for field, normalise in (("name", _normalise), ("version", str.lower)):
        found = about.get(field, "")
        if normalise(found) != normalise(package[field]):
            raise RequestError(f"{package['file']!r} has {field} {found!r}, not {package[field]!r}", f"{path}.{field}")
    compiled = [name for name in wheel.namelist() if _COMPILED.search(name)]
    if compiled or _read_about(wheel, "WHEEL", path).get("root-is-purelib", "").lower() != "true":
        reason = f"it has {compiled[0]}" if compiled else "it says so itself"
        raise RequestError(f"{package['file']!r} is not a pure Python wheel: {reason}", f"{path}.file")


def _read_about(wheel: zipfile.ZipFile, name: str, path: str) -> dict[str, str]:
    """The header fields of a file in the wheel's ``.dist-info``, by their names in lower case."""
    found = [entry for entry in wheel.namelist() if re.fullmatch(rf"[^/]+\.dist-info/{name}", entry)]
    if len(found) != 1:
        raise RequestError(f"it is not a wheel: it has {len(found)} files *.dist-info/{name}", f"{path}.file")
    header = wheel.read(found[0]).decode("utf-8", "replace").replace("\r\n", "\n").partition("\n\n")[0]
    fields = (line.partition(":") for line in header.split("\n"))
    return {name.strip().lower(): value.strip() for name, _, value in fields}


def _read_sources(wheel: zipfile.ZipFile, folder: str, path: str, chars_max: int) -> dict[str, str]:
    entries = [entry for entry in wheel.infolist() if entry.filename.endswith(".py")]
    entries = [entry for entry in entries if not re.match(r"[^/]+\.(?:data|dist-info)/", entry.filename)]
    if sum(entry.file_size for entry in entries) > chars_max:
        raise RequestError(f"the wheel's sources are larger than the limit of {chars_max:,} characters", path)
    sources: dict[str, str] = {}
    for entry in entries:
        if not re.fullmatch(r"(?:[A-Za-z0-9_\-]+/)*[A-Za-z0-9_\-.]+", entry.filename) or entry.filename.startswith("/"):
            raise RequestError(f"the wheel has a file {entry.filename!r:.200}, which no import could name", path)
        try:
            sources[f"{folder}/{entry.filename}"] = decode_source(wheel.read(entry))
        except (SyntaxError, UnicodeDecodeError) as error:
            raise RequestError(f"{entry.filename} in the wheel cannot be decoded: {error}", path) from None
    return sources


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
