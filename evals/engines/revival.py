"""A booted server that can die and be started again, at the same address."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from urllib.parse import urlsplit

from evals.engines.server import Server, exchange
from evals.errors import ServerError

Start = Callable[[int | None], AbstractContextManager[Server]]
"""Boots a server on this port, or on a free one; the server ends with the context."""
_PATIENCE = 5.0


class Revivable:
    """The process behind a booted server, as `engines.server.Process`."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._life = contextlib.ExitStack()
        self._server: Server | None = None
        self._closed = False
        self._busy = threading.RLock()

    def begin(self, port: int | None) -> Server:
        """Start it on `port`, or on a free one."""
        with self._busy:
            self._server = self._life.enter_context(self._start(port))
            if self._closed:  # meanwhile, by another thread that did not wait
                self._life.close()
            return self._server

    @property
    def pid(self) -> int | None:
        """The process that serves now: after a restart it is another."""
        return self._server.pid if self._server else None

    def how_ended(self) -> str | None:
        """How it died; a process that is there and says that it serves no more counts as dead."""
        assert self._server is not None
        parts = urlsplit(self._server.url)
        try:
            status, _ = exchange(f"{parts.scheme}://{parts.netloc}", "/health", _PATIENCE)
        except ServerError:
            # A process that was killed just now takes a moment to be gone.
            return self._server.ended(1.0) if self._server.ended else None
        return "stopped generating (/health says HTTP 503)" if status == 503 else None

    def restart(self) -> None:
        """End what is left of it, and start it again on the same port.

        Raises:
            EvalsError: it does not start, or the run has ended meanwhile.
        """
        assert self._server is not None
        with self._busy:
            self._life.close()
            if self._closed:
                raise ServerError("the run has ended")
            self.begin(urlsplit(self._server.url).port)

    def close(self) -> None:
        """End it for good. A start that is under way in another thread ends with this process."""
        self._closed = True
        if self._busy.acquire(blocking=False):
            try:
                self._life.close()
            finally:
                self._busy.release()


@contextlib.contextmanager
def revivable(start: Start, port: int | None) -> Iterator[Server]:
    """The server that `start` boots, with a `process` that can be started again.

    Raises:
        EvalsError: it does not start.
    """
    process = Revivable(start)
    try:
        yield replace(process.begin(port), process=process)
    finally:
        process.close()
