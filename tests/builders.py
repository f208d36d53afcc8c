"""Answers and judgements of a case and an observation, with whatever a test does not care about."""

from typing import Any

from evals.case import Case
from evals.judging import diagnosis
from evals.lanes.lane import lane_named
from evals.observation import Observation, Traits
from evals.request import build_request
from evals.results import Answer, Judgement, Record


def answer(
    case: Case, seen: Observation, *, traits: Traits | None = None, **changes: Any
) -> Answer:
    """The answer that `seen` is, in the lane that it names."""
    traits = traits or lane_named(seen.lane).traits
    values = {"profile": "default", "request": build_request(case, stream=traits.streamed)}
    return Answer(case=case, traits=traits, observation=seen, **{**values, **changes})


def judge(case: Case, seen: Observation, **changes: Any) -> Judgement:
    """What is said of it."""
    return diagnosis.judge(answer(case, seen, **changes))


def record(case: Case, seen: Observation, **changes: Any) -> Record:
    """It and what is said of it."""
    asked = answer(case, seen, **changes)
    return Record.of(asked, diagnosis.judge(asked))
