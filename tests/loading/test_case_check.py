"""A case is asked only if its own perfect answer passes; of plain values that is known at once."""

import math

import builders
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.case import Tool
from evals.loading import case_check

FLAT = st.text() | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)
NAMES = st.text(min_size=1, max_size=8).filter(lambda name: not name.startswith("$"))


def case_of(arguments, **more):
    properties = {name: {} for name in arguments}
    tool = Tool(name="f", parameters={"type": "object", "properties": properties})
    expect = {"call": {"name": "f", "arguments": arguments}}
    return builders.case(expect, tools=(tool,), **more)


def perfect(case):
    return list(case_check._check_perfect(case, case_check._Examples(case)))


@given(st.dictionaries(NAMES, FLAT, max_size=4))
def test_a_call_of_plain_values_is_its_own_perfect_answer(arguments):
    case = case_of(arguments)
    if case_check._is_literal(case):
        assert perfect(case) == []
    else:
        assert any(isinstance(v, float) and math.isinf(v) for v in arguments.values())


@pytest.mark.parametrize(
    "case",
    [
        case_of({"n": math.inf}),
        case_of({"n": math.nan}),
        case_of({"n": {"$any_of": [1]}}),
        case_of({"n": [1]}),
        case_of({"$partial": {"n": 1}}),
        case_of({"n": 1}, stop=("x",)),
        builders.case({"call": {"name": "f"}, "answer": {}}, tools=(Tool(name="f"),)),
        builders.case({"calls": [{"name": "f"}]}, tools=(Tool(name="f"),)),
        builders.case({"answer": {}}),
    ],
)
def test_of_anything_else_the_perfect_answer_is_made_and_judged(case):
    assert not case_check._is_literal(case)


def test_a_value_that_no_json_has_is_a_mistake_of_the_case():
    assert any(
        "perfect answer fails" in found for found in case_check.check_case(case_of({"n": math.nan}))
    )
