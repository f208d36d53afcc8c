"""The one place where summaries and baselines are read, checked and written."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from evals.disk import replace_file
from evals.errors import ConfigError
from evals.report.summary import (
    SCHEMA,
    Baseline,
    BaselineFigures,
    BaselineRun,
    Fingerprint,
    Summary,
)

SUMMARY = "summary.json"
FINGERPRINT = "fingerprint.json"
_SHOWN = 3
T = TypeVar("T")


def read_run(place: Path) -> Summary | Baseline:
    """The summary in a run's folder, or a baseline file: either side of a comparison.

    Raises:
        ConfigError: there is none, it is of another schema, or a key of it is missing or wrong.
    """
    path = place / SUMMARY if place.is_dir() else place
    text = _text(path)
    content = _object(text, path)
    # A baseline is what a comparison needs of a summary, and has no gate.
    if "gate" in content:
        return _checked(Summary, text, path)
    return _checked(Baseline, text, path)


def read_summary(place: Path) -> Summary:
    """The summary in a run's folder, or a `summary.json` itself.

    Raises:
        ConfigError: as `read_run`, or it is a baseline.
    """
    found = read_run(place)
    if isinstance(found, Baseline):
        raise ConfigError(
            f"{place}: is a baseline, not the summary of a run; give the folder of a run"
        )
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no summary of a run: {error}") from error


def _object(text: str, path: Path) -> Mapping[str, Any]:
    """The content, if it is of the schema that is read here."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path}: no summary of a run: {error}") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema is None:
        raise ConfigError(f"{path}: not a summary or baseline of schema {SCHEMA}: it names none")
    if schema != SCHEMA or isinstance(schema, bool):
        raise ConfigError(
            f"{path}: is of schema {schema}, and this version reads schema {SCHEMA}; run the "
            "cases again, or read it with the version of toolcall-evals that wrote it"
        )
    return dict(content)


def _checked(of: type[T], text: str, path: Path) -> T:
    try:
        return TypeAdapter(of).validate_json(text, strict=True)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        ]
        more = f", and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ConfigError(
            f"{path}: not a {of.__name__.lower()} of schema {SCHEMA}: "
            f"{'; '.join(problems[:_SHOWN])}{more}; run the cases again"
        ) from error


def earlier_runs(folder: Path, summary: Summary) -> Iterator[tuple[Path, Summary]]:
    """The whole runs beside `folder` that began before it, oldest first; others are passed over.

    A folder with a `summary.json` alone is enough, such as a night of which no more was kept.
    """
    found = []
    for path in folder.resolve().parent.glob(f"*/{SUMMARY}"):
        if path.parent.is_symlink() or path.parent == folder.resolve():
            continue
        try:
            run = read_summary(path.parent)
            began = datetime.fromisoformat(run.run.started).isoformat()
        except (ConfigError, ValueError):
            continue  # such a neighbour cannot be told of, and must not stop this run's report
        if run.run.whole and began < datetime.fromisoformat(summary.run.started).isoformat():
            found.append((began, path.parent, run))
    for _, place, run in sorted(found, key=lambda item: item[0]):
        yield place, run


def read_fingerprint(folder: Path) -> Fingerprint:
    """`fingerprint.json` of a run's folder; of a run that was killed it has the profiles alone.

    Raises:
        ConfigError: there is none, or it is no fingerprint.
    """
    path = folder / FINGERPRINT
    return _checked(Fingerprint, _text(path), path)


def write_summary(summary: Summary, folder: Path) -> Path:
    """`summary.json` in the run's folder."""
    return _write(summary, folder / SUMMARY)


def write_fingerprint(fingerprint: Fingerprint, folder: Path) -> Path:
    """`fingerprint.json` in the run's folder: that of the summary, for a run that is resumed."""
    return _write(fingerprint, folder / FINGERPRINT)


def _write(value: Summary | Fingerprint, path: Path) -> Path:
    replace_file(path, to_json(value, indent=2).decode() + "\n")
    return path


def baseline(summary: Summary) -> Baseline:
    """What later runs are compared with."""
    return Baseline(
        run=BaselineRun(id=summary.run.id, asked=summary.run.asked),
        fingerprint=summary.fingerprint,
        profiles={
            name: BaselineFigures(
                rates=profile.rates,
                cases=profile.cases,
                repeats=profile.repeats,
                latency=profile.latency,
            )
            for name, profile in summary.profiles.items()
        },
    )


def baseline_text(accepted: Baseline) -> str:
    """The text of a baseline file, in an order that makes small differences in git."""
    return json.dumps(asdict(accepted), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
