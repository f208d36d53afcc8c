"""A finished run judged again from its records, without a server."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from evals.config import read_config
from evals.errors import ConfigError
from evals.report.summarize import summarize
from evals.report.summary import Summary
from evals.report.summary_file import read_summary
from evals.report.writers import FinishedRun, write_all
from evals.results import Record
from evals.running.fingerprint import graders_digest
from evals.running.finish import gate_on_regression, grammar_counts
from evals.running.folder import RunFolder
from evals.running.runner import judged
from evals.stored import StoredRecords, read_records


def rejudge_run(place: Path, root: Path, baseline: Path | None = None) -> Summary:
    """Judge a finished run's records again; write its records, summary and reports again.

    The gate compares with `baseline`, or with that of the run.

    Raises:
        ConfigError: the folder holds no finished run, or other records than the run had.
    """
    folder = RunFolder(place)
    before = read_summary(place)
    config = read_config(root)
    with folder.locked():
        records = StoredRecords.write(folder.records, _judged_again(folder, before))
        print_of = replace(before.fingerprint, graders=graders_digest())
        run = replace(before.run, baseline=str(baseline.resolve())) if baseline else before.run
        summary = summarize(records, config, print_of, run, grammar_counts(config, place))
        compared_with = Path(run.baseline) if run.baseline else None
        summary, compared = gate_on_regression(summary, compared_with, config)
        write_all(FinishedRun(summary, records, compared), place)
    return summary


def _judged_again(folder: RunFolder, before: Summary) -> Iterator[Record]:
    """The records, judged one by one.

    Raises:
        ConfigError: they are not those that the run had.
    """
    keys: list[str] = []
    for record in read_records(folder.records):
        keys.append(record.key)
        yield judged(record)
    _check_complete(folder, before, keys)


def _check_complete(folder: RunFolder, before: Summary, keys: Sequence[str]) -> None:
    had = sum(part.scored + part.errors + part.known for part in before.profiles.values())
    there = len(set(keys))
    if not had == there == len(keys):
        raise ConfigError(
            f"{folder.records}: {len(keys)} records of {there} questions, and the run had "
            f"{had} answers; it cannot be judged as that run. `--resume {folder.path}` asks what "
            "is missing"
        )
