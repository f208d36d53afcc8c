"""Typed JSON comparison, leaf by leaf: what was expected against what came.

A matcher of an expected value (`evals.judging.matchers`) compares its own place; which matchers
there are comes with the place, so nothing here knows one by name.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from evals import schema as schemas
from evals.json_text import parse_strict, to_text
from evals.judging.schema_values import Found, Where

How = Literal["exact", "matcher", "default", "coerced", "nfc", "wrong", "missing", "extra"]
GOOD: frozenset[str] = frozenset({"exact", "matcher", "default"})
NOTHING = "(absent)"

_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}


@dataclass(frozen=True)
class Leaf:
    """One compared place. `how` is good (`exact`, `matcher`, `default`) or says what is wrong.

    `coerced` would match after a change of type, `nfc` after Unicode normalisation; both fail.
    `expected` and `got` are JSON text; `by` is the matcher that took it.
    """

    path: str
    how: How
    expected: str
    got: str
    by: str = ""

    @property
    def ok(self) -> bool:
        """Whether this place matches."""
        return self.how in GOOD


@dataclass(frozen=True)
class Match:
    """The result for a whole value: it matches if all of its leaves do."""

    leaves: tuple[Leaf, ...]

    @property
    def ok(self) -> bool:
        """Whether everything matches."""
        return all(leaf.ok for leaf in self.leaves)

    @property
    def wrong(self) -> tuple[Leaf, ...]:
        """The leaves that do not match."""
        return tuple(leaf for leaf in self.leaves if not leaf.ok)


@dataclass(frozen=True)
class Matcher:
    """A way to expect more than one value: a mapping with one `$`-key, and maybe options beside it.

    `compare` yields the leaves of an expected mapping against what came. `problems` says what is
    wrong with the mapping itself, a line each that begins with the path; `check` does so for values
    inside it. `examples` are values that it accepts at a place of a schema, or the proof of none;
    `inner` gives those of values inside it. `optional`: an absent argument matches, too, and so it
    may stand only as the value of an argument. `whole`: it may stand for all arguments of a call.
    """

    name: str
    form: str
    """How it is written, for the reference."""
    doc: str
    """What it accepts, for the reference."""
    compare: Callable[[Mapping[str, Any], Any, "Place"], Iterator[Leaf]]
    problems: Callable[[Mapping[str, Any], str, "Check"], list[str]]
    examples: Callable[[Mapping[str, Any], Where, "Examples"], Found] = (
        lambda _expected, _where, _inner: Found()
    )
    options: tuple[str, ...] = ()
    optional: bool = False
    whole: bool = False


Check = Callable[[Any, str], list[str]]


@dataclass(frozen=True)
class Examples:
    """What a matcher's examples are made with."""

    of: Callable[[Any, Where], Found]
    """Examples of a value inside the matcher."""
    accepts: Callable[[Any], bool]
    """Whether the matcher itself takes a value."""


def matcher_name(value: Any) -> str | None:
    """The `$`-key of a matcher; None for a plain value."""
    if not isinstance(value, Mapping):
        return None
    return next((key for key in value if isinstance(key, str) and key.startswith("$")), None)


_SIMPLE = re.compile(r"[\w$-]+")


@dataclass(frozen=True)
class Place:
    """Where a comparison stands: the path, the schema there, and the matchers that there are.

    Without matchers a mapping with a `$`-key is a plain value.
    """

    path: str
    schema: Any
    root: Any
    matchers: tuple[Matcher, ...]

    def at(self, key: str | int, inside: Any) -> "Place":
        """The place of a key or an item of what came, which may lack it."""
        simple = isinstance(key, int) or _SIMPLE.fullmatch(key)
        step = f"[{key}]" if isinstance(key, int) else f".{key}" if simple else f"[{to_text(key)}]"
        child = schemas.child(self.schema, key, self.root, inside) if self.schema else {}
        return Place(self.path + step, child, self.root, self.matchers)

    def leaf(self, how: How, expected: Any, got: Any) -> Leaf:
        """What was found here."""
        return Leaf(self.path, how, to_text(expected), to_text(got))

    def matcher(self, name: str | None) -> Matcher | None:
        """The matcher of this name, if there is one."""
        if name is None:
            return None
        return next((matcher for matcher in self.matchers if matcher.name == name), None)


def compare(expected: Any, got: Any, place: Place) -> Iterator[Leaf]:
    """The leaves of an expected value, which may be a matcher, against what came."""
    if place.matchers and (name := matcher_name(expected)):
        matcher = place.matcher(name)
        if matcher is None:
            yield place.leaf("wrong", expected, got)
        else:
            for leaf in matcher.compare(expected, got, place):
                by_this = leaf.how == "matcher" and not leaf.by
                yield replace(leaf, by=matcher.name) if by_this else leaf
    elif isinstance(expected, Mapping) and isinstance(got, Mapping):
        yield from compare_objects(expected, got, place)
    elif isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        yield from _compare_arrays(expected, got, place)
    else:
        yield place.leaf(_compare_scalars(expected, got), expected, got)


def compare_whole(
    expected: Mapping[str, Any], got: Mapping[str, Any], place: Place
) -> Iterator[Leaf]:
    """As `compare_objects`, where a matcher such as `$partial` may stand for all of it."""
    name = whole_matcher(expected)
    matcher = place.matcher(name)
    if matcher is not None and matcher.whole:
        yield from compare(expected, got, place)
    else:
        yield from compare_objects(expected, got, place)


def whole_matcher(arguments: Mapping[str, Any]) -> str | None:
    """The `$`-key that stands alone, so that it may be a matcher of all arguments."""
    return matcher_name(arguments) if len(arguments) == 1 else None


def compare_objects(
    expected: Mapping[str, Any],
    got: Mapping[str, Any],
    place: Place,
    inside: Mapping[str, Any] | None = None,
) -> Iterator[Leaf]:
    """As `compare`, of two mappings whose own keys are names and no matchers.

    Where `got` is a part, `inside` is all that came: it decides which branch of a schema holds.
    """
    inside = got if inside is None else inside
    if not expected and not got:
        yield place.leaf("exact", expected, got)
    for key, value in expected.items():
        where = place.at(key, inside)
        if key in got:
            yield from compare(value, got[key], where)
        else:
            yield _absent(value, where)
    for key, value in got.items():
        if key not in expected:
            where = place.at(key, inside)
            yield Leaf(where.path, came_by_default(value, where), NOTHING, to_text(value))


def _absent(expected: Any, place: Place) -> Leaf:
    matcher = place.matcher(matcher_name(expected))
    optional = matcher is not None and matcher.optional
    how: How = "matcher" if optional else _as_default(expected, place, "missing")
    return Leaf(place.path, how, to_text(expected), NOTHING)


def _as_default(value: Any, place: Place, otherwise: How) -> How:
    default = schemas.default(place.schema, place.root)
    same = default is not schemas.ABSENT and all(x.ok for x in compare(value, default, place))
    return "default" if same else otherwise


def came_by_default(got: Any, place: Place) -> How:
    """As `_as_default`, of a value that came: its `$`-keys are the model's, and no matchers."""
    return _as_default(got, replace(place, matchers=()), "extra")


def _compare_arrays(expected: Sequence[Any], got: Sequence[Any], place: Place) -> Iterator[Leaf]:
    if not expected and not got:
        yield place.leaf("exact", expected, got)
    for i in range(max(len(expected), len(got))):
        where = place.at(i, got)
        if i >= len(got):
            yield Leaf(where.path, "missing", to_text(expected[i]), NOTHING)
        elif i >= len(expected):
            yield Leaf(where.path, "extra", NOTHING, to_text(got[i]))
        else:
            yield from compare(expected[i], got[i], where)


def _compare_scalars(expected: Any, got: Any) -> How:
    if isinstance(expected, bool) or isinstance(got, bool):
        same = expected is got
    elif isinstance(expected, int | float) and isinstance(got, int | float):
        same = expected == got
    else:
        same = type(expected) is type(got) and expected == got
    if same:
        return "exact"
    if isinstance(expected, str) and isinstance(got, str):
        near = unicodedata.normalize("NFC", expected) == unicodedata.normalize("NFC", got)
        return "nfc" if near else "wrong"
    return "coerced" if coerces(expected, got) else "wrong"


def coerces(one: Any, other: Any) -> bool:
    """Whether two values of different types stand for the same: `"5"` and 5, `1` and true."""
    if isinstance(one, str) == isinstance(other, str):
        numbers = isinstance(one, int | float) and isinstance(other, int | float)
        return numbers and bool(one == other)
    text, value = (one, other) if isinstance(one, str) else (other, one)
    if text.strip() in _WORDS:
        parsed: Any = _WORDS[text.strip()]
    else:
        try:
            parsed = parse_strict(text)
        except ValueError:
            return False
    place = Place("$", None, None, ())
    return not isinstance(parsed, str) and all(leaf.ok for leaf in compare(value, parsed, place))
