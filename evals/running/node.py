"""A replica of a run on a node of a Ray cluster: the profile opened there, asked from elsewhere."""

import contextlib
import queue
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals import __version__
from evals.config import Config, cache_folder
from evals.engines.memory import PeakMemory
from evals.report.summary import ProfileServed, ServerDeath
from evals.results import Record
from evals.running.fingerprint import graders_digest, served_by
from evals.running.life import Life
from evals.running.packages import installed_versions
from evals.running.profile import open_profile
from evals.running.replica import Replica
from evals.running.runner import Group

_LONGEST_LOG = 1_000_000


@dataclass(frozen=True)
class Greeting:
    """What a replica is that has been opened on its node."""

    host: str
    served: ProfileServed
    evals: str
    graders: str
    versions: Mapping[str, str]
    said: tuple[str, ...]


@dataclass(frozen=True)
class Farewell:
    """What a replica leaves: peak memory of its server, and the files of its folder by name."""

    peak_bytes: int | None
    files: Mapping[str, bytes]


class Place:
    """On a node: the profile, opened there. As a Ray actor it is asked by several threads."""

    def __init__(self, profile: str, config: Config, lanes: Sequence[str], in_flight: int) -> None:
        self._profile, self._config, self._lanes = profile, config, lanes
        self._in_flight = in_flight
        self._stack = contextlib.ExitStack()
        self._deaths: queue.SimpleQueue[ServerDeath] = queue.SimpleQueue()
        self._memory: PeakMemory | None = None

    def open(self) -> Greeting:
        """Boot or attach; takes as long as that takes.

        Raises:
            EvalsError: the model, server or configuration is not usable on this node.
        """
        said: list[str] = []
        made = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="evals-"))
        self._folder = Path(made)
        opening = open_profile(
            self._profile, self._config, self._lanes, self._folder, cache_folder(), said.append
        )
        opened = self._stack.enter_context(opening)
        if opened.server and (process := opened.server.process):
            self._memory = PeakMemory(lambda: process.pid)
        life = Life(
            opened,
            timeout=self._config.timeout,
            in_flight=self._in_flight,
            note=self._deaths.put,
        )
        self._replica = Replica(opened, life)
        return Greeting(
            host=socket.gethostname(),
            served=served_by(opened),
            evals=__version__,
            graders=graders_digest(),
            versions=installed_versions(),
            said=tuple(said),
        )

    def ask(self, group: Group) -> Iterator[Record | ServerDeath]:
        """Each record the moment it is there, and again if it changed; deaths of the server.

        Raises:
            ServerError: the server is down for good.
        """
        found: queue.SimpleQueue[Record | Exception | None] = queue.SimpleQueue()

        def work() -> None:
            try:
                self._replica.ask(group, found.put)
                found.put(None)
            except Exception as error:
                found.put(error)

        threading.Thread(target=work, name="ask", daemon=True).start()
        while isinstance(item := found.get(), Record):
            yield item
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._deaths.get_nowait()
        if item is not None:
            raise item

    def close(self) -> Farewell:
        """End the server; questions in flight end with it."""
        self._replica.close()
        peak = self._memory.bytes if self._memory else None
        files = {path.name: path.read_bytes() for path in self._folder.glob("*.jsonl")}
        for log in self._folder.glob("*.log"):
            files[log.name] = log.read_bytes()[-_LONGEST_LOG:]
        self._stack.close()
        return Farewell(peak, files)
