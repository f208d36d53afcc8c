"""`evals`: the tree of commands. They are in `evals/commands/`, and forward only.

`evals --help` loads none of what they need: each command loads it when it is given.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from evals import __version__
from evals.commands import (
    authoring,
    bench,
    cases,
    importing,
    model,
    probing,
    reports,
    runs,
    versions,
)

_ON_TO_PYTEST: Mapping[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}
_AS_PYTEST: Mapping[str, Any] = {**_ON_TO_PYTEST, "help_option_names": []}


class _ByPanel(TyperGroup):
    """Help as plain text, commands under their panels: rich takes longer to load than all else."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each panel with its commands and the first paragraph about each, in full."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            panel = getattr(command, "rich_help_panel", None)
            about = " ".join((command.help or "").strip().partition("\n\n")[0].split())
            title = panel if isinstance(panel, str) else "Commands"
            panels.setdefault(title, []).append((name, about))
        for title, rows in panels.items():
            with formatter.section(title):
                formatter.write_dl(rows)


app = typer.Typer(
    cls=_ByPanel,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(given: bool) -> None:
    if given:
        print(f"toolcall-evals {__version__}")
        raise typer.Exit


@app.callback()
def _evals(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Tell whether tool calling survives the pipeline, and whether the last change broke it."""


def _add(
    to: typer.Typer, panel: str | None, *commands: Callable[..., None], **settings: Any
) -> None:
    for command in commands:
        to.command(command.__name__, rich_help_panel=panel, **settings)(command)


def _group(name: str, about: str) -> typer.Typer:
    group = typer.Typer(cls=_ByPanel, no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name=name, help=about, rich_help_panel="Groups")
    return group


_add(app, "Begin", authoring.init, authoring.new, authoring.record)
_add(app, "Ask and judge", runs.run, context_settings=_AS_PYTEST)
_add(app, "Ask and judge", runs.rejudge, runs.merge)
_add(app, "Look at runs", reports.report, runs.compare, runs.accept, reports.scorecard)
_WHICH = "Which version broke it"
_add(app, _WHICH, versions.bisect, versions.matrix, context_settings=_ON_TO_PYTEST)
_add(app, _WHICH, versions.findings)
_add(app, "Look before asking", probing.probe, probing.doctor, probing.machine)
_add(app, "Case files", cases.validate, cases.schema)
_export = _group("export", "A run for Allure or GitHub; cases for BFCL or promptfoo.")
_add(_export, None, reports.allure, reports.github, reports.findings, reports.conformance)
_export.command("bfcl")(importing.export_bfcl)
_export.command("promptfoo")(importing.export_promptfoo)
_add(
    _group("import", "Case files from what you have: other suites, request logs."),
    None,
    importing.bfcl,
    importing.promptfoo,
    importing.log,
    importing.mcp,
)
_add(_group("engine", "Servers other than mlx_lm's."), None, probing.install)
_add(
    _group("model", "The default model, and data to train models with."),
    None,
    model.build,
    model.digest,
    probing.copying,
    model.train,
    model.audit,
    model.convert,
)
_bench = _group("bench", "The suite on several models side by side, and how long answers take.")
_add(
    _bench,
    None,
    bench.sweep,
    bench.formats,
    context_settings=_ON_TO_PYTEST,
)
_add(_bench, None, bench.latency, bench.speculative)
