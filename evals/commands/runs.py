"""Commands that ask and judge: run, merge, rejudge, compare, accept."""

import glob
import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from evals.commands.terminal import (
    LATEST,
    AllowMismatch,
    RunFolder,
    Unlike,
    configured_cases,
    or_exit,
    say,
)
from evals.root import has_config

_Baseline = Annotated[Path | None, typer.Option(help="gate on a regression, too")]
_OtherBaseline = Annotated[
    Path | None, typer.Option(help="in place of the one that the run was gated with")
]
_Side = Annotated[Path, typer.Argument(help="run folder or baseline file")]


def run(context: typer.Context) -> None:
    """Ask all cases; takes every option of `pytest cases/`. -v prints each failure in full."""
    from evals.commands.run_options import help_lines

    if {"-h", "--help"} & set(context.args):
        print("\n".join(help_lines("evals run", (run.__doc__ or "").strip())))
        return
    import pytest

    from evals.report.github.commands import commands_stopped

    folders = or_exit(lambda: configured_cases(Path.cwd()))
    with commands_stopped(os.environ, say):
        code = pytest.main(pytest_arguments(context.args, folders))
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        say(
            f"no case was asked; case files are in {', '.join(map(str, folders))} (cases with "
            "`replay` are asked of replay models alone; -k and other options choose fewer)"
        )
    raise typer.Exit(code)


def pytest_arguments(given: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """What pytest is given for `evals run GIVEN`: a quiet run, of all cases if none are named.

    Only pytest can tell a place from an option's value: `folders` are its `testpaths`, which it
    takes where no place is named, in its root. That does not move to a `--run-dir` elsewhere.
    """
    always = ["--no-header", "-rN", "-o", "console_output_style=classic"]
    # `python -m evals run`, where a project makes errors of warnings: nothing is rewritten.
    always += ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]
    in_full = any(re.fullmatch("-v+|--verbose", word) for word in given)
    quiet = [] if in_full else ["-q", "--progress", "--tb=no"]
    unnamed = shlex.join(glob.escape(str(folder)) for folder in folders)
    plugin = [] if has_config(Path.cwd()) and _is_autoloaded() else ["-p", "evals.plugin"]
    at = [f"--rootdir={Path.cwd()}", "-o", f"testpaths={unnamed}"]
    return [*always, *quiet, *plugin, *at, *_joined(given)]


def _joined(given: Sequence[str]) -> Iterator[str]:
    """With the values of our options joined to them: `--model=/elsewhere/model`.

    pytest looks for conftest.py before it knows our options. A value that is a folder is a place to
    it then, and the project's own conftest.py is not found.
    """
    from evals.commands.run_options import run_options

    valued = {f"--{e}{o.name[2:]}" for o in run_options() if o.value for e in ("", "evals-")}
    words = iter(given)
    for word in words:
        if word == "--":
            yield word
            break
        value = next(words, None) if word in valued else None
        yield word if value is None else f"{word}={value}"
    yield from words


def _is_autoloaded() -> bool:
    """Whether pytest loads the plugin by itself, by its entry point, where there is something."""
    from importlib.metadata import entry_points

    named = entry_points(group="pytest11", name="evals")
    return bool(named) and not os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")


def merge(
    shards: Annotated[list[Path], typer.Argument(help="folders of runs with --shard")],
    output: Annotated[Path, typer.Option("-o", help="folder of the whole run")],
    baseline: _Baseline = None,
) -> None:
    """Join shards into one run, and gate it as `evals run` does if all cases are there."""
    from rich.console import Console

    from evals.report.github.commands import commands_stopped
    from evals.report.text import print_summary
    from evals.running.merge import merge_lines, merge_runs

    merged = or_exit(lambda: merge_runs(shards, output, Path.cwd(), baseline))
    with commands_stopped(os.environ, say):
        print("\n".join(merge_lines(merged)))
        print_summary(merged.summary, merged.records, Console(width=120))
    print(f"run: {output}")
    raise typer.Exit(0 if merged.summary.gate.passed else 1)


def rejudge(run: RunFolder = LATEST, baseline: _OtherBaseline = None) -> None:
    """Judge the stored answers of a run again, without a server; records and summary are new."""
    from rich.console import Console

    from evals.report.github.commands import commands_stopped
    from evals.report.text import print_summary
    from evals.results import RECORDS
    from evals.running.rejudge import rejudge_run
    from evals.stored import StoredRecords

    summary = or_exit(lambda: rejudge_run(run.resolve(), Path.cwd(), baseline))
    with commands_stopped(os.environ, say):
        print_summary(summary, StoredRecords.read(run / RECORDS), Console(width=120))
    raise typer.Exit(0 if summary.passed else 1)


def compare(
    before: _Side,
    after: _Side,
    allow_mismatch: AllowMismatch = False,
    unlike: Unlike = False,
    p95_factor: Annotated[
        float | None,
        typer.Option(min=1, help="exit code 1, too, where p95 is longer by more than this factor"),
    ] = None,
) -> None:
    """Say what changed between two runs; exit code 1 on a significant regression."""
    from evals.report import comparison
    from evals.report.latency_change import slower
    from evals.report.summary_file import read_run

    allowed = allow_mismatch or unlike
    runs = or_exit(lambda: (read_run(before), read_run(after)))
    result = or_exit(lambda: comparison.compare(*runs, unlike=allowed))
    print("\n".join(comparison.comparison_lines(result)))
    first, second = (run.profiles for run in runs)
    late = [
        line
        for name in first.keys() & second.keys()
        for line in slower(name, first[name].latency, second[name].latency, p95_factor or math.inf)
    ]
    print("".join(f"slower: {line}\n" for line in late), end="")
    raise typer.Exit(1 if result.regressions or late else 0)


def accept(
    run: RunFolder = LATEST,
    to: Annotated[Path, typer.Option(help="baseline file, kept in git")] = Path("baseline.json"),
    answers: Annotated[
        bool,
        typer.Option(
            "--answers",
            help="keep the answers, too, beside it (NAME.records.jsonl, large): reports then show "
            "what the model wrote before, and whether that changed",
        ),
    ] = False,
) -> None:
    """Make a run the baseline of later ones: `pytest cases/ --baseline baseline.json`."""
    from evals.disk import replace_file, replacing
    from evals.report.before import answers_path
    from evals.report.summary_file import baseline, baseline_text, read_summary
    from evals.results import RECORDS

    summary = or_exit(lambda: read_summary(run))
    if not summary.run.whole:
        sys.exit(f"{run} is a part of the suite, and no baseline; run all of it: `evals run`")
    if errors := sum(profile.errors for profile in summary.profiles.values()):
        sys.exit(
            f"{run} has {errors} incomplete response(s), with which no later run can be compared, "
            f"and is no baseline; `evals run --resume {run}` asks them again"
        )
    beside = answers_path(to)
    beside.unlink(missing_ok=True)  # of another run
    or_exit(lambda: replace_file(to, baseline_text(baseline(summary))))
    if answers:
        with replacing(beside) as file, (run / RECORDS).open("rb") as records:
            shutil.copyfileobj(records, file)
    print(f"{to}: baseline of {summary.run.id}")
