"""A finished run judged again from its records, without a server."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.config import read_config
from evals.errors import ConfigError
from evals.report.comparison import read_run
from evals.report.summary import summarize
from evals.results import Record, read_records
from evals.running.fingerprint import graders_digest
from evals.running.finish import gate_on_regression, grammar_counts, write_run
from evals.running.folder import RunFolder
from evals.running.runner import judged


def rejudge_run(place: Path, root: Path, baseline: Path | None = None) -> dict[str, Any]:
    """Judge a finished run's records again; write its records, summary and reports again.

    The gate compares with `baseline`, or with that of the run.

    Raises:
        ConfigError: the folder holds no finished run, or other records than the run had.
    """
    folder = RunFolder(place)
    before = read_run(place)
    records = [judged(record) for record in read_records(folder.records)]
    _check_complete(folder, before, records)
    print_of = {**before["fingerprint"], "graders": graders_digest()}
    config = read_config(root)
    run = dict(before["run"])
    if baseline:
        run["baseline"] = str(baseline.resolve())
    summary = summarize(records, config, print_of, run, grammar_counts(config, place))
    against = Path(run["baseline"]) if run.get("baseline") else None
    compared = gate_on_regression(summary, against)
    write_run(folder, summary, records, against=compared)
    return summary


def _check_complete(
    folder: RunFolder, before: Mapping[str, Any], records: Sequence[Record]
) -> None:
    counts = ("scored", "errors", "known")
    had = sum(profile[name] for profile in before["profiles"].values() for name in counts)
    there = len({record.key for record in records})
    if not had == there == len(records):
        raise ConfigError(
            f"{folder.records}: {len(records)} records of {there} questions, and the run had "
            f"{had} answers; it cannot be judged as that run. `--resume {folder.path}` asks what "
            "is missing"
        )
