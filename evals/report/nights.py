"""A case's history: what became of it in the runs before, as far as they asked the same.

Pure: it reads the outcomes that every summary holds, so a run whose records are gone still counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from evals.report.summary import Fingerprint, Summary
from evals.results import Status

NIGHTS = 10
"""Earlier runs that a history goes back."""
_FAILING = frozenset("fe")
_NOT_ASKED = "-"


@dataclass(frozen=True)
class History:
    """The last runs before one, oldest first."""

    runs: tuple[Summary, ...]
    now: Fingerprint

    @classmethod
    def of(cls, summary: Summary, earlier: Sequence[Summary]) -> Self:
        """The history behind `summary`; `earlier` are all runs before it, oldest first."""
        return cls(tuple(earlier[-NIGHTS:]), summary.fingerprint)

    def marks(self, profile: str, node: str, lane: str) -> str:
        """A letter for each run: pass, fail, error, known by its first one, `-` for not asked.

        It is a capital where the case had another content then, or other graders judged it.
        """
        return "".join(self._mark(run, profile, node, lane) for run in self.runs)

    def _mark(self, run: Summary, profile: str, node: str, lane: str) -> str:
        figures = run.profiles.get(profile)
        status = figures.cases.get(node, {}).get(lane) if figures else None
        if status is None:
            return _NOT_ASKED
        return str(status)[0] if self._alike(run.fingerprint, node) else str(status)[0].upper()

    def _alike(self, then: Fingerprint, node: str) -> bool:
        if then.graders != self.now.graders:
            return False
        digests = then.cases.get(node), self.now.cases.get(node)
        return digests[0] == digests[1] if all(digests) else then.suite == self.now.suite

    def told(self, profile: str, node: str, lane: str, now: Status) -> str:
        """The history in a few words; empty where no earlier run asked the same.

        `failing since RUN, 3 runs`, `passed in the last 5 runs`, `failed in the last run`.
        """
        marks = self.marks(profile, node, lane)
        asked = [(m, run.run.id) for m, run in zip(marks, self.runs, strict=True) if m.islower()]
        if not asked:
            return ""
        same = _alike_from_the_end([m for m, _ in asked])
        runs = "the last run" if same == 1 else f"the last {same} runs"
        before = asked[-1][0]
        if before in _FAILING and now in (Status.FAIL, Status.ERROR):
            if same == len(asked):
                return f"failing in all {same + 1} runs"
            return f"failing since {asked[-same][1]}, {same + 1} runs"
        if before in _FAILING:
            return f"failed in {runs}"
        return f"{'passed' if before == 'p' else 'a known defect'} in {runs}"


def _alike_from_the_end(marks: Sequence[str]) -> int:
    """How many at the end say the same; failing and without an answer are alike."""
    classes = ["f" if mark in _FAILING else mark for mark in marks]
    return next((n for n, c in enumerate(reversed(classes)) if c != classes[-1]), len(classes))
