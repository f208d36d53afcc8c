"""Environments of their own for engines whose packages do not go together with this suite's.

`evals engine install NAME` makes one in the cache, with pinned packages; whatever boots the engine
finds it there.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from evals.engines.engine import Engine
from evals.errors import ServerError

_LAST_LINES = 12


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
    """
    if not engine.pins:
        raise ServerError(
            f"{engine.name} is not installed by this suite: {engine.install or 'see its makers'}"
        )
    folder, wanted = _folder(engine, cache), "\n".join(engine.pins) + "\n"
    if (folder / _MARK).exists() and (folder / _MARK).read_text(encoding="utf-8") == wanted:
        say(f"{engine.title}: {folder} has {', '.join(engine.pins)}")
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    say(f"{engine.title}: {', '.join(engine.pins)} into {folder}")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    _run([*pip, "install", "--quiet", *engine.pins])
    if engine.unwanted:
        _run([*pip, "uninstall", "--quiet", "--yes", *engine.unwanted])
    (folder / _MARK).write_text(wanted, encoding="utf-8")
    return folder


_MARK = "installed.txt"


def _folder(engine: Engine, cache: Path) -> Path:
    return cache / "engines" / engine.name


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-_LAST_LINES:])
        raise ServerError(f"`{' '.join(command)}` failed with exit code {done.returncode}:\n{tail}")
