"""pytest hooks: YAML files under `cases` are test files, each case × lane × profile an item.

The hooks forward only. Collecting boots nothing; the first item of a profile opens it. With xdist
the controller boots the server and workers attach to it. Records go to the run's folder, and a
run of the whole suite ends with the gate's exit code.
"""

import os
import shutil
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import allure_commons
import pytest
from rich.console import Console

from evals.errors import CaseFailed, CaseFileError, EvalsError, HarnessError
from evals.loading.casefile import TOOLS_FOLDER, find_case_files, read_cases
from evals.report.allure.files import RESULTS, fill
from evals.report.allure.result import allure_test
from evals.report.html.files import REPORT
from evals.report.text import failure_story, print_summary
from evals.results import Record, Status
from evals.running.run import Question
from evals.running.session import Session, open_session

SESSION = pytest.StashKey[Session]()
_ERROR_EXIT = 3
_UNCOLLECTED = ("lf", "ignore", "ignore_glob")
"""pytest's options that leave cases out before they are collected."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `pytest cases/`; the configuration file has what is not given here."""
    group = parser.getgroup("evals", "tool-calling evaluation")
    group.addoption(
        "--profiles", metavar="A,B", help="profiles; all: all of them (default: default)"
    )
    group.addoption("--lanes", metavar="A,B", help="lanes: server, stream, direct, agent")
    group.addoption("--tier", choices=["smoke", "full"], default="full", help="smoke: fewer cases")
    group.addoption(
        "--model", metavar="M", help="model folder or hub name, in place of the target's"
    )
    group.addoption("--attach", metavar="URL", help="use the server at this URL; boot none")
    group.addoption("--port", type=int, help="port of the booted server (default: a free one)")
    group.addoption("--run-dir", metavar="DIR", help="folder of this run (default: reports/<time>)")
    group.addoption("--resume", metavar="DIR", help="go on with the run in this folder")
    group.addoption("--baseline", metavar="FILE", help="fail the gate on a regression against it")
    group.addoption("--in-flight", type=int, metavar="N", help="cases asked at a time")
    group.addoption("--repeat", type=int, metavar="K", help="ask each case this often")
    group.addoption("--temperature", type=float, metavar="T", help="for all cases")
    group.addoption("--max-tokens", type=int, metavar="N", help="for all cases: longest answer")
    group.addoption("--shard", metavar="I/N", help="ask one of N equal parts; see `evals merge`")
    group.addoption("--progress", action="store_true", help="one line of progress, no dots")


@pytest.hookimpl(tryfirst=True)  # before allure-pytest, which reads its folder in its own hook
def pytest_configure(config: pytest.Config) -> None:
    """Prepare a run if cases are among the arguments; nothing is booted."""
    config.addinivalue_line("markers", "smoke: cases of the smoke tier")
    config.addinivalue_line("markers", "critical: cases whose failure the gate never forgives")
    if not _case_places(config):
        return
    try:
        session = open_session(_settings(config), config.rootpath, _worker(config))
    except EvalsError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[SESSION] = session
    if config.option.progress and _worker(config) is None:
        config.pluginmanager.register(Progress(config), "evals-progress")
    if getattr(config.option, "allure_report_dir", None) is None and not config.option.collectonly:
        config.option.allure_report_dir = str(session.folder / RESULTS)
        if _worker(config) is None:
            # A resumed run reports its earlier answers again: twice they would look like retries.
            shutil.rmtree(session.folder / RESULTS, ignore_errors=True)
    if _is_controller(config) and len(session.profiles) > 1:
        raise pytest.UsageError("-n: one profile at a time; without -n they run after one another")


def _settings(config: pytest.Config) -> dict[str, Any]:
    names = (
        "profiles",
        "lanes",
        "tier",
        "model",
        "attach",
        "port",
        "run_dir",
        "resume",
        "baseline",
        "shard",
    )
    numbers = ("in_flight", "repeat", "temperature", "max_tokens")
    settings = {name: config.getoption(name) for name in (*names, *numbers)}
    return {name: value for name, value in settings.items() if value is not None}


def _worker(config: pytest.Config) -> dict[str, Any] | None:
    """What the xdist controller told this worker; None in any other process."""
    given: dict[str, Any] | None = getattr(config, "workerinput", None)
    return given


def _is_controller(config: pytest.Config) -> bool:
    return _worker(config) is None and bool(getattr(config.option, "tx", None))


def _case_places(config: pytest.Config) -> list[Path]:
    places = [config.invocation_params.dir / arg.partition("::")[0] for arg in config.args]
    return [place for place in places if _is_case_place(place)]


def _is_case_place(place: Path) -> bool:
    resolved = place.resolve()
    return "cases" in resolved.parts and "tests" not in resolved.parts


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A YAML file under `cases` that is not one of tools."""
    if SESSION not in parent.config.stash or file_path.suffix != ".yaml":
        return None
    if not _is_case_place(file_path) or file_path.parent.name == TOOLS_FOLDER:
        return None
    return CaseFileNode.from_parent(parent, path=file_path)


class CaseFileNode(pytest.File):
    """A case file; its mistakes are one collection error."""

    def collect(self) -> Iterator[pytest.Item]:
        """One item for each case, profile, lane and repeat that the session asks for."""
        session = self.config.stash[SESSION]
        for case in read_cases([self.path], self.config.rootpath):
            for profile, question in session.questions(case):
                yield CaseItem.build(self, profile, question)

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
    def key(self) -> str:
        """The key of this item's record."""
        return Session.key(self.profile, self.question)

    @classmethod
    def build(cls, parent: CaseFileNode, profile: str, question: Question) -> "CaseItem":
        """The item of `question`; its marks are the case's tags, tier and criticality."""
        case = question.case
        suffix = f"#{question.repeat}" if question.repeat else ""

        def ask() -> None:
            _judge(item)

        name = f"{case.id}[{profile}-{question.lane}{suffix}]"
        item: CaseItem = cls.from_parent(parent, name=name, callobj=ask)
        item.profile, item.question = profile, question
        marks = [*case.tags, case.tier, *(["critical"] if case.critical else [])]
        for mark in marks:
            parent.config.addinivalue_line("markers", f"{mark}: a tag of a case")
            item.add_marker(
                getattr(pytest.mark, mark.replace("-", "_")) if mark.isidentifier() else mark
            )
        return item

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The story of the failed case, without a traceback."""
        if isinstance(excinfo.value, CaseFailed | HarnessError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """The case's own place in its YAML file."""
        return self.path, self.question.case.line - 1, self.name


def _judge(item: CaseItem) -> None:
    session = item.config.stash[SESSION]
    item.record = record = session.answer(item.profile, item.question, lambda: _wanted(item))
    if record.status == Status.ERROR:
        raise HarnessError(failure_story(record, session.url))
    if record.status == Status.FAIL:
        raise CaseFailed(failure_story(record, session.url))
    if record.status == Status.KNOWN:
        defect = record.case.defect(record.profile, record.lane)
        pytest.xfail(defect.reason if defect else "known defect")


def _wanted(item: CaseItem) -> list[Question]:
    """The questions of this item's profile that are left in this process, in order."""
    items = item.session.items
    left = items[items.index(item) :]
    return [i.question for i in left if isinstance(i, CaseItem) and i.profile == item.profile]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Profiles one after another; cases with the same tools together, for the prompt cache."""
    if SESSION in config.stash:
        session = config.stash[SESSION]
        session.collected = frozenset(item.key for item in items if isinstance(item, CaseItem))
        items.sort(key=lambda item: _order(item, session))
        _keep_share(config, items, session)


def _keep_share(config: pytest.Config, items: list[pytest.Item], session: Session) -> None:
    """Leave this shard's items. Before `-k`: a case's shard does not depend on what is chosen."""
    if session.shard is None:
        return
    asked = [(i.profile, i.question.case) for i in items if isinstance(i, CaseItem)]
    mine = session.share(asked)
    others = [
        i
        for i in items
        if isinstance(i, CaseItem) and (i.profile, i.question.case.node) not in mine
    ]
    if others:
        config.hook.pytest_deselected(items=others)
        left = set(others)
        items[:] = [item for item in items if item not in left]


def _order(item: pytest.Item, session: Session) -> tuple[Any, ...]:
    if not isinstance(item, CaseItem):
        return (-1,)
    case = item.question.case
    tools = " ".join(tool.name for tool in case.tools)
    return session.profiles.index(item.profile), tools, case.node, item.question.repeat


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note whether the whole suite is run; a part of it cannot pass the gate."""
    if SESSION in session.config.stash:
        mine = session.config.stash[SESSION]
        mine.wanted = frozenset(item.key for item in session.items if isinstance(item, CaseItem))
        places = [place.resolve() for place in _case_places(session.config)]
        mine.whole = (
            mine.wanted == mine.collected
            and not session.testsfailed  # a file that could not be collected
            and session.config.rootpath.resolve() / "cases" in places
            and not any(session.config.getoption(name, None) for name in _UNCOLLECTED)
        )


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """With xdist, the controller checks all cases and boots the server before any worker starts."""
    config = session.config
    if SESSION not in config.stash or not _is_controller(config) or config.option.collectonly:
        return
    try:
        read_cases(find_case_files(_case_places(config)), config.rootpath)
        config.stash[SESSION].open(config.stash[SESSION].profiles[0])
    except EvalsError as error:
        config.stash[SESSION].ended = str(error)
        pytest.exit(str(error), returncode=_ERROR_EXIT)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: tell a worker where the server is and where its records go."""
    if SESSION in node.config.stash:
        node.workerinput["evals"] = node.config.stash[SESSION].for_worker(
            node.workerinput["workerid"]
        )


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """xdist: a worker told what it was to ask, whether that is all, and what shards are dealt."""
    output = getattr(node, "workeroutput", None) or {}
    if SESSION in node.config.stash and "evals_whole" in output:
        session = node.config.stash[SESSION]
        session.whole, session.suite = output["evals_whole"], output["evals_suite"]
        session.wanted = frozenset(output["evals_wanted"])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """All lanes of a case go to one worker: a stream is compared with its plain answer."""
    if SESSION not in config.stash or config.getoption("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByCase(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.rpartition("[")[0]

    return ByCase(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Open the item's profile first: a server that does not start ends the run, in one line."""
    if isinstance(item, CaseItem):
        session = item.config.stash[SESSION]
        try:
            session.open(item.profile)
        except EvalsError as error:
            session.ended = str(error)
            pytest.exit(str(error), returncode=_ERROR_EXIT)
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: after allure-pytest has had its say
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give Allure the case's own story in place of a Python test's, if it is there to be told."""
    report = yield
    listener: Any = item.config.pluginmanager.get_plugin("allure_listener")
    if listener and call.when == "call" and isinstance(item, CaseItem) and item.record:
        session = item.config.stash[SESSION]
        test = allure_test(item.record, session.served(item.profile), session.url)
        save = allure_commons.plugin_manager.hook.report_attached_data
        fill(
            listener.allure_logger.get_test(None),
            test,
            lambda body, name: save(body=body, file_name=name),
        )
    return report


def pytest_report_teststatus(
    report: pytest.CollectReport | pytest.TestReport, config: pytest.Config
) -> tuple[str, str, str] | None:
    """With --progress no dots: the progress line stands in for them."""
    if config.option.progress and getattr(report, "when", None) == "call" and report.passed:
        return "passed", "", "PASSED"
    if config.option.progress and getattr(report, "when", None) == "call" and report.failed:
        return "failed", "", "FAILED"
    if config.option.progress and hasattr(report, "wasxfail") and report.skipped:
        return "xfailed", "", "XFAIL"
    return None


class Progress:
    """`[ 34/120] 3 failed, about 2 min left`: rewritten on a terminal, each tenth otherwise.

    CI may lend a job a terminal, but its log keeps every line: there it is each tenth, too.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.terminal: Any = None  # pytest registers it later
        self.started = time.monotonic()
        self.total = self.done = self.failed = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """How many there are."""
        self.terminal = session.config.pluginmanager.get_plugin("terminalreporter")
        self.total = len(session.items)
        self.started = time.monotonic()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """With xdist every worker collects all of them; this process none."""
        self.terminal = node.config.pluginmanager.get_plugin("terminalreporter")
        self.total, self.started = len(ids), time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count an answer and show the line."""
        if report.when != "call" or not self.terminal:
            return
        self.done += 1
        self.failed += report.failed
        left = (time.monotonic() - self.started) / self.done * max(self.total - self.done, 0)
        line = f"[{self.done:4}/{self.total}] {self.failed} failed, about {left / 60:.1f} min left"
        if self.terminal.isatty and not os.environ.get("CI"):
            self.terminal.rewrite(line, erase=True)
        elif self.done % max(1, self.total // 10) == 0:
            self.terminal.write_line(line)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Stop the server, merge the records, write the summary; the gate decides the exit code."""
    config = session.config
    if SESSION not in config.stash:
        return
    mine = config.stash[SESSION]
    if _worker(config) is not None:
        mine.close()
        output: dict[str, Any] = config.workeroutput  # type: ignore[attr-defined]
        output.update(
            evals_whole=mine.whole, evals_suite=mine.suite, evals_wanted=sorted(mine.wanted)
        )
        return
    mine.close()
    if config.option.collectonly or not mine.has_records():
        return
    if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not mine.ended:
        interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
        mine.ended = "interrupted" if interrupted else f"pytest's exit code was {int(exitstatus)}"
    summary = mine.finish(results=Path(config.option.allure_report_dir))
    if summary.run.whole:
        failed = sum(record.status in (Status.FAIL, Status.ERROR) for record in mine.records)
        # Other tests may have failed beside the cases: those the gate does not forgive.
        passed = summary.gate.passed and session.testsfailed <= failed
        session.exitstatus = pytest.ExitCode.OK if passed else pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table, what broke, the gate, and where everything lies."""
    if SESSION not in config.stash:
        return
    mine = config.stash[SESSION]
    if mine.summary is None:
        return
    terminalreporter.section("tool calling")
    console = Console(
        file=terminalreporter._tw._file, width=max(120, terminalreporter._tw.fullwidth)
    )
    if config.get_verbosity() > 0:
        for record in mine.records:
            if record.status == Status.KNOWN:
                terminalreporter.write_line(f"known defect: {failure_story(record, mine.url)}\n")
    print_summary(mine.summary, mine.records, console)
    terminalreporter.write_line(f"run: {mine.folder}")
    if (mine.folder / REPORT).exists():
        terminalreporter.write_line(f"report: {mine.folder / REPORT}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Whatever happened, leave no server."""
    if SESSION in config.stash:
        config.stash[SESSION].close()
