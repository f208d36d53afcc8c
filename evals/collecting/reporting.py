"""What pytest tells of a run: the stories that Allure gets, the table on the terminal."""

import io
from pathlib import Path
from typing import Any

import allure_commons
import pytest
from rich.console import Console

from evals.collecting.items import CaseItem
from evals.collecting.state import (
    ANSWERED,
    ERROR_EXIT,
    FINISHED,
    OTHERS_FAILED,
    SESSION,
    STOPPED,
    change_plan,
    end,
    plan_of,
)
from evals.report.allure.files import fill, write_at_once
from evals.report.allure.result import allure_test
from evals.report.text import failure_story, print_summary
from evals.report.writers import FinishedRun
from evals.results import Status
from evals.running.finish import finish

_NARROWEST = 120


def hasten_allure() -> None:
    """Let allure-pytest write the results of this process in one go each."""
    write_at_once(allure_commons.plugin_manager.get_plugins())


def tell_allure(item: CaseItem) -> None:
    """Give Allure the case's own story in place of a Python test's, if it is there to be told."""
    listener: Any = item.config.pluginmanager.get_plugin("allure_listener")
    if not listener or not item.record:
        return
    session = item.config.stash[SESSION]
    test = allure_test(item.record, session.served(item.profile), session.url)
    save = allure_commons.plugin_manager.hook.report_attached_data
    result = listener.allure_logger.get_test(None)
    fill(result, test, lambda body, name: save(body=body, file_name=name))


def finish_run(session: pytest.Session, exitstatus: int) -> None:
    """Merge the records, write summary and reports; of a whole suite the gate decides."""
    config = session.config
    asked = config.stash[SESSION]
    answered = config.stash.get(ANSWERED, {})
    unanswered = frozenset(key for key in answered if not answered[key])
    if config.option.setuponly or (not asked.folder.has_records() and not unanswered):
        return
    stopped = config.stash.get(STOPPED, "")
    interrupted = exitstatus == pytest.ExitCode.INTERRUPTED and not stopped
    if stopped:
        why = stopped
    elif exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        why = "interrupted" if interrupted else f"pytest's exit code was {int(exitstatus)}"
    else:  # -x: what is on its way then comes or does not
        why = str(session.shouldfail or "")
    plan = plan_of(config)
    # A resumed run has answers to questions that it did not come to, as they were then.
    left = len(plan.wanted - answered.keys())
    ended = plan.ended or why or (f"pytest did not come to {left} question(s)" if left else None)
    change_plan(config, ended=ended, unanswered=unanswered)
    results = Path(config.option.allure_report_dir)
    try:
        asked.folder.create()
        finished = finish(asked, plan_of(config), results, at_once=interrupted)
    except OSError as error:
        end(config, error)
    config.stash[FINISHED] = finished
    if exitstatus == ERROR_EXIT and (
        terminal := config.pluginmanager.get_plugin("terminalreporter")
    ):
        print_run(terminal, config)  # of a run that ended early pytest itself prints no summary
    if finished.summary.run.whole:
        others = config.stash.get(OTHERS_FAILED, False)
        passed = finished.summary.gate.passed and not others
        passed = passed and session.testsfailed <= _failed_cases(finished)
        session.exitstatus = pytest.ExitCode.OK if passed else pytest.ExitCode.TESTS_FAILED
    elif exitstatus == pytest.ExitCode.OK and not finished.summary.passed:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _failed_cases(finished: FinishedRun) -> int:
    """Items that fail for their answers; one that failed beside these is not forgiven."""
    return sum(record.status in (Status.FAIL, Status.ERROR) for record in finished.records)


def print_run(terminal: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table, what broke, the gate, and where everything lies."""
    session, finished = config.stash[SESSION], config.stash[FINISHED]
    terminal.section("tool calling")
    if config.get_verbosity() > 0:
        for record in finished.records:
            if record.status == Status.KNOWN:
                terminal.write_line(f"known defect: {failure_story(record, session.url)}\n")
    writer = config.get_terminal_writer()
    text = io.StringIO()
    console = Console(
        file=text, force_terminal=writer.hasmarkup, width=max(_NARROWEST, writer.fullwidth)
    )
    print_summary(finished.summary, finished.records, console)
    terminal.write(text.getvalue())
    for line in session.lost:
        terminal.write_line(line)
    terminal.write_line(f"run: {session.folder.path}")
    if session.folder.report.exists():
        terminal.write_line(f"report: {session.folder.report}")
    else:
        terminal.write_line(f"report: none yet; `evals report {session.folder.path}` makes it")
