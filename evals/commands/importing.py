"""`evals import …`, `evals export bfcl|promptfoo`: cases from other suites, and back."""

import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evals.commands.terminal import CASES, configured_cases, or_exit

if TYPE_CHECKING:
    from evals.importers.drafts import Imported, Listed

_SHOWN = 20
REPORT = "import-report.txt"

_To = Annotated[Path, typer.Option("--to", help="folder for the case files")]
_Force = Annotated[bool, typer.Option("--force", help="write over files that are there")]
_Folder = Annotated[Path, typer.Option("--to", help="folder to write into")]
_Cases = Annotated[list[Path] | None, typer.Argument(help="case files or folders")]


def bfcl(
    source: Annotated[
        Path | None,
        typer.Argument(help="a wheel of bfcl-eval or a folder of its data; else pip fetches it"),
    ] = None,
    to: _To = CASES / "bfcl",
    sample: Annotated[int | None, typer.Option(min=1, help="that many cases, by chance")] = None,
    seed: Annotated[int, typer.Option(help="decides which")] = 7,
    force: _Force = False,
) -> None:
    """Single-turn and live cases of the Berkeley Function-Calling Leaderboard, v4."""
    from evals.config import cache_folder
    from evals.importers.bfcl import WHEEL, WHEEL_SHA256, read_bfcl
    from evals.models.wheel import fetch_wheel

    wheel = source or or_exit(
        lambda: fetch_wheel(WHEEL, cache_folder() / "downloads", sha256=WHEEL_SHA256)
    )
    imported = or_exit(lambda: read_bfcl(wheel))
    _finish(imported, to, force=force, sample=sample, seed=seed)


def promptfoo(
    source: Annotated[list[Path], typer.Argument(help="promptfooconfig.yaml, one or several")],
    to: _To = CASES / "promptfoo",
    force: _Force = False,
) -> None:
    """Tests of promptfoo: its assertions without code; what is code is listed, and never run."""
    from evals.importers.promptfoo import read_promptfoo

    _finish(_together(source, read_promptfoo), to, force=force)


def log(
    source: Annotated[list[Path], typer.Argument(help="requests with responses, JSONL")],
    to: _To = CASES / "log",
    force: _Force = False,
) -> None:
    """Exchanges of a request log; what was answered is what is expected, to be reviewed."""
    from evals.importers.logs import read_log

    _finish(_together(source, read_log), to, force=force)


def mcp(
    server: Annotated[str, typer.Argument(help="http(s) URL, or the command that starts it")],
    to: Annotated[Path, typer.Option("--to", help="file of tools to write")] = CASES
    / "tools/mcp.yaml",
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds, for all of it")] = 30.0,
    force: _Force = False,
) -> None:
    """Tools of an MCP server, for cases to name; none of them is called."""
    from evals.importers.mcp_server import MAX_TOOLS, list_tools
    from evals.importers.tool_list import write_tools

    found = or_exit(lambda: list_tools(server, timeout=timeout))
    written = or_exit(lambda: write_tools(found, server, to, force=force))
    _show("note", written.notes)
    _show("not imported", written.unusable)
    print(f"{written.count} tools in {to}; {len(written.unusable)} not imported")
    if written.count > MAX_TOOLS:
        print(f"note: name in each case those that it offers, at most {MAX_TOOLS}")


def _together(sources: Sequence[Path], read: Callable[[Path], "Imported"]) -> "Imported":
    """What several files have; one that cannot be read is listed."""
    from evals.errors import CaseFileError
    from evals.importers.drafts import Imported, Listed, case_id

    whole = Imported(", ".join(path.name for path in sources))
    for path in sources:
        try:
            found = read(path)
        except CaseFileError as error:
            whole.unusable.append(Listed(str(path), str(error)))
            continue
        for name, drafts in found.files.items():
            whole.files[case_id(name, whole.files)] = drafts
        whole.unusable += found.unusable
        whole.notes += found.notes
    return whole


def _finish(
    imported: "Imported", to: Path, *, force: bool, sample: int | None = None, seed: int = 0
) -> None:
    from evals.disk import replace_file
    from evals.importers.drafts import checked, sampled, write

    usable = checked(imported)
    if sample is not None:
        usable = sampled(usable, sample, random.Random(seed))
    _show("not imported", usable.unusable)
    _show("note", usable.notes)
    paths = or_exit(lambda: write(usable, to, force=force))
    lines = [f"not imported: {one}" for one in usable.unusable]
    lines += [f"note: {one}" for one in usable.notes]
    if lines:
        or_exit(lambda: replace_file(to / REPORT, "\n".join(lines) + "\n"))
    else:
        or_exit(lambda: (to / REPORT).unlink(missing_ok=True))  # of an import before, into the same
    print(
        f"{usable.count} cases in {len(paths)} files below {to}; {len(usable.unusable)} not "
        f"imported, {len(usable.notes)} notes" + (f": {to / REPORT}" if lines else "")
    )


def _show(what: str, listed: Sequence["Listed"]) -> None:
    for one in listed[:_SHOWN]:
        print(f"{what}: {one}")
    if len(listed) > _SHOWN:
        print(f"{what}: and {len(listed) - _SHOWN} more")


def _export(form: str, places: Sequence[Path] | None, to: Path) -> None:
    from evals.disk import replace_file
    from evals.importers.exporters import exported
    from evals.loading.casefile import find_case_files, read_cases

    root = Path.cwd()
    cases = or_exit(lambda: read_cases(find_case_files(places or configured_cases(root)), root))
    result = or_exit(lambda: exported(form, cases))
    for line in result.listed[:_SHOWN]:
        print(f"note: {line}")
    if len(result.listed) > _SHOWN:
        print(f"note: and {len(result.listed) - _SHOWN} more")
    for name, text in result.files.items():
        path = to / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            sys.exit(str(error))
        or_exit(lambda path=path, text=text: replace_file(path, text))  # type: ignore[misc]
    print(f"{result.count} of {len(cases)} cases in {len(result.files)} files below {to}")


def export_bfcl(cases: _Cases = None, to: _Folder = Path("bfcl")) -> None:
    """Cases as BFCL's rows; those that it cannot say are listed."""
    _export("bfcl", cases, to)


def export_promptfoo(cases: _Cases = None, to: _Folder = Path("promptfoo")) -> None:
    """Cases as a promptfoo configuration."""
    _export("promptfoo", cases, to)
