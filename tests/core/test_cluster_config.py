"""Cluster files: what is accepted, what is refused and where the fault is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kernel_py.core.cluster_config import ClusterConfig, ServiceConfig, VatConfig, parse_cluster, reparse_cluster
from kernel_py.core.services.service import NO_CONFIG
from kernel_py.wire import canonical
from kernel_py.wire.errors import RequestError
from kernel_py.wire.limits import DEFAULT_LIMITS
from kernel_py.wire.protocol import METERS_PATH

CONFIG = {"bootstrap": "a", "vats": {"a": {"source": "a.py"}}}
FILES = {"a.py": "x = 1"}


SERVICES = {"timer": NO_CONFIG, "log": NO_CONFIG, "fetch": {"type": "object", "required": ["hosts"]}}


def parse(config: Any, files: Any = FILES, services: Any = SERVICES) -> ClusterConfig:
    return parse_cluster(config, files, services, DEFAULT_LIMITS)


def test_the_smallest_cluster() -> None:
    vats = (VatConfig("a", "a.py", "iframe", {}, is_critical=False),)
    text = '{"bootstrap":"a","vats":{"a":{"source":"a.py"}}}'
    assert parse(CONFIG) == ClusterConfig("a", "a", (), vats, '{"a.py":"x = 1"}', text)


def test_everything_given_is_kept_in_order() -> None:
    config = {
        "$schema": "cluster.schema.json",
        "name": "the bank",
        "bootstrap": "b",
        "services": ["log", {"fetch": {"hosts": []}}, {"timer": {}}],
        "vats": {
            "b": {"source": "lib/b.py", "kind": "worker", "parameters": {"n": 1}, "critical": True},
            "a": {"source": "lib/b.py"},
        },
    }
    parsed = parse(config, {"z.txt": "", "lib/b.py": "ü\ud800"})
    assert parsed.name == "the bank"
    assert parsed.services == (
        ServiceConfig("log", {}),
        ServiceConfig("fetch", {"hosts": []}),
        ServiceConfig("timer", {}),
    )
    assert [vat.name for vat in parsed.vats] == ["b", "a"]
    assert parsed.vats[0] == VatConfig("b", "lib/b.py", "worker", {"n": 1}, is_critical=True)
    assert parsed.files == '{"lib/b.py":"\\u00fc\\ud800","z.txt":""}'


def test_meters_lie_among_the_files() -> None:
    meter = {"delivery": 1e6, "tank": 10**15}
    config = {
        "bootstrap": "a",
        "vats": {"a": {"source": "a.py", "meter": meter}, "b": {"source": "a.py"}},
        "bundles": {"c": {"source": "a.py", "meter": {"delivery": 5}}},
    }
    meters = canonical.load(canonical.load(parse(config).files)[METERS_PATH])
    assert canonical.dump(meters) == '{"a":{"delivery":1000000,"tank":1000000000000000},"a.py":{"delivery":5},"b":null}'


@pytest.mark.parametrize(
    "meter, path, message",
    [
        ({}, "config.vats.a.meter", "'delivery' is missing"),
        ({"delivery": 0}, "config.vats.a.meter.delivery", "must be at least 1, not 0"),
        ({"delivery": 1, "tank": 10**15 + 1}, "config.vats.a.meter.tank", "must be at most 1000000000000000"),
        ({"delivery": 1, "fill": 1}, "config.vats.a.meter.fill", "unknown field; known are delivery, tank"),
    ],
)
def test_a_wrong_meter_is_refused(meter: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        parse({"bootstrap": "a", "vats": {"a": {"source": "a.py", "meter": meter}}})
    assert caught.value.path == path


def test_the_order_of_files_does_not_matter() -> None:
    files = {"a.py": "1", "b.py": "2"}
    assert parse(CONFIG, files).files == parse(CONFIG, dict(reversed(files.items()))).files


@pytest.mark.parametrize(
    "config, files, path, reason",
    [
        (CONFIG, {}, "config.vats.a.source", "there is no file 'a.py'; given are: none"),
        (CONFIG, {"b.py": ""}, "config.vats.a.source", "given are: b.py"),
        ({**CONFIG, "vats": {"a": {}}}, FILES, "config.vats.a", "'source' is missing"),
        (
            {**CONFIG, "vats": {"a": {"source": "a.py", "command": ["a"]}}},
            FILES,
            "config.vats.a.command",
            "no 'command'",
        ),
        ({**CONFIG, "vats": {"a": {"kind": "command", "command": ["a"]}}}, FILES, "config.vats.a.kind", "does not run"),
        ({**CONFIG, "bootstrap": "b"}, FILES, "config.bootstrap", "there is no vat 'b'; the vats are: a"),
        ({**CONFIG, "services": ["log", "x"]}, FILES, "config.services[1]", "unknown service 'x'; this kernel has"),
        ({**CONFIG, "services": [{"x": {}}]}, FILES, "config.services[0]", "unknown service 'x'; this kernel has"),
        ({**CONFIG, "services": [{}]}, FILES, "config.services[0]", "must have at least 1 entries"),
        ({**CONFIG, "services": [{"log": {}, "timer": {}}]}, FILES, "config.services[0]", "has 2 entries"),
        ({**CONFIG, "services": ["log", {"log": {}}]}, FILES, "config.services[1]", "'log' is granted twice"),
        ({**CONFIG, "services": [{"log": 7}]}, FILES, "config.services[0].log", "must be an object"),
        ({**CONFIG, "services": [{"log": {"x": 1}}]}, FILES, "config.services[0].log.x", "unknown field"),
        ({**CONFIG, "services": ["fetch"]}, FILES, "config.services[0]", "'hosts' is missing"),
        ({**CONFIG, "services": [["log"]]}, FILES, "config.services[0]", "must be a string or an object, not an array"),
        (CONFIG, [], "files", "must be an object"),
        (CONFIG, {"a.py": 7}, "files['a.py']", "must be a string"),
        (CONFIG, {**FILES, "/etc/passwd": ""}, "files (the name '/etc/passwd')", "does not match"),
        (CONFIG, {**FILES, "../a.py": ""}, "files (the name '../a.py')", "does not match"),
        (CONFIG, {**FILES, "a/../b.py": ""}, "files (the name 'a/../b.py')", "does not match"),
        (CONFIG, {**FILES, "": ""}, "files (the name '')", "does not match"),
        (CONFIG, {**FILES, "b.py\n": ""}, "files (the name 'b.py\\n')", "does not match"),
        (CONFIG, {**FILES, "b\\c.py": ""}, "files (the name 'b\\\\c.py')", "does not match"),
        (CONFIG, {**FILES, "b" * 201: ""}, f"files (the name '{'b' * 99})", "the limit is 200"),
        ({**CONFIG, "vats": {"a\n": {"source": "a.py"}}}, FILES, "config.vats (the name 'a\\n')", "does not match"),
        ({**CONFIG, "vats": {"a": {"source": "a.py\n"}}}, FILES, "config.vats.a.source", "does not match"),
        (
            {**CONFIG, "vats": {"a": {"source": "a.wasm"}}},
            {"a.wasm": ""},
            "config.vats.a.source",
            "does not end in .py, as the file of a vat of kind 'iframe' does",
        ),
    ],
)
def test_a_fault_is_named_with_its_path(config: Any, files: Any, path: str, reason: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(config, files)
    assert caught.value.path == path
    assert reason in str(caught.value)


def test_too_much_source_is_refused() -> None:
    limits = replace(DEFAULT_LIMITS, source_chars_max=4)
    with pytest.raises(RequestError, match="files: 5 characters of source; the limit is 4"):
        parse_cluster(CONFIG, FILES, {}, limits)


def test_a_kernel_without_services_says_so() -> None:
    with pytest.raises(RequestError, match="this kernel has: none"):
        parse({**CONFIG, "services": ["x"]}, FILES, {})


@pytest.mark.parametrize(
    "vat, path, message",
    [
        ({}, "config.vats.a", "'command' is missing"),
        ({"command": []}, "config.vats.a.command", "is empty"),
        ({"command": ["a"], "source": "a.py"}, "config.vats.a.source", "no 'source'"),
        ({"command": [1]}, r"config.vats.a.command\[0\]", "must be a string"),
    ],
)
def test_a_wrong_command_vat_is_refused(vat: dict[str, Any], path: str, message: str) -> None:
    config = {"bootstrap": "a", "vats": {"a": {"kind": "command", **vat}}}
    with pytest.raises(RequestError, match=f"{path}: .*{message}"):
        parse_cluster(config, FILES, {}, DEFAULT_LIMITS, kinds=("iframe", "command"))


def test_a_host_that_has_the_kind_takes_a_command() -> None:
    config = {"bootstrap": "a", "vats": {"a": {"kind": "command", "command": ["node", "a.mjs"]}}}
    (vat,) = parse_cluster(config, {}, {}, DEFAULT_LIMITS, kinds=("iframe", "command")).vats
    assert vat == VatConfig("a", "", "command", {}, command=("node", "a.mjs"))


MODULE = "AGFzbQEAAAA="
"""The shortest there is, in base64."""


def parse_wasm(vat: dict[str, Any], files: dict[str, str]) -> VatConfig:
    config = {"bootstrap": "a", "vats": {"a": {"kind": "wasm", **vat}}}
    (parsed,) = parse_cluster(config, files, {}, DEFAULT_LIMITS, kinds=("iframe", "wasm")).vats
    return parsed


def test_a_host_that_has_the_kind_takes_a_module() -> None:
    assert parse_wasm({"source": "a.wasm"}, {"a.wasm": MODULE}) == VatConfig("a", "a.wasm", "wasm", {})


@pytest.mark.parametrize(
    "vat, files, path, message",
    [
        ({}, {}, "config.vats.a", "'source' is missing"),
        (
            {"source": "a.py"},
            FILES,
            "config.vats.a.source",
            "does not end in .wasm, as the file of a vat of kind 'wasm'",
        ),
        ({"source": "a.wasm"}, FILES, "config.vats.a.source", "there is no file 'a.wasm'; given are: a.py"),
        ({"source": "a.wasm"}, {"a.wasm": "%"}, "config.vats.a.source", "a module is given as base64"),
        ({"source": "a.wasm"}, {"a.wasm": "AGFzbQ=="}, "config.vats.a.source", "is not a WebAssembly module"),
        ({"source": "a.wasm", "packages": []}, {"a.wasm": MODULE}, "config.vats.a.packages", "imports nothing"),
    ],
)
def test_a_wrong_module_vat_is_refused(vat: dict[str, Any], files: dict[str, str], path: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        parse_wasm(vat, files)
    assert caught.value.path == path


def test_a_cluster_of_modules_can_be_launched_again_without_its_files() -> None:
    config = {"bootstrap": "a", "vats": {"a": {"kind": "wasm", "source": "a.wasm"}}}
    kinds = ("iframe", "wasm")
    parsed = parse_cluster(config, {"a.wasm": MODULE}, {}, DEFAULT_LIMITS, kinds=kinds)
    assert reparse_cluster(parsed.text, {}, DEFAULT_LIMITS, kinds=kinds).vats == parsed.vats
