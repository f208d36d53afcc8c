"""What pytest tells of a run: the stories that Allure gets, the table on the terminal."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import allure_commons
import pytest
from rich.console import Console

from evals.collecting.items import CaseItem
from evals.collecting.state import (
    ANSWERED,
    BEGUN,
    EARLIER,
    ERROR_EXIT,
    FAILURES,
    FINISHED,
    PLAN,
    SESSION,
    STOPPED,
    Failures,
    change_plan,
    end,
    plan_of,
)
from evals.escaping import one_line
from evals.report.allure.files import fill, write_at_once
from evals.report.allure.result import allure_test
from evals.report.summary import Summary
from evals.report.text import failure_story, print_summary
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


_BY_ITSELF = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)


def finish_run(session: pytest.Session, exitstatus: int) -> None:
    """Merge the records, write summary and reports; of a whole suite the gate decides."""
    config = session.config
    asked = config.stash[SESSION]
    if config.getoption("setuponly", False) or not config.stash.get(BEGUN, False):
        return
    if plan_of(config).ended and exitstatus == pytest.ExitCode.INTERRUPTED:
        session.exitstatus = ERROR_EXIT  # a worker of xdist had to end, as a run without any would
    answered = config.stash.get(ANSWERED, {})
    unanswered = frozenset(key for key in answered if not answered[key])
    ended = _why_ended(session, exitstatus)
    nothing = not asked.folder.has_records() and not unanswered
    if nothing and (exitstatus != pytest.ExitCode.OK or not (ended or _is_whole(config))):
        return
    if asked.left_as_it_was and exitstatus not in _BY_ITSELF:
        return  # a resume that was refused must not hide what the run had
    change_plan(config, ended=ended, unanswered=unanswered)
    at_once = ended == _INTERRUPTED
    results = Path(config.option.allure_report_dir)
    try:
        for path in config.stash.get(EARLIER, ()):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        finished = finish(asked, plan_of(config), results, at_once=at_once)
    except OSError as error:
        end(config, error)
    config.stash[FINISHED] = finished
    if exitstatus == ERROR_EXIT and (
        terminal := config.pluginmanager.get_plugin("terminalreporter")
    ):
        print_run(terminal, config)  # of a run that ended early pytest itself prints no summary
    _set_exit_code(session, exitstatus, finished.summary)


_INTERRUPTED = "interrupted"


def _why_ended(session: pytest.Session, exitstatus: int) -> str | None:
    """Why not everything was asked; None where pytest came to all of it."""
    config = session.config
    plan = plan_of(config)
    if why := plan.ended or config.stash.get(STOPPED, ""):
        return why
    if exitstatus not in _BY_ITSELF:
        interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
        return _INTERRUPTED if interrupted else f"pytest's exit code was {int(exitstatus)}"
    if session.shouldfail:  # -x: what is on its way then comes or does not
        return str(session.shouldfail)
    if PLAN not in config.stash:  # a hook of another plugin was in place of pytest's, or xdist's
        return "pytest asked nothing"
    # A resumed run has answers to questions that it did not come to, as they were then.
    left = len(plan.wanted - config.stash.get(ANSWERED, {}).keys())
    return f"pytest did not come to {left} question(s)" if left else None


def _is_whole(config: pytest.Config) -> bool:
    """Whether all of the suite was to be asked, though it may ask nothing."""
    chosen = config.getoption("keyword", None) or config.getoption("markexpr", None)
    full = config.stash[SESSION].options.tier == "full"
    return plan_of(config).whole and full and not chosen


def _set_exit_code(session: pytest.Session, exitstatus: int, summary: Summary) -> None:
    """What fails beside the answers fails the run; what another plugin has decided stays."""
    whole = summary.run.whole
    if not summary.passed or (whole and _failed_beside(session)):
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    elif whole and session.exitstatus == exitstatus:
        session.exitstatus = pytest.ExitCode.OK


def _failed_beside(session: pytest.Session) -> str | None:
    """What failed in a run and is no answer, in words: its gate forgives answers alone."""
    failures = session.config.stash.get(FAILURES, Failures())
    if failures.others:
        return f"{len(failures.others)} failure(s) that are no answer's: {failures.others[0]}"
    uncounted = session.testsfailed - failures.forgiven
    return (
        f"{uncounted} failure(s) that pytest counts and does not report" if uncounted > 0 else None
    )


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
    for line in _why_it_fails_all_the_same(config, finished.summary):
        terminal.write_line(line)
    terminal.write_line(f"run: {session.folder.path}")
    if session.folder.report.exists():
        terminal.write_line(f"report: {session.folder.report}")
    else:
        terminal.write_line(f"report: none yet; `evals report {session.folder.path}` makes it")


def _why_it_fails_all_the_same(config: pytest.Config, summary: Summary) -> Iterator[str]:
    """Why a run whose gate holds has another exit code than 0."""
    session: Any = config.pluginmanager.get_plugin("session")
    if not (summary.run.whole and summary.passed and session and session.exitstatus):
        return
    code = int(session.exitstatus)
    why = _failed_beside(session) or "set by another plugin"
    yield f"exit code {code} all the same: {one_line(why)}"
