"""What a plain-text answer must have in it, and how it was found there."""

import re
from collections.abc import Iterator
from fractions import Fraction

from evals import schema as schemas
from evals.expect import ExpectedAnswer
from evals.json_text import to_text
from evals.judging.looks import one_line
from evals.judging.matchers import pattern_found

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = {word: value for value, word in enumerate(_SMALL)} | {
    word: 10 * value for value, word in enumerate(_TENS, 2)
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000, "billion": 1_000_000_000}

# Digits in groups of three, or in a row; no other digit, letter or point may touch them.
_GROUP = "[,_'’\u00a0\u202f\u2009 ]"
_DIGITS = re.compile(
    rf"(?<![\w.,])[-−]?(?:\d{{1,3}}(?:{_GROUP}\d{{3}})+(?![\d])|\d+)(?:\.\d+)?(?:[eE][-+]?\d{{1,3}})?"
    r"(?![\d])"
)
_NAMES = "|".join([*_WORDS, *_SCALES])
_SPELLED = re.compile(rf"\b(?:{_NAMES})(?:(?:\s+and\s+|[\s-]+)(?:{_NAMES}))*\b", re.IGNORECASE)
_LONGEST = 40


def problem(expected: ExpectedAnswer, text: str) -> str | None:
    """The first way in which `text` is not the answer that is expected, or None."""
    return next(_problems(expected, text), None)


def how(expected: ExpectedAnswer, text: str) -> str:
    """How it was found to match: which of several texts, which spelling of a number."""
    folded = text.casefold()
    notes = [f"{to_text(part)} is in it" for part in expected.any_of or () if _in(part, folded)][:1]
    if expected.regex is not None:
        notes.append(f"{to_text(expected.regex)} is found in it")
    spelled = dict(reversed([(value, shown) for shown, value in numbers_in(text)]))
    for number in expected.numbers:
        if (shown := spelled.get(schemas.exact(number))) != str(number):
            notes.append(f"{number} is written as {to_text(shown)}")
    return "; ".join(notes)


def _problems(expected: ExpectedAnswer, text: str) -> Iterator[str]:
    if not text.strip():
        yield "the answer is empty"
        return
    folded, said = text.casefold(), _shown(text)
    for part in expected.contains:
        if not _in(part, folded):
            yield f"{_shown(part)} is not in: {said}"
    for part in expected.not_contains:
        if _in(part, folded):
            yield f"{_shown(part)} is in: {said}"
    options = expected.any_of
    if options is not None and not any(_in(part, folded) for part in options):
        yield f"none of {', '.join(map(_shown, options))} is in: {said}"
    if expected.regex is not None and not pattern_found(expected.regex, text):
        yield f"the pattern {_shown(expected.regex)} is not found in: {said}"
    found = {value for _, value in numbers_in(text)} if expected.numbers else set()
    for number in expected.numbers:
        if schemas.exact(number) not in found:
            yield f"the number {number} is not in: {said}"


def _in(part: str, folded: str) -> bool:
    return part.casefold() in folded


def numbers_in(text: str) -> Iterator[tuple[str, Fraction]]:
    """The numbers of a text as they are written and what they are: `1,840`, `forty-two`."""
    for found in _DIGITS.finditer(text):
        shown = found.group()
        if len(shown) <= _LONGEST:
            plain = re.sub(_GROUP, "", shown).replace("−", "-")
            yield shown, Fraction(plain)
    for found in _SPELLED.finditer(text):
        value = _spelled(re.findall(r"[a-z]+", found.group().casefold()))
        if value is not None:
            yield found.group(), Fraction(value)


def _spelled(words: list[str]) -> int | None:
    """`two hundred and five thousand` is 205000; None for a row of numbers such as `one two`."""
    total = part = 0
    room = 1_000_000_000_000  # what comes next must be smaller than this
    for word in words:
        if word == "and":
            continue
        if word in _WORDS:
            value = _WORDS[word]
            if value >= room:
                return None
            part += value
            room = 10 if value >= 20 else 0
        elif part == 0:
            return None
        elif word == "hundred":
            part *= 100
            room = 100
        else:
            total += part * _SCALES[word]
            part, room = 0, _SCALES[word]
    return total + part


def _shown(text: str) -> str:
    return f'"{one_line(text)}"'
