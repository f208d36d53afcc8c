"""`--progress`: one line that counts, in place of dots."""

import os
import time
from typing import Any

import pytest


class Progress:
    """`[ 34/120] 3 failed, about 2 min left`: rewritten on a terminal, each tenth otherwise.

    CI may lend a job a terminal, but its log keeps every line: there it is each tenth, too.
    """

    def __init__(self) -> None:
        self.terminal: Any = None  # pytest registers it later
        self.started = time.monotonic()
        self.total = self.done = self.failed = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """How many there are."""
        self._begin(session.config, len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """With xdist every worker collects all of them; this process none."""
        self._begin(node.config, len(ids))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count an answer and show the line."""
        # To pytest-rerunfailures, a failure that is tried again has the outcome "rerun".
        ended = report.outcome in ("passed", "failed", "skipped")
        if report.when != "call" or not ended or not self.terminal:
            return
        self.done += 1
        self.failed += report.failed
        left = (time.monotonic() - self.started) / self.done * max(self.total - self.done, 0)
        line = f"[{self.done:4}/{self.total}] {self.failed} failed, about {left / 60:.1f} min left"
        if self.terminal.isatty and not os.environ.get("CI"):
            self.terminal.rewrite(line, erase=True)
        elif self.done % max(1, self.total // 10) == 0:
            self.terminal.write_line(line)

    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> tuple[str, str, str] | None:
        """No dots: the line stands in for them."""
        called = getattr(report, "when", None) == "call"
        if called and report.passed:
            return "passed", "", "PASSED"
        if called and report.failed:
            return "failed", "", "FAILED"
        if hasattr(report, "wasxfail") and report.skipped:
            return "xfailed", "", "XFAIL"
        return None

    def _begin(self, config: pytest.Config, total: int) -> None:
        self.terminal = config.pluginmanager.get_plugin("terminalreporter")
        self.total, self.started = total, time.monotonic()
