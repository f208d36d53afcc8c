"""Files that are whole or as they were: a line at the end of one, another in its place."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def append_line(path: Path, line: str) -> range:
    """Put `line` at the end of the file at `path`, whole or not at all; makes the file.

    It has left this process when this returns: whatever ends the process, the line is there, at
    these bytes of the file.

    Raises:
        OSError: it cannot be written; what was in the file is as it was.
    """
    with _APPENDING:
        return _append(path, f"{line}\n".encode())


_APPENDING = threading.Lock()
"""What one thread takes back must not be what another has written."""


def _append(path: Path, line: bytes) -> range:
    rest = memoryview(line)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        end = os.fstat(file).st_size
        try:
            while rest:
                rest = rest[os.write(file, rest) :]
        except BaseException as error:
            os.ftruncate(file, end)  # a full disk takes the first half of a line, and no more
            if isinstance(error, OSError):
                error.filename = str(path)
            raise
    finally:
        os.close(file)
    return range(end, end + len(line))


def replace_file(path: Path, text: str, errors: str = "strict") -> None:
    """Write `text` as the whole file at `path`, in one step; `errors` as of `str.encode`.

    Raises:
        OSError: as `replacing`.
    """
    with replacing(path) as file:
        file.write(text.encode("utf-8", errors))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """What is written to the file that this yields takes the place of that at `path`, in one step.

    Whoever reads it, and whatever ends this process, finds the old file or the new one: what is
    written beside it takes its place when it is on the disk.

    Raises:
        OSError: it cannot be written; the old file is as it was, as after any other error.
    """
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)
        raise
