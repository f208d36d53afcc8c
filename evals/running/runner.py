"""The questions of an opened profile, asked a few at a time, and their answers judged.

```
Case × lane → Observation(s) → judge → Record → records.jsonl
```
All lanes of one case follow one another, so that a stream can be compared with the plain answer,
which also is its evidence.
"""

import contextlib
import functools
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from evals.case import Case
from evals.judging.diagnosis import judge
from evals.lanes.lane import lane_named, lanes_asked
from evals.observation import PLAIN, Observation, Traits
from evals.request import build_request
from evals.results import Answer, Record
from evals.running.pool import Pool
from evals.running.profile import Opened
from evals.running.questions import Question


class Runner:
    """Asks the questions of one opened profile, `in_flight` cases at a time, in order.

    `record(question)` waits for its answer. Questions of one case and repeat are asked together;
    a plain answer that another lane needs is asked for once.
    """

    def __init__(self, opened: Opened, questions: Sequence[Question], *, in_flight: int) -> None:
        self._opened = opened
        self._alone = _Gate()
        self._pool = Pool(in_flight)
        groups: dict[tuple[str, int], list[Question]] = {}
        for question in questions:
            groups.setdefault((question.case.node, question.repeat), []).append(question)
        self._futures: dict[Question | tuple[str, str, int], Future[dict[str, Record]]] = {}
        for group in groups.values():
            future = self._pool.submit(functools.partial(self._ask_group, group))
            for question in group:
                self._futures[_key(question)] = future

    def record(self, question: Question) -> Record:
        """The judged answer to `question`; waits until it is there."""
        return self._futures[_key(question)].result()[question.lane]

    def close(self) -> None:
        """Ask nothing more; questions in flight end with the server, nobody waits for them."""
        self._pool.close()

    def _ask_group(self, group: Sequence[Question]) -> dict[str, Record]:
        lanes = [question.lane for question in group]
        asked = [lane.name for lane in lanes_asked(lanes)]
        with self._alone.shared():
            answers = {lane: self._opened.ask(lane, group[0].case) for lane in asked}
        records = {lane: self._judge(group[0], lane, answers) for lane in lanes}
        if differing := [lane for lane in lanes if records[lane].differs_from_plain]:
            # Batching can change a greedy answer by rounding: it counts only if it repeats alone.
            with self._alone.exclusive():
                both = (PLAIN.name, *differing)
                again = {lane: self._opened.ask(lane, group[0].case) for lane in both}
            for lane in {*both} & {*lanes}:
                records[lane] = self._judge(group[0], lane, again, asked_alone=True)
        return records

    def _judge(
        self,
        question: Question,
        lane: str,
        answers: Mapping[str, Observation],
        *,
        asked_alone: bool = False,
    ) -> Record:
        case, traits = question.case, lane_named(lane).traits
        answer = Answer(
            case=case,
            profile=self._opened.name,
            traits=traits,
            repeat=question.repeat,
            request=build_request(case, stream=traits.streamed),
            observation=answers[lane],
            plain=_evidence(traits, answers),
            rendered_prompt_tokens=None if traits.own_prompt else self._opened.prompt_tokens(case),
            prompt=self._opened.prompt(case),
            call_format=self._opened.profile.call_format,
            asked_alone=asked_alone,
        )
        return judged(answer)


def _evidence(traits: Traits, answers: Mapping[str, Observation]) -> Observation | None:
    """The plain answer to the very same prompt, for a lane that needs it."""
    plain = answers.get(PLAIN.name)
    if plain is None or not traits.needs_plain:
        return None
    mine = answers[traits.name].usage
    # A library may rewrite a tool's schema: then the model was asked something else.
    same = plain.usage and mine and plain.usage.prompt == mine.prompt
    return plain if same or not traits.own_prompt else None


def is_answer_to(record: Record, case: Case) -> bool:
    """Whether the record's answer is one to `case` as it is today; what is expected may differ."""
    today = build_request(case, stream=record.traits.streamed)
    # As text with sorted keys: that is how a record is kept.
    asked, would_ask = (json.dumps(body, sort_keys=True) for body in (record.request, today))
    return asked == would_ask and record.case.tools == case.tools


def judged(answer: Answer) -> Record:
    """The record of an answer, or of a record that is to be judged again."""
    return Record.of(answer, judge(answer))


def _key(question: Question) -> tuple[str, str, int]:
    return question.case.node, question.lane, question.repeat


@dataclass
class _Gate:
    """Many may ask at once, or one alone."""

    _condition: threading.Condition = field(default_factory=threading.Condition)
    _inside: int = 0
    _alone: bool = False

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: not self._alone)
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: not self._alone)
            self._alone = True
            self._condition.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            with self._condition:
                self._alone = False
                self._condition.notify_all()
