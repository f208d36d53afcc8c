"""Environments of their own for engines whose packages do not go together with this suite's.

`evals engine install NAME` makes one in the cache, with pinned packages; whatever boots the engine
finds it there.
"""

import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from evals.engines.engine import Engine
from evals.engines.uv import CannotInstallError, uv
from evals.errors import ServerError
from evals.models.cache import build_once


def home_of(engine: Engine, cache: Path) -> Path | None:
    """The engine's environment in the cache; None where it was not installed."""
    folder = _folder(engine, cache)
    return folder if (folder / _MARK).exists() else None


def installed(engine: Engine, cache: Path) -> str | None:
    """The version that would be booted: of its own environment, else of this one; None: neither."""
    home = home_of(engine, cache)
    if home is None:
        return engine.version()
    first = re.split(r"[^A-Za-z0-9._-]", engine.pins[0], maxsplit=1)[0]
    before = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    folders = [*before, *map(str, (home / "lib").glob("python*/site-packages"))]
    found = importlib.metadata.distributions(name=first, path=folders)
    return next((package.version for package in found), None)


def install(engine: Engine, cache: Path, say: Callable[[str], None]) -> Path:
    """Make the engine's environment, with the packages that its value pins; it takes minutes.

    One that has them already is left as it is.

    Raises:
        ServerError: it has no pins, or they cannot be installed.
        HarnessError: the index does not answer, or the disk is full.
        ConfigError: uv is not installed.
    """
    if not engine.pins:
        raise ServerError(
            f"{engine.name} is not installed by this suite: {engine.install or 'see its makers'}"
        )
    wanted = "\n".join((*engine.pins, *engine.overrides)) + "\n"
    folder = _folder(engine, cache)
    if (folder / _MARK).exists() and (folder / _MARK).read_text(encoding="utf-8") == wanted:
        say(f"{engine.title}: {folder} has {', '.join(engine.pins)}")
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    say(f"{engine.title}: {', '.join(engine.pins)} into {folder}")
    try:
        return build_once(folder, lambda partial: _fill(partial, engine, wanted))
    except CannotInstallError as error:
        raise ServerError(f"{engine.title} cannot be installed: {error}") from error


def _fill(folder: Path, engine: Engine, wanted: str) -> None:
    """An environment whose programs may be moved, as it is when it is complete."""
    uv("venv", "--relocatable", "--python", sys.executable, str(folder), seconds=_SECONDS)
    python = str(folder / "bin" / "python")
    with tempfile.TemporaryDirectory() as place:
        flags: list[str] = []
        lists = {"--overrides": engine.overrides, "--excludes": engine.unwanted}
        for flag, packages in lists.items():
            if packages:
                file = Path(place) / f"{flag.strip('-')}.txt"
                file.write_text("\n".join(packages) + "\n", encoding="utf-8")
                flags += [flag, str(file)]
        uv("pip", "install", "--python", python, *flags, *engine.pins, seconds=_SECONDS)
    (folder / _MARK).write_text(wanted, encoding="utf-8")


_SECONDS = 1800.0
_MARK = "installed.txt"


def _folder(engine: Engine, cache: Path) -> Path:
    return cache / "engines" / engine.name
