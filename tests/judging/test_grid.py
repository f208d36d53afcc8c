"""Every matcher on every type: what nothing can satisfy is refused, and nothing else is."""

from typing import Any

import pytest
from builders import case as make_case
from hypothesis import given, settings
from hypothesis import strategies as st

from evals import schema as schemas
from evals.judging.matchers import examples
from evals.judging.matching import match
from evals.judging.schema_values import Where
from evals.loading.case_check import check_case

TYPES: dict[str, list[Any]] = {
    "string": ["5", "abc", ""],
    "integer": [5, 0],
    "number": [5.5, 5],
    "boolean": [True, False],
    "array": [["a"], [], [5], [{"a": 1}]],
    "object": [{"a": 1}, {}],
    "null": [None],
}
MATCHERS: dict[str, Any] = {
    "$regex": {"$regex": "^[0-9a-z]*$"},
    "$contains text": {"$contains": "a"},
    "$contains object": {"$contains": {"a": 1}},
    "$approx": {"$approx": 5, "abs": 10},
    "$unordered": {"$unordered": ["a"]},
    "$any_of [$regex]": {"$any_of": [{"$regex": "5"}]},
    "$ignore": {"$ignore": True},
    "$text": {"$text": "ABC"},
    "$partial": {"$partial": {"a": 1}},
    "$optional [$approx]": {"$optional": {"$approx": 5}},
    "$literal": {"$literal": {"a": 1}},
}


def problems(schema: Any, expected: Any) -> list[str]:
    parameters = {"type": "object", "properties": {"v": schema}, "required": ["v"]}
    wanted = {"call": {"name": "t", "arguments": {"v": expected}}}
    return list(check_case(make_case(wanted, tools=[{"name": "t", "parameters": parameters}])))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", MATCHERS)
def test_a_matcher_is_refused_exactly_where_no_value_of_the_type_satisfies_it(name, kind):
    expected = MATCHERS[name]
    can = any(match(expected, value).ok for value in TYPES[kind])
    assert (problems({"type": kind}, expected) == []) is can


IMPOSSIBLE = [
    ({"enum": ["km", "mi"]}, {"$regex": "^met"}),
    ({"enum": ["km", "mi"]}, {"$text": "KMS"}),
    ({"anyOf": [{"enum": ["km"]}, {"type": "string", "maxLength": 3}]}, {"$text": "mile"}),
    ({"const": 5}, {"$approx": 6}),
    ({"type": "integer"}, {"$approx": 5.5, "abs": 0.2}),
    ({"type": "integer", "minimum": 10}, {"$approx": 5, "abs": 4}),
    ({"type": "number", "exclusiveMaximum": 4}, {"$approx": 5, "abs": 1}),
    ({"type": "number", "multipleOf": 10}, {"$approx": 5, "abs": 4}),
    ({"type": "string", "pattern": "^[a-z]+$"}, {"$regex": r"\d"}),
    ({"type": "string", "pattern": "^[a-z]+$"}, {"$contains": "A"}),
    ({"type": "string", "pattern": "^[a-z]+$"}, {"$text": "ann 1"}),
    ({"type": "string", "maxLength": 3}, {"$regex": "^.{4}"}),
    ({"type": "string", "minLength": 3}, {"$regex": "^..?$"}),
    ({"type": "array", "items": {"type": "integer"}}, {"$contains": "a"}),
    ({"type": "array", "items": {"enum": ["a", "b"]}}, {"$contains": {"$regex": "c"}}),
    ({"type": "array", "maxItems": 1}, {"$unordered": [1, 2]}),
    ({"type": "array", "minItems": 3}, {"$unordered": [1, 2]}),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"$regex": "a"}),
    ({"type": ["integer", "null"]}, {"$contains": "a"}),
    ({"type": "object", "properties": {"a": {"type": "integer"}}}, {"$partial": {"a": "x"}}),
    ({"type": "object", "required": ["b"]}, {"a": 1}),
    ({"type": "string", "format": "date"}, "tomorrow"),
]
POSSIBLE = [
    ({"enum": ["km", "mi"]}, {"$regex": "^k"}),
    ({"enum": ["km", "mi"]}, {"$text": "KM"}),
    ({"type": "integer"}, {"$approx": 5.5, "abs": 0.5}),
    ({"type": "integer", "exclusiveMinimum": 8}, {"$approx": 5, "abs": 4}),
    ({"type": "number", "multipleOf": 0.01}, {"$approx": 19.994, "abs": 0.01}),
    ({"type": "string", "pattern": "^[a-z]+$"}, {"$regex": "^.{5}$"}),
    ({"type": "string", "pattern": "^[a-z]+$"}, {"$text": "ANN"}),
    ({"type": "string", "pattern": "^(?=.*x)[a-z]+$"}, {"$regex": "y"}),
    ({"type": "string", "format": "date"}, {"$regex": "^2026-"}),
    ({"type": "array", "minItems": 3, "items": {"type": "string"}}, {"$contains": "a"}),
    ({"type": "array", "prefixItems": [{"const": 2}, {"const": 1}]}, {"$unordered": [1, 2]}),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"$regex": "a"}),
    ({"oneOf": [{"type": "string", "maxLength": 1}, {"type": "array"}]}, {"$contains": "ab"}),
    ({"type": "object", "required": ["a", "b"]}, {"$partial": {"a": 1}}),
    ({}, {"$regex": "a"}),
    ({"not": {"const": "a"}}, {"$regex": "a"}),
    ({"type": "string", "minLength": 40}, {"$contains": "needle"}),
]


@pytest.mark.parametrize(("schema", "expected"), IMPOSSIBLE)
def test_what_enum_bounds_pattern_and_length_rule_out_is_refused(schema, expected):
    assert problems(schema, expected) != []


@pytest.mark.parametrize(("schema", "expected"), POSSIBLE)
def test_what_some_value_satisfies_is_taken(schema, expected):
    assert problems(schema, expected) == []


_numbers = st.integers(-50, 50)
_words = st.text("abcXYZ019 -", max_size=6)
_scalars = st.one_of(
    st.builds(
        lambda a, b: {"type": "integer", "minimum": min(a, b), "maximum": max(a, b)},
        _numbers,
        _numbers,
    ),
    st.builds(lambda a: {"type": "number", "multipleOf": a}, st.sampled_from([1, 2, 5, 0.5])),
    st.builds(lambda n: {"type": "string", "maxLength": n}, st.integers(0, 5)),
    st.builds(lambda n: {"type": "string", "minLength": n}, st.integers(0, 5)),
    st.sampled_from(["^[a-c]*$", "^[XYZ]", r"\d$", "^a|b$"]).map(
        lambda p: {"type": "string", "pattern": p}
    ),
    st.lists(st.one_of(_words, _numbers), min_size=1, max_size=3).map(lambda v: {"enum": v}),
)
_schemas = st.one_of(
    _scalars,
    _scalars.map(lambda items: {"type": "array", "items": items}),
    st.lists(_scalars, min_size=2, max_size=2).map(lambda each: {"anyOf": each}),
)
_matchers = st.one_of(
    st.builds(lambda n, a: {"$approx": n, "abs": a}, _numbers, st.integers(0, 5)),
    st.sampled_from(["^a", "b$", "^[a-z]+$", r"^\d+$", "X", "^$"]).map(lambda p: {"$regex": p}),
    _words.map(lambda text: {"$contains": text}),
    _words.map(lambda text: {"$text": text}),
    st.lists(st.one_of(_words, _numbers), max_size=3).map(lambda items: {"$unordered": items}),
)
_values = st.one_of(
    _numbers, _words, st.lists(st.one_of(_words, _numbers), max_size=3), st.sampled_from([0.5, 1.5])
)


@settings(max_examples=3 * settings.default.max_examples)
@given(_schemas, _matchers, _values)
def test_a_proof_is_right_and_an_example_fits(schema, expected, value):
    found = examples(expected, Where(schema, schema))
    if found.impossible:
        assert not (schemas.is_valid(value, schema, schema) and match(expected, value).ok)
    for each in found.values:
        assert match(expected, each).ok
    if "$unordered" not in expected:  # its items are the author's, and shown as they are
        assert all(schemas.is_valid(each, schema, schema) for each in found.values)


@settings(max_examples=2 * settings.default.max_examples)
@given(_schemas, _matchers)
def test_what_is_not_refused_has_an_answer(schema, expected):
    found = examples(expected, Where(schema, schema))
    assert found.impossible or found.values, found
