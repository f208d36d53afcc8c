"""Commands and options as parts of a page: make, pytest and `evals`."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import typer
from typer.models import ArgumentInfo

from evals.cli import app
from evals.commands.run_options import run_options
from evals.commands.terminal import OneOf
from evals.reference.tables import doc, table

Command = Callable[..., Any]


def _make_targets() -> list[tuple[str, str]]:
    lines = Path("Makefile").read_text(encoding="utf-8").splitlines()
    found = [re.match(r"([a-z-]+):.*## (.+)", line) for line in lines]
    return [(f"`make {target[1]}`", target[2]) for target in found if target]


def _pytest_options() -> Iterator[str]:
    yield "\n## Options of a run\n"
    yield "For `evals run`, `make eval ARGS='…'` and `pytest cases/`; every option of pytest is"
    yield "allowed, too.\n"
    rows = [(f"`{' '.join(filter(None, (o.name, o.value)))}`", o.meaning) for o in run_options()]
    yield from table(["option", "meaning"], rows)


def all_commands(of: typer.Typer = app, prefix: str = "evals") -> Iterator[tuple[str, Command]]:
    """Each command as it is given, `evals model build`, and its function; groups come last."""
    for command in of.registered_commands:
        assert command.callback is not None
        yield f"{prefix} {command.name}", command.callback
    for group in of.registered_groups:
        assert group.typer_instance is not None
        yield from all_commands(group.typer_instance, f"{prefix} {group.name}")


def parameters(command: Command) -> Iterator[tuple[list[str], inspect.Parameter, Any]]:
    """Of all that a command takes the names, the parameter itself, and what typer knows of it."""
    for name, parameter in inspect.signature(command).parameters.items():
        if parameter.annotation is typer.Context:
            continue
        _, info = get_args(parameter.annotation)
        named = [x for x in (info.default, *(info.param_decls or ())) if str(x).startswith("-")]
        names = named or [f"--{name.replace('_', '-')}"]
        shown = [name.upper()] if isinstance(info, ArgumentInfo) else names
        yield shown, parameter, info


def _parameters(command: Command) -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of what a command takes, from its signature."""
    for names, parameter, info in parameters(command):
        if info.hidden:
            continue
        choices = f" ({', '.join(info.parser.names())})" if isinstance(info.parser, OneOf) else ""
        yield ", ".join(f"`{x}`" for x in names), _given(parameter.default), info.help + choices


def _given(default: Any) -> str:
    if default is inspect.Parameter.empty:
        return "required"
    text = " ".join(map(str, default)) if isinstance(default, list) else str(default)
    return "" if default in (None, False, "") else f"`{text}`"


def command_line() -> Iterator[str]:
    """The lines of the page about the command line."""
    yield "# Command line\n"
    yield "Every command ends with exit code 0 if all is well, and another one if it is not. Those"
    yield "of `evals run` are pytest's: 1 if the gate or, of a part of the suite, a case failed; 2"
    yield "if it was interrupted; 3 if the server did not start; 4 if an option is wrong; 5 if no"
    yield "case was chosen."
    yield "\n## make\n"
    yield from table(["target", "what it does"], _make_targets())
    yield from _pytest_options()
    for given, command in all_commands():
        yield f"\n## {given}\n"
        yield doc(command)
        if rows := list(_parameters(command)):
            yield ""
            yield from table(["argument or option", "default", "meaning"], rows)
