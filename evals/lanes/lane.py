"""All lanes under one form, so that a runner can treat them alike."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from evals.case import Case
from evals.engines.server import Server
from evals.errors import ConfigError
from evals.lanes import agent, direct, server, stream
from evals.lanes.tokens import Decode
from evals.observation import Observation

Ask = Callable[[Case], Observation]
"""Asks one case. Never raises for what a model or server does; may be called from threads."""


@dataclass(frozen=True)
class Setup:
    """What lanes need. `server` is for all but `direct`; `model`, `cache`, `log` are for it alone.

    `timeout` is in seconds, for each question; `environment` is that of processes which a lane
    starts. With `decode`, the lane `server` has raw text.
    """

    timeout: float
    server: Server | None = None
    decode: Decode | None = None
    model: Path | str | None = None
    cache: Path | None = None
    log: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


Lane = Callable[[Setup], AbstractContextManager[Ask]]


def _server_of(setup: Setup, lane: str) -> Server:
    if setup.server is None:
        raise ConfigError(f"lane {lane} needs a server")
    return setup.server


@contextlib.contextmanager
def _server(setup: Setup) -> Iterator[Ask]:
    target = _server_of(setup, server.LANE)
    yield lambda case: server.ask(target, case, timeout=setup.timeout, decode=setup.decode)


@contextlib.contextmanager
def _stream(setup: Setup) -> Iterator[Ask]:
    target = _server_of(setup, stream.LANE)
    yield lambda case: stream.ask(target, case, timeout=setup.timeout)


@contextlib.contextmanager
def _agent(setup: Setup) -> Iterator[Ask]:
    target = _server_of(setup, agent.LANE)
    yield lambda case: agent.ask(target, case, timeout=setup.timeout)


@contextlib.contextmanager
def _direct(setup: Setup) -> Iterator[Ask]:
    if setup.model is None or setup.cache is None or setup.log is None:
        raise ConfigError(
            "lane direct needs a model on this machine; a target with only a url has none: "
            "give it a model, or leave the lane out"
        )
    with direct.open_direct(
        setup.model,
        log=setup.log,
        cache=setup.cache,
        timeout=setup.timeout,
        environment=setup.environment,
    ) as ask:
        yield ask


LANES: Mapping[str, Lane] = {
    server.LANE: _server,
    stream.LANE: _stream,
    direct.LANE: _direct,
    agent.LANE: _agent,
}
"""`with LANES[name](setup) as ask: observation = ask(case)`."""
