"""What the judging says, word for word: reasons, kinds, layers, differences, notes and scores."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import builders
import golden
import pytest
from mutations import ALIKE, HARMLESS, RESPONSE_ALONE, Mutation, Right, rights_of

from evals.case import Tool
from evals.observation import STREAM, Observation
from evals.results import Judgement, Prompt

KEPT = Path(__file__).with_name("said")
TOOLS = (
    Tool(name="look"),
    Tool(
        name="f",
        parameters={
            "type": "object",
            "properties": {
                "text": {"type": "string", "maxLength": 20, "pattern": "^[^x]*$"},
                "n": {"type": "integer", "exclusiveMinimum": 2, "maximum": 90},
                "yes": {"type": "boolean"},
                "items": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
                "more": {"type": "object", "additionalProperties": {"type": "number"}},
            },
            "required": ["text"],
        },
    ),
)
EXPECTED = (
    {"call": {"name": "look"}},
    {"call": {"name": "f", "arguments": {"text": "a b", "n": 5, "yes": True}}},
    {"call": {"name": "f", "arguments": {"text": "a b", "items": ["c", "d"], "more": {"k": 1.5}}}},
    {"calls": [{"name": "look"}, {"name": "f", "arguments": {"text": "a", "n": 21}}]},
    {
        "call": {
            "name": "f",
            "arguments": {"text": {"$any_of": ["é", "a b"]}, "n": {"$approx": 5, "abs": 1}},
        }
    },
    {"answer": {"contains": ["Paris"]}},
    {"answer": {"numbers": [42], "not_contains": ["Lyon"]}},
    {"answer": {"any_of": ["yes", "no"]}},
)
NAMED = {"type": "function", "function": {"name": "f"}}
CASES = [
    builders.case(expect, f"Please do {n}: f and look.", tools=TOOLS, id=f"c{n}")
    for n, expect in enumerate(EXPECTED)
]


def told(found: Judgement) -> str:
    """All that is said of an answer, in one line."""
    verdicts = [
        [
            v.check,
            v.passed,
            v.reason,
            v.kind,
            v.layer,
            [list(d) for d in map(_values, v.differences)],
        ]
        for v in found.verdicts
        if not v.passed or v.reason
    ]
    scores = asdict(found.scores) if found.scores else None
    return json.dumps([found.status, scores, verdicts], ensure_ascii=False, default=str)


def _values(difference: object) -> Iterator[object]:
    yield from vars(difference).values()


def mutants(mutation: Mutation) -> Iterator[tuple[Right, Observation]]:
    """What a mutation makes first of each right answer."""
    for right in rights_of(CASES):
        yield from ((right, mutant) for mutant in islice(mutation(right), 1))


@pytest.mark.parametrize("mutation", [*RESPONSE_ALONE, *ALIKE, *HARMLESS], ids=lambda m: m.__name__)
def test_a_changed_answer(mutation):
    lines = []
    for right, mutant in mutants(mutation):
        same = {"call_format": right.call_format, "prompt": Prompt(opens_thought=False)}
        found = builders.judge(right.case, mutant, **same)
        streamed = Observation.from_dict(
            {**mutant.to_dict(), "lane": STREAM.name, "raw_text": None}
        )
        beside = builders.judge(right.case, streamed, plain=right.observation, **same)
        alike = builders.judge(right.case, streamed, plain=mutant, **same)
        blind = replace(mutant, raw_text=None, token_ids=None)
        chosen = [
            (
                choice,
                builders.judge(right.case.model_copy(update={"tool_choice": choice}), seen, **same),
            )
            for seen in (mutant, blind)
            for choice in ("auto", "required", "none", NAMED)
        ]
        named = f"{right.case.id} {right.call_format}"
        others = {told(one): choice for choice, one in chosen if told(one) != told(found)}
        lines += [f"  {choice} {text}" for text, choice in others.items()]
        lines += [f"{named} {told(found)}", f"  stream {told(beside)}", f"  alike {told(alike)}"]
    assert lines
    golden.as_kept(KEPT / f"{mutation.__name__}.txt", lines)
