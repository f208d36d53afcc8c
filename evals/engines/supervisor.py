"""Run one command and leave none of it behind, however the run that wanted it ends.

`python supervisor.py PARENT_PID COMMAND…` starts COMMAND in a process group of its own and ends
that group when standard input closes or the parent is gone: the kernel sees to both, even after
`kill -9` of the parent. SIGTERM goes first, SIGKILL follows after `GRACE` seconds.

It writes `pid N` when the command has started and `exit STATUS` when it has ended (negative: the
signal), a line each, to standard output. The command writes to standard error, the log.

Being the command's own parent, it can never hit a stranger that got a reused pid. It imports
nothing but the standard library and is started by path, so that it is there in milliseconds.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

GRACE = 1.5
_POLL = 0.1


def main(parent: int, command: list[str]) -> None:
    """Start `command`, wait until it ends or the parent does, and report both to the parent."""
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    # Ctrl-C is the parent's to handle. A handler is undone by exec, SIG_IGN would be inherited.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        child = subprocess.Popen(
            # Never written to: `mlx.launch` reads on and on where its input has ended.
            command,
            stdin=subprocess.PIPE,
            stdout=2,
            stderr=2,
            start_new_session=True,
        )
    except OSError as error:
        print(f"cannot start {command[0]}: {error}", file=sys.stderr, flush=True)
        _tell("exit 127")
        return
    try:
        _tell(f"pid {child.pid}")
        while child.poll() is None and not stopping and not _parent_is_gone(parent):
            pass
    finally:
        _end(child)
        _tell(f"exit {child.returncode}")


def _parent_is_gone(parent: int) -> bool:
    readable, _, _ = select.select([0], [], [], _POLL)
    # A parent that forked leaves the pipe open in its child, so its pid counts as well.
    return (bool(readable) and not os.read(0, 1024)) or os.getppid() != parent


def _end(child: "subprocess.Popen[bytes]") -> None:
    _signal_group(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()


def _signal_group(group: int, number: int) -> None:
    # macOS says EPERM, not ESRCH, of a group in which only zombies are left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _tell(line: str) -> None:
    with contextlib.suppress(OSError):  # the parent may be gone: nobody to tell
        os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
