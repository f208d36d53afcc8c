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
    from evals.config import read_config
    from evals.loading.casefile import find_case_files, read_cases
    from evals.loading.tools import notes
    from evals.running.places import known_names

    root = Path.cwd()
    names = known_names(or_exit(lambda: read_config(root)))
    files = or_exit(lambda: find_case_files(places or configured_cases(root)))
    cases = or_exit(lambda: read_cases(files, root, names))
    for note in notes(cases):
        print(f"note: {note}")
    tools = {tool.name for case in cases for tool in case.tools}
    print(f"{len(cases)} cases over {len(tools)} tools are valid")


def schema(check: Check = False) -> None:
    """Write the JSON Schemas for editors, of cases, tools and evals.toml, beside the cases."""
    from evals.authoring.start import schema_files

    folder = or_exit(lambda: configured_cases(Path.cwd()))[0]
    for name, text in schema_files().items():
        path = folder / name
        stale = f"{path} is not what the code says; `evals schema` writes it again"
        write_or_check(path, text, check=check, stale=stale)
