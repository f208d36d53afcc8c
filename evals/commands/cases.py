"""Commands on case files: validate, schema."""

from pathlib import Path
from typing import Annotated

import typer

from evals.commands.terminal import CASES, Check, or_exit, write_or_check


def validate(
    places: Annotated[list[Path], typer.Argument(help="case files or folders")] = [CASES],  # noqa: B006
) -> None:
    """Check case files without asking anything."""
    from evals.config import has_config, read_config
    from evals.loading.casefile import find_case_files, read_cases
    from evals.loading.tools import notes

    profiles = read_config(Path.cwd()).profiles if has_config(Path.cwd()) else None
    cases = or_exit(lambda: read_cases(find_case_files(places), Path.cwd(), profiles=profiles))
    for note in notes(cases):
        print(f"note: {note}")
    tools = {tool.name for case in cases for tool in case.tools}
    print(f"{len(cases)} cases over {len(tools)} tools are valid")


def schema(check: Check = False) -> None:
    """Write the JSON Schemas for editors: cases/schema.json, of tools and of evals.toml."""
    from evals import config
    from evals.loading.casefile import SCHEMA_FILE
    from evals.loading.entries import json_schema, tools_json_schema

    texts = {
        SCHEMA_FILE: json_schema(),
        "tools.schema.json": tools_json_schema(),
        "evals.schema.json": config.json_schema(),
    }
    for name, text in texts.items():
        path = CASES / name
        stale = f"{path} is not what the code says; `evals schema` writes it again"
        write_or_check(path, text, check=check, stale=stale)
