"""A vat's files import each other, and nobody else's."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from kernel_py.vat.loader import VatModules


def load(files, main="main.py", vat="v1"):
    modules = VatModules(vat, files, main, replace=lambda module: module)
    return modules.load_main()


@pytest.mark.parametrize(
    "statement, expression",
    [
        ("import purse", "purse.NAME"),
        ("import purse as p", "p.NAME"),
        ("from purse import NAME", "NAME"),
        ("from purse import *", "NAME"),
        ("import lib.deep.leaf", "lib.deep.leaf.NAME"),
        ("import lib.deep.leaf as leaf", "leaf.NAME"),
        ("from lib.deep import leaf", "leaf.NAME"),
        ("from lib.deep.leaf import NAME", "NAME"),
        ("from lib import deep", "deep.leaf.NAME"),
        ("import lib", "lib.NAME"),
        ("from . import purse", "purse.NAME"),
        ("from .purse import NAME", "NAME"),
        ("from .lib.deep import leaf", "leaf.NAME"),
        ("import plain.module", "plain.module.NAME"),
        ("import importlib\npurse = importlib.import_module('purse')", "purse.NAME"),
        ("from importlib import import_module\nleaf = import_module('.deep.leaf', 'lib')", "leaf.NAME"),
        ("import importlib\nfrom purse import itself", "importlib.import_module(itself).NAME"),
        ("def late():\n    import purse\n    return purse.NAME", "late()"),
    ],
)
def test_neighbours_are_imported(statement, expression):
    files = {
        "purse.py": "NAME = 'found'\nitself = __name__",
        "lib/__init__.py": "from .deep.leaf import NAME\nfrom . import deep",
        "lib/deep/__init__.py": "from .leaf import NAME\nfrom .. import deep as itself",
        "lib/deep/leaf.py": "NAME = 'found'",
        "plain/module.py": "NAME = 'found'",
        "main.py": f"{statement}\nresult = {expression}",
    }
    assert load(files).result == "found"


def test_neighbours_of_a_main_file_in_a_folder_come_before_those_at_the_top():
    files = {
        "vats/main.py": "import near, top\nfrom common import util\nresult = [near.N, top.N, util.N]",
        "vats/near.py": "N = 'vats'",
        "near.py": "N = 'top'",
        "top.py": "N = 'top'",
        "common/util.py": "N = 'common'",
    }
    assert load(files, "vats/main.py").result == ["vats", "top", "common"]


def test_the_standard_library_is_imported_as_usual():
    assert (
        load({"main.py": "import os.path, json\nfrom collections import abc\nresult = os.path.join('a', 'b')"}).result
        == "a/b"
    )


def test_a_neighbour_hides_a_module_of_that_name_in_this_vat_only():
    module = load({"main.py": "import json, colorsys\nresult = json.N, colorsys.__name__", "json.py": "N = 1"})
    assert module.result == (1, "colorsys")
    assert load({"main.py": "import json\nresult = json.dumps([])"}, vat="v2").result == "[]"


def test_two_vats_have_modules_of_their_own():
    files = {"main.py": "import state\nstate.items.append(1)\nresult = state.items", "state.py": "items = []"}
    assert (load(files, vat="v1").result, load(files, vat="v2").result) == ([1], [1])


def test_a_module_is_run_once_also_in_a_circle():
    files = {
        "main.py": "import a, b\nresult = a.log",
        "a.py": "log = ['a']\nimport b\nlog.append(b.N)",
        "b.py": "import a\nN = len(a.log)",
    }
    assert load(files).result == ["a", 1]


@pytest.mark.parametrize(
    "statement, error",
    [
        ("import missing", "No module named 'missing'"),
        ("from purse import missing", "cannot import name 'missing' from 'v1.purse'"),
        ("from .missing import x", "no module named 'missing' among the vat's files"),
        ("from .. import purse", "beyond the vat's files"),
        ("import purse.missing", "No module named 'purse"),
    ],
)
def test_what_is_not_there_is_an_import_error(statement, error):
    with pytest.raises(ImportError) as raised:
        load({"main.py": statement, "purse.py": ""})
    assert error in str(raised.value)


def test_a_module_that_fails_can_be_imported_again():
    files = {
        "main.py": """
results = []
for _ in range(2):
    try:
        import broken
    except ValueError as error:
        results.append(str(error))
""",
        "broken.py": "raise ValueError('broken')",
    }
    assert load(files).results == ["broken", "broken"]


def test_a_main_file_that_is_not_among_the_files_is_named():
    with pytest.raises(ImportError, match=r"'main.py' is not among its files: a.py, b.py"):
        load({"b.py": "", "a.py": ""})


def test_dataclasses_enums_and_type_hints_find_their_module():
    source = """
from __future__ import annotations
import enum, typing
from dataclasses import dataclass, field

@dataclass
class Purse:
    amount: int
    notes: list[str] = field(default_factory=list)
    kind: typing.ClassVar[str] = "purse"

class Color(enum.Enum):
    RED = 1

class Pair(typing.NamedTuple):
    purse: Purse

result = typing.get_type_hints(Pair)["purse"] is Purse, Purse(1) == Purse(1), Color(1).name
"""
    module = load({"main.py": source})
    assert module.result == (True, True, "RED")
    assert module.__name__ == "v1.main"


def test_modules_leave_with_their_vat():
    modules = VatModules("v77", {"main.py": "import a", "a.py": ""}, "main.py", replace=lambda module: module)
    modules.load_main()
    assert {"v77.main", "v77.a"} <= set(sys.modules)
    modules.close()
    assert not [name for name in sys.modules if name.startswith("v77.")]


def test_what_the_host_replaces_is_replaced_for_the_vats_files_only():
    import time

    class Clock:
        time = staticmethod(lambda: 5)

    modules = VatModules(
        "v1",
        {"main.py": "import time\nfrom time import time as now\nresult = time.time(), now()"},
        "main.py",
        replace=lambda module: Clock if module is time else module,
    )
    assert modules.load_main().result == (5, 5)
    assert time.time() > 5


def test_importlib_is_pythons_own_but_for_what_it_imports():
    source = "import importlib.util, json\nresult = importlib.util.find_spec, importlib.import_module('json') is json"
    assert load({"main.py": source}).result == (importlib.util.find_spec, True)


def test_packages_are_found_after_the_vats_own_files_and_before_python():
    files = {
        "main.py": "import six, shadow, json\nresult = six.NAME, shadow.NAME, json.NAME, six.deep.NAME",
        "shadow.py": "NAME = 'own'",
        "six-1.whl/six/__init__.py": "NAME = 'six'\nfrom . import deep",
        "six-1.whl/six/deep.py": "from helper import NAME",
        "six-1.whl/shadow.py": "NAME = 'hidden'",
        "helper-1.whl/helper.py": "NAME = 'helper'",
        "helper-1.whl/json.py": "NAME = 'json'",
    }
    modules = VatModules("v1", files, "main.py", replace=lambda module: module, packages=["six-1.whl", "helper-1.whl"])
    assert modules.load_main().result == ("six", "own", "json", "helper")
    with pytest.raises(ImportError, match="six"):
        load(files)
