"""Right answers of all cases, mutated: who is blamed follows from what was mutated.

The response alone: a violation and no miss. Text and response alike: a miss and no violation.
Neither in what it says: everything passes.
"""

import os
from collections import Counter
from dataclasses import replace

import builders
import mutations
import pytest
from mutations import ALIKE, HARMLESS, RESPONSE_ALONE, Mutation, rights

from evals.observation import STREAM, Observation
from evals.results import Judgement, Kind, Layer, Prompt, Status

LEAST = 7_000
EVERY = int(os.environ.get("METAMORPHIC_EVERY", "4"))
"""Each mutation takes another quarter of the right answers: all of them, 1, take two minutes;
mutation testing, which repeats this for each mutant of the code, takes fewer."""
PENDING: dict[Mutation, pytest.MarkDecorator] = {}
ALL = (*RESPONSE_ALONE, *ALIKE, *HARMLESS)


def judged(right: mutations.Right, mutant: Observation) -> Judgement:
    # The prompt is rendered here, so it is known that it opens no thought.
    prompt = Prompt(opens_thought=False)
    return builders.judge(right.case, mutant, call_format=right.call_format, prompt=prompt)


def blamed(judgement: Judgement) -> tuple[bool, bool]:
    """Whether there is a violation, and whether there is a miss."""
    verdicts = judgement.verdicts
    return any(v.is_violation for v in verdicts), any(v.is_miss for v in verdicts)


def chosen(mutation: Mutation) -> tuple[mutations.Right, ...]:
    """The right answers that this mutation is tried on."""
    return rights()[ALL.index(mutation) % EVERY :: EVERY]


def wrong(mutation: Mutation, wanted: tuple[bool, bool]) -> list[str]:
    """The mutants that are misjudged, each as a line."""
    lines = []
    for right in chosen(mutation):
        for mutant in mutation(right):
            found = judged(right, mutant)
            if found.status == Status.ERROR or blamed(found) != wanted:
                lines.append(_line(right, mutant, found))
    return lines


def _line(right: mutations.Right, mutant: Observation, found: Judgement) -> str:
    kinds = Counter(f"{v.kind}/{v.layer}" for v in found.verdicts if not v.passed)
    calls = ", ".join(f"{call.name}({call.arguments})" for call in mutant.calls)
    return (
        f"{right.case.node} {right.call_format}: {dict(kinds)}\n  wrote {mutant.raw_text!r}\n"
        f"  came {mutant.finish_reason}: {calls} {mutant.content!r} {mutant.reasoning or ''}"
    )


@pytest.mark.parametrize(
    "mutation",
    [pytest.param(m, id=m.__name__, marks=PENDING.get(m, ())) for m in RESPONSE_ALONE],
)
def test_a_change_of_the_response_alone_is_a_violation_and_no_miss(mutation):
    found = wrong(mutation, (True, False))
    assert not found, f"{len(found)} misjudged\n" + "\n".join(found[:20])


@pytest.mark.parametrize("mutation", ALIKE, ids=lambda m: m.__name__)
def test_a_change_of_text_and_response_alike_is_a_miss_and_no_violation(mutation):
    found = wrong(mutation, (False, True))
    assert not found, f"{len(found)} misjudged\n" + "\n".join(found[:20])


@pytest.mark.parametrize("mutation", HARMLESS, ids=lambda m: m.__name__)
def test_a_harmless_rewrite_passes(mutation):
    found = wrong(mutation, (False, False))
    assert not found, f"{len(found)} misjudged\n" + "\n".join(found[:20])


def test_a_stream_that_says_otherwise_is_a_violation_and_no_miss():
    lines = []
    for right in rights()[:: 3 * EVERY]:
        for mutation in (mutations.value_changed, mutations.call_lost, mutations.words_changed):
            for mutant in mutation(right):
                seen = _streamed(mutant)
                found = builders.judge(
                    right.case, seen, plain=right.observation, call_format=right.call_format
                )
                if blamed(found) != (True, False):
                    lines.append(_line(right, seen, found))
    assert not lines, f"{len(lines)} misjudged\n" + "\n".join(lines[:20])


def test_a_stream_that_writes_its_json_otherwise_passes():
    for right in rights()[:: 3 * EVERY]:
        for mutant in mutations.json_rewritten(right):
            seen = _streamed(mutant)
            plain, written = right.observation, right.call_format
            found = builders.judge(right.case, seen, plain=plain, call_format=written)
            assert blamed(found) == (False, False), _line(right, seen, found)


def test_markup_that_stream_and_plain_answer_both_have_is_told_by_the_models_text():
    right = next(right for right in rights() if not right.observation.calls)
    plain = replace(right.observation, content=f"{right.observation.content} </think>")
    seen = _streamed(replace(plain, content=f"{plain.content} more"))
    found = builders.judge(right.case, seen, plain=plain)
    markup = next(verdict for verdict in found.verdicts if verdict.check == "markup")
    assert (markup.kind, markup.layer) == (Kind.LEAKED_MARKUP, Layer.PARSER)


def _streamed(observation: Observation) -> Observation:
    return Observation.from_dict({**observation.to_dict(), "lane": STREAM.name, "raw_text": None})


@pytest.mark.skipif(EVERY > 4, reason="a sample was asked for")
def test_there_are_enough_mutants():
    mutants = sum(1 for mutation in ALL for right in chosen(mutation) for _ in mutation(right))
    assert mutants >= LEAST
    assert {right.call_format for right in rights()} == set(mutations.CALL_FORMATS)
