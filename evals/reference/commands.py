"""Commands and options as parts of a page: make, pytest and `evals`."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from typer.models import ArgumentInfo

from evals import plugin
from evals.cli import app
from evals.reference.tables import doc, table


def _make_targets() -> list[tuple[str, str]]:
    lines = Path("Makefile").read_text(encoding="utf-8").splitlines()
    found = [re.match(r"([a-z]+):.*## (.+)", line) for line in lines]
    return [(f"`make {target[1]}`", target[2]) for target in found if target]


class _Options:
    """Takes the place of pytest's parser, to note what the plugin adds to it."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    def getgroup(self, *_: str) -> "_Options":
        return self

    def addoption(self, name: str, **of: Any) -> None:
        value = of.get("metavar") or "|".join(of.get("choices", ())) or ""
        value = value or ("N" if "type" in of else "")
        self.rows.append((f"`{name} {value}".rstrip() + "`", of["help"]))


def _pytest_options() -> Iterator[str]:
    options: Any = _Options()
    plugin.pytest_addoption(options)
    yield "\n## Options of a run\n"
    yield "For `evals run`, `make eval ARGS='…'` and `pytest cases/`; every option of pytest is"
    yield "allowed, too.\n"
    yield from table(["option", "meaning"], options.rows)


def _parameters(command: Callable[..., Any]) -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of what a command takes, from its signature."""
    for name, parameter in inspect.signature(command).parameters.items():
        if parameter.annotation is typer.Context:
            continue
        type_, info = get_args(parameter.annotation)
        named = [x for x in (info.default, *(info.param_decls or ())) if str(x).startswith("-")]
        names = named or [f"--{name.replace('_', '-')}"]
        shown = [name.upper()] if isinstance(info, ArgumentInfo) else names
        choices = f" ({', '.join(get_args(type_))})" if get_origin(type_) is Literal else ""
        yield ", ".join(f"`{x}`" for x in shown), _given(parameter.default), f"{info.help}{choices}"


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
    for command in app.registered_commands:
        assert command.callback is not None
        yield f"\n## evals {command.callback.__name__}\n"
        yield doc(command.callback)
        if rows := list(_parameters(command.callback)):
            yield ""
            yield from table(["argument or option", "default", "meaning"], rows)
