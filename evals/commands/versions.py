"""Commands that ask one release of a package after another: bisect, matrix."""

import datetime
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evals.commands.terminal import configured_cases, or_exit, say

if TYPE_CHECKING:
    from evals.versions.asking import Asking
    from evals.versions.bisect import Ask, Axis
    from evals.versions.step import Step

_Packages = Annotated[
    list[str], typer.Option("--package", help="package of the pipeline, such as mlx-lm")
]
_Profiles = Annotated[
    str, typer.Option(help="profiles, with commas between them (default: all replayed texts)")
]
_Run = Annotated[
    str | None, typer.Option("--run", help="a command in place of the suite: 0 good, 125 skip")
]
_Limit = Annotated[float, typer.Option(help="seconds that one version may take")]
_Boot = Annotated[float, typer.Option(help="seconds in which its server must start")]
_Folder = Annotated[Path, typer.Option(help="where the runs are kept, and gone on from")]

RUNS = Path("reports/versions")


def bisect(
    context: typer.Context,
    package: _Packages,
    good: Annotated[list[str], typer.Option(help="its older version, to search from")],
    bad: Annotated[list[str] | None, typer.Option(help="its newer one (default: newest)")] = None,
    profiles: _Profiles = "",
    run: _Run = None,
    limit: _Limit = 600.0,
    boot_limit: _Boot = 90.0,
    folder: _Folder = RUNS,
) -> None:
    """Find the release that broke or mended a text; takes the options of `run`, such as -k.

    Given twice, with a --good and --bad each, --package tells which of the two is to blame.
    The same command goes on where it was stopped. Exit code 1 if something broke or was mended.
    """
    from evals.versions.bisect import blame, report, walk

    newest: Sequence[str | None] = bad or [None] * len(package)
    if not len(package) == len(good) == len(newest) or len(package) > 2:
        sys.exit("give one or two --package, and as many --good and --bad")
    ask, asking = _asker(context.args, profiles, run, limit, boot_limit, folder)
    axes = [
        or_exit(partial(_axis, name, old, new))
        for name, old, new in zip(package, good, newest, strict=True)
    ]
    try:
        if len(axes) == 2:
            blames, walks = or_exit(lambda: blame((axes[0], axes[1]), ask))
            print("\n".join(f"{found.text}: {found.package}" for found in blames))
        else:
            walks = [or_exit(lambda: walk(axes[0], ask))]
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")
    for walked in walks:
        print("\n".join(report(walked, lambda step, text: asking.shown(step.overlay, text))))
    raise typer.Exit(1 if any(walked.changes for walked in walks) else 0)


def _axis(package: str, good: str, bad: str | None) -> "Axis":
    from evals.versions.bisect import axis_of
    from evals.versions.index import releases

    return axis_of(package, releases(package), good, bad)


def _asker(
    options: Sequence[str],
    profiles: str,
    command: str | None,
    limit: float,
    boot_limit: float,
    folder: Path,
) -> "tuple[Ask, Asking]":
    from evals.config import cache_folder, read_config
    from evals.versions.asking import own, replayed, suite
    from evals.versions.step import ask_version

    def chosen() -> "Asking":
        here = Path.cwd()
        config = read_config(here)
        return suite(
            options,
            profiles or ",".join(replayed(config)),
            config,
            configured_cases(here),
            limit=limit,
            boot_seconds=boot_limit,
        )

    # Whatever ends this command ends the run of the version that is asked, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asking = own(command, limit) if command else or_exit(chosen)
    place, cache = folder.resolve(), cache_folder()

    def ask(pins: Mapping[str, str], day: datetime.date | None) -> "Step":
        return ask_version(pins, day, asking, place, cache, say)

    return ask, asking


def matrix(
    context: typer.Context,
    package: Annotated[str, typer.Option(help="package of the pipeline, such as mlx-lm")],
    last: Annotated[int, typer.Option(help="how many of its releases")] = 8,
    profiles: _Profiles = "",
    run: _Run = None,
    limit: _Limit = 600.0,
    boot_limit: _Boot = 90.0,
    folder: _Folder = RUNS,
    keep: Annotated[
        Path | None, typer.Option(help="write PACKAGE.json, .md and .html into this folder")
    ] = None,
) -> None:
    """Ask each of a package's last releases the same texts; takes the options of `run`.

    The same command goes on where it was stopped.
    """
    from evals.report.history_page import html_page, markdown, terminal_lines
    from evals.results import replace_file
    from evals.versions import matrix as versions
    from evals.versions.index import releases

    ask, _ = _asker(context.args, profiles, run, limit, boot_limit, folder)
    wanted = or_exit(lambda: versions.last(releases(package), last))
    options = ["--profiles", profiles] if profiles else []
    options += ["--run", run] if run else []
    said = ["evals", "matrix", "--package", package, "--last", str(last), *options, *context.args]
    command = shlex.join(said)
    today = datetime.date.today()
    try:
        found = or_exit(lambda: versions.matrix(package, wanted, ask, command, today))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")
    print("\n".join(terminal_lines(found)))
    place = keep or folder
    or_exit(lambda: place.mkdir(parents=True, exist_ok=True))
    for ending, text in (("json", found.to_json()), ("md", markdown(found))):
        or_exit(partial(replace_file, place / f"{package}.{ending}", text))
    or_exit(lambda: replace_file(place / f"{package}.html", html_page(found)))
    print(f"matrix: {place / package}.md, .html and .json")
