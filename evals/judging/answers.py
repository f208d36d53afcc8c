"""What a plain-text answer must have in it, and how it was found there."""

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction

from evals import schema as schemas
from evals.expect import ExpectedAnswer
from evals.json_text import to_text
from evals.judging.looks import one_line
from evals.judging.matchers import pattern_found
from evals.judging.numerals import numbers_in


def problem(expected: ExpectedAnswer, text: str) -> str | None:
    """The first way in which `text` is not the answer that is expected, or None."""
    return next(_problems(expected, text), None)


def how(expected: ExpectedAnswer, text: str) -> str:
    """How it was found to match: which of several texts, which spelling of a number."""
    folded = _folded(text)
    notes = [f"{to_text(part)} is in it" for part in expected.any_of or () if _in(part, folded)][:1]
    if expected.regex is not None:
        notes.append(f"{to_text(expected.regex)} is found in it")
    spelled = dict(reversed([(value, shown) for shown, value in _numbers(expected, text)]))
    for number in expected.numbers:
        if (shown := spelled.get(schemas.exact(number))) != str(number):
            notes.append(f"{number} is written as {to_text(shown)}")
    return "; ".join(notes)


def _problems(expected: ExpectedAnswer, text: str) -> Iterator[str]:
    if not text.strip():
        yield "the answer is empty"
        return
    folded, said = _folded(text), _shown(text)
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
    found = {value for _, value in _numbers(expected, text)}
    for number in expected.numbers:
        if schemas.exact(number) not in found:
            yield f"the number {number} is not in: {said}"


def _numbers(expected: ExpectedAnswer, text: str) -> list[tuple[str, Fraction]]:
    wanted = {schemas.exact(number) for number in expected.numbers}
    return list(numbers_in(text, wanted)) if wanted else []


def _in(part: str, folded: str) -> bool:
    return _folded(part) in folded


_ALIKE = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛ʼ′‹›＇", "'"),
        **dict.fromkeys("“”„‟″«»＂", '"'),
        **dict.fromkeys("‐‑‒–−﹣－", "-"),
    }
)


def _folded(text: str) -> str:
    """Without what is a matter of type: letter case, kinds of quotes and hyphens, white space."""
    same = unicodedata.normalize("NFC", text).translate(_ALIKE)
    return re.sub(r"\s+", " ", same).casefold()


def _shown(text: str) -> str:
    return f'"{one_line(text)}"'
