"""Packages of a vat: which wheels are taken, and where the fault is in those that are not."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from typing import Any

import pytest

from kernel_py.core.cluster_config import parse_cluster
from kernel_py.hosts.memory import MemoryHost, RequestFailed
from kernel_py.testing import Vats
from kernel_py.wire.errors import RequestError
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from kernel_py.wire.protocol import PACKAGES_PATH

NAME = "wheels/Tiny_Pack-1.0-py2.py3-none-any.whl"
METADATA = "Metadata-Version: 2.1\nName: Tiny.Pack\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
SOURCES = {"tiny_pack/__init__.py": "from .deep import NAME", "tiny_pack/deep.py": "NAME = 'tiny'"}


def make_wheel(sources: dict[str, Any] = SOURCES, metadata: str = METADATA, wheel: str = WHEEL) -> bytes:
    target = io.BytesIO()
    about = {"Tiny_Pack-1.0.dist-info/METADATA": metadata, "Tiny_Pack-1.0.dist-info/WHEEL": wheel}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**sources, **about}.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def request(data: bytes, **changed: str) -> tuple[dict[str, Any], dict[str, str]]:
    """A cluster in which only vat a has the package."""
    package = {"name": "tiny-pack", "version": "1.0", "sha256": hashlib.sha256(data).hexdigest(), "file": NAME}
    vats = {"a": {"source": "a.py", "packages": [package | changed]}, "b": {"source": "a.py"}}
    return {"bootstrap": "a", "vats": vats}, {"a.py": "", NAME: base64.b64encode(data).decode()}


def parse(data: bytes, limits: Limits = DEFAULT_LIMITS, **changed: str) -> dict[str, str]:
    config, files = request(data, **changed)
    parsed: dict[str, str] = json.loads(parse_cluster(config, files, (), limits).files)
    return parsed


def test_a_wheel_becomes_a_folder_of_its_sources_for_the_vats_that_name_it() -> None:
    extra: dict[str, Any] = {
        "tiny_pack/data.txt": "x",
        "Tiny_Pack-1.0.data/scripts/run.py": "x",
        "latin.py": b"# coding: latin-1\nN='\xe4'",
    }
    assert parse(make_wheel({**SOURCES, **extra})) == {
        "a.py": "",
        **{f"{NAME}/{path}": text for path, text in SOURCES.items()},
        f"{NAME}/latin.py": "# coding: latin-1\nN='ä'",
        PACKAGES_PATH: f'{{"a":["{NAME}"]}}',
    }


@pytest.mark.parametrize(
    "wheel, changed, path, reason",
    [
        ({}, {"file": "x-1-py3-none-any.whl"}, "file", f"no file 'x-1-py3-none-any.whl'; wheels given are: {NAME}"),
        ({}, {"sha256": "0" * 64}, "sha256", " has the digest "),
        ({}, {"sha256": "x"}, "sha256", "does not match"),
        ({}, {"name": "other"}, "name", "has name 'Tiny.Pack', not 'other'"),
        ({}, {"version": "1.1"}, "version", "has version '1.0', not '1.1'"),
        ({"wheel": "Root-Is-Purelib: false\n"}, {}, "file", "is not a pure Python wheel: it says so itself"),
        ({"sources": {"tiny_pack/fast.cpython-311.so": "x"}}, {}, "file", "it has tiny_pack/fast.cpython-311.so"),
        ({"sources": {"../evil.py": "x"}}, {}, "file", "a file '../evil.py', which no import could name"),
        ({"sources": {"/evil.py": "x"}}, {}, "file", "a file '/evil.py', which no import could name"),
        ({"sources": {"bad.py": b"\xff"}}, {}, "file", "bad.py in the wheel cannot be decoded"),
    ],
)  # fmt: skip
def test_the_error_leads_to_the_fault(wheel: Any, changed: Any, path: str, reason: str) -> None:
    with pytest.raises(RequestError) as raised:
        parse(make_wheel(**wheel), **changed)
    assert raised.value.path == f"config.vats.a.packages[0].{path}"
    assert reason in str(raised.value)


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip archive", make_wheel()[:-30]])
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(RequestError, match=r"packages\[0\].file: .* is not a wheel"):
        parse(data)


def test_an_archive_without_metadata_is_refused() -> None:
    target = io.BytesIO()
    zipfile.ZipFile(target, "w").close()
    with pytest.raises(RequestError, match=r"\[0\].file: it is not a wheel: it has 0 files \*.dist-info/METADATA"):
        parse(target.getvalue())


def test_a_damaged_file_in_an_archive_is_refused() -> None:
    data = bytearray(make_wheel())
    data[60] ^= 0xFF
    with pytest.raises(RequestError, match=r"packages\[0\]\.file"):
        parse(bytes(data))


def test_what_is_not_base64_is_refused() -> None:
    config, files = request(make_wheel())
    with pytest.raises(RequestError, match="a wheel is given as base64") as raised:
        parse_cluster(config, files | {NAME: "§§"}, (), DEFAULT_LIMITS)
    assert raised.value.path == "config.vats.a.packages[0].file"


@pytest.mark.parametrize("name", ["tiny_pack-1.0-cp312-cp312-linux_x86_64.whl", "tiny_pack-1.0-py2-none-any.whl"])
def test_a_wheel_whose_name_says_that_it_is_not_pure_is_refused(name: str) -> None:
    config, files = request(make_wheel(), file=name)
    with pytest.raises(RequestError, match="is not a pure wheel for Python 3"):
        parse_cluster(config, {"a.py": "", name: files[NAME]}, (), DEFAULT_LIMITS)


def test_a_wheel_that_unpacks_to_more_than_the_limit_is_refused() -> None:
    bomb = make_wheel({"big.py": "#" * 100_000})
    with pytest.raises(RequestError, match="sources are larger than the limit of 50,000 characters"):
        parse(bomb, Limits(source_chars_max=50_000))


def test_a_package_can_be_imported_by_its_vat_and_by_no_other(vats: Vats) -> None:
    config, files = request(make_wheel())
    source = """
from kernel_py.vat import E, Exo

class Root(Exo):
    async def bootstrap(self, vats, services):
        return [await E(vats[name]).find() for name in ("a", "b")]

    def find(self):
        try:
            import tiny_pack
            return tiny_pack.NAME
        except ImportError as error:
            return str(error)

def build_root_object(powers, parameters, baggage):
    return Root()
"""
    launched = vats.launch(config, files | {"a.py": source})
    assert launched.result == ["tiny", "No module named 'tiny_pack'"]
    vats.crash()
    assert vats.call(launched.roots["a"]).find() == "tiny"


def test_packages_are_there_after_a_reload_and_an_upgrade_names_its_own(vats: Vats) -> None:
    source = """
from kernel_py.vat import Exo

class Root(Exo):
    def bootstrap(self, vats, services):
        return self.find()

    def find(self):
        try:
            import tiny_pack
            return tiny_pack.NAME
        except ImportError as error:
            return str(error)

def build_root_object(powers, parameters, baggage):
    return Root()
"""
    data = make_wheel({"tiny_pack/__init__.py": "NAME = 'upgraded'"})
    config, files = request(make_wheel())
    launched = vats.launch(config, files | {"a.py": source})
    again = vats.host.request("reloadCluster", {"cluster": launched.cluster})
    assert again["result"]["value"] == "'tiny'"
    upgrade = {"vat": again["vats"]["a"], "files": {"a.py": source, NAME: base64.b64encode(data).decode()}}
    package = {"name": "tiny-pack", "version": "1.0", "sha256": hashlib.sha256(data).hexdigest(), "file": NAME}
    vats.host.request("upgradeVat", {**upgrade, "packages": [package]})
    assert vats.host.send(again["root"], "find")["value"] == "'upgraded'"
    vats.host.request("upgradeVat", {**upgrade, "files": {"a.py": source}})
    assert vats.host.send(again["root"], "find")["value"] == "\"No module named 'tiny_pack'\""
    with pytest.raises(RequestFailed) as raised:
        vats.host.request("upgradeVat", {**upgrade, "packages": [{**package, "sha256": "0" * 64}]})
    assert raised.value.path == "params.packages[0].sha256"


FOREMAN = """
from kernel_py.vat import E, Exo
class Foreman(Exo):
    async def bootstrap(self, vats, services):
        self.found = {}
        for bundle in ("plain", "packed"):
            made = await E(services["vat_admin"]).create(bundle, name="a")
            self.found[bundle] = await E(made["root"]).find()
        return {**self.found, "a": self.find()}
    def find(self):
        try:
            from tiny_pack import NAME
        except ImportError:
            return None
        return NAME
def build_root_object(powers, parameters, baggage): return Foreman()
"""


def test_the_packages_of_a_bundle_are_for_the_vats_created_from_its_source() -> None:
    config, files = request(make_wheel())
    config = {
        "bootstrap": "boss",
        "services": ["vat_admin"],
        "bundles": {"plain": {"source": "a.py"}, "packed": {**config["vats"]["a"], "source": "b.py"}},
        "vats": {"boss": {"source": "b.py"}},
    }
    launched = MemoryHost().launch(config, files | {"a.py": FOREMAN, "b.py": FOREMAN})
    assert launched["result"]["value"] == "{'a': None, 'packed': 'tiny', 'plain': None}"
