"""Typed JSON comparison, its matchers, and the pairing of calls."""

import json
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evals.case import ExpectedCall, Tool
from evals.json_text import parse_strict, to_text
from evals.judging.call_matching import match_calls
from evals.judging.matchers import check_matchers
from evals.judging.matching import match, match_arguments

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
KEYS = st.text().filter(lambda key: not key.startswith("$"))
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(KEYS, v, max_size=4), max_leaves=12
)


def hows(expected, got, **more):
    return [leaf.how for leaf in match(expected, got, **more).leaves]


@given(VALUES)
def test_reflexive(value):
    result = match(value, value)
    assert result.ok
    assert {leaf.how for leaf in result.leaves} == {"exact"}


@given(VALUES)
def test_equal_after_a_round_trip_as_text(value):
    assert match(value, parse_strict(json.dumps(value))).ok


@given(VALUES, VALUES)
def test_symmetric(one, other):
    assert match(one, other).ok == match(other, one).ok
    assert len(match(one, other).wrong) == len(match(other, one).wrong)


@given(VALUES, VALUES)
def test_equal_only_if_the_texts_are(one, other):
    """An oracle of its own: JSON text with sorted keys, where 1.0 is written as 1."""

    def text(value):
        if isinstance(value, dict):
            return sorted((key, text(item)) for key, item in value.items())
        if isinstance(value, list):
            return ["list", *map(text, value)]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return json.dumps(value)

    assert match(one, other).ok == (text(one) == text(other))


def places(value, path=()):
    """Every leaf's place: scalars, and empty containers."""
    if isinstance(value, dict) and value:
        return [p for k, v in value.items() for p in places(v, (*path, k))]
    if isinstance(value, list) and value:
        return [p for i, v in enumerate(value) for p in places(v, (*path, i))]
    return [path]


def changed(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


def at(value, path):
    for step in path:
        value = value[step]
    return value


@given(VALUES, st.data())
def test_a_changed_leaf_is_always_caught(value, data):
    path = data.draw(st.sampled_from(places(value)))
    new = data.draw(SCALARS)
    old = at(value, path)
    assume(type(new) is not type(old) or new != old)
    both_numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (new, old))
    assume(not (both_numbers and new == old))
    result = match(value, changed(value, path, new))
    assert len(result.wrong) == 1


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), st.data())
def test_a_missing_or_extra_key_is_always_caught(value, data):
    key = data.draw(st.sampled_from(sorted(value)))
    less = {k: v for k, v in value.items() if k != key}
    assert [leaf.how for leaf in match(value, less).wrong] == ["missing"]
    assert [leaf.how for leaf in match(less, value).wrong] == ["extra"]


@given(st.lists(VALUES, max_size=6), st.randoms())
def test_unordered_takes_any_order_and_no_other_content(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    assert match({"$unordered": values}, shuffled).ok
    assert not match({"$unordered": values}, [*shuffled, "more"]).ok
    assert not match({"$unordered": [*values, "more"]}, shuffled).ok


def test_unordered_compares_the_items_that_it_pairs():
    assert [leaf.how for leaf in match({"$unordered": [1, 2]}, [3, 1]).wrong] == ["wrong"]
    assert not match({"$unordered": [1]}, [2]).ok
    assert not match({"$unordered": [{"a": 1, "b": 2}]}, [{"a": 1, "b": 3}]).ok
    found = match({"$unordered": [{"a": 1, "b": 2}, {"a": 5}]}, [{"a": 5}, {"a": 1, "b": 3}])
    assert [(leaf.path, leaf.how, leaf.got) for leaf in found.wrong] == [("$[1].b", "wrong", "3")]


def test_unordered_pairs_what_is_nearest_where_nothing_matches():
    wanted = {"$unordered": [{"a": 1, "b": 2}, {"a": 9, "b": 9}]}
    found = match(wanted, [{"a": 9, "b": 8}, {"a": 1, "b": 3}])
    assert [(leaf.path, leaf.got) for leaf in found.wrong] == [("$[1].b", "3"), ("$[0].b", "8")]


def test_unordered_names_what_is_missing_and_what_is_too_much_in_order():
    found = match({"$unordered": [1]}, [5, 1, 6])
    assert [(leaf.path, leaf.how) for leaf in found.wrong] == [("$[0]", "extra"), ("$[2]", "extra")]
    found = match({"$unordered": [1, 7, 8]}, [1])
    assert {(leaf.path, leaf.how) for leaf in found.wrong} == {
        ("$[1]", "missing"),
        ("$[2]", "missing"),
    }


def test_unordered_is_optimal_where_greedy_fails():
    wanted = {"$unordered": [{"$any_of": ["a", "b"]}, "a"]}
    assert match(wanted, ["a", "b"]).ok
    assert match(wanted, ["b", "a"]).ok


@pytest.mark.parametrize(
    ("expected", "got", "how"),
    [
        (1, 1.0, "exact"),
        (-0.0, 0, "exact"),
        (1, True, "coerced"),
        (True, 1, "coerced"),
        (1, "1", "coerced"),
        ("1", 1, "coerced"),
        ("1", 1.0, "coerced"),
        (True, "true", "coerced"),
        (False, "False", "coerced"),
        (None, "null", "coerced"),
        ("null", None, "coerced"),
        ([1], "[1]", "coerced"),
        ({"a": 1}, '{"a": 1}', "coerced"),
        (0, None, "wrong"),
        ("", None, "wrong"),
        (0, False, "coerced"),
        ("a", "A", "wrong"),
        ("a", "a ", "wrong"),
        ("é", unicodedata.normalize("NFD", "é"), "nfc"),
        (9007199254740993, 9007199254740992, "wrong"),
        (9007199254740993, 9007199254740992.0, "wrong"),
        ([], {}, "wrong"),
        ({"$any_of": [1, 2]}, 2, "matcher"),
        ({"$any_of": [1, 2]}, "2", "coerced"),
        ({"$any_of": [1, 2]}, 3, "wrong"),
        ({"$any_of": ["x", {"$regex": "^y"}]}, "yes", "matcher"),
        ({"$regex": "b"}, "abc", "matcher"),
        ({"$regex": "^b"}, "abc", "wrong"),
        ({"$regex": r"^\d+$"}, 5, "coerced"),
        ({"$approx": 3.14, "abs": 0.01}, 3.15, "matcher"),
        ({"$approx": 3.14, "abs": 0.01}, 3.16, "wrong"),
        ({"$approx": 100, "rel": 0.1}, 110, "matcher"),
        ({"$approx": 100, "rel": 0.1}, 111, "wrong"),
        ({"$approx": 3.14}, 3.140001, "matcher"),
        ({"$approx": 3.14}, 3.1401, "wrong"),
        ({"$approx": 3.14}, 4.14, "wrong"),
        ({"$approx": 0}, 1e-9, "wrong"),
        ({"$approx": 3.14, "abs": 0.01}, 3.1500001, "wrong"),
        ({"$approx": 3.14, "abs": 0, "rel": 0}, 3.140001, "wrong"),
        ({"$approx": 3.14}, "3.14", "coerced"),
        ({"$approx": 1}, True, "wrong"),
        ({"$contains": "b"}, "abc", "matcher"),
        ({"$contains": "b"}, ["a", "b"], "matcher"),
        ({"$contains": {"$regex": "^b"}}, ["a", "bc"], "matcher"),
        ({"$contains": "b"}, ["a"], "wrong"),
        ({"$contains": 1}, "1", "wrong"),
        ({"$ignore": True}, None, "matcher"),
        ({"$unordered": []}, [], "matcher"),
        ({"$unordered": [1]}, "[1]", "coerced"),
    ],
)
def test_how_a_value_matches(expected, got, how):
    assert hows(expected, got) == [how]


@pytest.mark.parametrize(
    ("expected", "got", "how"),
    [
        ({"a": {"$optional": 1}}, {}, "matcher"),
        ({"a": {"$optional": 1}}, {"a": 1}, "exact"),
        ({"a": {"$optional": 1}}, {"a": 2}, "wrong"),
        ({"a": {"$optional": {"$ignore": True}}}, {"a": [2]}, "matcher"),
        ({"a": {"$ignore": True}}, {}, "missing"),
        ({"b": {"$ignore": True}}, {}, "default"),  # 5 would be right, and so is what stands for it
        ({"b": {"$ignore": True}}, {"b": 7}, "matcher"),
        ({"b": 5}, {}, "default"),
        ({}, {"b": 5}, "default"),
        ({}, {"b": 6}, "extra"),
        ({"b": 6}, {}, "missing"),
        ({"b": {"$any_of": [5, 6]}}, {}, "default"),
        ({}, {"c": 1}, "extra"),
    ],
)
def test_absent_arguments(expected, got, how):
    schema = {"properties": {"b": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"default": 5}}}
    assert hows(expected, got, schema=schema) == [how]


def test_defaults_hold_at_any_depth():
    schema = {
        "properties": {
            "rows": {"type": "array", "items": {"properties": {"n": {"default": 0}}}},
        }
    }
    assert hows({"rows": [{"id": 1}]}, {"rows": [{"id": 1, "n": 0}]}, schema=schema) == [
        "exact",
        "default",
    ]


def test_paths_and_texts_name_the_place():
    wrong = match({"a": [{"b c": "x"}]}, {"a": [{"b c": 1}]}).wrong
    assert [(leaf.path, leaf.expected, leaf.got) for leaf in wrong] == [
        ('$.a[0]["b c"]', '"x"', "1")
    ]


def test_matchers_can_be_switched_off():
    assert match({"$regex": "b"}, {"$regex": "b"}, matchers=False).ok
    assert not match({"$regex": "b"}, "abc", matchers=False).ok


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        ({"a": {"$like": 1}}, "$.a: unknown matcher $like"),
        ([{"$regex": "("}], "$[0]: $regex: "),
        ({"$regex": 5}, "needs a pattern as text"),
        ({"$any_of": []}, "needs a list that is not empty"),
        ({"$unordered": "ab"}, "needs a list"),
        ({"$approx": "3"}, "needs a finite number"),
        ({"$approx": 3, "abs": None}, "abs needs a finite number"),
        ({"$approx": 3, "rel": None}, "rel needs a finite number"),
        ({"$contains": {"$bogus": 1}}, "unknown matcher $bogus"),
        ({"$any_of": [1], "rel": 1}, "takes no 'rel'"),
        ({"$regex": "a", "$contains": "b"}, "takes no '$contains'"),
        ({"$ignore": False}, "write {$ignore: true}"),
        ([{"$optional": 1}], "value of an argument"),
        ({"$any_of": [{"$like": 1}]}, "$.$any_of[0]: unknown matcher"),
    ],
)
def test_wrong_matchers_are_named(expected, problem):
    problems = check_matchers(expected)
    assert len(problems) == 1
    assert problem in problems[0]


@given(VALUES)
def test_plain_values_have_no_wrong_matchers(value):
    assert check_matchers(value) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1, "a": 1}', "duplicate key"),
        ('[{"a": {"b": 1, "b": 2}}]', "duplicate key"),
        ("NaN", "NaN"),
        ("[-Infinity]", "Infinity"),
        ("1e400", "double"),
        ("1 2", "Extra data"),
        ("", "Expecting value"),
        ("{'a': 1}", "Expecting property name"),
        ("[" * 100_000, "nested"),
        ("[" * 101 + "]" * 101, "nested"),
    ],
)
def test_parse_strict_refuses(text, problem):
    with pytest.raises(ValueError, match=problem):
        parse_strict(text)


def test_integers_of_any_size_stay_exact():
    digits = "9" * 6000
    assert to_text(parse_strict(f"[{digits}]")) == f"[{digits}]"
    assert not match(parse_strict(digits), parse_strict(digits[:-1] + "8")).ok


def test_lone_surrogates_can_be_written():
    assert to_text(parse_strict('"\\ud800"')).encode() == b'"\\ud800"'


def call(name, **arguments):
    return ExpectedCall(name=name, arguments=arguments)


def test_calls_in_any_order_are_paired_for_the_fewest_faults():
    got = [("f", {"x": 2, "y": 1}), ("g", {}), ("f", {"x": 1, "y": 1})]
    result = match_calls([call("f", x=1, y=1), call("f", x=2, y=1), call("g")], got)
    assert [pair.index for pair in result.calls] == [2, 0, 1]
    assert result.ok


def test_a_right_name_weighs_more_than_right_arguments():
    result = match_calls([call("f", x=1, y=2, z=3)], [("g", {"x": 1, "y": 2, "z": 3}), ("f", {})])
    assert result.calls[0].index == 1
    assert result.extra == (0,)
    assert result.faults == (1, 0, 3)


def test_of_thousands_of_calls_or_items_equal_ones_are_paired_in_time():
    numbers = list(range(2_000))
    calls, got = [call("f", x=n) for n in numbers], [("f", {"x": n}) for n in numbers]
    assert match_calls(calls, got[::-1]).ok
    lacking = match_calls(calls, got[1:])
    assert [pair.index for pair in lacking.calls] == [None, *numbers[:-1]]
    changed = match_calls(calls, [*got[:-1], ("f", {"x": -1})])
    assert [pair.arguments.ok for pair in changed.calls] == [True] * 1_999 + [False]
    assert match({"$unordered": numbers}, numbers[::-1]).ok
    assert not match({"$unordered": numbers}, numbers[1:]).ok


def test_given_order_pairs_one_by_one():
    got = [("f", {"x": 2}), ("f", {"x": 1})]
    assert not match_calls([call("f", x=1), call("f", x=2)], got, "given").ok
    assert match_calls([call("f", x=1), call("f", x=2)], got, "any").ok


@pytest.mark.parametrize("got", [[], [("F", {})], [("f ", {})], [("f", {}), ("f", {})]])
def test_names_are_exact_and_counted(got):
    assert not match_calls([call("f")], got).ok


def test_arguments_that_are_no_json_never_match():
    result = match_calls([call("f")], [("f", ValueError("no JSON"))])
    assert result.calls[0].name_ok
    assert [leaf.got for leaf in result.calls[0].arguments.wrong] == ["no JSON"]


def test_defaults_come_from_the_tool():
    tool = Tool(name="f", parameters={"type": "object", "properties": {"n": {"default": 3}}})
    assert match_calls([call("f")], [("f", {"n": 3})], tools=[tool]).ok
    assert not match_calls([call("f")], [("f", {"n": 4})], tools=[tool]).ok


@pytest.mark.parametrize("written", [{"$ignore": True}, {"$regex": "("}, {"$any_of": 5}])
def test_keys_that_the_model_wrote_are_no_matchers(written):
    schema = {"properties": {"query": {"type": "object", "default": {"a": 1}}}}
    assert hows({}, {"query": written}, schema=schema) == ["extra"]
    assert hows({"query": {"$optional": {}}}, {"query": written}, schema=schema) == ["missing"] or (
        not match({"query": {"$optional": {}}}, {"query": written}, schema=schema).ok
    )


def test_a_parameter_may_be_named_like_a_matcher():
    assert match_arguments({"$filter": "x"}, {"$filter": "x"}).ok
    assert not match_arguments({"$filter": "x"}, {"$filter": "y"}).ok


def test_a_default_beside_a_reference_counts():
    schema = {
        "properties": {"unit": {"$ref": "#/$defs/Unit", "default": "c"}},
        "$defs": {"Unit": {"type": "string", "enum": ["c", "f"]}},
    }
    assert hows({}, {"unit": "c"}, schema=schema) == ["default"]
    assert hows({"unit": "c"}, {}, schema=schema) == ["default"]
    assert hows({}, {"unit": "f"}, schema=schema) == ["extra"]


def mode(name, number, **more):
    properties = {"mode": {"const": name}, "n": {"type": "integer", "default": number, **more}}
    return {"properties": properties, "required": ["mode"]}


A, B = mode("a", 1), mode("b", 2)
SEVERAL = {
    "anyOf": {"anyOf": [A, B]},
    "oneOf": {"oneOf": [A, B]},
    "$ref": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}], "$defs": {"a": A, "b": B}},
    "allOf of anyOf": {"allOf": [{"type": "object"}, {"anyOf": [A, B]}]},
    "anyOf of allOf": {"anyOf": [{"allOf": [A]}, {"allOf": [{"type": "object"}, B]}]},
    "anyOf of oneOf": {"anyOf": [{"oneOf": [mode("c", 3), A]}, {"oneOf": [B]}]},
    "required": {"anyOf": [{**each, "required": ["mode", "n"]} for each in (A, B)]},
    "closed": {"anyOf": [{**each, "additionalProperties": False} for each in (A, B)]},
    "only value": {"anyOf": [mode(*each, const=each[1]) for each in (("a", 1), ("b", 2))]},
    "if": {
        "properties": {"mode": {}, "n": {"type": "integer"}},
        "if": {"properties": {"mode": {"const": "a"}}},
        "then": {"properties": {"n": {"default": 1}}},
        "else": {"properties": {"n": {"default": 2}}},
    },
    "if over what the object says": {
        "properties": {"mode": {}, "n": {"default": 1}},
        "allOf": [
            {
                "if": {"properties": {"mode": {"const": "b"}}},
                "then": {"properties": {"n": {"default": 2}}},
            }
        ],
    },
    "else alone": {
        "properties": {"n": {"default": 1}},
        "if": {"properties": {"mode": {"const": "a"}}},
        "else": {"properties": {"n": {"default": 2}}},
    },
}
NESTED = {
    "an object": lambda schema: {"properties": {"x": schema}},
    "an item": lambda schema: {"properties": {"x": {"items": schema}}},
    "an item of its own": lambda schema: {"properties": {"x": {"prefixItems": [{}, schema]}}},
    "a branch": lambda schema: {"anyOf": [{"properties": {"x": {"type": "null"}}}, schema]},
}


@pytest.mark.parametrize("schema", SEVERAL.values(), ids=SEVERAL)
@pytest.mark.parametrize(("name", "number"), [("a", 1), ("b", 2)])
def test_a_default_is_that_of_the_branch_that_the_value_is_in(schema, name, number):
    whole, left_out, other = {"mode": name, "n": number}, {"mode": name}, {"mode": name, "n": 3}
    assert match(left_out, whole, schema=schema).ok
    assert match(whole, left_out, schema=schema).ok
    assert not match(left_out, {"mode": name, "n": 3 - number}, schema=schema).ok
    assert not match({"mode": name, "n": 3 - number}, left_out, schema=schema).ok
    assert not match(left_out, other, schema=schema).ok
    partial = {"$partial": {"n": number}}
    assert match_arguments(partial, left_out, schema=schema).ok
    assert not match_arguments({"$partial": {"n": 3 - number}}, left_out, schema=schema).ok


@pytest.mark.parametrize("schema", SEVERAL.values(), ids=SEVERAL)
def test_branches_are_told_apart_at_any_depth(schema):
    below = {**schema}
    definitions = below.pop("$defs", {})
    at = {
        "an object": lambda value: {"x": value},
        "an item": lambda value: {"x": [value]},
        "an item of its own": lambda value: {"x": [None, value]},
    }
    for place, put in at.items():
        around = {**NESTED[place](below), "$defs": definitions}
        assert match(put({"mode": "b"}), put({"mode": "b", "n": 2}), schema=around).ok, place
        assert not match(put({"mode": "b"}), put({"mode": "b", "n": 1}), schema=around).ok, place


def test_what_a_branch_says_of_an_object_holds_below_it():
    schema = {
        "anyOf": [
            {
                "properties": {
                    "mode": {"const": name},
                    "f": {"properties": {"n": {"default": number}}},
                },
                "required": ["mode", "f"],
            }
            for name, number in (("a", 1), ("b", 2))
        ]
    }
    assert match({"mode": "b", "f": {}}, {"mode": "b", "f": {"n": 2}}, schema=schema).ok
    assert not match({"mode": "b", "f": {}}, {"mode": "b", "f": {"n": 1}}, schema=schema).ok


def test_a_mode_that_is_left_out_is_its_default():
    schema = {"properties": {"mode": {"default": "b"}}, "anyOf": [A, B]}
    assert match({}, {"n": 2}, schema=schema).ok
    assert not match({}, {"n": 1}, schema=schema).ok


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ([{"default": 1}, {"default": 2}], False),
        ([{"default": 2}, {"type": "integer"}], False),
        ([{"default": 2}, {"type": "integer", "default": 2}], True),
    ],
)
@pytest.mark.parametrize("keyword", ["anyOf", "oneOf", "allOf"])
def test_of_branches_that_cannot_be_told_apart_all_must_state_the_default(keyword, said, taken):
    schema = {keyword: [{"properties": {"n": each}} for each in said]}
    together = keyword == "allOf" and said[1] == {"type": "integer"}  # both hold, one states it
    assert match({}, {"n": 2}, schema=schema).ok is (taken or together)


def test_a_default_depends_on_another_argument():
    schema = {
        "properties": {"city": {}, "unit": {}},
        "dependentSchemas": {"city": {"properties": {"unit": {"default": "c"}}}},
    }
    assert match({"city": "Oslo"}, {"city": "Oslo", "unit": "c"}, schema=schema).ok
    assert not match({}, {"unit": "c"}, schema=schema).ok


def test_a_schema_that_leads_to_itself_has_an_end():
    schema = {"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"properties": {"n": {"default": 1}}}]}
    assert match({}, {"n": 1}, schema=schema).ok
    assert not match({}, {"n": 2}, schema=schema).ok


def test_items_of_an_array_that_contains_them_have_their_defaults():
    item = {"properties": {"id": {}, "n": {"default": 0}}}
    schema = {"properties": {"rows": {"items": item}}}
    wanted = {"rows": {"$contains": {"id": 2}}}
    assert match(wanted, {"rows": [{"id": 1}, {"id": 2, "n": 0}]}, schema=schema).ok
    assert not match(wanted, {"rows": [{"id": 1}, {"id": 2, "n": 1}]}, schema=schema).ok


@pytest.mark.parametrize(("got", "ok"), [({}, True), ({"n": 10}, True), ({"n": 20}, True)])
def test_what_is_optional_may_be_its_default(got, ok):
    schema = {"properties": {"n": {"type": "integer", "default": 20}}}
    assert match({"n": {"$optional": 10}}, got, schema=schema).ok is ok
    assert not match({"n": {"$optional": 10}}, {"n": 30}, schema=schema).ok


@pytest.mark.parametrize(
    ("expected", "near", "far"),
    [
        ({"$approx": 3.14, "abs": 0.01}, [3.13, 3.15], [3.129, 3.151]),
        ({"$approx": 20, "abs": 0.1}, [19.9, 20.1], [19.8, 20.2]),
        ({"$approx": 100, "rel": 0.3}, [70, 130], [69.9, 131]),
        ({"$approx": 19.99, "abs": 0.01}, [20.0, 19.98], [20.01]),
    ],
)
def test_a_tolerance_holds_as_it_is_written_on_both_sides(expected, near, far):
    assert all(match(expected, value).ok for value in near)
    assert not any(match(expected, value).ok for value in far)


@pytest.mark.parametrize(
    ("pattern", "text", "ok"),
    [
        ("^umbrellas?$", "umbrella", True),
        ("^umbrellas?$", "umbrella\n", False),
        ("umbrella", "umbrella\n", True),
        ("umbrella\\n$", "umbrella\n", True),
        ("umbrella\\s\\Z", "umbrella\n", True),
        ("(?m)^umbrella$", "an\numbrella\n", True),
    ],
)
def test_the_end_of_a_pattern_is_the_end_of_the_text(pattern, text, ok):
    assert match({"$regex": pattern}, text).ok is ok
