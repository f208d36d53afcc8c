"""What a run leaves in its folder beside `records.jsonl`: one list, for every way to finish one.

A run that was asked, one judged again and one merged from shards leave the same files. Another
report is another value in `WRITERS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.report.allure import RESULTS
from evals.report.allure.files import write_results, write_run_files
from evals.report.html import REPORT
from evals.report.html.files import write_report
from evals.report.summary import Summary
from evals.report.summary_file import FINGERPRINT, SUMMARY, write_fingerprint, write_summary
from evals.results import Record


@dataclass(frozen=True)
class FinishedRun:
    """All that reports are made of."""

    summary: Summary
    records: Sequence[Record]
    against: Path | None = None
    """The run or baseline that reports compare with; without it the newest earlier run beside."""
    results: Path | None = None
    """Where allure-pytest writes in this process; None where records alone are at hand."""


@dataclass(frozen=True)
class Writer:
    """One report."""

    name: str
    """The file or folder that it leaves, in the run's folder."""
    doc: str
    """What is in it."""
    write: Callable[[FinishedRun, Path], None]
    """Writes it into the run's folder, in place of what is there."""


def _summary(run: FinishedRun, folder: Path) -> None:
    write_summary(run.summary, folder)


def _fingerprint(run: FinishedRun, folder: Path) -> None:
    write_fingerprint(run.summary.fingerprint, folder)


def _page(run: FinishedRun, folder: Path) -> None:
    write_report(folder, run.summary, run.records, against=run.against)


def _allure(run: FinishedRun, folder: Path) -> None:
    """Results from records; those that allure-pytest wrote are kept, and lack the run's files."""
    if run.results is None:
        write_results(run.records, run.summary, folder / RESULTS)
        write_run_files(run.summary, run.records, folder / RESULTS)
    elif run.results.is_dir():  # without its plugin there is none
        write_run_files(run.summary, run.records, run.results)


FIGURES = (
    Writer(FINGERPRINT, "what the run was made of; a run that is resumed reads it", _fingerprint),
    Writer(SUMMARY, "the figures, for CI and later comparisons", _summary),
)
"""What is made in a moment, also of a run that is interrupted."""
WRITERS = (
    *FIGURES,
    Writer(REPORT, "the report of one HTML file; its pictures lie in `pictures/`", _page),
    Writer(RESULTS, "results for Allure 3", _allure),
)


def write_all(run: FinishedRun, folder: Path, *, at_once: bool = False) -> None:
    """Write every report of a run into its folder; `at_once` its figures alone.

    Raises:
        ConfigError: the run cannot be compared with `run.against`.
    """
    for writer in FIGURES if at_once else WRITERS:
        writer.write(run, folder)
