"""What a tool's JSON Schema says about one value: its types, its properties, its default."""

from collections.abc import Iterator, Mapping
from typing import Any

ABSENT = object()
"""Stands for "no value", which is not the same as null."""

_DEPTH = 16


def json_type(value: Any) -> str:
    """The JSON type of a parsed value; an int is `integer`, and so is a float without fraction."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list | tuple) else "object"


def resolve(schema: Any, root: Any) -> Any:
    """`schema` with its local `$ref` (`#/$defs/…`) followed; `{}` where that leads nowhere."""
    for _ in range(_DEPTH):
        if not isinstance(schema, Mapping) or not isinstance(schema.get("$ref"), str):
            return schema
        schema = _at(root, schema["$ref"])
    return {}


def child(schema: Any, key: str | int, root: Any) -> Any:
    """The schema of a property or of an array's item; `{}` where nothing is said about it."""
    schema = resolve(schema, root)
    if not isinstance(schema, Mapping):
        return {}
    for part in _parts(schema, root):
        if isinstance(key, int):
            items = part.get("items")
            if isinstance(items, Mapping):
                return resolve(items, root)
        else:
            properties = part.get("properties")
            if isinstance(properties, Mapping) and key in properties:
                return resolve(properties[key], root)
    return {}


def default(schema: Any) -> Any:
    """The default that a schema states, or `ABSENT`."""
    return schema.get("default", ABSENT) if isinstance(schema, Mapping) else ABSENT


def allowed_types(schema: Any, root: Any, depth: int = 0) -> frozenset[str] | None:
    """The JSON types that a value may have; None where the schema does not restrict them.

    Read from `type`, `enum`, `const`, `anyOf`, `oneOf`, `allOf` and local `$ref`. `number` takes
    integers too.
    """
    schema = resolve(schema, root)
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return None
    found: frozenset[str] | None = None
    for types in _restrictions(schema, root, depth):
        found = types if found is None else found & types
    return found


def fits(value: Any, types: frozenset[str] | None) -> bool:
    """Whether a value's JSON type is among `types`."""
    name = json_type(value)
    return types is None or name in types or (name == "integer" and "number" in types)


def _restrictions(schema: Mapping[str, Any], root: Any, depth: int) -> Iterator[frozenset[str]]:
    kind = schema.get("type")
    if isinstance(kind, str):
        yield frozenset({kind})
    elif isinstance(kind, list):
        yield frozenset(str(name) for name in kind)
    elif isinstance(schema.get("enum"), list):
        yield frozenset(json_type(value) for value in schema["enum"])
    elif "const" in schema:
        yield frozenset({json_type(schema["const"])})
    for keyword in ("anyOf", "oneOf"):
        branches = schema.get(keyword)
        if isinstance(branches, list) and branches:
            each = [allowed_types(branch, root, depth + 1) for branch in branches]
            known = [types for types in each if types is not None]
            if len(known) == len(each):
                yield frozenset().union(*known)
    for branch in schema.get("allOf") or ():
        types = allowed_types(branch, root, depth + 1)
        if types is not None:
            yield types


def _parts(schema: Mapping[str, Any], root: Any) -> Iterator[Mapping[str, Any]]:
    yield schema
    for keyword in ("allOf", "anyOf", "oneOf"):
        for branch in schema.get(keyword) or ():
            branch = resolve(branch, root)
            if isinstance(branch, Mapping):
                yield branch


def _at(root: Any, reference: str) -> Any:
    if not reference.startswith("#"):
        return {}
    place = root
    for part in reference.lstrip("#").strip("/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, Mapping) or (part and name not in place):
            return {}
        place = place[name] if part else place
    return place
