"""A case file is a file of tests, each of its questions an item."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from evals.collecting import workers
from evals.collecting.state import COLLECTED, PROJECT, SESSION, end
from evals.errors import CaseFailed, CaseFileError, EvalsError, HarnessError
from evals.loading.casefile import read_cases
from evals.results import Record, Status
from evals.running.places import known_names
from evals.running.questions import Question


class CaseFileNode(pytest.File):
    """A case file; its mistakes are one collection error."""

    def collect(self) -> Iterator[pytest.Item]:
        """One item for each case, profile, lane and repeat that the session asks for."""
        session = self.config.stash[SESSION]
        names = known_names(session.config)
        keys = self.config.stash.setdefault(COLLECTED, {}).setdefault(self.path.resolve(), set())
        first: CaseItem | None = None
        for case in read_cases([self.path], self.config.stash[PROJECT].root, names):
            for profile, question in session.questions(case):
                keys.add(question.key(profile))
                item = CaseItem.build(self, profile, question, first)
                first = first or item
                yield item

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The mistakes alone: a traceback would show the reader of YAML only our code."""
        if isinstance(excinfo.value, CaseFileError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class CaseItem(pytest.Function):
    """One question; fails with `CaseFailed`, breaks with `HarnessError`."""

    profile: str
    question: Question
    record: Record | None = None

    @property
    def id(self) -> Any:
        """Its node id in pytest's own parts, as it is read back from a file: for `--lf`.

        pytest parts the id of a function at its parameters, and this one's name has brackets
        without any: unequal to the id that the cache remembers. Before 9.2 there are no parts.
        """
        given = super().id
        return type(given).parse(str(given))

    @property
    def key(self) -> str:
        """The key of this item's record."""
        return self.question.key(self.profile)

    @property
    def is_left_out(self) -> bool:
        """Whether it is certain before its turn that this is not asked."""
        only_set_up = self.config.getoption("setuponly", False)
        return bool(only_set_up) or self.get_closest_marker("skip") is not None

    def has_answer(self) -> bool:
        """Whether this run, or the one that is resumed, has a judged answer to its question."""
        session = self.config.stash[SESSION]
        return self.record is not None or session.has_answer(self.profile, self.question)

    @classmethod
    def build(
        cls, parent: CaseFileNode, profile: str, question: Question, first: "CaseItem | None" = None
    ) -> "CaseItem":
        """The item of `question`; its marks are the case's tags, tier and criticality.

        It has the fixtures of the `first` of its file, looked up once: those for all functions.
        """
        case = question.case
        suffix = f"#{question.repeat}" if question.repeat else ""
        name = f"{case.id}[{profile}-{question.lane}{suffix}]"
        fixtures = first._fixtureinfo if first else None
        item: CaseItem = cls.from_parent(
            parent, name=name, callobj=_no_function, fixtureinfo=fixtures
        )
        item.fixturenames = [*item.fixturenames]  # a conftest.py may add to them, of one item
        # All attributes here: one that comes later costs each item a table of its own.
        item.profile, item.question, item.record = profile, question, None
        marks = [*case.tags, case.tier, *(["critical"] if case.critical else [])]
        for mark in marks:
            parent.config.addinivalue_line("markers", f"{mark}: a tag of a case")
            item.add_marker(
                getattr(pytest.mark, mark.replace("-", "_")) if mark.isidentifier() else mark
            )
        return item

    def runtest(self) -> None:
        """Ask and judge: not by pytest's hook for functions, which `-p no:python` leaves out."""
        _judge(self)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The story of the failed case, without a traceback."""
        if isinstance(excinfo.value, CaseFailed | HarnessError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """The case's own place in its YAML file."""
        return self.path, self.question.case.line - 1, self.name


def _no_function() -> None:
    """What pytest takes an item's function to be: `runtest` does the work."""


def _judge(item: CaseItem) -> None:
    session = item.config.stash[SESSION]
    from evals.report.text import failure_story  # loaded to ask: collecting is quick

    try:
        record = session.answer(item.profile, item.question, lambda: _wanted(item))
    except (EvalsError, OSError) as error:
        end(item.config, error)
    item.record = record
    if record.status == Status.ERROR:
        raise HarnessError(failure_story(record, session.url))
    if record.status == Status.FAIL:
        raise CaseFailed(failure_story(record, session.url))
    if record.status == Status.KNOWN:
        defect = record.known_defect
        pytest.xfail(defect.reason if defect else "known defect")


def _wanted(item: CaseItem) -> list[Question]:
    """The questions of this item's profile that this process will ask from here on, in order.

    Whether a marked item is skipped pytest says when it comes to it: not before is it asked.
    """
    marks = ("skip", "skipif", "xfail")
    return [
        each.question
        for each in workers.to_ask(item)
        if isinstance(each, CaseItem)
        and each.profile == item.profile
        and (each is item or not any(map(each.get_closest_marker, marks)))
    ]
