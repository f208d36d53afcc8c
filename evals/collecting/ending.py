"""The end of a run: in one line where it cannot go on, and soon.

At Ctrl-C nothing waits for anybody, and nothing is loaded only to say that there is nothing.
"""

import gc
import sys
from collections.abc import Generator
from typing import Any

import pytest

from evals.collecting import workers
from evals.collecting.items import CaseItem
from evals.collecting.state import ANSWERED, BEGUN, FAILURES, SESSION, STOPPED, Failures, end
from evals.errors import EvalsError

_WORKERS_MAY_TAKE = 0.5
"""Seconds; their answers are on disk, and what they would still tell is not worth a wait."""


_MOST_STORIES = 20
"""Told at Ctrl-C; of more failed tests there are their lines alone."""


class Ending:
    """Hooks around those of all other plugins: it is registered when these are."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: allure-pytest writes in its own
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Open the item's profile first: a server that does not start ends the run, in one line.

        So does a disk that is full, whoever finds it so. Where nothing is asked none is needed.
        """
        if not isinstance(item, CaseItem):
            return (yield)
        try:
            if not item.is_left_out:
                item.config.stash[SESSION].open(item.profile)
            return (yield)
        except (EvalsError, OSError) as error:
            end(item.config, error)

    @pytest.hookimpl(trylast=True)  # after pytest has put it with the others
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note failures of other tests and what got an answer, also of those in workers."""
        self._note_failure(report)
        if told := getattr(report, "evals_answered", None):
            key, answered = told
            self._config.stash.setdefault(ANSWERED, {})[key] = answered  # it may be run again
        if report.passed and report.when != "call" and workers.is_question(report.nodeid):
            self._forget(report)

    def _forget(self, report: pytest.TestReport) -> None:
        """Drop what says nothing: pytest looks through all of them for each story that it tells."""
        told = self._terminal.stats.get("", []) if self._terminal else []
        shown = report.sections or self._config.option.durations is not None
        if told and told[-1] is report and not shown:
            told.pop()

    @property
    def _terminal(self) -> Any:
        return self._config.pluginmanager.get_plugin("terminalreporter")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note files that cannot be collected."""
        self._note_failure(report)

    def _note_failure(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Note whether a failure is an answer's: the gate forgives these alone."""
        if not report.failed:
            return
        failures = self._config.stash.setdefault(FAILURES, Failures())
        if vars(report).get("evals_forgiven"):
            failures.forgiven += 1
        else:
            failures.others.append(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: "pytest.ExceptionInfo[BaseException]") -> None:
        """Note why pytest stops by itself: `-x` with xdist, `--sw`. Nobody waits for its end then.

        Of Ctrl-C only the last place is shown; the source of every frame above it would be read.
        """
        # pytest and xdist have a class of their own each, both below that of Ctrl-C.
        if excinfo.type is not KeyboardInterrupt and excinfo.errisinstance(KeyboardInterrupt):
            self._config.stash[STOPPED] = str(excinfo.value)
        if isinstance(excinfo.value, pytest.exit.Exception):
            self._config.stash[BEGUN] = True  # it may say that all is well
        shown = excinfo.traceback.filter(excinfo)[-1:]
        if shown and not self._config.option.fulltrace:
            excinfo.traceback = shown

    @pytest.hookimpl(tryfirst=True)  # before xdist ends its workers
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Make the end of this process quick, and that of xdist's workers if it is interrupted."""
        if exitstatus == pytest.ExitCode.INTERRUPTED and STOPPED not in self._config.stash:
            self._hurry_workers()
            if self._terminal and len(self._terminal.stats.get("failed", ())) > _MOST_STORIES:
                self._config.option.tbstyle = "no"  # each has its line all the same
            gc.freeze()  # pytest and Python look through everything for garbage before they end
        self._silence_hypothesis()

    def _hurry_workers(self) -> None:
        """They are given 10 seconds; one that waits for an answer takes all of them."""
        session: Any = self._config.pluginmanager.get_plugin("dsession")
        nodes: Any = getattr(session, "nodemanager", None)
        if hasattr(nodes, "EXIT_TIMEOUT"):
            nodes.EXIT_TIMEOUT = _WORKERS_MAY_TAKE

    def _silence_hypothesis(self) -> None:
        """Its plugin loads all of hypothesis for the summary, seconds of work, also unused."""
        plugin = self._config.pluginmanager.get_plugin("hypothesispytest")
        if plugin is not None and "hypothesis" not in sys.modules:
            self._config.pluginmanager.unregister(plugin)
