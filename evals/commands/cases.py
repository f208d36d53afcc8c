"""Commands on case files: validate, schema."""

from pathlib import Path
from typing import Annotated

import typer

from evals.commands.terminal import Check, configured_cases, or_exit, write_or_check


def validate(
    places: Annotated[
        list[Path] | None, typer.Argument(help="case files or folders; default: the configured")
    ] = None,
) -> None:
    """Check case files without asking anything."""
    from evals.loading.casefile import find_case_files, read_cases

    root = Path.cwd()
    cases = or_exit(
        lambda: read_cases(find_case_files(places or configured_cases(root)), root),
    )
    tools = {tool.name for case in cases for tool in case.tools}
    print(f"{len(cases)} cases over {len(tools)} tools are valid")


def schema(check: Check = False) -> None:
    """Write the JSON Schema of case files for editors: schema.json in the first folder of cases."""
    from evals.loading.casefile import SCHEMA_FILE, json_schema

    path = or_exit(lambda: configured_cases(Path.cwd()))[0] / SCHEMA_FILE
    stale = f"{path} is not what the code says; `evals schema` writes it again"
    write_or_check(path, json_schema(), check=check, stale=stale)
