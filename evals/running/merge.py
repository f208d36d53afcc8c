"""Shards of one run joined to a run of the whole suite: records, summary, gate and reports."""

import datetime
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from evals.case import Case
from evals.config import Config, read_config
from evals.errors import ConfigError
from evals.loading.casefile import find_case_files, read_cases
from evals.report.summarize import summarize
from evals.report.summary import Fingerprint, Machine, RunInfo, ShardPart, Summary
from evals.report.summary_file import SUMMARY, read_run, read_summary
from evals.report.writers import FinishedRun, write_all
from evals.results import RECORDS, Record
from evals.running.fingerprint import digests, suite_digest
from evals.running.finish import gate_on_regression, grammar_counts
from evals.running.folder import RunFolder
from evals.running.options import RunOptions, read_options
from evals.running.places import case_folders, known_names
from evals.running.questions import questions
from evals.stored import StoredRecords

_MISSING = 20


@dataclass(frozen=True)
class _Part:
    """One shard's finished run."""

    folder: Path
    summary: Summary
    shard: ShardPart
    records: StoredRecords


@dataclass(frozen=True)
class Merged:
    """A run made of shards; `missing` are the keys of records that no shard has."""

    summary: Summary
    records: Sequence[Record]
    missing: Sequence[str]
    unfinished: Sequence[Path] = ()
    """Folders of shards that have no figures, and are left out."""


def merge_runs(
    folders: Sequence[Path], output: Path, root: Path, baseline: Path | None = None
) -> Merged:
    """Join shards into one run in `output`; its gate is that of the whole suite in `root`.

    A shard that was killed, or had no case to ask, has no figures: it counts as one that is not
    there, so that the others are reported.

    Raises:
        ConfigError: a folder holds no shard's run, the shards are not of one run, a case is in
            two of them, `output` is in use, or the baseline is none.
    """
    unfinished = [folder for folder in folders if _is_unfinished(folder)]
    parts = [_read(folder) for folder in folders if folder not in unfinished]
    _check_alike(parts)
    _check_apart(parts)
    if output.exists() and any(output.iterdir()):
        raise ConfigError(f"{output}: is not empty; give a new folder, or remove it")
    config = read_config(root)
    first = parts[0].summary.run
    options = read_options(_as_settings(first), config)
    every = [record for part in parts for record in part.records]
    missing, complete = _coverage(every, options, config, root)
    if baseline:
        read_run(baseline)  # a mistake in it shows now, with nothing written
    output.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(output)
    with folder.locked():
        _join_grammar_logs(parts, output)
        files = [part.folder / RECORDS for part in parts]
        records = StoredRecords.join(folder.records, files)
        joined = _run(parts, output)
        run = replace(
            joined,
            whole=complete and first.tier == "full" and not joined.ended,
            missing=tuple(missing),
            baseline=str(baseline.resolve()) if baseline else None,
        )
        print_of = _fingerprint(parts, records)
        summary = summarize(records, config, print_of, run, grammar_counts(config, output))
        summary, compared = gate_on_regression(summary, baseline, config)
        write_all(FinishedRun(summary, records, compared), output)
    return Merged(summary, records, missing, unfinished)


def merge_lines(merged: Merged) -> Iterator[str]:
    """What was joined and what is missing, as text."""
    run = merged.summary.run
    yield f"merged: {', '.join(run.merged)}: {len(merged.records)} answers"
    for folder in merged.unfinished:
        yield (
            f"left out: {folder}: its run asked nothing, or was ended before it wrote its figures; "
            "see its log"
        )
    for key in merged.missing[:_MISSING]:
        yield f"missing: {key}"
    if len(merged.missing) > _MISSING:
        yield f"missing: {len(merged.missing) - _MISSING} more"
    if not (merged.missing or run.whole or run.ended) and run.tier == "full":
        yield "the shards asked other cases than those in cases/ here"


def _is_unfinished(folder: Path) -> bool:
    return folder.is_dir() and not (folder / SUMMARY).exists()


def _read(folder: Path) -> _Part:
    summary = read_summary(folder)
    if summary.run.shard is None:
        raise ConfigError(f"{folder}: not a shard's run; make one with --shard i/n")
    return _Part(folder, summary, summary.run.shard, StoredRecords.read(folder / RECORDS))


def _check_alike(parts: Sequence[_Part]) -> None:
    if not parts:
        raise ConfigError("there is nothing to merge; give the folders of the shards")
    first, *others = parts
    for part in others:
        differing = [
            f"{name}: {x} in {first.folder}, {y} in {part.folder}"
            for (name, x), (_, y) in zip(_identity(first), _identity(part), strict=True)
            if x != y
        ]
        differing += _differing_profiles(first, part)
        if differing:
            lines = "\n  ".join(differing)
            raise ConfigError(f"the runs are not shards of one run; they differ in\n  {lines}")


def _identity(part: _Part) -> Iterator[tuple[str, Any]]:
    """What has to be the same in all shards of a run."""
    run, print_of = part.summary.run, part.summary.fingerprint
    yield "suite", part.shard.suite
    yield "number of shards", part.shard.part.partition("/")[2]
    yield "tier", run.tier
    yield from asdict(run.asked).items()
    yield "evals", print_of.evals
    yield "graders", print_of.graders
    yield "versions", print_of.versions


def _differing_profiles(a: _Part, b: _Part) -> Iterator[str]:
    """Model, weights, template and parser of the profiles that both shards have."""
    ours, theirs = (part.summary.fingerprint.profiles for part in (a, b))
    for name in ours.keys() & theirs.keys():
        x, y = asdict(ours[name]), asdict(theirs[name])
        for key in x:
            if x[key] != y[key]:
                yield f"{key} of profile {name}: {x[key]} in {a.folder}, {y[key]} in {b.folder}"


def _check_apart(parts: Sequence[_Part]) -> None:
    """Make sure that no answer is in two of them."""
    origin: dict[str, _Part] = {}
    for part in parts:
        for record in part.records:
            if (before := origin.setdefault(record.key, part)) is not part:
                raise ConfigError(
                    f"{record.key} is in {before.folder} and in {part.folder}; give each shard once"
                )


def _coverage(
    records: Sequence[Record], options: RunOptions, config: Config, root: Path
) -> tuple[list[str], bool]:
    """Keys that the suite in `root` asks and no record has, and whether the records are that suite.

    They are not where a case was changed or removed since the shards ran.
    """
    wanted: dict[str, Case] = {}
    files = find_case_files(case_folders(config, root))
    for case in read_cases(files, root, known_names(config)):
        for profile, question in questions(case, options, config):
            wanted[question.key(profile)] = question.case
    missing = sorted(wanted.keys() - {record.key for record in records})
    return missing, not missing and suite_digest(wanted.values()) == suite_digest(
        r.case for r in records
    )


def _as_settings(run: RunInfo) -> dict[str, Any]:
    asked = run.asked
    lists = {"profiles": ",".join(asked.profiles), "lanes": ",".join(asked.lanes)}
    settings = {**asdict(asked), **lists, "tier": run.tier}
    return {name: value for name, value in settings.items() if value is not None}


def _fingerprint(parts: Sequence[_Part], records: Sequence[Record]) -> Fingerprint:
    """The shards' fingerprint; where machines differ, each of their values is kept."""
    prints = [part.summary.fingerprint for part in parts]
    machines = [asdict(of.machine) for of in prints]
    suite, cases = digests(record.case for record in records)
    return replace(
        prints[0],
        suite=suite,
        cases=cases,
        machine=Machine(**{key: _all_values([m[key] for m in machines]) for key in machines[0]}),
        profiles={name: value for of in prints for name, value in of.profiles.items()},
    )


def _all_values(values: Sequence[Any]) -> Any:
    different = list(dict.fromkeys(values))
    return different[0] if len(different) == 1 else " and ".join(map(str, different))


def _run(parts: Sequence[_Part], output: Path) -> RunInfo:
    """The merged run began with its first shard and ended with its last; not whole so far."""
    runs = [part.summary.run for part in parts]
    began = [datetime.datetime.fromisoformat(run.started) for run in runs]
    ended = [b + datetime.timedelta(seconds=r.seconds) for b, r in zip(began, runs, strict=True)]
    return RunInfo(
        id=output.resolve().name,
        started=min(began).isoformat(),
        seconds=round((max(ended) - min(began)).total_seconds(), 1),
        whole=False,
        tier=runs[0].tier,
        asked=runs[0].asked,
        ended=_ended(parts),
        deaths=tuple(death for run in runs for death in run.deaths),
        server_peak_bytes=_peaks([run.server_peak_bytes for run in runs]),
        merged=tuple(f"{part.folder.name} ({part.shard.part})" for part in parts),
    )


def _ended(parts: Sequence[_Part]) -> str | None:
    """What ended shards before their end, though each question may have an answer; None if none."""
    hows = [
        f"{p.folder.name} ({p.shard.part}): {how}" for p in parts if (how := p.summary.run.ended)
    ]
    return "; ".join(hows) or None


def _peaks(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: max(part.get(name, 0) for part in parts) for name in names}


def _join_grammar_logs(parts: Sequence[_Part], output: Path) -> None:
    for part in parts:
        for log in sorted(part.folder.glob("grammar-*.jsonl")):
            with (output / log.name).open("ab") as joined, log.open("rb") as source:
                shutil.copyfileobj(source, joined)
