"""`evals`: the commands of the Makefile and of people; they forward only."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import pytest
import typer

from evals.casefile import SCHEMA_FILE, find_case_files, json_schema, read_cases
from evals.config import cache_folder
from evals.errors import EvalsError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
CASES = Path("cases")
T = TypeVar("T")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(context: typer.Context) -> None:
    """Ask all cases; every option of `pytest cases/` is allowed."""
    quiet = ["-q", "--progress", "--tb=no", "--no-header", "-p", "no:cacheprovider", "-rN"]
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
def model() -> None:
    """Build the default model that this machine serves, and print its folder."""
    from evals.run import resolve_model

    print(_or_exit(lambda: resolve_model("default", cache_folder(), print)))


def _or_exit(work: Callable[[], T]) -> T:
    try:
        return work()
    except EvalsError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    app()
