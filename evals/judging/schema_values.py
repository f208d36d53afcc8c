"""Values that a schema allows: at random none, but for each wish one, or the proof of none.

`Found.known` says that its values are all there are, up to likeness: where it has none, there is
none. A schema's `anyOf`, `oneOf`, `allOf` and `$ref` are taken apart first, so that each branch is
a list of plain schemas that all hold.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import lcm
from typing import Any

from evals import schema as schemas
from evals.judging.pattern_words import NotKnownError, word

_MOST_BRANCHES = 32
_DEEPEST = 8
_NUMBERS = frozenset({"integer", "number"})
FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "ann@example.com",
    "uri": "https://example.com",
    "url": "https://example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.com",
    "uuid": "3f2b8c1e-5d4a-4c6b-9e7f-0a1b2c3d4e5f",
}


@dataclass(frozen=True)
class Found:
    """Values for a wish. `known`: there are no others that differ in what matters."""

    values: tuple[Any, ...] = ()
    known: bool = False

    @property
    def impossible(self) -> bool:
        """Whether it is proved that there is no value."""
        return self.known and not self.values


NONE = Found(known=True)


def union(found: Iterable[Found]) -> Found:
    """What any of several wishes takes."""
    each = list(found)
    values = tuple(value for one in each for value in one.values)
    return Found(values, all(one.known for one in each))


@dataclass(frozen=True)
class Where:
    """A place in a tool's parameters: its schema, and the whole that its `$ref`s lead into."""

    schema: Any
    root: Any
    depth: int = 0

    def at(self, key: str | int) -> "Where":
        """The place of a property, or of an array's item."""
        child = schemas.child(self.schema, key, self.root)
        return replace(self, schema=child, depth=self.depth + 1)

    def allows(self, value: Any) -> bool:
        """Whether the schema takes a value; one that cannot be used takes none."""
        return schemas.is_valid(value, self.schema, self.root)

    def branches(self) -> list["Branch"] | None:
        """The ways in which the schema can hold; None where they are too many to look at."""
        try:
            found = [Branch(tuple(parts)) for parts in _branches(self.schema, self.root, 0)]
        except _TooManyError:
            return None
        return found if len(found) <= _MOST_BRANCHES else None


class _TooManyError(Exception):
    pass


def _branches(schema: Any, root: Any, depth: int) -> list[list[Mapping[str, Any]]]:
    schema = schemas.resolve(schema, root)
    if schema is False:
        return []
    if not isinstance(schema, Mapping):
        return [[{}]]
    if depth > _DEEPEST:
        raise _TooManyError
    choices: list[list[list[Mapping[str, Any]]]] = []
    for keyword in ("anyOf", "oneOf"):
        if isinstance(schema.get(keyword), list) and schema[keyword]:
            each = [_branches(part, root, depth + 1) for part in schema[keyword]]
            choices.append([parts for one in each for parts in one])
    for part in schema.get("allOf") or ():
        choices.append(_branches(part, root, depth + 1))
    size = 1
    for choice in choices:
        size *= len(choice)
    if size > _MOST_BRANCHES:
        raise _TooManyError
    return [[schema, *(part for parts in way for part in parts)] for way in product(*choices)]


@dataclass(frozen=True)
class Branch:
    """Plain schemas that all hold at once."""

    parts: tuple[Mapping[str, Any], ...]

    def every(self, keyword: str) -> list[Any]:
        """What each part says under a keyword."""
        return [part[keyword] for part in self.parts if keyword in part]

    def bounds(self, keyword: str) -> list[int]:
        """Limits of a length or a number of items."""
        return [value for value in self.every(keyword) if isinstance(value, int)]

    def may_be(self, kind: str) -> bool:
        """Whether a value of this JSON type may stand here."""
        for said in self.every("type"):
            names = {said} if isinstance(said, str) else set(said)
            if kind not in names and not (kind in _NUMBERS and names & _NUMBERS):
                return False
        return True

    @property
    def choices(self) -> list[Any] | None:
        """The only values, where they are listed."""
        for part in self.parts:
            if isinstance(part.get("enum"), list):
                return list(part["enum"])
            if "const" in part:
                return [part["const"]]
        return None

    @property
    def says_more(self) -> bool:
        """Whether there are keywords that are not looked at here, but when a value is checked."""
        return any(key in part for part in self.parts for key in ("not", "if", "format", "oneOf"))


def search(where: Where, find: Callable[[Branch], Found], fits: Callable[[Any], bool]) -> Found:
    """What `find` yields in any branch of the schema there, where it fits wish and schema."""
    branches = where.branches()
    if branches is None or where.depth > _DEEPEST:
        return Found()
    return union(_search_branch(where, branch, find, fits) for branch in branches)


def _search_branch(
    where: Where, branch: Branch, find: Callable[[Branch], Found], fits: Callable[[Any], bool]
) -> Found:
    listed = branch.choices
    found = Found(tuple(listed), known=True) if listed is not None else find(branch)
    values = tuple(v for v in found.values if fits(v) and where.allows(v))
    # A candidate that something else forbids proves nothing.
    proved = found.known and (listed is not None or bool(values) or not found.values)
    return Found(values, proved)


def texts(patterns: Sequence[str], branch: Branch) -> Found:
    """A text in which all patterns are found, and those of the schema."""
    if not branch.may_be("string"):
        return NONE
    wanted = [*patterns, *(p for p in branch.every("pattern") if isinstance(p, str))]
    longest = branch.bounds("maxLength")
    shown = [FORMATS[f] for f in branch.every("format") if isinstance(f, str) and f in FORMATS]
    try:
        shortest = max(branch.bounds("minLength"), default=0)
        found = word(wanted, shortest, min(longest, default=None) if longest else None)
    except NotKnownError:
        return Found(tuple(shown))
    if found is None:
        return NONE
    return Found((*shown, found), known=True)


def numbers(low: Fraction | None, high: Fraction | None, branch: Branch) -> Found:
    """A number between two, with both, that bounds and steps of the schema allow."""
    if not branch.may_be("number"):
        return NONE
    lows = [(low, False)] if low is not None else []
    highs = [(high, False)] if high is not None else []
    lows += [(b, out) for b, out in _limits(branch, "minimum", "exclusiveMinimum")]
    highs += [(b, out) for b, out in _limits(branch, "maximum", "exclusiveMaximum")]
    least = max(lows, default=None)
    most = min(highs, key=lambda bound: (bound[0], not bound[1]), default=None)
    step = _step(branch)
    found = _between(least, most, step)
    return NONE if found is None else Found((_plain(found),), known=True)


def _limits(branch: Branch, keyword: str, exclusive: str) -> Iterator[tuple[Fraction, bool]]:
    for name, outside in ((keyword, False), (exclusive, True)):
        for value in branch.every(name):
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield schemas.exact(value), outside


def _step(branch: Branch) -> Fraction | None:
    steps = [schemas.exact(value) for value in branch.every("multipleOf")]
    kinds = [{said} if isinstance(said, str) else set(said) for said in branch.every("type")]
    if any("integer" in names and "number" not in names for names in kinds):
        steps.append(Fraction(1))
    if not steps:
        return None
    scale = lcm(*(step.denominator for step in steps))
    return Fraction(lcm(*(int(step * scale) for step in steps)), scale)


Bound = tuple[Fraction, bool]


def _between(least: Bound | None, most: Bound | None, step: Fraction | None) -> Fraction | None:
    """A number within the bounds; None where there is none."""
    if step is not None:
        if least is None:
            found = step * ((most[0] / step).__floor__() if most else 0)
            return found - step if most and most[1] and found == most[0] else found
        found = step * (least[0] / step).__ceil__()
        found += step if least[1] and found == least[0] else 0
        inside = most is None or found < most[0] or (found == most[0] and not most[1])
        return found if inside else None
    if least is None or most is None:
        edge = least or most
        return edge[0] + (1 if edge is least else -1) if edge else Fraction(1)
    if least[0] > most[0] or (least[0] == most[0] and (least[1] or most[1])):
        return None
    return (least[0] + most[0]) / 2


def _plain(number: Fraction) -> int | float:
    return int(number) if number.denominator == 1 else float(number)


def sample(where: Where) -> Found:
    """Any value that the schema allows."""

    def find(branch: Branch) -> Found:
        shown = [*branch.every("default"), *(e for x in branch.every("examples") for e in x[:1])]
        kinds = [_of_type(kind, branch, where) for kind in _KINDS if branch.may_be(kind)]
        found = union(kinds)
        return Found((*shown, *found.values), found.known)

    return search(where, find, lambda _: True)


_KINDS = ("string", "number", "boolean", "null", "object", "array")


def _of_type(kind: str, branch: Branch, where: Where) -> Found:
    if kind == "string":
        return texts([], branch)
    if kind == "number":
        return numbers(None, None, branch)
    if kind == "boolean":
        return Found((True, False), known=True)
    if kind == "null":
        return Found((None,), known=True)
    return filled({}, branch, where) if kind == "object" else listed([], branch, where)


def listed(items: Sequence[Any], branch: Branch, where: Where) -> Found:
    """An array with these items in front, and as many more as the schema wants."""
    if not branch.may_be("array") or len(items) > min(
        branch.bounds("maxItems"), default=len(items)
    ):
        return NONE
    missing = max(branch.bounds("minItems"), default=0) - len(items)
    if missing <= 0:
        return Found((list(items),), known=False)
    more = sample(where.at(0))
    if not more.values:
        return Found()
    fill = [more.values[i % len(more.values)] for i in range(min(missing, 100))]
    return Found(([*items, *fill],))


def filled(values: Mapping[str, Any], branch: Branch, where: Where) -> Found:
    """An object with these properties, and others that the schema requires."""
    if not branch.may_be("object"):
        return NONE
    whole = dict(values)
    for needed in (name for names in branch.every("required") for name in names):
        if needed not in whole:
            found = sample(where.at(needed))
            if not found.values:
                return Found()
            whole[needed] = found.values[0]
    return Found((whole,))
