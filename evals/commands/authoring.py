"""Commands that begin something: init, new, record."""

import os
from pathlib import Path
from typing import Annotated

import typer

from evals.commands.terminal import or_exit

_Into = Annotated[Path | None, typer.Option("--to", help="case file to write; default: by its id")]


def init(
    url: Annotated[str | None, typer.Option(help="the server to ask, such as http://…/v1")] = None,
) -> None:
    """Begin a project here: evals.toml, first cases, tools, a workflow for CI."""
    from evals.authoring.start import begin

    root = Path.cwd()
    for path in or_exit(lambda: begin(root, url)):
        print(f"wrote {os.path.relpath(path, root)}")
    print("next: `evals validate`, then `pytest` with the server of evals.toml running")


def new(path: Annotated[Path, typer.Argument(help="case file to write")]) -> None:
    """Write a case file with one case of each kind, commented, to be changed."""
    from evals.authoring.start import new_case_file

    or_exit(lambda: new_case_file(path))
    print(f"wrote {path}")


def record(
    question: Annotated[str, typer.Argument(help="what to ask")],
    tools: Annotated[
        Path | None, typer.Option(help="file of tools: OpenAI's, MCP's, Anthropic's or ours")
    ] = None,
    profile: Annotated[str, typer.Option(help="the profile to ask")] = "default",
    attach: Annotated[str | None, typer.Option(metavar="URL", help="use this server")] = None,
    to: _Into = None,
) -> None:
    """Ask the target a question, and draft the case that expects what came back, to be reviewed."""
    from evals.authoring.record import record_case

    path = or_exit(lambda: record_case(Path.cwd(), question, tools, profile, attach, to))
    print(f"wrote {path}: review what it expects, then take out the tag to-review")
