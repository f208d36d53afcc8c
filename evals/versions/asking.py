"""What is asked of every version: a part of the suite, or a command of one's own."""

import hashlib
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.config import Config
from evals.running.fingerprint import graders_digest
from evals.running.options import profile_names
from evals.versions.overlay import Overlay, installed_here

ASK_SECONDS = 30.0


@dataclass(frozen=True)
class Asking:
    """What is asked, and how long one version may take.

    `chosen` are options of `evals run` that say what is asked, `limits` those that say how long it
    may take; `command` takes the place of the suite. `limit` is the longest for one version, in
    seconds. `content` is a digest of what else an answer depends on, such as the case files.
    """

    chosen: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    command: str | None = None
    limit: float = 600.0
    content: str = ""

    def digest(self, found: Overlay) -> str:
        """Names what is asked and of what: the same always gives the same folder."""
        packages = sorted({**installed_here(), **found.differs}.items())
        parts = [self.chosen, self.command, self.content, packages]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]

    def shown(self, overlay: str, text: str) -> str:
        """The command that shows one text beside the packages of one version."""
        if self.command is not None:
            return f"PYTHONPATH={overlay} {self.command}"
        path, _, name = text.partition("[")[0].partition("::")
        options = self.chosen if "-k" in self.chosen else (*self.chosen, "-k", name, path)
        return f"PYTHONPATH={overlay} evals run {shlex.join(options)} -v"


def suite(
    options: Sequence[str],
    profiles: str,
    config: Config,
    folders: Sequence[Path],
    *,
    limit: float,
    boot_seconds: float,
) -> Asking:
    """The cases that `options` choose in `profiles`; scripts are played by the copying model.

    It is computed, and is loaded by every release: the model with code is not.

    Raises:
        ConfigError: there is no such profile.
    """
    names = profile_names({"profiles": profiles}, config)
    copying = all(config.target(name).replays for name in names) and "--model" not in options
    chosen = ("--profiles", profiles, *(("--model", "copy") if copying else ()), *options)
    limits = ("--boot-timeout", f"{boot_seconds:g}", "--ask-timeout", f"{ASK_SECONDS:g}")
    return Asking(chosen, limits, None, limit, _digest(folders))


def replayed(config: Config) -> list[str]:
    """The implied profiles of mlx_lm whose texts are replayed, one for each call format."""
    return sorted(config.implied - config.by_name_alone)


def own(command: str, limit: float) -> Asking:
    """A command of one's own: exit code 0 is good, 125 tells nothing, any other is bad."""
    return Asking(command=command, limit=limit)


def _digest(folders: Sequence[Path]) -> str:
    whole = hashlib.sha256(graders_digest().encode())
    for path in _files(folders):
        whole.update(f"{path}\0".encode() + path.read_bytes())
    return whole.hexdigest()[:16]


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in folder.rglob("*.y*ml") if path.is_file())
