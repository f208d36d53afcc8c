"""The matchers: a value each, in `MATCHERS`; comparison, case checks, schema and reference read it.

A new one is its `Matcher` and a place in the tuple.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from evals import patterns
from evals import schema as schemas
from evals.json_text import parse_strict, to_text
from evals.judging import matcher_examples as examples_of
from evals.judging.assignment import MOST_CELLS, assign, assign_equal
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
    compare_objects,
    matcher_name,
    whole_matcher,
)
from evals.judging.schema_values import Found, Where

_MISMATCH = 10_000


def check_arguments(arguments: Mapping[str, Any]) -> list[str]:
    """What is wrong with the matchers in a call's arguments: a line each, with its path."""
    matcher = find(whole_matcher(arguments))
    if matcher is not None and matcher.whole:
        return check_matchers(arguments, "$")
    items = arguments.items()
    return [p for key, value in items for p in check_matchers(value, f"$.{key}", argument=True)]


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
        return [
            f"{path}: unknown matcher {name} (choose from {known}); where {name} is a key of the "
            f"value itself, write {{$literal: {{{name}: …}}}}"
        ]
    others = set(expected) - {name, *matcher.options}
    problems = [f"{path}: {name} takes no {key!r}" for key in sorted(map(str, others))]
    if matcher.optional and not argument:
        problems.append(f"{path}: {name} may only stand as the value of an argument")
    return problems + matcher.problems(expected, path, check_matchers)


def examples(expected: Any, where: Where) -> Found:
    """Values that an expected value accepts and the schema allows, or the proof of none."""
    if (name := matcher_name(expected)) is not None:
        matcher = find(name)
        if matcher is None:
            return Found()
        return matcher.examples(expected, where, Examples(examples, _accepts(expected)))
    if isinstance(expected, Mapping):
        return object_examples(expected, where)
    if isinstance(expected, list | tuple):
        each = [examples(item, where.at(i)) for i, item in enumerate(expected)]
        return _combined(each, list)
    return Found((expected,), known=True)


def _accepts(expected: Any) -> Callable[[Any], bool]:
    place = Place("$", None, None, MATCHERS)
    return lambda value: all(leaf.ok for leaf in compare(expected, value, place))


def object_examples(expected: Mapping[str, Any], where: Where) -> Found:
    """As `examples`, of a mapping whose own keys are names and no matchers."""
    if not any(isinstance(value, Mapping | list | tuple) for value in expected.values()):
        return Found((dict(expected),), known=True)
    keys = list(expected)
    each = [examples(value, where.at(key)) for key, value in expected.items()]
    return _combined(each, lambda values: dict(zip(keys, values, strict=True)))


def _combined(each: Sequence[Found], make: Callable[[list[Any]], Any]) -> Found:
    """Whole values: the first of each part, and each other option once."""
    if any(not found.values for found in each):
        return Found(known=any(found.impossible for found in each))
    first = [found.values[0] for found in each]
    others = (
        make([*first[:i], other, *first[i + 1 :]])
        for i, found in enumerate(each)
        for other in found.values[1:]
    )
    return Found((make(first), *others), all(found.known for found in each))


def find(name: str | None) -> Matcher | None:
    """The matcher of this name; None if there is none."""
    if name is None:  # of most values
        return None
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


def _regex(expected: Mapping[str, Any], got: Any, place: Place) -> Iterator[Leaf]:
    text = got if isinstance(got, str) else to_text(got)
    found = pattern_found(expected["$regex"], text)
    good: How = "matcher" if isinstance(got, str) else "coerced"
    yield place.leaf(good if found else "wrong", expected, got)


def pattern_found(pattern: str, text: str) -> bool:
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
    allowed = examples_of.tolerance(expected)
    near = abs(schemas.exact(value) - wanted) <= allowed
    yield Leaf(place.path, _named(how) if near else "wrong", to_text(expected), to_text(got))


def _named(how: str) -> How:
    return "coerced" if how == "coerced" else "matcher"


def _approx_problems(expected: Mapping[str, Any], path: str, _check: Check) -> list[str]:
    parts = {key: expected[key] for key in ("$approx", "abs", "rel") if key in expected}
    problems = [f"{path}: {key} needs a finite number" for key in parts if not _finite(parts[key])]
    below = [key for key in ("abs", "rel") if _finite(parts.get(key)) and parts[key] < 0]
    return problems + [f"{path}: {key} must be at least 0" for key in below]


def _finite(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and value == value and abs(value) != float("inf")


def _unordered(expected: Mapping[str, Any], got: Any, place: Place) -> Iterator[Leaf]:
    wanted = expected["$unordered"]
    if not isinstance(got, list | tuple):
        yield place.leaf("coerced" if coerces(wanted, got) else "wrong", expected, got)
        return

    @cache
    def cell(i: int, j: int) -> list[Leaf]:
        return list(compare(wanted[i], got[j], place.at(j, got)))

    if len(wanted) * len(got) > MOST_CELLS:
        pairs = assign_equal([*map(to_text, wanted)], [*map(to_text, got)])
    else:
        bad = [
            [sum(not leaf.ok for leaf in cell(i, j)) for j in range(len(got))]
            for i in range(len(wanted))
        ]
        pairs = assign([[0 if n == 0 else _MISMATCH + n for n in row] for row in bad])
    for i, item in enumerate(wanted):
        if i in pairs:
            yield from (_by_matcher(leaf) for leaf in cell(i, pairs[i]))
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
        found = any(
            all(leaf.ok for leaf in compare(item, g, place.at(i, got))) for i, g in enumerate(got)
        )
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


def _text(expected: Mapping[str, Any], got: Any, place: Place) -> Iterator[Leaf]:
    wanted, ignored = expected["$text"], examples_of.ignored_of(expected)
    if not isinstance(got, str):
        yield place.leaf("coerced" if coerces(wanted, got) else "wrong", expected, got)
        return
    same = examples_of.folded(got, ignored) == examples_of.folded(wanted, ignored)
    yield place.leaf("matcher" if same else "wrong", expected, got)


def _text_problems(expected: Mapping[str, Any], path: str, _check: Check) -> list[str]:
    ignored = expected.get("ignore", "case")
    names = [ignored] if isinstance(ignored, str) else ignored
    problems = []
    if not isinstance(expected["$text"], str):
        problems.append(f"{path}: $text needs a text; quote it if it is one")
    if (
        not isinstance(names, list)
        or not names
        or not {"case", "space"}.issuperset(map(str, names))
    ):
        problems.append(f"{path}: ignore takes case, space, or a list of both")
    return problems


def _partial(expected: Mapping[str, Any], got: Any, place: Place) -> Iterator[Leaf]:
    named = expected["$partial"]
    if not isinstance(got, Mapping):
        yield place.leaf("coerced" if coerces(named, got) else "wrong", expected, got)
        return
    yield from compare_objects(named, {k: v for k, v in got.items() if k in named}, place, got)
    for key in got:
        if key not in named:
            yield Leaf(place.at(key, got).path, "matcher", NOTHING, to_text(got[key]))


def _partial_problems(expected: Mapping[str, Any], path: str, check: Check) -> list[str]:
    named = expected["$partial"]
    if not isinstance(named, Mapping):
        return [f"{path}: $partial needs a mapping with the arguments that matter"]
    # Names of arguments may begin with `$`, as they may outside.
    return [p for k, v in named.items() for p in check_matchers(v, f"{path}.{k}", argument=True)]


def _literal(expected: Mapping[str, Any], got: Any, place: Place) -> Iterator[Leaf]:
    for leaf in compare(expected["$literal"], got, replace(place, matchers=())):
        yield _by_matcher(leaf)


MATCHERS: tuple[Matcher, ...] = (
    Matcher(
        "$any_of",
        form="{$any_of: [Paris, paris]}",
        doc="one of these (each may be a matcher)",
        compare=_any_of,
        problems=_check_items("$any_of", empty=False),
        examples=examples_of.any_of,
    ),
    Matcher(
        "$regex",
        form=r'{$regex: "^\\d+$"}',
        doc="text in which the pattern is found anywhere; anchor it; $ is the end of the text, and "
        "not before its last newline",
        compare=_regex,
        problems=_regex_problems,
        examples=examples_of.regex,
    ),
    Matcher(
        "$approx",
        form="{$approx: 3.14, abs: 0.01, rel: 0.01}",
        doc="a number that near; rel is 1e-6 where neither is given",
        compare=_approx,
        problems=_approx_problems,
        examples=examples_of.approx,
        options=("abs", "rel"),
    ),
    Matcher(
        "$unordered",
        form="{$unordered: [a, b]}",
        doc="an array with these items in any order",
        compare=_unordered,
        problems=_check_items("$unordered", empty=True),
        examples=examples_of.unordered,
    ),
    Matcher(
        "$contains",
        form="{$contains: text or item}",
        doc="text with this part, or an array with this item",
        compare=_contains,
        problems=_check_inner("$contains"),
        examples=examples_of.contains,
    ),
    Matcher(
        "$optional",
        form="{$optional: value}",
        doc="may be absent; if present it must match",
        compare=_optional,
        problems=_check_inner("$optional"),
        examples=examples_of.optional,
        optional=True,
    ),
    Matcher(
        "$ignore",
        form="{$ignore: true}",
        doc="any value; left out only where the schema has a default, which is then the value",
        compare=_ignore,
        problems=_ignore_problems,
        examples=examples_of.anything,
    ),
    Matcher(
        "$text",
        form="{$text: New York, ignore: [case, space]}",
        doc="this text, letter case or white space ignored; both where ignore is not given; any "
        "white space counts as one space, none at the ends",
        compare=_text,
        problems=_text_problems,
        examples=examples_of.text,
        options=("ignore",),
    ),
    Matcher(
        "$partial",
        form="{$partial: {city: Oslo}}",
        doc="an object with these properties, all others free; it may stand for all arguments",
        compare=_partial,
        problems=_partial_problems,
        examples=examples_of.partial,
        whole=True,
    ),
    Matcher(
        "$literal",
        form="{$literal: {age: {$gt: 1}}}",
        doc="exactly this value, its `$`-keys taken as they are; it may stand for all arguments",
        compare=_literal,
        problems=lambda _expected, _path, _check: [],
        examples=examples_of.literal,
        whole=True,
    ),
)
"""All matchers; adding one is adding it here."""
