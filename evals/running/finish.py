"""The end of a run: its records in one file, its summary, its gate and its reports."""

import datetime
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evals.config import Config
from evals.errors import ConfigError
from evals.parsers.constraint import GrammarCounts, read_counts
from evals.report.comparison import compare, comparison_lines, p_text
from evals.report.latency_change import slower
from evals.report.summarize import summarize
from evals.report.summary import GateOutcome, RunInfo, ShardPart, Summary
from evals.report.summary_file import read_run
from evals.report.writers import FinishedRun, write_all
from evals.results import Record
from evals.running.fingerprint import fingerprint
from evals.running.profile import grammar_log
from evals.running.questions import Plan
from evals.running.session import Session


def finish(session: Session, plan: Plan, results: Path, *, at_once: bool = False) -> FinishedRun:
    """Merge the records of all processes, in the order of their keys; write summary and reports.

    `plan` says what was to be asked: a wanted question without a record is missing. `results` is
    where allure-pytest has written in this process. `at_once`: somebody waits for the end; only
    the summary is written, and `evals report` makes the rest.
    """
    folder = session.folder
    # A run that is resumed may hold answers to cases that are gone, and what was asked ahead of its
    # turn may have been skipped.
    records = folder.join(plan.keeps)
    print_of = fingerprint((record.case for record in records), session.served_profiles())
    grammars = grammar_counts(session.config, folder.path)
    summary = summarize(records, session.config, print_of, _run(session, plan, records), grammars)
    summary, compared = gate_on_regression(summary, session.options.baseline, session.config)
    folder.point_latest()
    run = FinishedRun(summary, records, compared, results)
    write_all(run, folder.path, at_once=at_once)
    return run


def _run(session: Session, plan: Plan, answers: Sequence[Record]) -> RunInfo:
    options = session.options
    missing = sorted(plan.wanted - {record.key for record in answers})
    complete = plan.whole and not missing and not plan.ended
    return RunInfo(
        id=session.folder.path.name,
        started=datetime.datetime.fromtimestamp(session.started, datetime.UTC).isoformat(),
        seconds=round(time.time() - session.started, 1),
        whole=complete and options.tier == "full",
        missing=tuple(missing),
        ended=plan.ended,
        deaths=session.folder.deaths(),
        tier=options.tier,
        asked=options.as_asked({record.profile for record in answers}),
        shard=ShardPart(part=str(options.shard), suite=plan.suite) if options.shard else None,
        server_peak_bytes=session.server_peaks(),
        baseline=str(options.baseline) if options.baseline else None,
    )


def gate_on_regression(
    summary: Summary, baseline: Path | None, config: Config
) -> tuple[Summary, Path | None]:
    """The summary with the comparison with a baseline; its gate fails on a regression.

    It fails, too, where p95 is longer than a profile's gate in `config` allows.

    It fails, too, where the two cannot be compared. The baseline comes back if they were.
    """
    if baseline is None:
        return summary, None
    try:
        before = read_run(baseline)
        comparison = compare(before, summary)
    except ConfigError as error:
        return _gated(summary, [f"no comparison with {baseline.name}: {error}"]), None
    reasons = [
        f"{profile.name}: regression against {comparison.before}: "
        f"{len(profile.newly_failing)} newly failing, {p_text(profile.adjusted)}"
        for profile in comparison.regressions
    ]
    for name, now in summary.profiles.items():
        factor = config.gate(name).p95_factor
        if factor is not None and (was := before.profiles.get(name)):
            reasons += slower(name, was.latency, now.latency, factor)
    told = replace(summary, comparison=tuple(comparison_lines(comparison)))
    return _gated(told, reasons), baseline


def _gated(summary: Summary, more: Sequence[str]) -> Summary:
    """The summary with more reasons for which its gate fails."""
    reasons = (*summary.gate.reasons, *more)
    return replace(summary, gate=GateOutcome(passed=not reasons, reasons=reasons))


def grammar_counts(config: Config, folder: Path) -> dict[str, GrammarCounts]:
    """What the grammars of constrained profiles counted in the run of `folder`, by profile."""
    names = [name for name, profile in config.profiles.items() if profile.grammar]
    return {name: read_counts(grammar_log(name, folder)) for name in names}
