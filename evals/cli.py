"""`evals`: the commands of the Makefile and of people; they forward only."""

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import pytest
import typer
from rich.console import Console

from evals.config import cache_folder
from evals.engines.blas import preload_environment
from evals.errors import EvalsError
from evals.loading.casefile import SCHEMA_FILE, find_case_files, json_schema, read_cases
from evals.report import comparison
from evals.report.allure.html import make_html
from evals.report.findings import findings_page, not_asked
from evals.report.github.commands import commands_stopped
from evals.report.html.files import report_run
from evals.report.summary_file import baseline, baseline_text, read_run, read_summary
from evals.report.text import print_summary
from evals.results import RECORDS, read_records
from evals.training.convert import RowShape, Validation, convert_file, report_lines
from evals.training.turns import parse_format, written_formats

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
CASES = Path("cases")
FINDINGS = Path("docs/findings.md")
T = TypeVar("T")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(context: typer.Context) -> None:
    """Ask all cases; every option of `pytest cases/` is allowed. -v tells each failure's story."""
    always = ["--no-header", "-rN", "-o", "console_output_style=classic"]
    told = any(re.fullmatch("-v+|--verbose", arg) for arg in context.args)
    quiet = [] if told else ["-q", "--progress", "--tb=no"]
    chosen = [arg for arg in context.args if arg.partition("::")[0].startswith("cases")]
    places = [] if chosen else [str(CASES)]
    with commands_stopped(os.environ, _say):
        code = pytest.main([*always, *quiet, *context.args, *places])
    raise typer.Exit(code)


@app.command()
def merge(
    shards: Annotated[list[Path], typer.Argument(help="folders of runs with --shard")],
    output: Annotated[Path, typer.Option("-o", help="folder of the whole run")],
    baseline: Annotated[Path | None, typer.Option(help="gate on a regression, too")] = None,
) -> None:
    """Join shards into one run, and gate it as `evals run` does if all cases are there."""
    from evals.running.merge import merge_lines, merge_runs

    merged = _or_exit(lambda: merge_runs(shards, output, Path.cwd(), baseline))
    with commands_stopped(os.environ, _say):
        print("\n".join(merge_lines(merged)))
        print_summary(merged.summary, merged.records, Console(width=120))
    print(f"run: {output}")
    raise typer.Exit(0 if merged.summary.gate.passed else 1)


@app.command()
def github(
    run: Annotated[Path, typer.Argument(help="run folder")] = Path("reports/latest"),
    compare: Annotated[Path | None, typer.Option(help="run folder or baseline file")] = None,
    conformance: Annotated[
        bool, typer.Option(help="exit code 1 on a violation or an error; for a part of the suite")
    ] = False,
) -> None:
    """Tell GitHub Actions of a run: job summary, annotations, and an issue if the gate failed.

    Writes job-summary.md and issue.md into the run's folder.
    """
    from evals.report.github.files import write_github

    told = _or_exit(lambda: write_github(run, compare, os.environ))
    print("\n".join(told.annotations))
    raise typer.Exit(1 if conformance and not told.conforms else 0)


@app.command()
def validate(
    places: Annotated[list[Path], typer.Argument(help="case files or folders")] = [CASES],  # noqa: B006
) -> None:
    """Check case files without asking anything."""
    cases = _or_exit(lambda: read_cases(find_case_files(places), Path.cwd()))
    tools = {tool.name for case in cases for tool in case.tools}
    print(f"{len(cases)} cases over {len(tools)} tools are valid")


@app.command()
def schema(
    check: Annotated[bool, typer.Option(help="only tell whether it is current")] = False,
) -> None:
    """Write the JSON Schema of case files for editors: cases/schema.json."""
    path = CASES / SCHEMA_FILE
    current = path.exists() and path.read_text(encoding="utf-8") == json_schema()
    if check and not current:
        sys.exit(f"{path} is not what evals/casefile.py says; `evals schema` writes it anew")
    if not check:
        path.write_text(json_schema(), encoding="utf-8")


@app.command()
def findings(
    run: Annotated[Path, typer.Argument(help="folder of a run of all replay profiles")] = Path(
        "reports/latest"
    ),
    check: Annotated[bool, typer.Option(help="only tell whether it is current")] = False,
) -> None:
    """Write docs/findings.md, what the stock server gets wrong, from a run's records."""
    cases = _or_exit(lambda: read_cases(find_case_files([CASES]), Path.cwd()))
    version = _or_exit(lambda: read_summary(run)).fingerprint.versions["mlx-lm"]
    records = _or_exit(lambda: list(read_records(run / RECORDS)))
    if missing := not_asked(cases, records):
        profiles = sorted({name for case in missing for name in case.profiles})
        sys.exit(
            f"{run} has no answer to {len(missing)} cases with known defects, such as "
            f"{missing[0].node}; run `make eval PROFILES={','.join(profiles)}` first"
        )
    page = findings_page(records, version)
    current = FINDINGS.exists() and FINDINGS.read_text(encoding="utf-8") == page
    if check and not current:
        sys.exit(f"{FINDINGS} is not what {run} shows; `evals findings {run}` writes it anew")
    if not check:
        FINDINGS.parent.mkdir(exist_ok=True)
        FINDINGS.write_text(page, encoding="utf-8")


@app.command()
def model(
    quantization: Annotated[str, typer.Option(help="fp16, 8-bit … 2-bit, mixed-4-6 …")] = "5-bit",
    adapter: Annotated[str, typer.Option(help="a shipped adapter")] = "default",
) -> None:
    """Build the default model in the form that this machine serves, and print its folder."""
    from evals.running.profile import build_default

    folder = _or_exit(
        lambda: build_default(cache_folder(), print, quantization=quantization, adapter=adapter)
    )
    print(folder)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="name of the adapter")] = "default",
    iterations: Annotated[int | None, typer.Option(help="training steps")] = None,
) -> None:
    """Train an adapter anew on the generated dataset, with the recorded settings and seeds."""
    from evals.training.recipe import train_adapter

    environment = preload_environment(cache_folder())
    if environment != dict(os.environ):
        # The fast BLAS has to be there before mlx is loaded: the same command, once more.
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    _or_exit(lambda: train_adapter(name, CASES / "tools", cache_folder(), iterations))


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="chat rows, JSONL; formats of calls may be mixed")],
    target: Annotated[Path, typer.Argument(help="file to write")],
    to: Annotated[
        str,
        typer.Option(
            parser=parse_format,
            metavar="FORMAT",
            help=f"format of calls in the target ({', '.join(written_formats())})",
        ),
    ],
    rows: Annotated[
        RowShape, typer.Option(help="per-turn: a row for each assistant turn; no way back")
    ] = "as-is",
    validation: Annotated[
        Path | None, typer.Option(help="file for a part of the rows, held out of the target")
    ] = None,
    share: Annotated[float, typer.Option(help="about how much of the rows is held out")] = 0.1,
    seed: Annotated[int, typer.Option(help="decides which rows are held out")] = 7,
) -> None:
    """Rewrite the calls of training rows in another format; exit code 1 if rows were listed."""
    held_out = Validation(validation, share, seed) if validation else None
    report = _or_exit(lambda: convert_file(source, target, to, shape=rows, validation=held_out))
    print("\n".join(report_lines(report)))
    raise typer.Exit(1 if report.listed else 0)


@app.command()
def audit(
    data: Annotated[
        Path | None, typer.Argument(help="training rows, JSONL; without: the shipped model's")
    ] = None,
    validation: Annotated[Path | None, typer.Option(help="rows for validation, JSONL")] = None,
) -> None:
    """Check training data for leaked cases, balance, format, overlap and prompt; exit code 1."""
    from evals.lanes.tokens import load_tokenizer, render
    from evals.models.build import cached_base
    from evals.training.audit import audit, read_rows
    from evals.training.recipe import dataset
    from evals.training.train import encode

    if data:
        rows = _or_exit(lambda: read_rows(data))
        held_out = _or_exit(lambda: read_rows(validation)) if validation else []
    else:
        rows, held_out = _or_exit(lambda: dataset(CASES / "tools"))
    cases = _or_exit(lambda: read_cases(find_case_files([CASES]), Path.cwd()))
    tokenizer = load_tokenizer(_or_exit(lambda: cached_base(cache_folder())))
    result = audit(
        rows,
        held_out,
        [(case.node, case.question) for case in cases],
        learned=lambda row: encode(row, tokenizer),
        served=lambda request: render(tokenizer, request),
    )
    print("\n".join(result.facts))
    for problem in result.problems:
        print(f"{problem.check}: {problem.text}")
    found = len(result.problems)
    print(f"audit: {found or 'no'} problem{'s' if found > 1 else ''}")
    raise typer.Exit(1 if result.problems else 0)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def sweep(
    context: typer.Context,
    widths: Annotated[str, typer.Option(help="quantisations, the first to compare with")] = "",
    folder: Annotated[Path, typer.Option(help="where results go")] = Path("reports/sweep"),
) -> None:
    """Run the suite on the default model at each quantisation; takes the options of `run`."""
    from evals.bench import sweep as bench

    chosen = widths.split(",") if widths else bench.WIDTHS
    variants = _or_exit(lambda: bench.sweep(cache_folder(), folder, chosen, context.args))
    print(bench.table(variants))
    print(f"sweep: {folder / 'sweep.md'}, {folder / 'sweep.svg'}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def formats(
    context: typer.Context,
    folder: Annotated[Path, typer.Option(help="where results go")] = Path("reports/formats"),
) -> None:
    """Run the suite on two adapters, trained on JSON fences and on XML; takes options of `run`."""
    from evals.bench import formats as bench

    runs = _or_exit(lambda: bench.formats(cache_folder(), folder, context.args))
    print(bench.table(runs))
    print(f"formats: {folder / 'formats.md'}")


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="run folder or baseline file")],
    after: Annotated[Path, typer.Argument(help="run folder or baseline file")],
    unlike: Annotated[bool, typer.Option(help="compare other suites or graders, too")] = False,
) -> None:
    """Tell what changed between two runs; exit code 1 on a significant regression."""
    result = _or_exit(lambda: comparison.compare(read_run(before), read_run(after), unlike=unlike))
    print("\n".join(comparison.comparison_lines(result)))
    raise typer.Exit(1 if result.regressions else 0)


@app.command()
def accept(
    run: Annotated[Path, typer.Argument(help="run folder")] = Path("reports/latest"),
    to: Annotated[Path, typer.Option(help="baseline file, kept in git")] = Path("baseline.json"),
) -> None:
    """Make a run the baseline of later ones: `pytest cases/ --baseline baseline.json`."""
    summary = _or_exit(lambda: read_summary(run))
    if not summary.run.whole:
        sys.exit(f"{run} is a part of the suite, and no baseline; run all of it: `make eval`")
    to.write_text(baseline_text(baseline(summary)), encoding="utf-8")
    print(f"{to}: baseline of {summary.run.id}")


@app.command()
def rejudge(
    run: Annotated[Path, typer.Argument(help="run folder")] = Path("reports/latest"),
    baseline: Annotated[
        Path | None, typer.Option(help="in place of the one that the run was gated with")
    ] = None,
) -> None:
    """Judge the stored answers of a run again, without a server; records and summary are new."""
    from evals.running.rejudge import rejudge_run

    summary = _or_exit(lambda: rejudge_run(run.resolve(), Path.cwd(), baseline))
    with commands_stopped(os.environ, _say):
        print_summary(summary, list(read_records(run / RECORDS)), Console(width=120))
    raise typer.Exit(0 if summary.gate.passed else 1)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="run folder")] = Path("reports/latest"),
    compare: Annotated[Path | None, typer.Option(help="run folder or baseline file")] = None,
    unlike: Annotated[bool, typer.Option(help="compare other suites or graders, too")] = False,
    output: Annotated[Path | None, typer.Option("-o", help="file (default: in the run)")] = None,
) -> None:
    """Write the one-file HTML report of a run again, from its records."""
    page = _or_exit(lambda: report_run(run, against=compare, unlike=unlike, output=output))
    print(f"report: {page}")


@app.command()
def allure(
    run: Annotated[Path, typer.Argument(help="run folder")] = Path("reports/latest"),
) -> None:
    """Write the Allure 3 report of a run, one HTML file; needs Node.js."""
    start = time.monotonic()
    page = _or_exit(lambda: make_html(run, cache_folder(), print))
    print(f"allure: {page} ({time.monotonic() - start:.0f} s)")


def _say(text: str) -> None:
    print(text, flush=True)


def _or_exit(work: Callable[[], T]) -> T:
    try:
        return work()
    except EvalsError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    app()
