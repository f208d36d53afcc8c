"""The matchers: a value each, in `MATCHERS`; comparison, case checks, schema and reference read it.

A new one is its `Matcher` and a place in the tuple.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from evals import patterns
from evals import schema as schemas
from evals.json_text import parse_strict, to_text
from evals.judging.assignment import assign
from evals.judging.comparison import (
    NOTHING,
    Check,
    Examples,
    How,
    Leaf,
    Matcher,
    Place,
    came_by_default,
    coerces,
    compare,
    matcher_name,
)

_MISMATCH = 10_000


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
    matcher = find(name)
    if matcher is None:
        known = ", ".join(each.name for each in MATCHERS)
        return [f"{path}: unknown matcher {name} (choose from {known})"]
    others = set(expected) - {name, *matcher.options}
    problems = [f"{path}: {name} takes no {key!r}" for key in sorted(map(str, others))]
    if matcher.optional and not argument:
        problems.append(f"{path}: {name} may only stand as the value of an argument")
    return problems + matcher.problems(expected, path, check_matchers)


def find(name: str | None) -> Matcher | None:
    """The matcher of this name; None if there is none."""
    return next((matcher for matcher in MATCHERS if matcher.name == name), None)


def _check_inner(name: str) -> Callable[[Mapping[str, Any], str, Check], list[str]]:
    """Checks of a matcher whose value is one expected value."""
    return lambda expected, path, check: check(expected[name], f"{path}.{name}")


def _check_items(name: str, *, empty: bool) -> Callable[[Mapping[str, Any], str, Check], list[str]]:
    """Checks of a matcher whose value is a list of expected values, which may be `empty` or not."""

    def problems(expected: Mapping[str, Any], path: str, check: Check) -> list[str]:
        values = expected[name]
        if not isinstance(values, list | tuple) or not (values or empty):
            return [f"{path}: {name} needs a list{' that is not empty' * (not empty)}"]
        return [p for i, v in enumerate(values) for p in check(v, f"{path}.{name}[{i}]")]

    return problems


def _any_of(expected: Mapping[str, Any], got: Any, place: Place) -> Iterator[Leaf]:
    results = [list(compare(value, got, place)) for value in expected["$any_of"]]
    if any(all(leaf.ok for leaf in leaves) for leaves in results):
        yield place.leaf("matcher", expected, got)
        return
    near = {leaf.how for leaves in results if len(leaves) == 1 for leaf in leaves}
    how: How = "coerced" if "coerced" in near else "nfc" if "nfc" in near else "wrong"
    yield place.leaf(how, expected, got)


def _any_of_examples(expected: Mapping[str, Any], inner: Examples) -> list[Any]:
    return [example for option in expected["$any_of"] for example in inner(option)]


def _regex(expected: Mapping[str, Any], got: Any, place: Place) -> Iterator[Leaf]:
    text = got if isinstance(got, str) else to_text(got)
    found = _matches(expected["$regex"], text)
    good: How = "matcher" if isinstance(got, str) else "coerced"
    yield place.leaf(good if found else "wrong", expected, got)


def _matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found; its `$` is the end, where Python's forgives a newline."""
    end = patterns.search(pattern, text)
    if end is None or not text.endswith("\n") or end == len(text):
        return end is not None
    return patterns.search(pattern, text + "\n") is not None


def _regex_problems(expected: Mapping[str, Any], path: str, _check: Check) -> list[str]:
    pattern = expected["$regex"]
    if not isinstance(pattern, str):
        return [f"{path}: $regex needs a pattern as text"]
    try:
        patterns.check(pattern)
    except patterns.PatternError as error:
        return [f"{path}: $regex: {error}"]
    return []


def _approx(expected: Mapping[str, Any], got: Any, place: Place) -> Iterator[Leaf]:
    value, how = got, "matcher"
    if isinstance(got, str):
        how = "coerced"
        try:
            value = parse_strict(got)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield place.leaf("wrong", expected, got)
        return
    wanted = schemas.exact(expected["$approx"])
    relative = expected.get("rel", 0 if "abs" in expected else 1e-6)
    allowed = max(schemas.exact(expected.get("abs", 0)), schemas.exact(relative) * abs(wanted))
    near = abs(schemas.exact(value) - wanted) <= allowed
    yield Leaf(place.path, _named(how) if near else "wrong", to_text(expected), to_text(got))


def _named(how: str) -> How:
    return "coerced" if how == "coerced" else "matcher"


def _approx_problems(expected: Mapping[str, Any], path: str, _check: Check) -> list[str]:
    parts = {key: expected[key] for key in ("$approx", "abs", "rel") if key in expected}
    return [f"{path}: {key} needs a finite number" for key in parts if not _finite(parts[key])]


def _finite(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and value == value and abs(value) != float("inf")


def _unordered(expected: Mapping[str, Any], got: Any, place: Place) -> Iterator[Leaf]:
    wanted = expected["$unordered"]
    if not isinstance(got, list | tuple):
        yield place.leaf("coerced" if coerces(wanted, got) else "wrong", expected, got)
        return
    table = [[list(compare(w, g, place.at(j))) for j, g in enumerate(got)] for w in wanted]
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
        yield place.leaf("matcher", expected, got)


def _by_matcher(leaf: Leaf) -> Leaf:
    return Leaf(leaf.path, "matcher", leaf.expected, leaf.got) if leaf.how == "exact" else leaf


def _contains(expected: Mapping[str, Any], got: Any, place: Place) -> Iterator[Leaf]:
    item = expected["$contains"]
    if isinstance(got, str):
        found = isinstance(item, str) and item in got
    elif isinstance(got, list | tuple):
        found = any(all(leaf.ok for leaf in compare(item, g, place)) for g in got)
    else:
        found = False
    yield place.leaf("matcher" if found else "wrong", expected, got)


def _optional(expected: Mapping[str, Any], got: Any, place: Place) -> Iterator[Leaf]:
    leaves = list(compare(expected["$optional"], got, place))
    if not all(leaf.ok for leaf in leaves) and came_by_default(got, place) == "default":
        leaves = [place.leaf("default", expected, got)]
    yield from leaves


def _ignore(expected: Mapping[str, Any], got: Any, place: Place) -> Iterator[Leaf]:
    yield place.leaf("matcher", expected, got)


def _ignore_problems(expected: Mapping[str, Any], path: str, _check: Check) -> list[str]:
    return [] if expected["$ignore"] is True else [f"{path}: write {{$ignore: true}}"]


MATCHERS: tuple[Matcher, ...] = (
    Matcher(
        "$any_of",
        form="{$any_of: [Paris, paris]}",
        doc="one of these (each may be a matcher)",
        compare=_any_of,
        problems=_check_items("$any_of", empty=False),
        examples=_any_of_examples,
    ),
    Matcher(
        "$regex",
        form=r'{$regex: "^\\d+$"}',
        doc="text in which the pattern is found anywhere; anchor it; $ is the end of the text, and "
        "not before its last newline",
        compare=_regex,
        problems=_regex_problems,
    ),
    Matcher(
        "$approx",
        form="{$approx: 3.14, abs: 0.01, rel: 0.01}",
        doc="a number that near; rel is 1e-6 where neither is given",
        compare=_approx,
        problems=_approx_problems,
        examples=lambda expected, inner: inner(expected["$approx"]),
        options=("abs", "rel"),
    ),
    Matcher(
        "$unordered",
        form="{$unordered: [a, b]}",
        doc="an array with these items in any order",
        compare=_unordered,
        problems=_check_items("$unordered", empty=True),
        examples=lambda expected, inner: inner(expected["$unordered"]),
    ),
    Matcher(
        "$contains",
        form="{$contains: text or item}",
        doc="text with this part, or an array with this item",
        compare=_contains,
        problems=_check_inner("$contains"),
    ),
    Matcher(
        "$optional",
        form="{$optional: value}",
        doc="may be absent; if present it must match",
        compare=_optional,
        problems=_check_inner("$optional"),
        examples=lambda expected, inner: inner(expected["$optional"]),
        optional=True,
    ),
    Matcher(
        "$ignore",
        form="{$ignore: true}",
        doc="must be present, may be anything",
        compare=_ignore,
        problems=_ignore_problems,
    ),
)
"""All matchers; adding one is adding it here."""
