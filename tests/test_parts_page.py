"""The program in docs/parts.md works, and the page names the parts that there are."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kernel_py.core.interceptors import Part
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "parts.md").read_text()
[PROGRAM] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SOURCE = """
from kernel_py.vat import E, Exo

class Root(Exo):
    def bootstrap(self, vats, services):
        self.verify = services["verify"]

    def go(self):
        return E(self.verify).check("signature")

def build_root_object(powers, parameters, baggage):
    return Root()
"""


def test_the_fake_answers_until_it_is_switched_off(capsys: pytest.CaptureFixture[str]) -> None:
    program: dict[str, Any] = {}
    exec(PROGRAM, program)
    host = program["host"]
    vats = {"a": {"source": "a.py"}}
    root = host.launch({"bootstrap": "a", "services": ["verify"], "vats": vats}, {"a.py": SOURCE})["root"]
    assert host.send(root, "go")["value"] == "True"
    assert capsys.readouterr().out == "v1 verify.check (['signature'], {})\n"
    program["switch"].off()
    assert "this takes a second" in host.send(root, "go")["value"]


def test_the_table_has_every_part() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)) == {part.value for part in Part}
