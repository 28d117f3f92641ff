"""The programs in docs/writing-vats.md that test themselves do what the page says."""

from __future__ import annotations

import json
import re
import sys
from types import ModuleType
from typing import Any

import pytest

from kernel_py.core import jsonschema
from kernel_py.core.cluster_config import CLUSTER_SCHEMA
from kernel_py.testing import Vats
from scripts.examples import EXAMPLES
from tests.conftest import ROOT

PAGE = (ROOT / "docs/writing-vats.md").read_text("utf-8")
SECTIONS: dict[str, str] = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def find_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run_section(title: str) -> dict[str, Any]:
    """All Python of a section, run as one module."""
    module = ModuleType("guide_" + re.sub(r"\W", "_", title))
    sys.modules[module.__name__] = module
    module.__dict__["pytest"] = pytest
    exec("\n".join(find_blocks(SECTIONS[title], "python")), module.__dict__)
    return module.__dict__


PROGRAMS = [title for title, text in SECTIONS.items() if re.search("^def test_", text, re.MULTILINE)]


def test_there_are_programs_on_the_page():
    assert len(PROGRAMS) >= 4


@pytest.mark.parametrize("title", PROGRAMS)
def test_a_section_is_a_program_that_holds(vats: Vats, title: str):
    scope = run_section(title)
    for name in [name for name in scope if name.startswith("test_")]:
        scope[name](vats)


def test_the_cluster_files_on_the_page_are_valid():
    [cluster, vat] = map(json.loads, find_blocks(SECTIONS["Clusters"], "json"))
    jsonschema.validate(cluster, CLUSTER_SCHEMA, "config")
    jsonschema.validate({"bootstrap": "a", "vats": {"a": vat}}, CLUSTER_SCHEMA, "config")


def test_every_example_is_named_and_exists():
    assert set(re.findall(r"`examples/(\w+)`", PAGE)) == {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
