"""Reasoning, held against what the model wrote, as the text of the answer is."""

from collections import Counter
from collections.abc import Sequence

from evals.case import Case
from evals.formats.model_text import read_model_text
from evals.formats.reading import Reading
from evals.formats.registry import THINK, syntax
from evals.judging.checks import Finding, show
from evals.observation import Observation
from evals.results import Difference, Kind


def changed_reasoning(raw: str, reading: Reading, response: Observation) -> Finding | None:
    """Reasoning that nobody wrote, and a part of what was written.

    That a server leaves out all of it is no fault.
    """
    delivered, written = response.reasoning or "", reading.reasoning or ""
    words = _words(delivered)
    if not words:
        return None
    # What stands in the answer, too, must have been written twice.
    answer = _words(response.content or "")
    known = Counter(_words(raw))
    twice = _in_order(answer, _words(raw)) and Counter(words) + Counter(answer) - known
    whole = any(tag in written for tag in syntax().tagged) or _in_order(_words(written), words)
    if _in_order(words, _words(raw)) and not twice and whole:
        return None
    difference = Difference("$.reasoning", show(written.strip()), show(delivered.strip()), "wrong")
    return Finding(Kind.CHANGED_CONTENT, "the reasoning is not what was written", (difference,))


def moved_answer(
    reading: Reading, response: Observation, opens_thought: bool | None
) -> Finding | None:
    """An answer, or a part of one, that the response has as reasoning.

    Where the prompt opens a thought that the model did not end, all of it is reasoning; that may be
    so where `opens_thought` is not known.
    """
    if reading.reasoning is None and opens_thought is not False:
        return None
    thought = "".join((response.reasoning or "").split())
    written = "".join(reading.text.split())
    delivered = "".join((response.content or "").split())
    if written.endswith(delivered):
        moved = written.removesuffix(delivered)
    elif written.startswith(delivered):
        moved = written.removeprefix(delivered)
    else:
        return None
    if not moved:
        return None
    if not thought.endswith(moved):
        return None
    difference = Difference(
        "$.content", show(reading.text.strip()), show((response.content or "").strip()), "wrong"
    )
    reason = "the answer was moved into the reasoning"
    return Finding(Kind.CHANGED_CONTENT, reason, (difference,))


def closes_nothing(raw: str, reading: Reading, marks: Sequence[str]) -> bool:
    """Whether `marks` are the end of a thought alone, with which the text begins."""
    opened = any(raw.lstrip().startswith(opening) for opening, _ in THINK)
    empty = reading.reasoning is not None and not reading.reasoning.strip()
    return empty and not opened and {*marks} <= {closing for _, closing in THINK}


def call_in_reasoning(case: Case, response: Observation) -> bool:
    """Whether a call of an available tool stands in the reasoning, and nothing else came."""
    if response.calls or (response.content or "").strip() or not response.reasoning:
        return False
    read = read_model_text(response.reasoning, case.tools).read
    return any(case.tool(item.call.name) is not None for item in read)


def _words(text: str) -> list[str]:
    """The words of a text; a server takes tags out of it."""
    for mark in syntax().markup:
        text = text.replace(mark, " ")
    return text.split()


def _in_order(words: list[str], among: list[str]) -> bool:
    """Whether all words stand among the others in this order; those between are left out."""
    rest = iter(among)
    return all(word in rest for word in words)
