"""What commands share: where things lie, how an error ends one, names that a slow module knows."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from evals.errors import ConfigError, EvalsError, cannot_write, unknown_name

CASES = Path("cases")
LATEST = Path("reports/latest")
T = TypeVar("T")

RunFolder = Annotated[Path, typer.Argument(help="run folder")]
Against = Annotated[Path | None, typer.Option("--compare", help="run folder or baseline file")]
Check = Annotated[bool, typer.Option("--check", help="only tell whether it is current")]
AllowMismatch = Annotated[
    bool, typer.Option("--allow-mismatch", help="compare other suites or graders, too")
]
Unlike = Annotated[bool, typer.Option("--unlike", hidden=True)]
"""The old name of `--allow-mismatch`."""


@dataclass(frozen=True)
class OneOf:
    """Reads an option that is one of the names that `names` gives; asked only when it is given."""

    what: str
    names: Callable[[], Sequence[str]]

    def __call__(self, text: str) -> str:
        """`text`, if it is one of the names.

        Raises:
            typer.BadParameter: it is none of them.
        """
        names = self.names()
        if text not in names:
            raise typer.BadParameter(unknown_name(self.what, text, names))
        return text


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


def or_exit(work: Callable[[], T]) -> T:
    """What `work` gives; an error of ours, or of the disk, ends the command with exit code 1."""
    try:
        return work()
    except EvalsError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(cannot_write(error))


def configured_cases(root: Path) -> list[Path]:
    """The folders of case files that the configuration in `root` names, as seen from there.

    Raises:
        ConfigError: one of them is not a folder, or the configuration is not usable.
    """
    from evals.config import read_config
    from evals.running.places import case_folders

    folders = case_folders(read_config(root), root)
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(
                f"{folder} is not a folder; run this in the root of a project, or name the "
                "folders of case files in its configuration: cases = ['evals/cases']"
            )
    return [Path(os.path.relpath(folder, root)) for folder in folders]


def write_or_check(path: Path, text: str, *, check: bool, stale: str) -> None:
    """Write a generated file; with `check` only end with `stale` if the file is another one."""
    current = path.exists() and path.read_text(encoding="utf-8") == text
    if check and not current:
        sys.exit(stale)
    if not check:
        if not path.parent.is_dir():
            sys.exit(f"{path.parent} is not a folder; run this in the root of a project")
        from evals.disk import replace_file

        or_exit(lambda: replace_file(path, text))
