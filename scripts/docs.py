"""Write the pages of docs/ that are made from the code; `tests/scripts/test_docs.py` fails when they are stale."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from kernel_py.core import archive, clusters, control, events, promises, schema, traffic, vats
from kernel_py.core.cluster_config import CLUSTER_SCHEMA
from kernel_py.hosts import links
from kernel_py.vat import collections as vat_collections
from kernel_py.vat import keys as vat_keys
from kernel_py.vat import pillars, vdata
from kernel_py.vat import schema as vat_schema
from kernel_py.wasm import faults, interface
from kernel_py.wasm.limits import WasmLimits
from kernel_py.wire import capdata, deliveries, errors, limits, protocol, refs, syscalls

State = TypeVar("State", bound=StrEnum)

DOCS = Path(__file__).resolve().parent.parent / "docs"
_HEADER = "<!-- Made from the code by `make docs`. -->\n"


def _page(title: str, *sections: str) -> str:
    return "\n\n".join([f"{_HEADER}\n# {title}", *(section.strip() for section in sections)]) + "\n"


def _fence(text: str) -> str:
    """`text` with indented blocks fenced, since Markdown would run them into the line before."""
    return re.sub(
        r"(?:^ {4}.*\n*)+",
        lambda block: f"\n```text\n{textwrap.dedent(block[0]).rstrip()}\n```\n\n",
        text,
        flags=re.MULTILINE,
    ).replace("\n\n\n", "\n\n")


def _doc(thing: object) -> str:
    return _fence(inspect.getdoc(thing) or "").strip()


def _docstring(module: ModuleType, title: str | None = None) -> str:
    text = _doc(module)
    return f"## {title}\n\n`{module.__name__}`: {text}" if title else text


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def _diagram(name: str, module: ModuleType, start: State, transitions: Mapping[tuple[State, str], State]) -> str:
    arrows = [f"    {before} --> {after}: {action}" for (before, action), after in transitions.items()]
    after_all = {after for after in transitions.values() if all(before != after for before, _ in transitions)}
    ends = [f"    {state} --> [*]" for state in sorted(after_all)]
    diagram = "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {start}", *arrows, *ends, "```"])
    return f"## {name}\n\n`{module.__name__}.TRANSITIONS`\n\n{diagram}"


def make_life_cycles() -> str:
    return _page(
        "Life cycles",
        "What is not drawn here is illegal: the kernel stops rather than do it.",
        _diagram("Promise", promises, schema.PromiseState.UNRESOLVED, promises.TRANSITIONS),
        _diagram("Vat", vats, schema.VatState.STARTING, vats.TRANSITIONS),
        _diagram("Cluster", clusters, schema.ClusterState.LAUNCHING, clusters.TRANSITIONS),
        _diagram("Realm, as its host sees it", links, links.LinkState.ABSENT, links.TRANSITIONS),
    )


def _field_docs(record: type) -> dict[str, str]:
    """The string that follows each field of a dataclass in its source."""
    body = ast.parse(textwrap.dedent(inspect.getsource(record))).body[0]
    assert isinstance(body, ast.ClassDef)
    docs: dict[str, str] = {}
    for before, after in zip(body.body, body.body[1:], strict=False):
        match before, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docs[name] = " ".join(text.split())
            case _:
                pass
    return docs


def _limits_table(record: type) -> str:
    docs = _field_docs(record)
    rows = [(f"`{field.name}`", f"{field.default:,}", docs[field.name]) for field in dataclasses.fields(record)]
    return _table(("limit", "default", "what it bounds, and why"), rows)


def make_limits() -> str:
    return _page("Limits", _docstring(limits), _limits_table(limits.Limits))


def make_wasm() -> str:
    codes = [(f"`{code.name}`", str(code.value)) for code in interface.Call]
    return _page(
        "Wasm vats",
        _docstring(interface),
        _table(("code", "value"), codes),
        _docstring(faults, "Faults"),
        "## Limits",
        _limits_table(WasmLimits),
    )


def make_store() -> str:
    records = [
        record
        for record in vars(schema).values()
        if isinstance(record, type) and issubclass(record, tuple) and record.__module__ == schema.__name__
    ]
    fields = [
        f"### {record.__name__}\n\n`{', '.join(inspect.get_annotations(record))}`\n\n{_doc(record)}"
        for record in records
    ]
    families = [(f"`{name}`", family.row) for name, family in schema.FAMILIES.items()]
    return _page(
        "The store",
        f"Schema version {schema.SCHEMA_VERSION}.",
        _docstring(schema),
        "## Tables",
        _table(("table", "row"), families),
        "## Values\n\nEach is stored as the JSON list of its fields.",
        *fields,
    )


def make_vat_store() -> str:
    return _page(
        "The vat store",
        _docstring(vat_schema),
        _table(("key", "value"), [(f"`{key}`", value) for key, value in vat_schema.KEYS]),
        _docstring(vdata, "Virtual data"),
        _docstring(pillars, "Pillars"),
        _docstring(vat_collections, "Collections"),
        _docstring(vat_keys, "Keys"),
    )


def make_protocol() -> str:
    return _page(
        "The kernel-vat protocol",
        _docstring(protocol),
        _docstring(deliveries, "Deliveries"),
        _docstring(syscalls, "Syscalls"),
        _docstring(capdata, "Capdata"),
        _docstring(refs, "References"),
    )


def make_control() -> str:
    return _page(
        "The control interface",
        _docstring(control),
        _docstring(events, "Events"),
        _docstring(traffic, "Events from transcripts"),
    )


def make_archive() -> str:
    return _page(
        "Archives", f"Version {archive.VERSION}, of schema version {schema.SCHEMA_VERSION}.", _docstring(archive)
    )


def make_errors() -> str:
    return _page("Errors", _docstring(errors))


def make_cluster_schema() -> str:
    return json.dumps(CLUSTER_SCHEMA, indent=2) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "cluster.schema.json": make_cluster_schema,
    "reference/archive.md": make_archive,
    "reference/control.md": make_control,
    "reference/errors.md": make_errors,
    "reference/life-cycles.md": make_life_cycles,
    "reference/limits.md": make_limits,
    "reference/protocol.md": make_protocol,
    "reference/store.md": make_store,
    "reference/vat-store.md": make_vat_store,
    "reference/wasm.md": make_wasm,
}
"""The made pages, by path under docs/."""


def main() -> None:
    for name, make in PAGES.items():
        path = DOCS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make())
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
