"""Regular expressions of case files and schemas, searched within a time limit.

A pattern such as `^(a|a)*$` takes longer than the world lasts on sixty letters, and what it is
searched in is what a model wrote. The engine is `regex`, which reads what `re` reads and can stop.
"""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar

import regex

SECONDS = 2.0
"""For all the patterns that one answer is judged by."""

PatternError: type[Exception] = regex.error
"""What `search` and `check` raise for what is not a pattern."""

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


class PatternTimeout(Exception):  # noqa: N818 (the pattern is at fault, and its file is named)
    """A pattern took too long; `pattern` is it."""

    def __init__(self, pattern: str) -> None:
        super().__init__(f"the pattern {pattern!r} takes longer than {SECONDS:g} s")
        self.pattern = pattern


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """All searches within take at most `SECONDS` together."""
    token = _deadline.set(time.monotonic() + SECONDS)
    try:
        yield
    finally:
        _deadline.reset(token)


def search(pattern: str, text: str) -> int | None:
    """Where the first place in `text` that the pattern fits ends; None without one.

    Raises:
        PatternTimeout: it took too long.
        PatternError: it is not a pattern.
    """
    end = _deadline.get()
    left = SECONDS if end is None else end - time.monotonic()
    try:
        # Of no time left the engine would make no limit.
        found = regex.search(pattern, text, timeout=max(left, 0.001), concurrent=True)
    except TimeoutError:
        raise PatternTimeout(pattern) from None
    return None if found is None else found.end()


def check(pattern: str) -> None:
    """Nothing, if it is a pattern.

    Raises:
        PatternError: it is not.
    """
    regex.compile(pattern)
