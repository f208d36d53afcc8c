r"""Typed JSON comparison: what was expected against what came, with the reason for every leaf.

`true` ≠ `1` ≠ `"1"`, `1` = `1.0`, integers are exact at any size, text is compared as given. An
expected value may be a matcher, a mapping with one `$`-key:

```
{$any_of: [Paris, paris]}              one of these (each may be a matcher)
{$regex: "^\\d+$"}                      text in which the pattern is found anywhere; anchor it; $
                                       is the end of the text, and not before its last newline
{$approx: 3.14, abs: 0.01, rel: 0.01}  a number that near; rel is 1e-6 where neither is given
{$unordered: [a, b]}                   an array with these items in any order
{$contains: text or item}              text with this part, or an array with this item
{$optional: value}                     may be absent; if present it must match
{$ignore: true}                        must be present, may be anything
```

An absent argument equals its schema's `default`, and the other way round.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from scipy.optimize import linear_sum_assignment

from evals import schema as schemas
from evals.json_text import parse_strict, to_text

How = Literal["exact", "matcher", "default", "coerced", "nfc", "wrong", "missing", "extra"]
GOOD: frozenset[str] = frozenset({"exact", "matcher", "default"})
NOTHING = "(absent)"

_MISMATCH = 10_000
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}


@dataclass(frozen=True)
class Leaf:
    """One compared place. `how` is good (`exact`, `matcher`, `default`) or says what is wrong.

    `coerced` would match after a change of type, `nfc` after Unicode normalisation; both fail.
    `expected` and `got` are JSON text.
    """

    path: str
    how: How
    expected: str
    got: str

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
class _Place:
    """Where a comparison stands: the path, the schema there, and whether `$`-keys are matchers."""

    path: str
    schema: Any
    root: Any
    matchers: bool

    def at(self, key: str | int) -> "_Place":
        simple = isinstance(key, int) or re.fullmatch(r"[\w$-]+", key)
        step = f"[{key}]" if isinstance(key, int) else f".{key}" if simple else f"[{to_text(key)}]"
        child = schemas.child(self.schema, key, self.root) if self.schema else {}
        return _Place(self.path + step, child, self.root, self.matchers)


def match(
    expected: Any, got: Any, *, schema: Any = None, path: str = "$", matchers: bool = True
) -> Match:
    """Compare a parsed value with what was expected.

    `schema` is the JSON Schema of the whole value; only its defaults are used. With
    `matchers=False` mappings with `$`-keys are plain values.
    """
    return Match(tuple(_compare(expected, got, _Place(path, schema, schema, matchers))))


def match_arguments(
    expected: Mapping[str, Any],
    got: Mapping[str, Any],
    *,
    schema: Any = None,
    matchers: bool = True,
) -> Match:
    """Compare a call's arguments: a name may begin with `$`, and only the values are matchers."""
    return Match(tuple(_compare_objects(expected, got, _Place("$", schema, schema, matchers))))


def assign(costs: Sequence[Sequence[int]]) -> dict[int, int]:
    """Row → column with the least total cost; surplus rows or columns stay alone."""
    if not costs or not costs[0]:
        return {}
    rows, columns = linear_sum_assignment(costs)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True)}


def _compare(expected: Any, got: Any, place: _Place) -> Iterator[Leaf]:
    if place.matchers and (name := matcher_name(expected)):
        check = _MATCHERS.get(name)
        if check is None:
            yield _leaf(place, "wrong", expected, got)
        else:
            yield from check(expected, got, place)
    elif isinstance(expected, Mapping) and isinstance(got, Mapping):
        yield from _compare_objects(expected, got, place)
    elif isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        yield from _compare_arrays(expected, got, place)
    else:
        yield _leaf(place, _compare_scalars(expected, got), expected, got)


def _compare_objects(
    expected: Mapping[str, Any], got: Mapping[str, Any], place: _Place
) -> Iterator[Leaf]:
    if not expected and not got:
        yield _leaf(place, "exact", expected, got)
    for key, value in expected.items():
        where = place.at(key)
        if key in got:
            yield from _compare(value, got[key], where)
        else:
            yield _absent(value, where)
    for key, value in got.items():
        if key not in expected:
            where = place.at(key)
            yield Leaf(where.path, _came_by_default(value, where), NOTHING, to_text(value))


def _absent(expected: Any, place: _Place) -> Leaf:
    if place.matchers and matcher_name(expected) == "$optional":
        how: How = "matcher"
    else:
        how = _as_default(expected, place, "missing")
    return Leaf(place.path, how, to_text(expected), NOTHING)


def _as_default(value: Any, place: _Place, otherwise: How) -> How:
    default = schemas.default(place.schema)
    same = default is not schemas.ABSENT and all(x.ok for x in _compare(value, default, place))
    return "default" if same else otherwise


def _came_by_default(got: Any, place: _Place) -> How:
    """As `_as_default`, of a value that came: its `$`-keys are the model's, and no matchers."""
    return _as_default(got, replace(place, matchers=False), "extra")


def _compare_arrays(expected: Sequence[Any], got: Sequence[Any], place: _Place) -> Iterator[Leaf]:
    if not expected and not got:
        yield _leaf(place, "exact", expected, got)
    for i in range(max(len(expected), len(got))):
        where = place.at(i)
        if i >= len(got):
            yield Leaf(where.path, "missing", to_text(expected[i]), NOTHING)
        elif i >= len(expected):
            yield Leaf(where.path, "extra", NOTHING, to_text(got[i]))
        else:
            yield from _compare(expected[i], got[i], where)


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
    return "coerced" if _coerces(expected, got) else "wrong"


def _coerces(one: Any, other: Any) -> bool:
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
    return not isinstance(parsed, str) and match(value, parsed, matchers=False).ok


def _leaf(place: _Place, how: How, expected: Any, got: Any) -> Leaf:
    return Leaf(place.path, how, to_text(expected), to_text(got))


def matcher_name(value: Any) -> str | None:
    """The `$`-key of a matcher; None for a plain value."""
    if not isinstance(value, Mapping):
        return None
    return next((key for key in value if isinstance(key, str) and key.startswith("$")), None)


def _any_of(expected: Mapping[str, Any], got: Any, place: _Place) -> Iterator[Leaf]:
    results = [list(_compare(value, got, place)) for value in expected["$any_of"]]
    if any(all(leaf.ok for leaf in leaves) for leaves in results):
        yield _leaf(place, "matcher", expected, got)
        return
    near = {leaf.how for leaves in results if len(leaves) == 1 for leaf in leaves}
    how: How = "coerced" if "coerced" in near else "nfc" if "nfc" in near else "wrong"
    yield _leaf(place, how, expected, got)


def _regex(expected: Mapping[str, Any], got: Any, place: _Place) -> Iterator[Leaf]:
    text = got if isinstance(got, str) else to_text(got)
    found = _matches(expected["$regex"], text)
    good: How = "matcher" if isinstance(got, str) else "coerced"
    yield _leaf(place, good if found else "wrong", expected, got)


def _matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found; its `$` is the end, where Python's forgives a newline."""
    found = re.search(pattern, text)
    if found is None or not text.endswith("\n") or found.end() == len(text):
        return found is not None
    return re.search(pattern, text + "\n") is not None


def _approx(expected: Mapping[str, Any], got: Any, place: _Place) -> Iterator[Leaf]:
    value, how = got, "matcher"
    if isinstance(got, str):
        how = "coerced"
        try:
            value = parse_strict(got)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield _leaf(place, "wrong", expected, got)
        return
    wanted = schemas.exact(expected["$approx"])
    relative = expected.get("rel", 0 if "abs" in expected else 1e-6)
    allowed = max(schemas.exact(expected.get("abs", 0)), schemas.exact(relative) * abs(wanted))
    near = abs(schemas.exact(value) - wanted) <= allowed
    yield Leaf(place.path, _named(how) if near else "wrong", to_text(expected), to_text(got))


def _named(how: str) -> How:
    return "coerced" if how == "coerced" else "matcher"


def _unordered(expected: Mapping[str, Any], got: Any, place: _Place) -> Iterator[Leaf]:
    wanted = expected["$unordered"]
    if not isinstance(got, list | tuple):
        yield _leaf(place, "coerced" if _coerces(wanted, got) else "wrong", expected, got)
        return
    table = [[list(_compare(w, g, place.at(j))) for j, g in enumerate(got)] for w in wanted]
    bad = [[sum(not leaf.ok for leaf in cell) for cell in row] for row in table]
    pairs = assign([[0 if n == 0 else _MISMATCH + n for n in row] for row in bad])
    for i, item in enumerate(wanted):
        if i in pairs:
            yield from (_by_matcher(leaf) for leaf in table[i][pairs[i]])
        else:
            yield Leaf(f"{place.path}[{i}]", "missing", to_text(item), NOTHING)
    for j in sorted(set(range(len(got))) - set(pairs.values())):
        yield Leaf(f"{place.path}[{j}]", "extra", NOTHING, to_text(got[j]))
    if not wanted and not got:
        yield _leaf(place, "matcher", expected, got)


def _by_matcher(leaf: Leaf) -> Leaf:
    return Leaf(leaf.path, "matcher", leaf.expected, leaf.got) if leaf.how == "exact" else leaf


def _contains(expected: Mapping[str, Any], got: Any, place: _Place) -> Iterator[Leaf]:
    item = expected["$contains"]
    if isinstance(got, str):
        found = isinstance(item, str) and item in got
    elif isinstance(got, list | tuple):
        found = any(all(leaf.ok for leaf in _compare(item, g, place)) for g in got)
    else:
        found = False
    yield _leaf(place, "matcher" if found else "wrong", expected, got)


def _optional(expected: Mapping[str, Any], got: Any, place: _Place) -> Iterator[Leaf]:
    leaves = list(_compare(expected["$optional"], got, place))
    if not all(leaf.ok for leaf in leaves) and _came_by_default(got, place) == "default":
        leaves = [_leaf(place, "default", expected, got)]
    yield from leaves


def _ignore(expected: Mapping[str, Any], got: Any, place: _Place) -> Iterator[Leaf]:
    yield _leaf(place, "matcher", expected, got)


_MATCHERS: Mapping[str, Callable[[Mapping[str, Any], Any, _Place], Iterator[Leaf]]] = {
    "$any_of": _any_of,
    "$regex": _regex,
    "$approx": _approx,
    "$unordered": _unordered,
    "$contains": _contains,
    "$optional": _optional,
    "$ignore": _ignore,
}
_OPTIONS = {"$approx": {"abs", "rel"}}


def check_matchers(expected: Any, path: str = "$", *, argument: bool = False) -> list[str]:
    """What is wrong with the matchers in an expected value: a line each, with its path.

    `argument` says that the value stands in an object, where `$optional` is allowed.
    """
    name = matcher_name(expected)
    if name is None:
        if isinstance(expected, Mapping):
            items = [(f"{path}.{key}", value) for key, value in expected.items()]
            return [p for w, v in items for p in check_matchers(v, w, argument=True)]
        if isinstance(expected, list | tuple):
            return [p for i, v in enumerate(expected) for p in check_matchers(v, f"{path}[{i}]")]
        return []
    if name not in _MATCHERS:
        return [f"{path}: unknown matcher {name}; there are: {', '.join(_MATCHERS)}"]
    others = set(expected) - {name} - _OPTIONS.get(name, set())
    problems = [f"{path}: {name} takes no {key!r}" for key in sorted(map(str, others))]
    if name == "$optional" and not argument:
        problems.append(f"{path}: $optional may only stand as the value of an argument")
    return problems + _check_value(name, expected, path)


def _check_value(name: str, expected: Mapping[str, Any], path: str) -> list[str]:
    value = expected[name]
    if name in ("$any_of", "$unordered"):
        if not isinstance(value, list | tuple) or (name == "$any_of" and not value):
            return [f"{path}: {name} needs a list{' that is not empty' * (name == '$any_of')}"]
        return [p for i, v in enumerate(value) for p in check_matchers(v, f"{path}.{name}[{i}]")]
    if name in ("$contains", "$optional"):
        return check_matchers(value, f"{path}.{name}")
    if name == "$regex":
        return _check_regex(value, path)
    if name == "$approx":
        parts = {key: expected[key] for key in ("$approx", "abs", "rel") if key in expected}
        return [f"{path}: {key} needs a finite number" for key in parts if not _finite(parts[key])]
    return [] if value is True else [f"{path}: write {{$ignore: true}}"]


def _check_regex(pattern: Any, path: str) -> list[str]:
    if not isinstance(pattern, str):
        return [f"{path}: $regex needs a pattern as text"]
    try:
        re.compile(pattern)
    except re.error as error:
        return [f"{path}: $regex: {error}"]
    return []


def _finite(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and value == value and abs(value) != float("inf")
