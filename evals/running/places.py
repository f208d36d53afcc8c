"""Where a project's case files are: the folders that its configuration names."""

from collections.abc import Iterable
from pathlib import Path

from evals.config import Config
from evals.lanes.lane import LANES
from evals.loading.casefile import TOOLS_FOLDER, KnownNames, is_yaml


def case_folders(config: Config, root: Path) -> list[Path]:
    """The configured folders of case files; `root` is the folder of the configuration."""
    return [root / name for name in config.cases]


def known_names(config: Config) -> KnownNames:
    """The profiles and lanes that a case may name under this configuration."""
    return KnownNames(tuple(config.profiles), tuple(lane.name for lane in LANES))


def is_case_place(place: Path, folders: Iterable[Path]) -> bool:
    """Whether `place` is one of `folders`, or below one of them, itself or by a link there."""
    resolved, written = place.resolve(), place.absolute()
    return any(
        resolved.is_relative_to(folder.resolve()) or written.is_relative_to(folder.absolute())
        for folder in folders
    )


def is_case_file(path: Path, folders: Iterable[Path]) -> bool:
    """Whether `path` names a file of cases: YAML in one of `folders`, and not one of tools."""
    return is_yaml(path) and path.parent.name != TOOLS_FOLDER and is_case_place(path, folders)
