"""The questions of an opened profile, asked a few at a time, and their answers judged.

```
Case × lane → Observation(s) → judge → Record → records.jsonl
```
All lanes of one case follow one another, so that a stream can be compared with the plain answer,
which also is its evidence.
"""

import contextlib
import json
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import replace

from evals.case import Case
from evals.errors import EvalsError
from evals.judging.diagnosis import judge
from evals.lanes.lane import lane_named, lanes_asked
from evals.observation import PLAIN, Observation
from evals.request import build_request
from evals.results import Answer, Record
from evals.running.gate import Gate
from evals.running.life import Life
from evals.running.profile import Opened
from evals.running.questions import Question, asking_order

_Group = Sequence[Question]
_ALIKE = 3
"""Rounds until two lanes find the same in the server's prompt cache; an eviction may cost one."""


class Runner:
    """Asks the questions of one opened profile, `in_flight` cases at a time, in `asking_order`.

    `save` gets each record the moment it is there, from the thread that asked. `record(question)`
    waits for its answer, and gives it once: a long run must not hold all of its answers. Questions
    of one case and repeat are asked together; a plain answer that another lane needs is asked for
    once.

    The threads are daemons: nobody waits for an answer that is in flight when the process ends.
    """

    def __init__(
        self,
        opened: Opened,
        questions: Sequence[Question],
        *,
        in_flight: int,
        life: Life,
        save: Callable[[Record], None],
    ) -> None:
        self._opened = opened
        self._life = life
        self._save = save
        self._alone = Gate()
        self._saving = threading.Lock()
        self._closed = False
        self._in_flight = in_flight
        self._counting = threading.Lock()
        self._working = 0
        self._futures: dict[tuple[str, str, int], Future[dict[str, Record]]] = {}
        self._given: set[tuple[str, str, int]] = set()
        self._waiting: queue.SimpleQueue[tuple[_Group, Future[dict[str, Record]]]]
        self._waiting = queue.SimpleQueue()
        self.add(questions)

    def __contains__(self, question: Question) -> bool:
        return _key(question) in self._futures or self.has_given(question)

    def has_given(self, question: Question) -> bool:
        """Whether `record` gave the answer to `question`, and keeps it no longer."""
        return _key(question) in self._given

    def add(self, questions: Sequence[Question]) -> None:
        """Ask these, too, after those that there are; none twice."""
        groups: dict[tuple[str, int], list[Question]] = {}
        for question in questions:
            if question not in self:
                groups.setdefault((question.case.node, question.repeat), []).append(question)
        with self._counting:
            for group in asking_order([*groups.values()], self._in_flight):
                future: Future[dict[str, Record]] = Future()
                self._futures |= {_key(question): future for question in group}
                self._waiting.put((group, future))
            for _ in range(min(self._in_flight - self._working, len(groups))):
                self._working += 1
                threading.Thread(target=self._work, name="ask", daemon=True).start()

    def record(self, question: Question) -> Record:
        """The judged answer to `question`, once; waits until it is there.

        Raises:
            EvalsError: the server is down for good.
            OSError: an answer could not be saved.
        """
        record = self._futures[_key(question)].result().pop(question.lane)
        self._given.add(_key(question))
        del self._futures[_key(question)]
        return record

    def close(self) -> None:
        """Ask and save nothing more; questions in flight end with the server or the process."""
        with self._saving:
            self._closed = True
        self._life.close()

    def _work(self) -> None:
        while not self._closed:
            with self._counting:
                try:
                    group, future = self._waiting.get_nowait()
                except queue.Empty:
                    self._working -= 1
                    return
            try:
                future.set_result(self._ask_group(group))
            except (EvalsError, OSError) as error:
                self._end(error)
            except Exception as error:
                _settle(future, error)

    def _end(self, error: Exception) -> None:
        """Whoever waits for an answer that does not come any more gets `error`."""
        self.close()
        for future in list(self._futures.values()):  # answers are taken meanwhile
            _settle(future, error)

    def _ask_group(self, group: _Group) -> dict[str, Record]:
        lanes = [question.lane for question in group]
        records = self._records(group)
        if differing := [lane for lane in lanes if records[lane].differs_from_plain]:
            # Batching can change a greedy answer by rounding: it counts only if it repeats alone.
            with self._alone.exclusive():
                both = (PLAIN.name, *differing)
                again = self._ask_alike(both, group[0].case)
            if not any(answer.error for answer in again.values()):
                for lane in {*both} & {*lanes}:
                    records[lane] = self._judge(group[0], lane, again, asked_alone=True)
                    self._keep(records[lane])
        return records

    def _ask_alike(self, lanes: Sequence[str], case: Case) -> dict[str, Observation]:
        """An answer of each lane, all begun with as many tokens from the server's prompt cache.

        What comes out of the cache was computed in other batches than what is not in it, and so is
        rounded otherwise. No request can tell mlx_lm's server to leave its cache alone; asked again
        it has the whole prompt, for each lane alike.
        """
        answers: dict[str, Observation] = {}
        for _ in range(_ALIKE):
            answers = {lane: self._life.ask(lane, case) for lane in lanes}
            if len({_cached(answer) for answer in answers.values()}) == 1:
                break
        return answers

    def _records(self, group: _Group) -> dict[str, Record]:
        """The judged answers; each is saved before the next lane is asked."""
        case, due = group[0].case, {question.lane for question in group}
        left = [lane.name for lane in lanes_asked(sorted(due))]
        answers: dict[str, Observation] = {}
        records: dict[str, Record] = {}

        def keep(answer: Observation) -> None:
            answers[answer.lane] = answer
            if answer.lane in due:
                records[answer.lane] = self._judge(group[0], answer.lane, answers)
                self._keep(records[answer.lane])

        with self._alone.shared():
            life = self._life.now()
            while left:
                answer = self._life.ask(left[0], case)
                if answer.error and self._life.died(life):
                    self._life.suspect(life, case)
                    break
                keep(answer)
                left.pop(0)
        if left:  # the server died, of this case or of another that was in flight
            with self._alone.exclusive():
                self._life.revive(life)
                alone = self._life.ask_alone(left, case)
            for answer in alone.values():
                keep(answer)
        return records

    def _keep(self, record: Record) -> None:
        with self._saving:
            if not self._closed:
                self._save(record)

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
            prompt=self._opened.prompt(request),
            call_format=self._opened.call_format,
            packages={n: v for n, v in self._opened.packages.items() if n in case.told_apart_by},
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


def _cached(answer: Observation) -> int | None:
    """Tokens of the prompt that came from the server's cache; None if it does not say so."""
    return answer.usage.cached if answer.usage else None


def _key(question: Question) -> tuple[str, str, int]:
    return question.case.node, question.lane, question.repeat


def _settle(future: Future[dict[str, Record]], error: Exception) -> None:
    with contextlib.suppress(InvalidStateError):  # its answer is there
        future.set_exception(error)
