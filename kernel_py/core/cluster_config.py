"""Cluster files: the JSON Schema, and its checked form.

Owns the format ``{name?, bootstrap, services?, bundles?, vats: {name: {source, kind?, parameters?, packages?}}}``; a
vat of kind "command" has ``command`` in place of ``source``, and the source of kind "wasm" is a module. ``bundles`` are
what vats may create others from. The schema is the one that validates; ``docs/cluster.schema.json`` is written from it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kernel_py.core import jsonschema
from kernel_py.core.wheels import open_package
from kernel_py.wire import canonical
from kernel_py.wire.errors import RequestError
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from kernel_py.wire.protocol import METERS_PATH, PACKAGES_PATH

VAT_KINDS = ("iframe", "worker")
"""Worker kinds of every host. Hosts without a browser run both in their own way."""

WASM_KIND = "wasm"
"""The worker kind of vats that are WebAssembly modules."""

CONFINED_KIND = "confined"
"""The worker kind of hosts that run CPython inside of WebAssembly."""

PYODIDE_KIND = "pyodide"
"""The worker kind of hosts that run the realm of a browser in a process: with the same heap, to the last byte."""

PROCESS_KIND = "process"
"""The worker kind of hosts that run Python vats in plain processes, which confine nothing: for debugging. Such a vat
may do what its user may, so a host has the kind only where its user said so."""

COMMAND_KIND = "command"
"""The worker kind of hosts that run programs: any that speaks the kernel-vat protocol on its standard input and
output. What such a program may do is not the kernel's to say, so a host has the kind only where its user said so."""

DEFAULT_KIND = "iframe"

_MODULE_BEGIN = b"\0asm\1\0\0\0"
_MODULE_STUB = base64.b64encode(_MODULE_BEGIN).decode()
"""In place of a file that was checked when the cluster was launched."""

_END = r"$(?!\n)"
"""The end of the text: to Python, ``$`` is also before a last line's end."""

NAME_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": rf"^[A-Za-z_][A-Za-z0-9_\-]*{_END}",
    "maxLength": DEFAULT_LIMITS.vat_name_chars_max,
}
"""The name of a vat."""

PACKAGES_SCHEMA: dict[str, Any] = {
    "type": "array",
    "description": "Pure Python wheels that this vat can import. The first that has a module wins.",
    "items": {
        "type": "object",
        "required": ["name", "version", "sha256", "file"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "description": "The package's name on PyPI."},
            "version": {"type": "string"},
            "sha256": {
                "type": "string",
                "description": "The digest of the wheel.",
                "pattern": rf"^[0-9a-f]{{64}}{_END}",
            },
            "file": {
                "type": "string",
                "description": "The wheel, beside the cluster file; in a launch request as base64.",
                "pattern": rf"\.whl{_END}",
            },
        },
    },
}

_SOURCE_SCHEMA: dict[str, Any] = {
    "type": "string",
    "description": "The Python file, beside the cluster file, that defines build_root_object; of kind wasm: the "
    "module, which is in base64 in a launch request.",
    "pattern": rf"\.(?:py|wasm){_END}",
}

_UNITS: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 10**15}

METER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "How much work the vat may do, in jumps and calls of Python's, or instructions of WebAssembly. What "
    "is over it is stopped, and its message rejected. Default: no meter.",
    "required": ["delivery"],
    "additionalProperties": False,
    "properties": {
        "delivery": {**_UNITS, "description": "For one delivery."},
        "tank": {**_UNITS, "description": "For all messages together. Default: each delivery stands alone."},
        "refill_per_second": {
            **_UNITS,
            "description": "What flows into the tank between deliveries. Default: nothing; an upgrade fills it.",
        },
    },
}

CLUSTER_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "kernel_py cluster",
    "description": "A set of vats that are launched, and terminated, together.",
    "type": "object",
    "required": ["bootstrap", "vats"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string"},
        "name": {
            "type": "string",
            "description": "Shown to people. Default: the bootstrap vat's name.",
            "minLength": 1,
            "maxLength": DEFAULT_LIMITS.vat_name_chars_max,
        },
        "bootstrap": {
            "type": "string",
            "description": "The vat whose root receives bootstrap(vats, services) once all vats have started.",
        },
        "services": {
            "type": "array",
            "description": "Kernel services granted to the bootstrap vat: each a name, or {name: configuration}.",
            "items": {"type": ["string", "object"], "minProperties": 1, "maxProperties": 1},
        },
        "vats": {
            "type": "object",
            "description": "The vats, by name.",
            "minProperties": 1,
            "maxProperties": DEFAULT_LIMITS.cluster_vats_max,
            "propertyNames": NAME_SCHEMA,
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "source": _SOURCE_SCHEMA,
                    "kind": {
                        "type": "string",
                        "description": "The realm: iframe (confined, the default), worker (large data), wasm (a "
                        "module), confined (Python inside WebAssembly, outside browsers) or, where the host allows "
                        "it, process (plain Python) and command (a program of the machine), which are not confined.",
                        "enum": [*VAT_KINDS, WASM_KIND, CONFINED_KIND, PYODIDE_KIND, PROCESS_KIND, COMMAND_KIND],
                        "default": DEFAULT_KIND,
                    },
                    "command": {
                        "type": "array",
                        "description": "Of kind command: the program and its arguments.",
                        "items": {"type": "string"},
                    },
                    "parameters": {
                        "type": "object",
                        "description": "Passed to build_root_object as a dict.",
                    },
                    "packages": PACKAGES_SCHEMA,
                    "meter": METER_SCHEMA,
                    "critical": {
                        "type": "boolean",
                        "description": "Whether the whole cluster ends if this vat does. Default: false.",
                        "default": False,
                    },
                    "reap_interval": {
                        "type": "integer",
                        "description": "Deliveries after which the vat is asked for its garbage; 0 for never. "
                        f"Default: {DEFAULT_LIMITS.reap_deliveries}.",
                        "minimum": 0,
                    },
                    "enable_pipelining": {
                        "type": "boolean",
                        "description": "Of kind command: whether messages to promises that it decides are delivered "
                        "to it at once. Default: false.",
                        "default": False,
                    },
                },
            },
        },
        "bundles": {
            "type": "object",
            "description": "What the service vat_admin creates vats from, by name.",
            "propertyNames": NAME_SCHEMA,
            "additionalProperties": {
                "type": "object",
                "required": ["source"],
                "additionalProperties": False,
                "properties": {
                    "source": _SOURCE_SCHEMA,
                    "kind": {
                        "type": "string",
                        "description": "As of a vat; those that are not confined cannot be created.",
                        "enum": [*VAT_KINDS, WASM_KIND, CONFINED_KIND, PYODIDE_KIND],
                        "default": DEFAULT_KIND,
                    },
                    "packages": PACKAGES_SCHEMA,
                    "meter": METER_SCHEMA,
                },
            },
        },
    },
}

_FILES_SCHEMA: dict[str, Any] = {
    "type": "object",
    "propertyNames": {"type": "string", "pattern": rf"^(?!/)(?!.*\.\.)[A-Za-z0-9_\-./+]+{_END}", "maxLength": 200},
    "additionalProperties": {"type": "string"},
}


@dataclass(frozen=True, slots=True)
class VatConfig:
    """One vat of a cluster: `source` of most kinds, `command` of kind "command"; the other one is empty."""

    name: str
    source: str
    kind: str
    parameters: dict[str, Any]
    is_critical: bool = False
    command: tuple[str, ...] = ()
    reap_interval: int = DEFAULT_LIMITS.reap_deliveries
    is_pipelining: bool = False


@dataclass(frozen=True, slots=True)
class BundleConfig:
    """What vats may be created from: one of the cluster's files, and the worker kind."""

    source: str
    kind: str


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """A service that a cluster is granted. `config` is JSON that fits the service's schema."""

    name: str
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """A valid cluster file with its sources.

    Attributes:
        files: canonical JSON of ``{path: text}``, with wheels taken apart.
        text: the cluster file itself, as canonical JSON.
    """

    name: str
    bootstrap: str
    services: tuple[ServiceConfig, ...]
    vats: tuple[VatConfig, ...]
    files: str
    text: str


def parse_cluster(
    config: Any,
    files: Any,
    services: Mapping[str, dict[str, Any]],
    limits: Limits,
    *,
    kinds: tuple[str, ...] = VAT_KINDS,
) -> ClusterConfig:
    """Check a cluster file and its sources.

    Args:
        services: what may be configured of each service that this kernel has.
        kinds: worker kinds that this host has.

    Raises:
        RequestError: something is wrong with it; the path leads there.
    """
    jsonschema.validate(config, CLUSTER_SCHEMA, "config")
    has_bundles = any("packages" in bundle for bundle in config.get("bundles", {}).values())
    names = list(config["vats"]) if has_bundles else ()
    bundle = check_files(files, "files", limits, _find_packages(config), names, meters=_find_meters(config))
    vats = tuple(_parse_vat(name, vat, files, kinds, limits) for name, vat in config["vats"].items())
    for name, each in config.get("bundles", {}).items():
        _check_bundle(each, files, kinds, jsonschema.join("config.bundles", name))
    if config["bootstrap"] not in config["vats"]:
        known = ", ".join(config["vats"])
        raise RequestError(f"there is no vat {config['bootstrap']!r:.100}; the vats are: {known}", "config.bootstrap")
    return ClusterConfig(
        config.get("name", config["bootstrap"]),
        config["bootstrap"],
        _parse_services(config.get("services", []), services),
        vats,
        bundle,
        canonical.dump(config),
    )


def _find_meters(config: dict[str, Any]) -> dict[str, dict[str, int] | None]:
    """The meters of vats by name, and of bundles by source file. A vat is told if it has none of its own."""
    bundles = config.get("bundles", {}).values()
    meters = {bundle["source"]: _parse_meter(bundle) for bundle in bundles if "meter" in bundle}
    has_bundles = bool(meters)
    meters |= {name: _parse_meter(vat) for name, vat in config["vats"].items() if has_bundles or "meter" in vat}
    return meters


def _parse_meter(fields: dict[str, Any]) -> dict[str, int] | None:
    """JSON may write an integer as 1e6."""
    return {name: int(units) for name, units in fields["meter"].items()} if "meter" in fields else None


def find_meter(text: str, name: str, source: str) -> dict[str, int] | None:
    """The meter of a vat of a cluster that was launched, from its `ClusterConfig.text`.

    Args:
        name: of the vat.
        source: the file that it was made of.
    """
    meters = _find_meters(canonical.load(text))
    return meters.get(name, meters.get(source))


def _find_packages(config: dict[str, Any]) -> list[tuple[str, str, dict[str, str]]]:
    """Whose each package is, where it stands and what it is. Those of a bundle are for vats of that source file."""
    wanting = [(name, jsonschema.join("config.vats", name), vat) for name, vat in config["vats"].items()]
    for name, bundle in config.get("bundles", {}).items():
        wanting.append((bundle["source"], jsonschema.join("config.bundles", name), bundle))
    return [
        (owner, f"{path}.packages[{index}]", package)
        for owner, path, each in wanting
        for index, package in enumerate(each.get("packages", ()))
    ]


def _check_bundle(bundle: dict[str, Any], files: dict[str, str], kinds: tuple[str, ...], path: str) -> None:
    kind = bundle.get("kind", DEFAULT_KIND)
    if kind not in kinds:
        raise RequestError(f"this host does not run vats of kind {kind!r}; it runs: {', '.join(kinds)}", f"{path}.kind")
    check_source(bundle["source"], kind, files, f"{path}.source")


def check_files(
    files: Any,
    path: str,
    limits: Limits,
    packages: Sequence[tuple[str, str, dict[str, str]]] = (),
    names: Sequence[str] = (),
    *,
    meters: Mapping[str, dict[str, int] | None] | None = None,
) -> str:
    """Check source files, and take apart the wheels that are wanted; canonical JSON of what vats get.

    Args:
        packages: name of the vat or source file whose it is, path in the request, and entry of each package.
        names: of vats to which packages of their source file are not meant to go.
        meters: by name of the vat or source file whose it is.

    Raises:
        RequestError: something is wrong with them.
    """
    jsonschema.validate(files, _FILES_SCHEMA, path)
    _insist_on_size(files, path, limits)
    opened: dict[str, dict[str, str]] = {}
    wanted: dict[str, list[str]] = {name: [] for name in names}
    for name, package_path, package in packages:
        opened[package["file"]] = open_package(package, files, package_path, chars_max=limits.source_chars_max)
        wanted.setdefault(name, []).append(package["file"])
    sources = {name: text for name, text in files.items() if name not in opened}
    for package_files in opened.values():
        sources |= package_files
    if wanted:
        sources[PACKAGES_PATH] = canonical.dump_sorted(wanted)
        _insist_on_size(sources, path, limits)
    if meters:
        sources[METERS_PATH] = canonical.dump_sorted(meters)
    return canonical.dump_sorted(sources)


def _insist_on_size(files: dict[str, str], path: str, limits: Limits) -> None:
    source_chars = sum(map(len, files.values()))
    if source_chars > limits.source_chars_max:
        raise RequestError(f"{source_chars:,} characters of source; the limit is {limits.source_chars_max:,}", path)


def _parse_vat(
    name: str, vat: dict[str, Any], files: dict[str, str], kinds: tuple[str, ...], limits: Limits
) -> VatConfig:
    path = jsonschema.join("config.vats", name)
    kind = vat.get("kind", DEFAULT_KIND)
    needed, excluded = ("command", "source") if kind == COMMAND_KIND else ("source", "command")
    if kind not in kinds:
        raise RequestError(f"this host does not run vats of kind {kind!r}; it runs: {', '.join(kinds)}", f"{path}.kind")
    if needed not in vat:
        raise RequestError(f"{needed!r} is missing: a vat of kind {kind!r} has one", path)
    if excluded in vat:
        raise RequestError(f"a vat of kind {kind!r} has no {excluded!r}", f"{path}.{excluded}")
    if kind in {COMMAND_KIND, WASM_KIND} and "packages" in vat:
        raise RequestError(f"a vat of kind {kind!r} imports nothing", f"{path}.packages")
    if kind == COMMAND_KIND and "meter" in vat:
        raise RequestError(f"a vat of kind {kind!r} cannot be metered", f"{path}.meter")
    if not vat[needed]:
        raise RequestError("is empty", f"{path}.{needed}")
    source = vat.get("source", "")
    if source:
        check_source(source, kind, files, f"{path}.source")
    is_pipelining = vat.get("enable_pipelining", False)
    if is_pipelining and kind != COMMAND_KIND:
        waits = "messages to its promises wait in the kernel"
        raise RequestError(f"a vat of kind {kind!r} does not pipeline: {waits}", f"{path}.enable_pipelining")
    return VatConfig(
        name,
        source,
        kind,
        vat.get("parameters", {}),
        vat.get("critical", False),
        tuple(vat.get("command", ())),
        int(vat.get("reap_interval", limits.reap_deliveries)),
        is_pipelining,
    )


def check_source(source: str, kind: str, files: dict[str, str], path: str) -> None:
    """Check that a vat's main file is there, and is what its kind runs.

    Raises:
        RequestError: it is not; the path leads to its name.
    """
    suffix = ".wasm" if kind == WASM_KIND else ".py"
    if not source.endswith(suffix):
        raise RequestError(
            f"{source!r:.200} does not end in {suffix}, as the file of a vat of kind {kind!r} does", path
        )
    if source not in files:
        given = ", ".join(sorted(files)) or "none"
        raise RequestError(f"there is no file {source!r:.200}; given are: {given}", path)
    if kind == WASM_KIND:
        _check_module(files[source], source, path)


def _check_module(text: str, source: str, path: str) -> None:
    """Only what every module begins with; the host looks closer."""
    try:
        code = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"a module is given as base64, and {source!r:.200} is not: {error}", path) from None
    if not code.startswith(_MODULE_BEGIN):
        raise RequestError(f"{source!r:.200} is not a WebAssembly module, which begins with {_MODULE_BEGIN!r}", path)


def reparse_cluster(
    text: str, services: Mapping[str, dict[str, Any]], limits: Limits, *, kinds: tuple[str, ...] = VAT_KINDS
) -> ClusterConfig:
    """The config of a cluster that was launched, from its `ClusterConfig.text`; without its files.

    Raises:
        RequestError: this kernel does not have what it asks for any more.
    """
    config = canonical.load(text)
    sourced = [*config["vats"].values(), *config.get("bundles", {}).values()]
    for each in sourced:
        each.pop("packages", None)  # they are among the files, taken apart
    files = {each["source"]: _MODULE_STUB for each in sourced if "source" in each}
    return replace(parse_cluster(config, files, services, limits, kinds=kinds), text=text)


def find_bundle(text: str, name: str) -> BundleConfig:
    """One of the bundles of a cluster that was launched, from its `ClusterConfig.text`.

    Raises:
        ValueError: there is none of the name.
    """
    bundles = canonical.load(text).get("bundles", {})
    if name not in bundles:
        known = ", ".join(bundles) or "none"
        raise ValueError(f"there is no bundle {name!r:.100}; the cluster file has: {known}")
    return BundleConfig(bundles[name]["source"], bundles[name].get("kind", DEFAULT_KIND))


def _parse_services(grants: list[Any], services: Mapping[str, dict[str, Any]]) -> tuple[ServiceConfig, ...]:
    parsed: dict[str, ServiceConfig] = {}
    for index, grant in enumerate(grants):
        path = f"config.services[{index}]"
        name, config = (grant, {}) if isinstance(grant, str) else next(iter(grant.items()))
        if name not in services:
            known = ", ".join(services) or "none"
            raise RequestError(f"unknown service {name!r:.100}; this kernel has: {known}", path)
        if name in parsed:
            raise RequestError(f"{name!r} is granted twice", path)
        jsonschema.validate(config, services[name], path if isinstance(grant, str) else jsonschema.join(path, name))
        parsed[name] = ServiceConfig(name, config)
    return tuple(parsed.values())
