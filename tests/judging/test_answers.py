"""Numbers of an answer, as they are written."""

import pytest

from evals.expect import ExpectedAnswer
from evals.judging.answers import problem

SPELLINGS = [
    ("1840", 1840),
    ("1,840", 1840),
    ("$1,840.00", 1840),
    ("1 840 kg", 1840),
    ("1'840", 1840),
    ("**1840**.", 1840),
    ("-5 °C", -5),
    ("−5", -5),
    ("1e3", 1000),
    ("it is 3.5.", 3.5),
    ("forty-two", 42),
    ("Two apples", 2),
    ("one hundred and five", 105),
    ("two hundred five thousand and six", 205006),
    ("(7)", 7),
    ("7, 8 and 9", 8),
    ("zero", 0),
]
OTHERS = [
    ("18400", 1840),
    ("11,840", 1840),
    ("v1840", 1840),
    ("1840.5", 1840),
    ("0.42", 42),
    ("421", 42),
    ("forty-two thousand", 42),
    ("twenty-one", 1),
    ("one two", 12),
    ("no number", 0),
    ("1,84", 184),
    ("someone", 1),
]


@pytest.mark.parametrize(("text", "number"), SPELLINGS)
def test_a_number_is_found_however_it_is_written(text, number):
    assert problem(ExpectedAnswer(numbers=(number,)), text) is None


@pytest.mark.parametrize(("text", "number"), OTHERS)
def test_a_part_of_another_number_is_not_it(text, number):
    assert "the number" in (problem(ExpectedAnswer(numbers=(number,)), text) or "")
