"""pytest within pytest: a run of a project in this process, with a test's hooks as its plugin."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Ran:
    """What a run came to; `summary` is what lies in its folder then, None if there is none."""

    code: int
    output: str
    summary: Any


def runner(url: str, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs pytest in the working directory, attached to the server at `url`."""

    def run(
        *options: str, places: tuple[str, ...] = ("cases",), folder: str = "run", **hooks: Any
    ) -> Ran:
        capfd.readouterr()
        plugin = type("Plugin", (), {name: staticmethod(hook) for name, hook in hooks.items()})()
        where = () if "--resume" in options else ("--run-dir", folder)
        given = ("--attach", url, *where, "-p", "no:cacheprovider")
        code = pytest.main([*places, *given, *options], plugins=[plugin])
        told = capfd.readouterr()
        summary = Path(folder, "summary.json")
        read = json.loads(summary.read_text()) if summary.exists() else None
        return Ran(int(code), told.out + told.err, read)

    return run
