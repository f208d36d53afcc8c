"""Folders that are made once: each is complete under its name, or not there."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def build_once(
    folder: Path, build: Callable[[Path], None], announce: Callable[[], None] = lambda: None
) -> Path:
    """`folder`; if it is not there, `announce` says so and `build` fills a new one for it.

    `build` gets the path of a folder that does not exist yet, and its parent does. If it fails,
    nothing is left behind; what a process that was killed has left is cleared. If two processes
    build the same folder at once, the first one's stays.

    Raises:
        OSError: the folder cannot be written; and whatever `build` raises.
    """
    if folder.exists():
        return folder
    announce()
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    partial.parent.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(folder)
    try:
        build(partial)
        partial.rename(folder)
    except OSError:
        if not folder.exists():  # else another process was faster
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _clear_abandoned(folder: Path) -> None:
    """Remove the partial copies of `folder` whose builders are no longer running, or are we."""
    for partial in folder.parent.glob(f"{folder.name}.partial-*"):
        builder = partial.suffix.rpartition("-")[2]
        if not builder.isdecimal() or int(builder) == os.getpid() or not _runs(int(builder)):
            shutil.rmtree(partial, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's
    return True
