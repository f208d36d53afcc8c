"""One opened profile, asked: all lanes of a case, judged, and looked after when its server dies.

```
Case × lane → Observation(s) → judge → Record
```
All lanes of one case follow one another, so that a stream can be compared with the plain answer,
which also is its evidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evals.case import Case
from evals.lanes.lane import lane_named, lanes_asked
from evals.observation import PLAIN, Observation
from evals.request import build_request
from evals.results import Answer, Record
from evals.running.gate import Gate
from evals.running.life import Life
from evals.running.profile import Opened
from evals.running.questions import Question
from evals.running.runner import Group, Keep, judged

_ALIKE = 3
"""Rounds until two lanes find the same in the server's prompt cache; an eviction may cost one."""


class Replica:
    """An opened profile with the life of its server, as a runner's `Asker`."""

    def __init__(self, opened: Opened, life: Life) -> None:
        self._opened = opened
        self._life = life
        self._alone = Gate()

    def close(self) -> None:
        """Questions in flight end with the server or the process."""
        self._life.close()

    def ask(self, group: Group, keep: Keep) -> dict[str, Record]:
        """The judged answers by lane; a plain answer that another lane needs is asked for once.

        Raises:
            ServerError: the server is down for good.
        """
        lanes = [question.lane for question in group]
        records = self._records(group, keep)
        if differing := [lane for lane in lanes if records[lane].differs_from_plain]:
            # Batching can change a greedy answer by rounding: it counts only if it repeats alone.
            with self._alone.exclusive():
                both = (PLAIN.name, *differing)
                again = self._ask_alike(both, group[0].case)
            if not any(answer.error for answer in again.values()):
                for lane in {*both} & {*lanes}:
                    records[lane] = self._judge(group[0], lane, again, asked_alone=True)
                    keep(records[lane])
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

    def _records(self, group: Group, keep: Keep) -> dict[str, Record]:
        """The judged answers; each is saved before the next lane is asked."""
        case, due = group[0].case, {question.lane for question in group}
        left = [lane.name for lane in lanes_asked(sorted(due))]
        answers: dict[str, Observation] = {}
        records: dict[str, Record] = {}

        def take(answer: Observation) -> None:
            answers[answer.lane] = answer
            if answer.lane in due:
                records[answer.lane] = self._judge(group[0], answer.lane, answers)
                keep(records[answer.lane])

        with self._alone.shared():
            life = self._life.now()
            while left:
                answer = self._life.ask(left[0], case)
                if answer.error and self._life.died(life):
                    self._life.suspect(life, case)
                    break
                take(answer)
                left.pop(0)
        if left:  # the server died, of this case or of another that was in flight
            with self._alone.exclusive():
                self._life.revive(life)
                alone = self._life.ask_alone(left, case)
            for answer in alone.values():
                take(answer)
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
            observation=replace(seen, request=None) if seen.request else seen,
            plain=answers[PLAIN.name] if traits.needs_plain else None,
            rendered_prompt_tokens=self._opened.prompt_tokens(request),
            prompt=self._opened.prompt(request),
            call_format=self._opened.call_format,
            packages={n: v for n, v in self._opened.packages.items() if n in case.told_apart_by},
            asked_alone=asked_alone,
        )
        return judged(answer)


def _cached(answer: Observation) -> int | None:
    """Tokens of the prompt that came from the server's cache; None if it does not say so."""
    return answer.usage.cached if answer.usage else None
