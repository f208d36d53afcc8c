"""The options that the plugin adds to pytest, as values: for help, reference and tests."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunOption:
    """An option of `evals run`: what it is called, and what argparse is told of it."""

    name: str
    settings: dict[str, Any]

    @property
    def value(self) -> str:
        """What stands behind it: `A,B`, `smoke|full`, `N`; nothing for a flag."""
        of = self.settings
        return of.get("metavar") or "|".join(of.get("choices", ())) or ("N" if "type" in of else "")

    @property
    def meaning(self) -> str:
        """Its help."""
        return str(self.settings["help"])


class _Noted:
    """Takes the place of pytest's parser, to note what the plugin adds to it."""

    def __init__(self) -> None:
        self.options: list[RunOption] = []

    def getgroup(self, *_: str) -> "_Noted":
        return self

    def addoption(self, name: str, **settings: Any) -> None:
        self.options.append(RunOption(name, settings))


def run_options() -> tuple[RunOption, ...]:
    """All of them, in the order in which the plugin adds them."""
    from evals import plugin

    noted: Any = _Noted()
    plugin.pytest_addoption(noted)
    return tuple(noted.options)


def help_lines(command: str, summary: str) -> Iterator[str]:
    """The help of a command that hands its options to pytest."""
    parser = argparse.ArgumentParser(
        command, usage=f"{command} [options] [cases/FILE.yaml ...]", add_help=False
    )
    parser.description = summary
    parser.epilog = (
        "Every option of pytest is allowed, too: -k, -m, -v, -x, --lf, -n; pytest --help"
    )
    group = parser.add_argument_group("options of a run")
    for option in run_options():
        group.add_argument(option.name, **option.settings)
    yield from parser.format_help().splitlines()
