"""Asynchronous libraries, called from plain code."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """The outcome of `work`, by a loop of its own thread: the caller's may have one that runs.

    A daemon, where the thread of a pool would keep a process that ends until the outcome is there.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(asyncio.run(work))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name="loop", daemon=True).start()
    return outcome.result()
