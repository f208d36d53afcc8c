"""What a tool's JSON Schema says about a value: whether it fits, its types, its default."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
_DEEPEST = 4


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


def child(schema: Any, key: str | int, root: Any, inside: Any = ABSENT) -> Any:
    """The schema of a property or of an array's item; `{}` where nothing is said about it.

    `inside` is the object or the array itself. Where branches (`anyOf`, `oneOf`, `if`) speak of the
    key, those count that it is in, with the key or, as it may be left out, without it; where it is
    in none, all do. What several say is an `anyOf`, with a default only if all say the same.
    Without `inside` all branches count, and `if` does not.
    """
    schema = resolve(schema, root)
    if not isinstance(schema, Mapping):
        return {}
    branching = not _BRANCHING.isdisjoint(schema)
    own = schema.get("properties")
    if isinstance(own, dict) and key in own and (inside is ABSENT or not branching):
        return resolve(own[key], root)  # the first place of all, and the usual one
    lookup = _Lookup(key, root, set())
    found = lookup.of(schema, inside) if branching else lookup.own(schema, inside)
    return {} if found is ABSENT else resolve(found, root)


_BRANCHING = {"allOf", "anyOf", "oneOf", "if", "dependentSchemas"}


@dataclass(frozen=True)
class _Lookup:
    """What a schema says of one key, through all of its branches; each is looked at once."""

    key: str | int
    root: Any
    seen: set[int]

    def of(self, schema: Any, inside: Any) -> Any:
        """The schema of the key, or `ABSENT`."""
        if id(schema) in self.seen:  # a branch that leads to itself
            return ABSENT
        self.seen.add(id(schema))
        schema = resolve(schema, self.root)
        if not isinstance(schema, Mapping):
            return ABSENT
        inside = self.filled(schema, inside)
        in_force = _named([*self.alternatives(schema, inside), *self.conditions(schema, inside)])
        own = _named([self.own(schema, inside)])
        all_of = list[Any]()
        for part in schema.get("allOf") or ():
            said = _named([self.of(part, inside)])
            conditional = self.own(resolve(part, self.root), inside) is ABSENT
            (in_force if conditional else all_of).extend(said)
        parts = [*in_force, *own, *all_of]
        if len(parts) < 2:
            return parts[0] if parts else ABSENT
        # A branch may say otherwise than the object, and the object than what it is made of.
        ranks = ([default(part, self.root) for part in rank] for rank in (in_force, own, all_of))
        stated = next((rank for rank in map(_named, ranks) if rank), [])
        return {"allOf": parts, **_as_default(stated)}

    def own(self, schema: Any, inside: Any) -> Any:
        """What the schema says itself, outside its branches."""
        key = self.key
        if not isinstance(schema, Mapping):
            return ABSENT
        if isinstance(key, int):
            first = schema.get("prefixItems") if inside is not ABSENT else None
            if isinstance(first, list) and key < len(first):
                return first[key]
            return schema["items"] if isinstance(schema.get("items"), Mapping) else ABSENT
        named = _mapping(schema, "properties")
        if key in named:
            return named[key]
        patterned = _mapping(schema, "patternProperties")
        more = schema.get("additionalProperties")
        otherwise = more if isinstance(more, Mapping) else ABSENT
        return next((patterned[each] for each in patterned if _found(each, key)), otherwise)

    def alternatives(self, schema: Mapping[str, Any], inside: Any) -> Iterator[Any]:
        """What the branches say of which one holds, or several do."""
        for keyword in ("anyOf", "oneOf"):
            branches = list(schema.get(keyword) or ())
            holding = branches
            if inside is not ABSENT:
                holding = [branch for branch in branches if any(self.holds(branch, inside))]
            yield self.either(holding or branches, inside)

    def conditions(self, schema: Mapping[str, Any], inside: Any) -> Iterator[Any]:
        """What holds where a condition does: `then`, `else`, and what depends on another key."""
        if inside is ABSENT:
            return
        if "if" in schema:
            met = self.holds(schema["if"], inside)
            ways = {"then" if each else "else" for each in met}
            yield self.either([schema[way] for way in sorted(ways) if way in schema], inside)
        depending = _mapping(schema, "dependentSchemas")
        for key in depending:
            if key in inside and key != self.key:
                yield self.of(depending[key], inside)

    def either(self, branches: Sequence[Any], inside: Any) -> Any:
        """What one of several says, where it is not known which."""
        said = _named(self.of(branch, inside) for branch in branches)
        if len(said) < 2:
            return said[0] if said else ABSENT
        stated = [default(each, self.root) for each in said]
        return {"anyOf": said, **({} if ABSENT in stated else _as_default(stated))}

    def holds(self, branch: Any, inside: Any) -> tuple[bool, bool]:
        """Whether a branch allows the value as it is, and without the key."""
        whole = self.filled(resolve(branch, self.root), inside)
        rest = whole
        if isinstance(inside, Mapping):
            left = {key: value for key, value in inside.items() if key != self.key}
            rest = self.filled(resolve(branch, self.root), left)
        return is_valid(whole, branch, self.root), is_valid(rest, branch, self.root)

    def filled(self, schema: Any, inside: Any) -> Any:
        """An object with the defaults of what it leaves out."""
        if not isinstance(schema, Mapping) or not isinstance(inside, Mapping):
            return inside
        named = _mapping(schema, "properties").items()
        stated = ((key, default(each, self.root)) for key, each in named if key not in inside)
        return {**inside, **{key: value for key, value in stated if value is not ABSENT}}


def _named(found: Iterable[Any]) -> list[Any]:
    return [each for each in found if each is not ABSENT]


def _mapping(schema: Mapping[str, Any], keyword: str) -> Mapping[str, Any]:
    said = schema.get(keyword)
    return said if isinstance(said, Mapping) else {}


def _as_default(stated: Sequence[Any]) -> Mapping[str, Any]:
    """The one default of several, as a part of a schema; nothing where they differ."""
    texts = {json.dumps(each, sort_keys=True, default=str) for each in stated}
    return {"default": stated[0]} if len(texts) == 1 else {}


def _found(pattern: str, key: str) -> bool:
    try:
        return patterns.search(pattern, key) is not None
    except patterns.PatternError:  # valid in ECMAScript, where patterns of schemas are at home
        return False


def default(schema: Any, root: Any) -> Any:
    """The default that a schema states, or those parts of its `allOf` that do; else `ABSENT`."""
    return _default(schema, root, 0)


def _default(schema: Any, root: Any, depth: int) -> Any:
    schema = resolve(schema, root)
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return ABSENT
    if "default" in schema:
        return schema["default"]
    parts = schema.get("allOf") or ()
    return _as_default(_named(_default(part, root, depth + 1) for part in parts)).get(
        "default", ABSENT
    )


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
