"""pytest hooks: YAML files in the case folders are test files, each case × lane × profile an item.

The hooks forward only. Collecting boots nothing; the first item of a profile opens it. With xdist
the controller boots the server and workers attach to it. Records go to the run's folder, and a
run of the whole suite ends with the gate's exit code.
"""

import argparse
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from evals.collecting import selection, workers
from evals.collecting.ending import Ending
from evals.collecting.items import CaseFileNode, CaseItem
from evals.collecting.progress import Progress
from evals.collecting.project import find_project, unasked_lines
from evals.collecting.state import BEGUN, EARLIER, FINISHED, PROJECT, SESSION
from evals.errors import CaseFailed, EvalsError, HarnessError, cannot_write
from evals.garbage import no_garbage
from evals.running.session import Session, open_session

_SETTINGS = (
    "profiles",
    "lanes",
    "tier",
    "model",
    "engine",
    "attach",
    "served_name",
    "api_key_env",
    "port",
    "run_dir",
    "resume",
    "baseline",
    "shard",
    "ray",
    "in_flight",
    "repeat",
    "temperature",
    "max_tokens",
    "ask_timeout",
    "boot_timeout",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `pytest cases/`; the configuration file has what is not given here.

    One that a conftest.py or another plugin has already is `--evals-NAME` instead.
    """
    group = parser.getgroup("evals", "tool-calling evaluation")

    def add(name: str, **settings: Any) -> None:
        dest = _dest(name[2:].replace("-", "_"))
        try:
            group.addoption(name, dest=dest, **settings)
        except (ValueError, argparse.ArgumentError):  # the project has an option of this name
            group.addoption(f"--evals-{name[2:]}", dest=dest, **settings)

    add("--profiles", metavar="A,B", help="profiles; all: all of them (default: default)")
    add("--lanes", metavar="A,B", help="lanes: server, stream, direct, agent")
    add("--tier", choices=["smoke", "full"], default="full", help="smoke: fewer cases")
    add("--model", metavar="M", help="model folder or hub name, in place of the target's")
    add("--engine", metavar="E", help="kind of server: mlx_lm, llama_cpp, vllm, …")
    add("--attach", metavar="URL", help="use the server at this URL; boot none")
    add("--served-name", metavar="N", help="what requests call the model")
    add("--api-key-env", metavar="VAR", help="environment variable with the server's key")
    add("--port", type=int, help="port of the booted server (default: a free one)")
    add("--run-dir", metavar="DIR", help="folder of this run (default: reports/<time>)")
    add("--resume", metavar="DIR", help="resume the run in this folder")
    add("--baseline", metavar="FILE", help="fail the gate on a regression against it")
    add("--in-flight", type=int, metavar="N", help="cases asked at a time")
    add("--repeat", type=int, metavar="K", help="ask each case this often")
    add("--temperature", type=float, metavar="T", help="for all cases")
    add("--max-tokens", type=int, metavar="N", help="for all cases: longest answer")
    # Not --timeout: that is an option of pytest-timeout, for a whole test.
    add(
        "--ask-timeout", type=float, metavar="SECONDS", help="longest wait for the answer to a case"
    )
    add("--boot-timeout", type=float, metavar="SECONDS", help="longest wait for a booted server")
    add("--shard", metavar="I/N", help="ask one of N equal parts; see `evals merge`")
    add("--ray", metavar="ADDRESS", help="ask on a Ray cluster: auto, HOST:PORT, or local")
    add("--progress", action="store_true", help="one line of progress, no dots")


def _dest(name: str) -> str:
    """Where pytest keeps an option of ours: other plugins may have one of the same name."""
    return f"evals_{name}"


@pytest.hookimpl(tryfirst=True)  # before allure-pytest, which reads its folder in its own hook
def pytest_configure(config: pytest.Config) -> None:
    """Prepare a run if cases are among the arguments; nothing is booted."""
    config.addinivalue_line("markers", "smoke: cases of the smoke tier")
    config.addinivalue_line("markers", "critical: cases whose failure the gate never forgives")
    try:
        project = find_project(config)
        if not project.places:
            return
        told = workers.told_by_controller(config)
        asks = not (config.option.collectonly or config.getoption("setuponly", False))
        session = open_session(_settings(config), project.root, told, writes=asks)
        if asks and getattr(config.option, "allure_report_dir", None) is None:
            _report_to_allure(config, session)
    except EvalsError as error:
        raise pytest.UsageError(str(error)) from error
    except OSError as error:
        raise pytest.UsageError(f"cannot write: {cannot_write(error)}") from error
    config.stash[PROJECT], config.stash[SESSION] = project, session
    if config.getoption(_dest("progress")) and not workers.is_worker(config):
        config.pluginmanager.register(Progress(), "evals-progress")
    workers.check_distribution(config, session.options)


def _settings(config: pytest.Config) -> dict[str, Any]:
    settings = {name: config.getoption(_dest(name)) for name in _SETTINGS}
    return {name: value for name, value in settings.items() if value is not None}


def _report_to_allure(config: pytest.Config, session: Session) -> None:
    results = session.folder.allure_results
    config.option.allure_report_dir = str(results)
    # A resumed run reports its earlier answers again: twice they would look like retries.
    config.stash[EARLIER] = [*results.glob("*")]


def pytest_report_header(config: pytest.Config) -> list[str]:
    """That `pytest` alone asks no case, where `testpaths` leaves the case folders out."""
    return [] if SESSION in config.stash else unasked_lines(config)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, Any, Any]:
    """Collect at once, however many cases there are."""
    if SESSION not in session.config.stash:
        return (yield)
    with no_garbage():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_ignore_collect(
    collection_path: Path, config: pytest.Config
) -> Generator[None, bool | None, bool | None]:
    """A category may be called `build` or `dist`, which pytest passes over by itself."""
    ignored = yield
    if ignored and PROJECT in config.stash and selection.is_kept(config, collection_path):
        return False
    return ignored


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A YAML file in a case folder that is not one of tools."""
    project = parent.config.stash.get(PROJECT, None)
    if project is None or not project.has_case_file(file_path):
        return None
    return CaseFileNode.from_parent(parent, path=file_path)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the items in order, and leave those of this shard."""
    if SESSION in config.stash:
        selection.arrange(config, items)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Note whether the whole suite is run, before the notes on it are shown."""
    if SESSION in session.config.stash:
        selection.note_wanted(session.config, session)


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """What `evals validate` notes of the cases that are asked."""
    if SESSION not in config.stash:
        return []
    return [*selection.notes_of(items), *selection.passed_over_notes(config)]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """With xdist, the controller checks all cases and boots the server before any worker starts."""
    config = session.config
    if SESSION not in config.stash:
        return
    config.pluginmanager.register(Ending(config), "evals-ending")  # after all others: outermost
    if workers.is_controller(config) and not config.option.collectonly:
        workers.prepare(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: tell a worker where the server is and where its records go."""
    if SESSION in node.config.stash:
        workers.tell_worker(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """xdist: what the workers will ask, should none of them live to tell it."""
    if SESSION in node.config.stash:
        workers.hear_collection(node, ids)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """xdist: a worker told what it was to ask, whether that is all, and what shards are dealt."""
    if SESSION in node.config.stash:
        workers.hear_worker(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """All lanes of a case go to one worker: a stream is compared with its plain answer."""
    return workers.scheduler(config, log) if SESSION in config.stash else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, Any, Any]:
    """Once all plugins are there, and before anything is asked."""
    config = session.config
    if SESSION in config.stash and not config.option.collectonly:
        from evals.collecting import reporting  # loaded where something is asked

        config.stash[BEGUN] = True
        reporting.hasten_allure()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: after allure-pytest has had its say
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give Allure the case's own story in place of a Python test's."""
    report = yield
    if not isinstance(item, CaseItem):
        return report
    if report.when == "call" or (report.when == "setup" and not report.passed):
        # Also from a worker of xdist to its controller.
        vars(report)["evals_answered"] = item.key, item.has_answer()
    if call.when == "call":
        wrong = call.excinfo is not None and call.excinfo.errisinstance((CaseFailed, HarnessError))
        vars(report)["evals_forgiven"] = wrong  # not what a hook found fault with
        from evals.collecting import reporting  # loaded for what was asked: collecting is quick

        reporting.tell_allure(item)
        item.record = None  # it is on disk, and a long run must not hold them all
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Stop the server, merge the records, write the summary; the gate decides the exit code."""
    config = session.config
    if SESSION not in config.stash:
        return
    config.stash[SESSION].close()
    if workers.is_worker(config):
        workers.tell_controller(config)
    elif not config.option.collectonly:
        from evals.collecting import reporting

        reporting.finish_run(session, exitstatus)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """The table, what broke, the gate, and where everything lies; mistakes in case files."""
    if SESSION in config.stash:
        _print_mistakes(terminalreporter)
    if FINISHED in config.stash:
        from evals.collecting import reporting

        reporting.print_run(terminalreporter, config)


def _print_mistakes(terminal: pytest.TerminalReporter) -> None:
    """The mistakes of case files where pytest prints no tracebacks: they are none."""
    if terminal.config.option.tbstyle == "no":
        for report in terminal.stats.get("error", ()):
            if isinstance(report, pytest.CollectReport):
                terminal.write_line(str(report.longrepr))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Whatever happened, leave no server and no lock."""
    if SESSION in config.stash:
        config.stash[SESSION].close()
        config.stash[SESSION].folder.unlock()
