"""The other run of a comparison: which it is, and its answers where they are at hand.

A run's folder has its records. A baseline file has figures alone, unless `evals accept --answers`
put the answers beside it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evals.errors import ConfigError
from evals.report.comparison import Comparison, compare
from evals.report.summary import Summary
from evals.results import RECORDS, Record
from evals.stored import read_records


def last_comparable(runs: Sequence[tuple[Path, Summary]], summary: Summary) -> Path | None:
    """The folder of the last of `runs`, oldest first, that this run can be compared with."""
    return next((place for place, run in reversed(runs) if _comparable(run, summary)), None)


def _comparable(before: Summary, after: Summary) -> bool:
    try:
        compare(before, after)
    except ConfigError:
        return False
    return True


def answers_path(baseline: Path) -> Path:
    """Where the answers of a baseline file are kept: `baseline.records.jsonl` beside it."""
    return baseline.with_suffix(f".{RECORDS}")


def changed_cases(comparison: Comparison) -> set[str]:
    """The cases that are newly failing or fixed, in any profile."""
    profiles = comparison.profiles
    return {case for of in profiles for case in (*of.newly_failing, *of.fixed)}


def earlier_answers(place: Path, cases: set[str]) -> dict[str, Record]:
    """The records of these cases by key, of the run or the baseline file at `place`.

    None where there are no answers, or none that can be read: a report is complete without them.
    """
    path = place / RECORDS if place.is_dir() else answers_path(place)
    if not cases or not path.is_file():
        return {}
    try:
        records = read_records(path, say=lambda text: None)
        return {record.key: record for record in records if record.case.node in cases}
    except ConfigError:
        return {}


def same_texts(records: Iterable[Record], before: Mapping[str, Record]) -> dict[str, bool]:
    """Whether the model wrote the very same before, by key; of answers where both are known."""
    pairs = ((r.key, r.model_text, before[r.key].model_text) for r in records if r.key in before)
    return {key: now == then for key, now, then in pairs if now is not None and then is not None}
