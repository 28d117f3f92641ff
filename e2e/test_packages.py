"""A vat's packages, in real realms."""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import zipfile

import pytest

from e2e.harness.control import Control, ControlError

WHEEL = "wheels/tiny-1.0-py3-none-any.whl"
SOURCE = """
from kernel_py.vat import E, Exo


class Root(Exo):
    async def bootstrap(self, vats, services):
        return {name: await E(vat).greet() for name, vat in vats.items()}

    def greet(self):
        try:
            import tiny
        except ImportError as error:
            return str(error)
        return tiny.GREETING


def build_root_object(powers, parameters, baggage):
    return Root()
"""


def make_wheel() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("tiny/__init__.py", "from .words import GREETING")
        wheel.writestr("tiny/words.py", "import json\n\nGREETING = json.loads('\"hello\"')")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
    return target.getvalue()


@pytest.mark.parametrize("kind", ["iframe", "worker"])
def test_a_package_can_be_imported_by_the_vat_that_names_it(control: Control, kind: str) -> None:
    data = make_wheel()
    package = {"name": "tiny", "version": "1.0", "sha256": hashlib.sha256(data).hexdigest(), "file": WHEEL}
    vats = {
        "with_it": {"source": "a.py", "kind": kind, "packages": [package]},
        "without": {"source": "a.py", "kind": kind},
    }
    config = {"bootstrap": "with_it", "vats": vats}
    files = {"a.py": SOURCE, WHEEL: base64.b64encode(data).decode()}
    launched = control.request("launch", config=config, files=files)
    story = ast.literal_eval(launched["result"]["value"])
    assert story == {"with_it": "hello", "without": "No module named 'tiny'"}
    package["sha256"] = "0" * 64
    with pytest.raises(ControlError, match=r"config\.vats\.with_it\.packages\[0\]\.sha256: .* has the digest"):
        control.request("launch", config=config, files=files)
