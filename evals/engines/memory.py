"""The most memory that a server's process had, with those that it started."""

import threading
from collections.abc import Callable
from pathlib import Path

import psutil

_EVERY = 0.5
_KEPT = Path("/proc/self/status")


class PeakMemory:
    """Watches the process that `pid` names until `close`; `bytes` is the most that was resident.

    A process that was started again is another one; one that died before anybody looked is not
    counted. Linux keeps the most of each process, which is read at the end. Elsewhere it is looked
    at twice a second, and a peak between two looks is not seen.
    """

    def __init__(self, pid: Callable[[], int | None]) -> None:
        self._pid = pid
        self._most: int | None = None
        self._ended = threading.Event()
        if not _KEPT.exists():
            threading.Thread(target=self._watch, name="memory", daemon=True).start()

    @property
    def bytes(self) -> int | None:
        """The peak in bytes; None where no process could be looked at."""
        self.look()
        return self._most

    def close(self) -> None:
        """Watch no more."""
        self._ended.set()

    def look(self) -> None:
        """Take the process as it is now into account."""
        pid = self._pid()
        if pid is not None and (now := resident(pid)) is not None:
            self._most = max(self._most or 0, now)

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY):
            self.look()


def resident(pid: int) -> int | None:
    """Bytes of the process and its children: each one's peak on Linux, else those of now.

    None: there is no such process, or it is not ours to see.
    """
    try:
        process = psutil.Process(pid)
        return sum(map(_bytes, [process, *process.children(recursive=True)]))
    except psutil.Error:
        return None


def _bytes(process: psutil.Process) -> int:
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return int(process.memory_info().rss)
    peak = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return int(peak) * 1024 if peak else 0
