"""The questions of a profile, handed out a few at a time, and the records that come back.

Who asks is an `Asker`: a replica here, or replicas on other machines.
"""

import contextlib
import json
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Protocol

from evals.case import Case
from evals.errors import EvalsError
from evals.judging.diagnosis import judge
from evals.request import build_request
from evals.results import Answer, Record
from evals.running.questions import Question, asking_order

Group = Sequence[Question]
"""Questions of one case and repeat, which are asked together."""
Keep = Callable[[Record], None]


class Asker(Protocol):
    """Asks groups of questions, from several threads."""

    def ask(self, group: Group, keep: Keep) -> dict[str, Record]:
        """The record of each lane; `keep` gets each when it is there, and again if it changed.

        Raises:
            EvalsError: nobody answers any more.
        """

    def close(self) -> None:
        """The run ends; questions in flight may stay without an answer."""


class Runner:
    """Hands the questions of one profile to `asker`, `in_flight` at a time, in `asking_order`.

    `save` gets each record the moment it is there, from the thread that asked. `record(question)`
    waits for its answer, and gives it once: a long run must not hold all of its answers. Questions
    of one case and repeat are asked together; a plain answer that another lane needs is asked for
    once.

    The threads are daemons: nobody waits for an answer that is in flight when the process ends.
    """

    def __init__(
        self,
        asker: Asker,
        questions: Sequence[Question],
        *,
        in_flight: int,
        save: Keep,
    ) -> None:
        self._asker = asker
        self._save = save
        self._saving = threading.Lock()
        self._closed = False
        self._ended: Exception | None = None
        self._in_flight = in_flight
        self._counting = threading.Lock()
        self._working = 0
        self._futures: dict[tuple[str, str, int], Future[dict[str, Record]]] = {}
        self._given: set[tuple[str, str, int]] = set()
        self._waiting: queue.SimpleQueue[tuple[Group, Future[dict[str, Record]]]]
        self._waiting = queue.SimpleQueue()
        self.add(questions)

    def __contains__(self, question: Question) -> bool:
        return _key(question) in self._futures or self.has_given(question)

    def has_given(self, question: Question) -> bool:
        """Whether `record` gave the answer to `question`, and keeps it no longer."""
        return _key(question) in self._given

    def add(self, questions: Sequence[Question]) -> None:
        """Ask these, too, after those that there are; none twice. Nobody asks after the end."""
        groups: dict[tuple[str, int], list[Question]] = {}
        for question in questions:
            if question not in self:
                groups.setdefault((question.case.node, question.repeat), []).append(question)
        with self._counting:
            for group in asking_order([*groups.values()], self._in_flight):
                future: Future[dict[str, Record]] = Future()
                self._futures |= {_key(question): future for question in group}
                self._waiting.put((group, future))
            if self._ended:
                self._settle_all(self._ended)
                return
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
        self._asker.close()

    def _work(self) -> None:
        while not self._closed:
            with self._counting:
                try:
                    group, future = self._waiting.get_nowait()
                except queue.Empty:
                    self._working -= 1
                    return
            try:
                future.set_result(self._asker.ask(group, self._keep))
            except (EvalsError, OSError) as error:
                self._end(error)
            except Exception as error:
                _settle(future, error)

    def _end(self, error: Exception) -> None:
        """Whoever waits for an answer, now or later, gets `error`: none comes any more."""
        self.close()
        with self._counting:
            self._ended = self._ended or error
            self._settle_all(self._ended)

    def _settle_all(self, error: Exception) -> None:
        for future in list(self._futures.values()):  # answers are taken meanwhile
            _settle(future, error)

    def _keep(self, record: Record) -> None:
        with self._saving:
            if not self._closed:
                self._save(record)


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


def _settle(future: Future[dict[str, Record]], error: Exception) -> None:
    with contextlib.suppress(InvalidStateError):  # its answer is there
        future.set_exception(error)
