"""One version, asked: a run of its own with the packages of that version in front.

What came of it is kept beside its records, so that a search that was stopped goes on from there.
"""

import contextlib
import datetime
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from evals.disk import replace_file
from evals.engines.uv import CannotInstallError
from evals.errors import HarnessError
from evals.report.conformance import Cell, cell_of
from evals.report.summarize import group
from evals.report.summary_file import SUMMARY
from evals.results import RECORDS, Record
from evals.stored import read_records
from evals.versions.asking import Asking
from evals.versions.overlay import Overlay, overlay

STEP, LOG = "step.json", "output.txt"
_GRACE = 15.0
_FULL = "No space left"
_ACCESS = re.compile(r'"(GET|POST) /')
"""A server's line about a request: it says nothing of why it did not start."""
_SKIP = 125
"""The exit code by which a command says that it can tell nothing, as git bisect has it."""


@dataclass(frozen=True)
class Step:
    """What came of one version: a cell for each text, or `ended`, why it could not be asked.

    `differs` are the packages that are other ones than here; `layers` who is to blame for what is
    wrong; `seconds` includes the installation.
    """

    pins: Mapping[str, str]
    cells: Mapping[str, Cell]
    ended: str = ""
    differs: Mapping[str, str] | None = None
    layers: Mapping[str, str] | None = None
    seconds: float = 0.0
    overlay: str = ""
    folder: str = ""

    @property
    def name(self) -> str:
        """`mlx-lm 0.32.0`, and the second package behind it."""
        return ", ".join(f"{package} {version}" for package, version in self.pins.items())

    @property
    def outcomes(self) -> Mapping[str, tuple[str, str]] | None:
        """What the search compares; None of a version that could not be asked."""
        if self.ended:
            return None
        return {text: (cell.outcome, cell.came) for text, cell in self.cells.items()}

    @property
    def beside(self) -> str:
        """The other packages of this version that are not those of here."""
        others = sorted((self.differs or {}).items())
        return ", ".join(f"{name} {version}" for name, version in others if name not in self.pins)

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The step that `to_json` wrote."""
        data = json.loads(text)
        return cls(
            **{**data, "cells": {text: Cell(**cell) for text, cell in data["cells"].items()}}
        )


def ask_version(
    pins: Mapping[str, str],
    day: datetime.date | None,
    asking: Asking,
    place: Path,
    cache: Path,
    say: Callable[[str], None] = print,
) -> Step:
    """Ask this version; one that does not start beside the packages of here, beside those of `day`.

    Raises:
        HarnessError: the package index or the disk is at fault, and no version.
        KeyboardInterrupt: as it came; the run of this version is ended, and its answers are kept.
    """
    tried: list[Step] = []
    for of_day in (None, day) if day else (None,):
        start = datetime.datetime.now()
        try:
            found = overlay(pins, cache, of_day)
        except CannotInstallError as error:
            tried.append(Step(pins, {}, f"cannot be installed: {error}"))
            continue
        if any(step.overlay == str(found.folder) for step in tried):
            break
        step = _ask(pins, found, asking, place)
        if not step.seconds:
            step = _kept(step, (datetime.datetime.now() - start).total_seconds())
        tried.append(step)
        if not step.ended:
            break
    last = tried[-1]
    beside = f" (beside {last.beside})" if last.beside else ""
    say(f"  {last.name}{beside}: {last.ended or _counted(last)}; {last.seconds:.0f} s")
    return last


def _counted(step: Step) -> str:
    right = sum(cell.outcome == "right" for cell in step.cells.values())
    return f"{right} of {len(step.cells)} right"


def _kept(step: Step, seconds: float) -> Step:
    step = replace(step, seconds=round(seconds, 1))
    replace_file(Path(step.folder) / STEP, step.to_json())
    return step


def _ask(pins: Mapping[str, str], found: Overlay, asking: Asking, place: Path) -> Step:
    name = "-".join(f"{package}-{version}" for package, version in pins.items())
    folder = place / f"{name}-{asking.digest(found)}"
    if (folder / STEP).exists():
        return Step.from_json((folder / STEP).read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    step = Step(pins, {}, "", found.differs, {}, 0.0, str(found.folder), str(folder))
    if asking.command is not None:
        code = _run(["sh", "-c", asking.command], found, asking.limit, folder)
        return _of_command(step, code, folder)
    run = folder / "run"
    where = ["--resume" if (run / RECORDS).exists() else "--run-dir", str(run)]
    command = [sys.executable, "-m", "evals", "run", *where, *asking.chosen, *asking.limits]
    code = _run(command, found, asking.limit, folder)
    if code is None:
        return replace(step, ended=f"did not end within {asking.limit:g} s")
    if code not in (0, 1) or not (run / SUMMARY).exists():
        why = _reason(folder) or f"ended with exit code {code}"
        if _FULL in why:
            raise HarnessError(f"{step.name}: {why}; the same command goes on from here")
        return replace(step, ended=why)
    return _of_records(step, run)


def _of_command(step: Step, code: int | None, folder: Path) -> Step:
    if code is None:
        return replace(step, ended="did not end within its limit")
    if code == _SKIP:
        return replace(step, ended=f"the command says so, by exit code {_SKIP}")
    came = "" if code == 0 else f"exit code {code}: {_last_line(folder)}"
    return replace(step, cells={"command": Cell("wrong" if code else "right", came)})


def _of_records(step: Step, folder: Path) -> Step:
    records = list(read_records(folder / RECORDS))
    profiles = {record.profile for record in records}
    cells, layers = {}, {}

    def text_of(record: Record) -> str:
        one = len(profiles) == 1
        return record.case.node if one else f"{record.case.node}[{record.profile}]"

    for text, lanes in group(records, text_of).items():
        cells[text] = by_what_came(cell_of([by_its_script(record) for record in lanes]))
        blamed = next((record.cause.layer for record in lanes if record.cause), None)
        if blamed:
            layers[text] = str(blamed)
    if not cells:
        return replace(step, ended="no case was asked; see the selection")
    if all(cell.outcome == "no answer" for cell in cells.values()):
        return replace(step, ended=f"answers nothing: {next(iter(cells.values())).came}")
    return replace(step, cells=dict(sorted(cells.items())), layers=layers)


def by_its_script(record: Record) -> Record:
    """The record without what its ids alone say, where they are not those of the script.

    Releases differ in what ids they return: mlx-lm up to 0.31.2 leaves those of tags out.
    """
    if not any(verdict.check == "script" and verdict.reason for verdict in record.verdicts):
        return record
    return replace(record, verdicts=tuple(v for v in record.verdicts if v.check != "faithful"))


def by_what_came(cell: Cell) -> Cell:
    """Whether ids left the script says nothing of a version: right is what is as expected."""
    if cell.outcome != "changed":
        return cell
    return Cell("wrong" if cell.came else "right", cell.came)


def _run(command: Sequence[str], found: Overlay, limit: float, folder: Path) -> int | None:
    """The exit code; None for a command that was ended at its limit."""
    try:
        with (folder / LOG).open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=found.environment(os.environ),
                start_new_session=True,
            )
    except OSError as error:
        raise HarnessError(f"{command[0]} cannot be started: {error}") from error
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Nothing of it is left: Ctrl-C first, at which a run saves what it has."""
    for number, seconds in ((signal.SIGINT, _GRACE), (signal.SIGKILL, None)):
        if process.poll() is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _reason(folder: Path) -> str:
    """Why the run did not come to its end: pytest's own line, and the server's last one."""
    lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    first = next((i for i, line in enumerate(lines) if "_pytest.outcomes.Exit: " in line), None)
    if first is None:
        return lines[-1][:300] if lines else ""
    said = lines[first].partition("Exit: ")[2].partition("; the last lines of")[0]
    told = (line for line in lines[first + 1 :] if line and not _ACCESS.search(line))
    last = [line for line in told if not line.startswith("what was answered")]
    return f"{said}: {last[-1][:300]}" if last else said


def _last_line(folder: Path) -> str:
    lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "")[:240]
