"""A gate for threads: many may ask at once, or one alone."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Gate:
    """Whoever wants to be alone waits until those inside are out, and lets nobody in meanwhile."""

    _condition: threading.Condition = field(default_factory=threading.Condition)
    _inside: int = 0
    _alone: bool = False

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Be inside among others."""
        with self._condition:
            self._condition.wait_for(lambda: not self._alone)
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Be inside alone."""
        with self._condition:
            self._condition.wait_for(lambda: not self._alone)
            self._alone = True
            self._condition.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            with self._condition:
                self._alone = False
                self._condition.notify_all()
