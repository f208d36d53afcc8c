"""Ports of this machine: a free one, who has a taken one, and whether a process listens on one."""

import errno
import socket

import psutil

from evals.errors import ServerError

HOST = "127.0.0.1"


def free_port() -> int:
    """A port that nobody listens on at this moment; another program may take it any time."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def check_free(port: int) -> None:
    """Make sure that a server can listen on `port` of 127.0.0.1.

    Raises:
        ServerError: a program listens there (named where this user may know), or no permission.
    """
    if answers(port):
        raise ServerError(
            f"port {port} on {HOST} is taken by {_holder(port)}; choose another with --port or "
            "stop it"
        )
    with socket.socket() as probe:
        # As the server itself does: else connections that have just ended would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            why = (
                f"taken by {_holder(port)}"
                if error.errno == errno.EADDRINUSE
                else f"cannot bind: {error.strerror}"
            )
            raise ServerError(
                f"port {port} on {HOST} is {why}; choose another with --port or stop it"
            ) from error


def answers(port: int) -> bool:
    """Whether something accepts connections on `port` of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def listens(pid: int, port: int) -> bool | None:
    """Whether the process, or one that it started, listens on `port`; None if that is unknown.

    macOS at times refuses to show the connections of a process, even of one's own in another
    session: what may not be looked at says neither yes nor no.
    """
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.AccessDenied:
        return None
    except psutil.Error:
        return False
    seen = [_listening(member) for member in family]
    if any(port in ports for ports in seen if ports is not None):
        return True
    return None if None in seen else False


def _listening(process: psutil.Process) -> set[int] | None:
    """The ports that a process listens on; None where this user may not know."""
    try:
        connections = process.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    except psutil.Error:
        return set()
    return {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN and c.laddr}


def _holder(port: int) -> str:
    for process in psutil.process_iter():
        if port in (_listening(process) or ()):
            try:
                return f"pid {process.pid} ({process.name()})"
            except psutil.Error:
                break
    return "a program of another user"
