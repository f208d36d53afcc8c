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
from dataclasses import dataclass, field, replace

from evals.case import Case
from evals.judging.diagnosis import judge
from evals.lanes.lane import lane_named, lanes_asked
from evals.observation import PLAIN, Observation
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
        self._futures: dict[tuple[str, str, int], Future[dict[str, Record]]] = {}
        self.add(questions)

    def __contains__(self, question: Question) -> bool:
        return _key(question) in self._futures

    def add(self, questions: Sequence[Question]) -> None:
        """Ask these, too, after those that there are; none twice."""
        groups: dict[tuple[str, int], list[Question]] = {}
        for question in questions:
            if question not in self:
                groups.setdefault((question.case.node, question.repeat), []).append(question)
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
        case, traits, seen = question.case, lane_named(lane).traits, answers[lane]
        request = seen.request or build_request(case, stream=traits.streamed)
        answer = Answer(
            case=case,
            profile=self._opened.name,
            traits=traits,
            repeat=question.repeat,
            request=request,
            observation=replace(seen, request=None),
            plain=answers[PLAIN.name] if traits.needs_plain else None,
            rendered_prompt_tokens=self._opened.prompt_tokens(request),
            call_format=self._opened.call_format,
            asked_alone=asked_alone,
        )
        return judged(answer)


def is_answer_to(record: Record, case: Case) -> bool:
    """Whether the record's answer is one to `case` as it is today; what is expected may differ.

    The order of keys counts: with another one the prompt is another. Records of schemas 1 and 2 do
    not tell it.
    """
    before, today = (
        json.dumps(build_request(one, stream=record.traits.streamed), sort_keys=not record.in_order)
        for one in (record.case, case)
    )
    return before == today and record.case.tools == case.tools


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
