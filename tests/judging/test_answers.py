"""Numbers of an answer, as they are written."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evals.expect import ExpectedAnswer
from evals.judging.answers import how, problem
from evals.judging.numerals import numbers_in

SPELLINGS = [
    ("1840", 1840),
    ("1,840", 1840),
    ("$1,840.00", 1840),
    ("1 840 kg", 1840),
    ("1'840", 1840),
    ("**1840**.", 1840),
    ("-5 °C", -5),
    ("−5", -5),
    ("–5 °C", -5),
    ("-$5", -5),
    ("(-3, 4)", -3),
    ("-1,-2", -2),
    ("1e3", 1000),
    ("it is 3.5.", 3.5),
    (".5", 0.5),
    ("0,5", 0.5),
    ("12,5 degrees", 12.5),
    ("1840,50 €", 1840.5),
    ("1.840,50 €", 1840.5),
    ("1.840.000", 1840000),
    ("12,34,567 rupees", 1234567),
    ("Oslo,5", 5),
    ("forty-two", 42),
    ("Two apples", 2),
    ("one hundred and five", 105),
    ("two hundred five thousand and six", 205006),
    ("Two million three hundred thousand five hundred and six", 2300506),
    ("one thousand, eight hundred and forty", 1840),
    ("Two million, three hundred thousand, five hundred and six", 2300506),
    ("forty-two thousand, one hundred", 42100),
    ("one thousand, two thousand and three thousand", 2000),
    ("one million, two", 2),
    ("a hundred", 100),
    ("A hundred and twenty", 120),
    ("a hundred thousand", 100000),
    ("twelve hundred", 1200),
    ("two dozen eggs", 24),
    ("half a dozen", 6),
    ("half a million", 500000),
    ("minus five", -5),
    ("It is minus 5", -5),
    ("between 5 and minus 3", -3),
    ("negative forty-two", -42),
    ("minus $5", -5),
    ("-US$5", -5),
    ("−₹5", -5),
    ("− 5 °C", -5),
    ("（-5 °C）", -5),
    ("10 − 5 is less", 5),
    ("10 € minus 5 €", 5),
    ("10€-12€", 12),
    ("10 €-12 €", 12),
    ("5 +/-2", 2),
    ("5 plus or minus 2", 2),
    ("10 minus 5 is less", 5),
    ("ten apples minus five", 5),
    ("2 million", 2000000),
    ("$2.5 million", 2500000),
    ("5 hundred thousand", 500000),
    ("10k", 10000),
    ("10K", 10000),
    ("$1.2M", 1200000),
    ("3bn people", 3 * 10**9),
    ("3 bn", 3 * 10**9),
    ("£5m", 5000000),
    ("€2.5 bn", 2500000000),
    ("$7B", 7 * 10**9),
    ("5 m", 5),
    ("1,5 Mio. €", 1500000),
    ("2 milliards", 2 * 10**9),
    ("3 crore", 30000000),
    ("5 Million", 5000000),
    ("**5** million", 5000000),
    ("_15_", 15),
    ("minus **5**", -5),
    ("forty\u2011two", 42),
    ("\u20115 °C", -5),
    ("«-3»", -3),
    ("½ cup", 0.5),
    ("2½ cups", 2.5),
    ("-2 ½", -2.5),
    ("2½ million", 2500000),
    ("2 1/2 cups", 2.5),
    ("2-1/2 cups", 2.5),
    ("2 and 3/4 miles", 2.75),
    ("2 7/16 inches", 2.4375),
    ("10-12", 12),
    ("-2 3/4", -2.75),
    ("1 1⁄2", 1.5),
    ("3 × 10^8 m/s", 3 * 10**8),
    ("3.2x10⁻³", 0.0032),
    ("$6.02 \\times 10^{3}$", 6020),
    ("2*10**3", 2000),
    ("3 times 10^8", 3 * 10**8),
    ("3 × 10<sup>8</sup>", 3 * 10**8),
    ("10^6", 10**6),
    ("about 10⁻³", 0.001),
    ("-10^3", -1000),
    ("10 m²", 10),
    ("1{,}840", 1840),
    ("1\\,840", 1840),
    ("12{,}5", 12.5),
    ("5 below zero", -5),
    ("5 °C below zero", -5),
    ("5°C below zero", -5),
    ("five degrees below zero", -5),
    ("5 degrees (Celsius) below zero", -5),
    ("5℃ below zero", -5),
    ("5 degrees under 0 °C", -5),
    ("Water freezes below zero", 0),
    ("Water freezes below 0 °C", 0),
    ("5\u202fmillions", 5000000),
    ("3 x 10", 3),
    ("2 1/2024", 2),
    ("two and a half hours", 2.5),
    ("2 and a half", 2.5),
    ("two and a half million", 2500000),
    ("three point one four", 3.14),
    ("three-point-five", 3.5),
    ("a game of four quarters", 4),
    ("minus three point five million", -3500000),
    ("five and six", 5),
    ("five and six", 6),
    ("two hundred and three hundred", 300),
    ("five thousand and six thousand", 6000),
    ("twenty and thirty", 20),
    ("one\ntwo", 2),
    ("(7)", 7),
    ("5-7", 7),
    ("10%-12%", 12),
    ("$5-$7", 7),
    ("7, 8 and 9", 8),
    ("5,7,9", 7),
    ("2024,2025,2026", 2025),
    ("1.5,2.5", 2.5),
    ("5'11", 11),
    ("zero", 0),
]
OTHERS = [
    ("18400", 1840),
    ("11,840", 1840),
    ("v1840", 1840),
    ("v1,840", 840),
    ("1840.5", 1840),
    ("0.42", 42),
    ("0,500", 500),
    ("421", 42),
    ("12,5 degrees", 12),
    ("12,5 degrees", 5),
    ("1,8401", 1),
    ("1,8401", 8401),
    ("1,234,567", 234),
    ("101,102,103", 102),
    ("1 840", 840),
    ("1.840", 1840),
    ("1,840,5", 840),
    ("10,00,00", 10),
    ("3.5.1", 3.5),
    ("192.168.1.1", 168),
    ("1e9999", 1),
    ("...5", 5),
    ("forty-two thousand", 42),
    ("twenty-one", 1),
    ("one thousand, eight hundred and forty", 840),
    ("one thousand, eight hundred and forty", 1000),
    ("twenty-first", 20),
    ("one hundred twenty-first", 100),
    ("one-third", 1),
    ("two thirds", 2),
    ("three quarters of an hour", 3),
    ("five hundredths", 5),
    ("the five hundredth", 5),
    ("No one lives there", 1),
    ("one two", 12),
    ("one two", 1),
    ("nineteen eighty-four", 84),
    ("a hundred", 1),
    ("half a million", 1000000),
    ("quarter of a million", 1000000),
    ("two dozen", 2),
    ("minus five", 5),
    ("It is minus 5", 5),
    ("-$5", 5),
    ("10 minus 5", -5),
    ("10%-12%", -12),
    ("2 million", 2),
    ("5 hundred and five", 5),
    ("10k", 10),
    ("10K", 10),
    ("$1.2M", 1.2),
    ("5 Million", 5),
    ("**5** million", 5),
    ("minus **5**", 5),
    ("\u20115 °C", 5),
    ("«-3»", 3),
    ("2½ cups", 2),
    ("2 1/2 cups", 2),
    ("3 × 10^8", 3),
    ("3 × 10^8", 10),
    ("3 × 10⁸", 3),
    ("3 × 10^99999", 3),
    ("3 times 10^8", 3),
    ("3 × 10<sup>8</sup>", 3),
    ("10^6", 10),
    ("10⁶", 10),
    ("1{,}840", 1),
    ("1\\,840", 840),
    ("$5m", 5),
    ("$5B", 5),
    ("5 bn", 5),
    ("5 Mio. €", 5),
    ("5 Milliarden", 5),
    ("3 crore", 3),
    ("2-1/2 cups", 2),
    ("2 and 3/4 miles", 2),
    ("2 7/16 inches", 2),
    ("three-point-five", 3),
    ("-US$5", 5),
    ("− 5 °C", 5),
    ("10€-12€", -12),
    ("5 plus or minus 2", -2),
    ("5 degrees below zero", 5),
    ("five below zero", 5),
    ("five degrees below zero", 0),
    ("5 °C below zero", 0),
    ("5 degrees below 0", 0),
    ("5 deg. C below zero", 5),
    ("5\u202fmillion", 5),
    ("two and a half", 2),
    ("three point five", 5),
    ("five thousand and six thousand", 11000),
    ("no number", 0),
    ("1,84", 184),
    ("someone", 1),
]
SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6}
WORDS = ["a", "an", "and", "half", "hundred", "dozen", "one", "two", "forty", "million", "point"]
DECIMALS = st.decimals(-(10**9), 10**9, places=2, allow_nan=False)


@pytest.mark.parametrize(("text", "number"), SPELLINGS)
def test_a_number_is_found_however_it_is_written(text, number):
    assert problem(ExpectedAnswer(numbers=(number,)), text) is None


@pytest.mark.parametrize(("text", "number"), OTHERS)
def test_a_part_of_another_number_is_not_it(text, number):
    assert "the number" in (problem(ExpectedAnswer(numbers=(number,)), text) or "")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("101,102,103", (101, 102, 103)),
        ("101 102", (101, 102)),
        ("12,5", (12, 5)),
        ("1,840", (840, 1)),
        ("one thousand, two hundred", (1000, 200)),
    ],
)
def test_what_may_be_a_list_is_one_where_all_of_it_is_expected(text, numbers):
    assert problem(ExpectedAnswer(numbers=numbers), text) is None
    for number in numbers:
        assert problem(ExpectedAnswer(numbers=(number,)), text)


@pytest.mark.parametrize(
    "text", ["one point " + "one " * 9000, "one" + " " * 90_000, "5" + "\t" * 90_000 + "below"]
)
def test_a_model_that_does_not_end_is_read_all_the_same(text):
    assert problem(ExpectedAnswer(numbers=(7,)), text)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_no_answer_can_say_is_no_expected_number(number):
    with pytest.raises(ValidationError, match="finite number"):
        ExpectedAnswer(numbers=(number,))


def test_how_a_number_is_written_is_told():
    said = "It is minus five, or two and a half million."
    assert how(ExpectedAnswer(numbers=(-5, 2500000)), said) == (
        '-5 is written as "minus five"; 2500000 is written as "two and a half million"'
    )


def only(text):
    return [value for _, value in numbers_in(text)]


@given(DECIMALS, st.sampled_from(["{}", "It is {}.", "({})", "{} °C", "**{}**", "a: {}, b", "${}"]))
def test_a_number_is_read_as_itself_and_nothing_else(number, frame):
    for written in (f"{number}", f"{number:,}", f"{number:,}".replace("-", "−")):
        assert only(frame.format(written)) == [Fraction(number)]


@given(DECIMALS)
def test_a_number_as_others_write_it(number):
    swapped = f"{number:,}".translate(str.maketrans(",.", ".,"))
    assert only(swapped) == [Fraction(number)]
    assert only(f"{abs(number):,}".replace(",", "\u202f")) == [Fraction(abs(number))]


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=5), st.sampled_from([",", " ", ", "]))
def test_a_list_of_expected_numbers_is_found(numbers, between):
    text = between.join(map(str, numbers))
    assert problem(ExpectedAnswer(numbers=tuple(numbers)), text) is None


@given(st.integers(1, 999), st.sampled_from(sorted(SCALES)), st.booleans())
def test_a_scale_belongs_to_its_number(count, scale, negative):
    sign = -1 if negative else 1
    assert only(f"{'minus ' * negative}{count} {scale}") == [sign * count * SCALES[scale]]


@given(st.text("0123456789.,-−–'_* eEkMb½$%", max_size=30) | st.text(max_size=30))
def test_any_text_can_be_read(text):
    assert all(isinstance(value, Fraction) for value in only(text))


@given(st.lists(st.sampled_from(WORDS)))
def test_any_words_can_be_read(words):
    assert all(value > 0 for value in only(" ".join(words)))


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("it's", "It’s open."),
        ("don’t", "I don't know."),
        ('"yes"', "He said “Yes”."),
        ("café", "At the cafe\u0301."),
        ("10-12", "10\u201112 h"),
        ("10-12", "10–12 h"),
        ("-5 °C", "It is −5 °C."),
        ("e-mail", "E－mail"),
        ('"yes"', "«yes»"),
        ('"yes"', "＂yes＂"),
        ("5' 11\"", "5′ 11″"),
        ("two words", "two\u00a0words"),
        ("two words", "Two\n  words"),
    ],
)
def test_what_is_a_matter_of_type_does_not_count(part, text):
    assert problem(ExpectedAnswer(contains=(part,)), text) is None
    assert problem(ExpectedAnswer(any_of=(part,)), text) is None
    assert problem(ExpectedAnswer(not_contains=(part,)), text) is not None


def test_a_space_of_an_expected_text_counts():
    assert problem(ExpectedAnswer(contains=("hi ",)), "high") is not None
    assert problem(ExpectedAnswer(contains=("cafe",)), "café") is not None
