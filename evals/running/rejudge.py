"""A finished run judged again from its records, without a server."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evals.config import read_config
from evals.errors import ConfigError
from evals.report.summarize import summarize
from evals.report.summary import Summary
from evals.report.summary_file import read_summary
from evals.report.writers import FinishedRun
from evals.results import Record, read_records
from evals.running.fingerprint import graders_digest
from evals.running.finish import gate_on_regression, grammar_counts, write_run
from evals.running.folder import RunFolder
from evals.running.runner import judged


def rejudge_run(place: Path, root: Path, baseline: Path | None = None) -> Summary:
    """Judge a finished run's records again; write its records, summary and reports again.

    The gate compares with `baseline`, or with that of the run.

    Raises:
        ConfigError: the folder holds no finished run, or other records than the run had.
    """
    folder = RunFolder(place)
    before = read_summary(place)
    records = [judged(record) for record in read_records(folder.records)]
    _check_complete(folder, before, records)
    print_of = replace(before.fingerprint, graders=graders_digest())
    config = read_config(root)
    run = replace(before.run, baseline=str(baseline.resolve())) if baseline else before.run
    summary = summarize(records, config, print_of, run, grammar_counts(config, place))
    summary, compared = gate_on_regression(summary, Path(run.baseline) if run.baseline else None)
    write_run(folder, FinishedRun(summary, records, compared))
    return summary


def _check_complete(folder: RunFolder, before: Summary, records: Sequence[Record]) -> None:
    had = sum(part.scored + part.errors + part.known for part in before.profiles.values())
    there = len({record.key for record in records})
    if not had == there == len(records):
        raise ConfigError(
            f"{folder.records}: {len(records)} records of {there} questions, and the run had "
            f"{had} answers; it cannot be judged as that run. `--resume {folder.path}` asks what "
            "is missing"
        )
