"""The end of a run: its records in one file, its summary, its gate and its reports."""

import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.config import Config
from evals.errors import ConfigError
from evals.parsers.constraint import read_counts
from evals.report.allure.files import write_results, write_run_files
from evals.report.comparison import compare, comparison_lines, p_text, read_run
from evals.report.html.files import write_report
from evals.report.summary import summarize, write_summary
from evals.results import Record
from evals.running.fingerprint import fingerprint
from evals.running.folder import RunFolder
from evals.running.profile import grammar_log
from evals.running.questions import Plan
from evals.running.session import Session


@dataclass(frozen=True)
class Finished:
    """A run that has come to its end, as its folder holds it."""

    summary: Mapping[str, Any]
    records: Sequence[Record]


def finish(session: Session, plan: Plan) -> Finished:
    """Merge the records of all processes, in the order of their keys; write summary and reports.

    `plan` says what was to be asked: a wanted question without a record is missing.
    """
    folder = session.folder
    merged = folder.merged()
    if plan.whole:  # a run that is resumed may hold answers to cases that are gone
        merged = {key: record for key, record in merged.items() if key in plan.wanted}
    records = [merged[key] for key in sorted(merged)]
    folder.replace_records(records)
    print_of = fingerprint((record.case for record in records), session.served_profiles())
    folder.write_fingerprint(print_of)
    run = _run(session, plan, merged)
    grammars = grammar_counts(session.config, folder.path)
    summary = summarize(records, session.config, print_of, run, grammars)
    compared = gate_on_regression(summary, session.options.baseline)
    write_summary(summary, folder.path)
    folder.point_latest()
    write_report(folder.path, summary, records, against=compared)
    return Finished(summary, records)


def _run(session: Session, plan: Plan, answers: Mapping[str, Record]) -> dict[str, Any]:
    options = session.options
    missing = sorted(plan.wanted - answers.keys())
    complete = plan.whole and not missing and not plan.ended
    return {
        "id": session.folder.path.name,
        "started": datetime.datetime.fromtimestamp(session.started, datetime.UTC).isoformat(),
        "seconds": round(time.time() - session.started, 1),
        "whole": complete and options.tier == "full",
        "missing": missing,
        "ended": plan.ended,
        "tier": options.tier,
        "asked": options.as_asked({record.profile for record in answers.values()}),
        "shard": {"part": str(options.shard), "suite": plan.suite} if options.shard else None,
        "baseline": str(options.baseline) if options.baseline else None,
    }


def gate_on_regression(summary: dict[str, Any], baseline: Path | None) -> Path | None:
    """Put the comparison with a baseline into `summary`; its gate fails on a regression.

    It fails, too, where the two cannot be compared. Returns the baseline if they were.
    """
    if baseline is None:
        return None
    gate = summary["gate"]
    try:
        comparison = compare(read_run(baseline), summary)
    except ConfigError as error:
        gate["reasons"].append(f"no comparison with {baseline.name}: {error}")
        gate["passed"] = False
        return None
    summary["comparison"] = list(comparison_lines(comparison))
    for profile in comparison.regressions:
        gate["reasons"].append(
            f"{profile.name}: regression against {comparison.before}: "
            f"{len(profile.newly_failing)} newly failing, {p_text(profile.adjusted)}"
        )
    gate["passed"] = not gate["reasons"]
    return baseline


def write_run(
    folder: RunFolder,
    summary: Mapping[str, Any],
    records: Sequence[Record],
    *,
    against: Path | None = None,
) -> None:
    """Write all files of a run that was judged from records, not asked here.

    Raises:
        ConfigError: `against` is no run, or one that the run cannot be compared with.
    """
    folder.replace_records(records)
    folder.write_fingerprint(summary["fingerprint"])
    write_summary(summary, folder.path)
    write_report(folder.path, summary, records, against=against)
    write_results(records, summary, folder.allure_results)
    write_run_files(summary, records, folder.allure_results)


def grammar_counts(config: Config, folder: Path) -> dict[str, Any]:
    """What the grammars of constrained profiles counted in the run of `folder`, by profile."""
    names = [name for name, profile in config.profiles.items() if profile.grammar]
    return {name: read_counts(grammar_log(name, folder)) for name in names}
