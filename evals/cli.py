"""`evals`: the commands of the Makefile and of people; they forward only."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import pytest
import typer
from rich.console import Console

from evals.casefile import SCHEMA_FILE, find_case_files, json_schema, read_cases
from evals.config import cache_folder
from evals.errors import EvalsError
from evals.report import comparison
from evals.report.text import print_summary
from evals.results import read_records
from evals.servers.blas import preload_environment

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
CASES = Path("cases")
T = TypeVar("T")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(context: typer.Context) -> None:
    """Ask all cases; every option of `pytest cases/` is allowed."""
    quiet = [
        "-q",
        "--progress",
        "--tb=no",
        "--no-header",
        "-rN",
        "-o",
        "console_output_style=classic",
    ]
    chosen = [arg for arg in context.args if arg.partition("::")[0].startswith("cases")]
    places = [] if chosen else [str(CASES)]
    raise typer.Exit(pytest.main([*quiet, *context.args, *places]))


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
def model(
    bits: Annotated[int, typer.Option(help="2, 3, 4, 5, 6 or 8")] = 5,
) -> None:
    """Build the default model in the form that this machine serves, and print its folder."""
    from evals.run import build_default

    print(_or_exit(lambda: build_default(cache_folder(), print, bits=bits)))


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
def compare(
    before: Annotated[Path, typer.Argument(help="run folder or baseline file")],
    after: Annotated[Path, typer.Argument(help="run folder or baseline file")],
    unlike: Annotated[bool, typer.Option(help="compare other suites or graders, too")] = False,
) -> None:
    """Tell what changed between two runs; exit code 1 on a significant regression."""
    result = _or_exit(
        lambda: comparison.compare(
            comparison.read_run(before), comparison.read_run(after), unlike=unlike
        )
    )
    print("\n".join(comparison.comparison_lines(result)))
    raise typer.Exit(1 if result.regressions else 0)


@app.command()
def accept(
    run: Annotated[Path, typer.Argument(help="run folder")] = Path("reports/latest"),
    to: Annotated[Path, typer.Option(help="baseline file, kept in git")] = Path("baseline.json"),
) -> None:
    """Make a run the baseline of later ones: `pytest cases/ --baseline baseline.json`."""
    summary = _or_exit(lambda: comparison.read_run(run))
    to.write_text(comparison.baseline(summary), encoding="utf-8")
    print(f"{to}: baseline of {summary['run']['id']}")


@app.command()
def rejudge(
    run: Annotated[Path, typer.Argument(help="run folder")] = Path("reports/latest"),
) -> None:
    """Judge the stored answers of a run again, without a server; records and summary are new."""
    from evals.session import rejudge_run

    summary = _or_exit(lambda: rejudge_run(run.resolve(), Path.cwd()))
    print_summary(summary, list(read_records(run / "records.jsonl")), Console(width=120))
    raise typer.Exit(0 if summary["gate"]["passed"] else 1)


def _or_exit(work: Callable[[], T]) -> T:
    try:
        return work()
    except EvalsError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    app()
