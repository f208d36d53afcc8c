"""Where a project's configuration of evals is: quick to ask, for nothing is read for it."""

from collections.abc import Iterable
from pathlib import Path

CASES_INI = "evals_cases"
"""The folders of case files, where pytest's own settings name them."""


def has_config(folder: Path) -> bool:
    """Whether `folder` has a configuration of evals, right or wrong."""
    if (folder / "evals.toml").is_file():
        return True
    path = folder / "pyproject.toml"
    return path.is_file() and b"[tool.evals" in path.read_bytes()


def configured_root(root: Path, starts: Iterable[Path]) -> Path | None:
    """`root` if it has a configuration, else the nearest folder at or above `starts` that has."""
    above = (folder for start in starts for folder in (start, *start.parents))
    return next((folder for folder in (root, *above) if has_config(folder)), None)
