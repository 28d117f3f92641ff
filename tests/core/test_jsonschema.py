"""The validator agrees with the ``jsonschema`` package, and names the culprit."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_py.core.cluster_config import CLUSTER_SCHEMA
from kernel_py.core.control import PARAMS
from kernel_py.core.jsonschema import join, validate
from kernel_py.wire.errors import KernelBug, RequestError

jsonschema: Any = None
with contextlib.suppress(ImportError):  # not there inside Pyodide
    jsonschema = importlib.import_module("jsonschema")

needs_reference = pytest.mark.skipif(jsonschema is None, reason="the jsonschema package is not installed")

# Schemas like ours: every supported keyword, nested. Names are few, so that instances meet them.
_NAMES = st.sampled_from(["a", "b", "alice", "1x", ""])
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([1.0, 1.5, -2.0, 1e300])
    | st.sampled_from(["", "a", "x.py", "alice", "a b", "ü\n", "x.py\n"])
)
_INSTANCES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4), max_leaves=6
)
_TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"])


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {},
        optional={
            "type": _TYPES,
            "description": st.just("annotation"),
            "enum": st.lists(st.sampled_from(["a", "alice", "x.py", ""]), min_size=1, max_size=3, unique=True),
            "pattern": st.sampled_from([r"\.py$", "^[a-z]+$", "^$", "l"]),
            "minimum": st.integers(-1, 3),
            "maximum": st.integers(-1, 3),
            "minLength": st.integers(0, 3),
            "maxLength": st.integers(0, 5),
            "items": inner,
            "required": st.lists(_NAMES, max_size=2, unique=True),
            "properties": st.dictionaries(_NAMES, inner, max_size=3),
            "additionalProperties": st.just(value=False) | inner,
            "propertyNames": st.fixed_dictionaries(
                {}, optional={"pattern": st.just("^[a-z]"), "maxLength": st.just(3)}
            ),
            "minProperties": st.integers(0, 2),
            "maxProperties": st.integers(0, 3),
        },
    )


_SCHEMAS = st.recursive(_schemas(st.just({})), _schemas, max_leaves=3)


def _accepts(value: Any, schema: dict[str, Any]) -> bool:
    try:
        validate(value, schema, "value")
    except RequestError:
        return False
    return True


@needs_reference
@settings(max_examples=200)
@given(_INSTANCES, _SCHEMAS)
def test_it_agrees_with_the_reference_implementation(value: Any, schema: dict[str, Any]) -> None:
    assert _accepts(value, schema) == jsonschema.Draft202012Validator(schema).is_valid(value)


_CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "bootstrap": st.sampled_from(["a", "b", 7]),
        "name": st.sampled_from(["x", "", "n" * 100, "n" * 101]),
        "services": st.lists(st.sampled_from(["timer", 7, {}, {"log": {}}]), max_size=2),
        "vats": st.dictionaries(
            st.sampled_from(["a", "b", "1", "a b", "", "n" * 101]),
            st.fixed_dictionaries(
                {},
                optional={
                    "source": st.sampled_from(["a.py", "a.js", 7]),
                    "kind": st.sampled_from(["iframe", "worker", "wasm", None]),
                    "parameters": _INSTANCES,
                    "meter": st.fixed_dictionaries(
                        {"delivery": st.sampled_from([1, 0, 10**15, 10**15 + 1, 2.0, True])},
                        optional={"tank": st.sampled_from([1, -1, "1"]), "extra": st.just(1)},
                    ),
                    "extra": st.just(1),
                },
            ),
            max_size=3,
        ),
        "$schema": st.just("x"),
        "extra": st.just(1),
    },
)


@needs_reference
@settings(max_examples=150)
@given(_CONFIGS)
def test_it_agrees_on_clusters(config: Any) -> None:
    assert _accepts(config, CLUSTER_SCHEMA) == jsonschema.Draft202012Validator(CLUSTER_SCHEMA).is_valid(config)


@needs_reference
@given(st.sampled_from(sorted(PARAMS)), _INSTANCES)
def test_it_agrees_on_parameters(method: str, params: Any) -> None:
    schema = PARAMS[method]
    assert _accepts(params, schema) == jsonschema.Draft202012Validator(schema).is_valid(params)


@needs_reference
@pytest.mark.parametrize("schema", [CLUSTER_SCHEMA, *PARAMS.values()])
def test_our_schemas_are_schemas(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    "value, path, reason",
    [
        ([], "config", "must be an object, not an array"),
        ({"vats": {"a": {"source": "a.py"}}}, "config", "'bootstrap' is missing"),
        ({"bootstrap": None, "vats": {}}, "config.bootstrap", "must be a string, not null"),
        ({"bootstrap": "a", "vats": {}}, "config.vats", "must have at least 1 entries"),
        ({"bootstrap": "a", "vats": {"a b": {}}}, "config.vats (the name 'a b')", "does not match"),
        ({"bootstrap": "a", "vats": {"a": {"source": "a.js"}}}, "config.vats.a.source", "does not match"),
        (
            {"bootstrap": "a", "vats": {"a": {"source": "a.py", "kind": "x"}}},
            "config.vats.a.kind",
            "must be one of 'iframe', 'worker', 'wasm', 'confined', 'pyodide', 'process', 'command', not 'x'",
        ),
        (
            {"bootstrap": "a", "vats": {"a-1": {"source": "a.py", "more": 1}}},
            "config.vats['a-1'].more",
            "unknown field; known are source, kind, command, parameters",
        ),
        (
            {"bootstrap": "a", "services": [1], "vats": {}},
            "config.services[0]",
            "must be a string or an object, not an integer",
        ),
        ({"bootstrap": "a", "name": "", "vats": {}}, "config.name", "must have at least 1 characters"),
        ({"bootstrap": "a", "name": "x" * 101, "vats": {}}, "config.name", "has 101 characters; the limit is 100"),
    ],
)
def test_the_culprit_is_named(value: Any, path: str, reason: str) -> None:
    with pytest.raises(RequestError) as caught:
        validate(value, CLUSTER_SCHEMA, "config")
    assert caught.value.path == path
    assert reason in str(caught.value)


def test_an_unknown_keyword_is_a_bug_of_ours() -> None:
    with pytest.raises(KernelBug, match="'oneOf' is not supported"):
        validate(1, {"oneOf": []}, "x")


@given(st.text())
def test_any_name_makes_a_path(name: str) -> None:
    with contextlib.suppress(RequestError):
        validate({name: 1}, CLUSTER_SCHEMA, "config")
    assert join("x", name).startswith("x")
