"""Whether the texts for upstream hold: each is repeated from its own words in an empty folder."""

import contextlib
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from evals.engines import ports
from evals.engines.engine import Engine
from evals.engines.environment import home_of
from evals.engines.mlx_lm import is_loading
from evals.errors import HarnessError
from evals.versions.upstream import PORT, said_in, same

_BLOCK = re.compile(r"^(`{3,})(\w+)\n(.*?)\n\1$", re.DOTALL | re.MULTILINE)
_SECONDS = 120.0


def repeat(
    paths: Sequence[Path], engine: Engine, cache: Path, say: Callable[[str], None] = print
) -> list[Path]:
    """Repeat each text about `engine`; those that do not hold are returned.

    Texts with one server share it. `cache` has the engine's own environment.

    Raises:
        HarnessError: a server does not start, or a text has not the blocks that it should have.
    """
    by_server: dict[str, list[tuple[Path, str, str]]] = {}
    for path in paths:
        shell, seen = blocks(path)
        by_server.setdefault(shell[0], []).append((path, shell[1], seen))
    failed = []
    for command, mine in by_server.items():
        with (
            tempfile.TemporaryDirectory() as empty,
            _served(command, engine, cache, Path(empty)) as port,
        ):
            for path, curl, seen in mine:
                line = curl.replace(f":{PORT}/", f":{port}/")
                done = subprocess.run(
                    ["sh", "-c", line], cwd=empty, capture_output=True, text=True, timeout=_SECONDS
                )
                came = said_in(done.stdout)
                holds = same(json.loads(seen), came)
                say(f"{path}: {'repeated' if holds else f'NOT REPEATED: {json.dumps(came)}'}")
                failed += [] if holds else [path]
    return failed


def blocks(path: Path) -> tuple[list[str], str]:
    """The two commands of a text, and what it says was seen.

    Raises:
        HarnessError: it has not the blocks that it should have.
    """
    found = _BLOCK.findall(path.read_text(encoding="utf-8"))
    shell = [text for _, language, text in found if language == "sh"]
    seen = [text for _, language, text in found if language == "json"]
    if len(shell) != 2 or len(seen) != 1:
        raise HarnessError(f"{path}: it should have two sh blocks and one json block")
    return shell, seen[0]


@contextlib.contextmanager
def _served(command: str, engine: Engine, cache: Path, folder: Path) -> Iterator[int]:
    """The port of the server that the text's own command starts, in an empty folder."""
    port = ports.free_port()
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["sh", "-c", command.replace(f"--port {PORT}", f"--port {port}")],
            cwd=folder,
            env={**os.environ, "PATH": _programs(engine, cache, Path(place))},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + max(_SECONDS, engine.boot_seconds)
            while not ports.answers(port) or is_loading(port, engine):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    tail = log.read()[-600:].decode(errors="replace")
                    raise HarnessError(f"`{command}` did not start a server:\n{tail}")
                time.sleep(0.1)
            yield port
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _programs(engine: Engine, cache: Path, place: Path) -> str:
    """Where a shell finds the engine's programs, and this suite's behind them.

    PyPI's xllamacpp is llama.cpp's server without its program: one in `place` stands for it.
    """
    home = home_of(engine, cache)
    folders = [place, *((home / "bin",) if home else ()), Path(sys.executable).parent]
    words = engine.argv("", 0, (), home)
    if engine.typed and engine.command and engine.typed[0] != engine.command[0]:
        start = shlex.join(itertools.takewhile(lambda word: word != "--model", words))
        program = place / engine.typed[0]
        program.write_text(f'#!/bin/sh\nexec {start} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    return os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
