"""The project whose cases pytest was asked for: its root, its case folders, and what was named."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from evals.config import read_config
from evals.errors import ConfigError
from evals.root import CASES_INI, configured_root
from evals.running.places import case_folders, is_case_file, is_case_place


@dataclass(frozen=True)
class Project:
    """Folders and files; `root` is the folder of the configuration, and cases are named from it."""

    root: Path
    folders: tuple[Path, ...]
    """The configured folders of case files."""
    places: tuple[Path, ...]
    """The files and folders with cases among pytest's arguments."""

    def has_case_file(self, path: Path) -> bool:
        """Whether `path` is a case file of this project."""
        return is_case_file(path, self.folders)

    @property
    def named_whole(self) -> bool:
        """Whether all of the case folders are among pytest's arguments."""
        named = {place.resolve() for place in self.places}
        return named.issuperset(folder.resolve() for folder in self.folders)


def find_project(config: pytest.Config) -> Project:
    """The project that pytest's root and arguments tell of; it may have no cases among them.

    Raises:
        ConfigError: its configuration is not usable.
    """
    root = _root(config)
    named = tuple(_named(config))
    project = _project(config, root, named)
    if _ini_folders(config):
        return project
    others = {own for place in named if (own := configured_root(place, (place,)))} - {root}
    beside = [_project(config, other, named) for other in sorted(others)]
    asked = [one for one in (project, *beside) if one.places]
    if len({place for one in asked for place in one.places} - {*project.places}) and asked[1:]:
        roots = ", ".join(str(one.root) for one in asked)
        raise ConfigError(f"several projects have cases here: {roots}; run each for itself")
    return asked[0] if asked else project


def unasked_lines(config: pytest.Config) -> list[str]:
    """That the case folders are not among pytest's `testpaths`, where that is why none is asked."""
    if config.args_source != config.ArgsSource.TESTPATHS:
        return []
    root = _root(config)
    folders = _ini_folders(config) or case_folders(read_config(root), root)
    names = ", ".join(os.path.relpath(one, config.rootpath) for one in folders if one.is_dir())
    return [f"evals: no case is asked: add {names} to testpaths"] if names else []


def _project(config: pytest.Config, root: Path, named: Sequence[Path]) -> Project:
    """The project in `root`, as far as it is among the places that are named.

    Raises:
        ConfigError: its configuration names a folder that is not there.
    """
    settings = read_config(root)
    given = _ini_folders(config)
    folders = given or case_folders(settings, root)
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing and (given or "cases" in settings.model_fields_set):
        where = f"{CASES_INI} of pytest's settings" if given else f"the configuration in {root}"
        raise ConfigError(
            f"{', '.join(missing)} is not a folder; {where} names it as one of case files"
        )
    places = (place for one in named for place in _places(one, folders))
    return Project(root, tuple(folders), tuple(dict.fromkeys(places)))


def _ini_folders(config: pytest.Config) -> list[Path]:
    """The case folders that pytest's own settings name, if they do."""
    try:
        return [config.rootpath / name for name in config.getini(CASES_INI)]
    except ValueError:  # the plugin was named by a conftest.py, without the entry point
        return []


def _places(named: Path, folders: Sequence[Path]) -> list[Path]:
    """What an argument of pytest names of `folders`: a place in one, or those that lie below it."""
    if is_case_place(named, folders):
        return [named]
    return [folder for folder in folders if folder.is_dir() and is_case_place(folder, [named])]


def _root(config: pytest.Config) -> Path:
    """Pytest's root; the nearest folder with a configuration where that root has none.

    pytest puts its root above all paths on the command line, also above the value of an option
    such as `--run-dir`, and knows nothing of evals.toml.
    """
    found = configured_root(config.rootpath, (config.invocation_params.dir, *_named(config)))
    return found or config.rootpath


def _named(config: pytest.Config) -> Iterator[Path]:
    for argument in config.args:
        yield config.invocation_params.dir / argument.partition("::")[0]
