"""A validator for the part of JSON Schema that this project's schemas use. Standard library only.

Understands ``type`` (a name or several), ``properties``, ``required``, ``additionalProperties``,
``propertyNames``, ``minProperties``, ``maxProperties``, ``items``, ``enum``, ``pattern``, ``minLength``,
``maxLength``, ``minimum``, ``maximum`` and annotations; an unknown keyword is a `KernelBug`, so a schema never promises
what is not checked. Tests compare it with the ``jsonschema`` package.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kernel_py.wire.errors import KernelBug, RequestError

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}

_ANNOTATIONS = frozenset({"$schema", "$id", "title", "description", "examples", "default"})


def validate(value: Any, schema: dict[str, Any], path: str) -> None:
    """Check `value`, a parsed JSON value, against `schema`.

    Raises:
        RequestError: it does not fit; its path leads to the culprit, such as ``config.vats.alice.kind``.
    """
    for keyword, rule in schema.items():
        if keyword in _ANNOTATIONS:
            continue
        checked_type, check = _CHECKS.get(keyword, (object, None))
        if check is None:
            raise KernelBug(f"schema keyword {keyword!r} is not supported")
        if isinstance(value, checked_type):
            check(value, rule, schema, path)


def _check_type(value: Any, rule: Any, _: dict[str, Any], path: str) -> None:
    rules = [rule] if isinstance(rule, str) else rule
    if not any(_is_type(value, name) for name in rules):
        wanted = " or ".join(map(_with_article, rules))
        raise RequestError(f"must be {wanted}, not {_with_article(_type_name(value))}", path)


def _check_enum(value: Any, rule: Any, _: dict[str, Any], path: str) -> None:
    if value not in rule:
        raise RequestError(f"must be one of {', '.join(map(repr, rule))}, not {value!r:.100}", path)


def _check_pattern(value: Any, rule: Any, _: dict[str, Any], path: str) -> None:
    if not re.search(rule, value):
        raise RequestError(f"{value!r:.100} does not match {rule}", path)


def _check_min_length(value: Any, rule: Any, _: dict[str, Any], path: str) -> None:
    if len(value) < rule:
        raise RequestError(f"must have at least {rule} characters", path)


def _check_max_length(value: Any, rule: Any, _: dict[str, Any], path: str) -> None:
    if len(value) > rule:
        raise RequestError(f"has {len(value):,} characters; the limit is {rule:,}", path)


def _check_minimum(value: Any, rule: Any, _: dict[str, Any], path: str) -> None:
    if not isinstance(value, bool) and value < rule:
        raise RequestError(f"must be at least {rule}, not {value}", path)


def _check_maximum(value: Any, rule: Any, _: dict[str, Any], path: str) -> None:
    if not isinstance(value, bool) and value > rule:
        raise RequestError(f"must be at most {rule}, not {value}", path)


def _check_items(value: Any, rule: Any, _: dict[str, Any], path: str) -> None:
    for index, item in enumerate(value):
        validate(item, rule, f"{path}[{index}]")


def _check_required(value: Any, rule: Any, _: dict[str, Any], path: str) -> None:
    for name in rule:
        if name not in value:
            raise RequestError(f"{name!r} is missing", path)


def _check_properties(value: Any, rule: Any, _: dict[str, Any], path: str) -> None:
    for name, subschema in rule.items():
        if name in value:
            validate(value[name], subschema, join(path, name))


def _check_additional(value: Any, rule: Any, schema: dict[str, Any], path: str) -> None:
    known = schema.get("properties", {})
    for name, item in value.items():
        if name in known:
            continue
        if rule is False:
            raise RequestError(f"unknown field; known are {', '.join(known)}", join(path, name))
        validate(item, rule, join(path, name))


def _check_names(value: Any, rule: Any, _: dict[str, Any], path: str) -> None:
    for name in value:
        validate(name, rule, f"{path} (the name {name!r:.100})")


def _check_min_properties(value: Any, rule: Any, _: dict[str, Any], path: str) -> None:
    if len(value) < rule:
        raise RequestError(f"must have at least {rule} entries", path)


def _check_max_properties(value: Any, rule: Any, _: dict[str, Any], path: str) -> None:
    if len(value) > rule:
        raise RequestError(f"has {len(value):,} entries; the limit is {rule:,}", path)


_Check = Callable[[Any, Any, dict[str, Any], str], None]

_CHECKS: dict[str, tuple[type | tuple[type, ...], _Check]] = {
    "type": (object, _check_type),
    "enum": (object, _check_enum),
    "pattern": (str, _check_pattern),
    "minLength": (str, _check_min_length),
    "maxLength": (str, _check_max_length),
    "minimum": ((int, float), _check_minimum),
    "maximum": ((int, float), _check_maximum),
    "items": (list, _check_items),
    "required": (dict, _check_required),
    "properties": (dict, _check_properties),
    "additionalProperties": (dict, _check_additional),
    "propertyNames": (dict, _check_names),
    "minProperties": (dict, _check_min_properties),
    "maxProperties": (dict, _check_max_properties),
}
"""By keyword: the type of value that it constrains, and the check."""


def join(path: str, name: str) -> str:
    """The path of a field of the object at `path`."""
    return f"{path}.{name}" if re.fullmatch(r"\w+", name) else f"{path}[{name!r:.100}]"


def _is_type(value: Any, rule: str) -> bool:
    if isinstance(value, bool):
        return rule == "boolean"
    if rule == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[rule])


def _type_name(value: Any) -> str:
    return next(name for name in ("boolean", *_TYPES) if _is_type(value, name))


def _with_article(rule: str) -> str:
    return f"an {rule}" if rule[0] in "aio" else f"a {rule}" if rule != "null" else rule
