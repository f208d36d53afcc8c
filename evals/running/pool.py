"""Threads that ask, and that nobody waits for: the process ends while they hang in a question.

The standard library's pool joins its threads when the interpreter ends, so that Ctrl-C would wait
for a server that says nothing until each question's timeout.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Pool:
    """Runs what is submitted in `threads` daemon threads, in order."""

    def __init__(self, threads: int) -> None:
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]
        self._work = queue.SimpleQueue()
        self._threads = threads
        for number in range(threads):
            threading.Thread(target=self._run, name=f"ask-{number}", daemon=True).start()

    def submit(self, function: Callable[[], T]) -> "Future[T]":
        """The future result of `function`, or the exception that it raises."""
        future: Future[T] = Future()
        self._work.put((future, function))
        return future

    def close(self) -> None:
        """Cancel what has not begun; what has is not waited for."""
        while True:
            try:
                waiting = self._work.get_nowait()
            except queue.Empty:
                break
            if waiting is not None:
                waiting[0].cancel()
        for _ in range(self._threads):
            self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            future, function = work
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:  # the future's owner gets it
                future.set_exception(error)
            del future, function, work
