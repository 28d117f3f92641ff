"""What the README shows works."""

from __future__ import annotations

import re

from kernel_py.hosts.memory import MemoryHost
from tests.conftest import ROOT

FRIEND = """
from kernel_py.vat import E, Exo

class Friend(Exo):
    def name(self):
        return "Ada"

    async def bootstrap(self, vats, services):
        return await E(vats["greeter"]).greet(self)

def build_root_object(powers, parameters, baggage):
    return Friend()
"""


def test_the_vat_in_the_readme_greets():
    greeter = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    vats = {"greeter": {"source": "greeter.py"}, "friend": {"source": "friend.py"}}
    launched = MemoryHost().launch(
        {"bootstrap": "friend", "vats": vats}, {"greeter.py": "".join(greeter), "friend.py": FRIEND}
    )
    assert launched["result"]["value"] == "'Hello, Ada!'"


def test_every_make_target_in_the_readme_exists():
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"\bmake ([a-z0-9-]+)", (ROOT / "README.md").read_text())
    assert named
    assert set(named) <= set(targets)


def test_every_file_in_the_readme_exists():
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
