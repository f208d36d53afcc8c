"""What a tool's JSON Schema says about a value: whether it fits, its types, its default."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from evals import patterns

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


def exact(number: int | float) -> Fraction:
    """A number as it is written: 0.1 is a tenth, not the double that is nearest to it."""
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def _multiple_of(
    validator: Any, divisor: int | float, value: Any, _: Any
) -> Iterator[ValidationError]:
    if validator.is_type(value, "number") and exact(value) % exact(divisor):
        yield ValidationError(f"{value!r} is not a multiple of {divisor}")


def _pattern(validator: Any, pattern: str, value: Any, _: Any) -> Iterator[ValidationError]:
    if validator.is_type(value, "string") and patterns.search(pattern, value) is None:
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, said: Mapping[str, Any], value: Any, _: Any
) -> Iterator[ValidationError]:
    if validator.is_type(value, "object"):
        for pattern, schema in said.items():
            for key in value:
                if patterns.search(pattern, key) is not None:
                    yield from validator.descend(value[key], schema, key, pattern)


def _additional_properties(
    validator: Any, schema: Any, value: Any, around: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if not validator.is_type(value, "object"):
        return
    known, named = around.get("properties", {}), around.get("patternProperties", {})
    more = [
        key
        for key in value
        if key not in known and all(patterns.search(pattern, key) is None for pattern in named)
    ]
    if isinstance(schema, Mapping):
        for key in more:
            yield from validator.descend(value[key], schema, path=key)
    elif more and schema is False:
        listed = ", ".join(map(repr, more))
        yield ValidationError(f"Additional properties are not allowed ({listed})")


Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "multipleOf": _multiple_of,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    },
)
"""JSON Schema 2020-12; unlike jsonschema's, `multipleOf: 0.01` takes 19.99, and patterns end."""

FORMATS: Any = Draft202012Validator.FORMAT_CHECKER
"""Checks of `format`, those that jsonschema has without more packages: date, email, ipv4, …"""


def errors(value: Any, schema: Any) -> Iterator[ValidationError]:
    """What is wrong with a value, by a whole schema."""
    yield from _validator(schema).iter_errors(value)


def is_valid(value: Any, schema: Any, root: Any) -> bool:
    """Whether a part of a schema allows a value; one that cannot be used allows none."""
    validator = _validator(root if isinstance(root, Mapping) else _ANY)
    try:
        return bool(validator.evolve(schema=schema).is_valid(value))
    except Exception:  # jsonschema's own errors of an unusable schema have no common type
        return False


def _validator(schema: Any) -> Any:
    kept = _made.get(id(schema))
    if kept is None:
        if len(_made) >= _MOST_MADE:
            _made.clear()
        kept = _made[id(schema)] = Validator(schema, format_checker=FORMATS)
    return kept


_ANY: Mapping[str, Any] = {}
_made: dict[int, Any] = {}
"""Validators of the latest schemas, by id: each keeps its schema alive, so no other has that id."""
_MOST_MADE = 256


def resolve(schema: Any, root: Any) -> Any:
    """`schema` with its local `$ref` (`#/$defs/…`) followed; `{}` where that leads nowhere.

    What stands beside a `$ref` goes before what it leads to.
    """
    for _ in range(_DEPTH):
        if not isinstance(schema, Mapping) or not isinstance(schema.get("$ref"), str):
            return schema
        target = _at(root, schema["$ref"])
        if not isinstance(target, Mapping):
            return target
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return {}


def leads(reference: str, root: Any) -> bool:
    """Whether a local reference such as `#/$defs/city` leads to something."""
    return _at(root, reference, ABSENT) is not ABSENT


def child(schema: Any, key: str | int, root: Any) -> Any:
    """The schema of a property or of an array's item; `{}` where nothing is said about it."""
    schema = resolve(schema, root)
    if not isinstance(schema, Mapping):
        return {}
    own = schema.get("properties")
    if isinstance(own, dict) and key in own:  # the first place of all, and the usual one
        return resolve(own[key], root)
    parts = list(_parts(schema, root))
    if isinstance(key, int):
        found = [part["items"] for part in parts if isinstance(part.get("items"), Mapping)]
    else:
        found = [
            *(said[key] for said in _mappings(parts, "properties") if key in said),
            *(
                said[pattern]
                for said in _mappings(parts, "patternProperties")
                for pattern in said
                if _found(pattern, key)
            ),
            *_mappings(parts, "additionalProperties"),
        ]
    return resolve(found[0], root) if found else {}


def _mappings(parts: list[Mapping[str, Any]], keyword: str) -> Iterator[Mapping[str, Any]]:
    return (part[keyword] for part in parts if isinstance(part.get(keyword), Mapping))


def _found(pattern: str, key: str) -> bool:
    try:
        return patterns.search(pattern, key) is not None
    except patterns.PatternError:  # valid in ECMAScript, where patterns of schemas are at home
        return False


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
        found = types if found is None else _common(found, types)
    return found


def _common(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """What both allow: an integer is a number, too."""
    return frozenset(
        name
        for a, b in ((one, other), (other, one))
        for name in a
        if name in b or (name == "integer" and "number" in b)
    )


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


def _at(root: Any, reference: str, otherwise: Any = None) -> Any:
    nowhere: Any = {} if otherwise is None else otherwise
    if not reference.startswith("#"):
        return nowhere
    place = root
    for part in reference.lstrip("#").strip("/").split("/"):
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(place, list) and name.isdecimal() and int(name) < len(place):
            place = place[int(name)]
        elif isinstance(place, Mapping) and (not part or name in place):
            place = place[name] if part else place
        else:
            return nowhere
    return place
