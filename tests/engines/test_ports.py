"""What this user may not look at: macOS refuses the connections of a process now and then."""

import os
import socket

import psutil
import pytest

from evals.engines import ports


@pytest.fixture
def listening():
    with socket.socket() as listener:
        listener.bind((ports.HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


def refuse(process, kind="tcp"):
    raise psutil.AccessDenied(process.pid)


def gone(process, kind="tcp"):
    raise psutil.NoSuchProcess(process.pid)


def test_a_process_listens_or_does_not(listening):
    assert ports.listens(os.getpid(), listening) is True
    assert ports.listens(os.getpid(), ports.free_port()) is False


def test_what_may_not_be_looked_at_is_unknown(listening, monkeypatch):
    monkeypatch.setattr(psutil.Process, "net_connections", refuse)
    assert ports.listens(os.getpid(), listening) is None


def test_a_process_that_is_gone_listens_nowhere(listening, monkeypatch):
    monkeypatch.setattr(psutil.Process, "net_connections", gone)
    assert ports.listens(os.getpid(), listening) is False


def test_a_process_whose_children_are_hidden_is_unknown(listening, monkeypatch):
    monkeypatch.setattr(psutil.Process, "children", lambda self, recursive: refuse(self))
    assert ports.listens(os.getpid(), listening) is None


def test_the_holder_of_a_port_that_nobody_shows_is_a_program_of_another_user(
    listening, monkeypatch
):
    monkeypatch.setattr(psutil.Process, "net_connections", refuse)
    with pytest.raises(Exception, match="taken by a program of another user"):
        ports.check_free(listening)
