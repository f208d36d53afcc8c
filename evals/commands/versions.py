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

from evals.commands.terminal import LATEST, configured_cases, or_exit, say
from evals.errors import ConfigError

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
UPSTREAM = Path("docs/upstream")
FINDINGS_DATA = Path("docs/findings.json")


def bisect(
    context: typer.Context,
    package: _Packages,
    good: Annotated[
        list[str] | None, typer.Option(help="its older version (default: what is installed)")
    ] = None,
    bad: Annotated[list[str] | None, typer.Option(help="its newer one (default: newest)")] = None,
    profiles: _Profiles = "",
    run: _Run = None,
    limit: _Limit = 600.0,
    boot_limit: _Boot = 90.0,
    folder: _Folder = RUNS,
    issue: Annotated[
        Path | None, typer.Option(help="write what changed into this file, as an issue's text")
    ] = None,
) -> None:
    """Find the release that broke or mended a text; takes the options of `run`, such as -k.

    Given twice, with a --good and --bad each, --package tells which of the two is to blame.
    The same command goes on where it was stopped. Exit code 1 if something broke or was mended.
    """
    from evals.disk import replace_file
    from evals.versions.bisect import blame, issue_text, report, walk

    oldest: Sequence[str | None] = good or [None] * len(package)
    newest: Sequence[str | None] = bad or [None] * len(package)
    if not len(package) == len(oldest) == len(newest) or len(package) > 2:
        sys.exit("give one or two --package, and as many --good and --bad")
    ask, asking = _asker(context.args, profiles, run, limit, boot_limit, folder)
    axes = [
        or_exit(partial(_axis, name, old, new))
        for name, old, new in zip(package, oldest, newest, strict=True)
    ]
    if newest_already := [axis for axis in axes if len(axis.releases) == 1]:
        axis = newest_already[0]
        print(f"{axis.package} {axis.releases[0].version} is the newest release")
        return
    try:
        if len(axes) == 2:
            blames, walks = or_exit(lambda: blame((axes[0], axes[1]), ask))
            print("\n".join(f"{found.text}: {found.package}" for found in blames))
        else:
            walks = [or_exit(lambda: walk(axes[0], ask))]
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")
    lines = [
        line
        for walked in walks
        for line in report(walked, lambda step, text: asking.shown(step.overlay, text))
    ]
    print("\n".join(lines))
    changed = any(walked.changes for walked in walks)
    if issue and changed:
        text = issue_text([walked.axis for walked in walks], lines)
        or_exit(lambda: replace_file(issue, text))
    raise typer.Exit(1 if changed else 0)


def _axis(package: str, good: str | None, bad: str | None) -> "Axis":
    from evals.versions.bisect import axis_of
    from evals.versions.index import releases
    from evals.versions.overlay import installed_here

    older = good or installed_here().get(package)
    if older is None:
        raise ConfigError(
            f"{package} is not installed here; give the version to begin with: --good"
        )
    return axis_of(package, releases(package), older, bad)


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
    from evals.disk import replace_file
    from evals.report.history_page import html_page, markdown, terminal_lines
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


def findings(
    run: Annotated[
        Path, typer.Argument(help="folder of the run that docs/findings.json was written from")
    ] = LATEST,
    issue: Annotated[
        str | None, typer.Option(help="one finding (default: each without a public link)")
    ] = None,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="repeat each text in an empty folder; write nothing")
    ] = False,
    folder: Annotated[Path, typer.Option(help="where the texts are kept")] = UPSTREAM,
    engine: Annotated[str, typer.Option(help="whose findings; the texts of each are apart")] = (
        "mlx_lm"
    ),
) -> None:
    """Write the text of a finding for the upstream tracker: one server, one curl line.

    With --repeat each text is followed to the letter, and exit code 1 says that one did not hold.
    """
    from evals.config import cache_folder, read_config
    from evals.disk import replace_file
    from evals.engines.registry import engine_named
    from evals.report.findings_data import read, unlinked
    from evals.report.summary_file import read_summary
    from evals.results import RECORDS
    from evals.stored import read_records
    from evals.versions.repeat import repeat as repeated
    from evals.versions.upstream import first_of, upstream_text

    kind = or_exit(lambda: engine_named(engine))
    folder = folder if engine == "mlx_lm" else folder / engine
    if repeat:
        texts = (
            [folder / f"{issue}.md"]
            if issue
            else sorted({*folder.glob("*.md")} - {folder / "README.md"})
        )
        raise typer.Exit(1 if or_exit(lambda: repeated(texts, kind, cache_folder(), say)) else 0)
    known = or_exit(lambda: read(FINDINGS_DATA))
    wanted = or_exit(lambda: unlinked(known, engine, issue))
    config, summary = or_exit(lambda: read_config(Path.cwd())), or_exit(lambda: read_summary(run))
    records = or_exit(lambda: list(read_records(run / RECORDS)))
    or_exit(lambda: folder.mkdir(parents=True, exist_ok=True))
    for name, finding in wanted.items():
        record = first_of(finding, records)
        text = or_exit(
            partial(
                upstream_text,
                finding,
                record,
                config,
                cache_folder(),
                summary.fingerprint,
            )
        )
        or_exit(partial(replace_file, folder / f"{name}.md", text))
        print(f"{folder / name}.md")
