"""The lanes: each a value with its traits and how it is opened, all in one tuple.

To add one, write how it asks in a module of its own and put a `Lane` into `LANES`. Configuration,
running and judging go by its traits. The modules are imported where a lane is opened: reading a
configuration needs their names alone.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from evals.case import Case
from evals.engines.server import Server
from evals.errors import ConfigError, unknown_name
from evals.extras import need
from evals.lanes.tokens import Decode
from evals.observation import AGENT, DIRECT, PLAIN, SERVER, STREAM, Observation, Traits
from evals.wire.bounds import MAX_RESPONSE_BYTES

Ask = Callable[[Case], Observation]
"""Asks one case. Never raises for what a model or server does; may be called from threads."""


@dataclass(frozen=True)
class Setup:
    """What lanes need. `server` is for all but `direct`; `model`, `cache`, `log` are for it alone.

    `timeout` is in seconds, for each question; `max_bytes` bounds each response; `environment` is
    that of processes which a lane starts. With `decode`, lanes `server` and `agent` have raw text.
    """

    timeout: float
    server: Server | None = None
    decode: Decode | None = None
    model: Path | str | None = None
    cache: Path | None = None
    log: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    max_bytes: int = MAX_RESPONSE_BYTES

    def server_for(self, traits: Traits) -> Server:
        """The server that a lane with these traits asks.

        Raises:
            ConfigError: there is none.
        """
        if self.server is None:
            raise ConfigError(f"lane {traits.name} needs a server")
        return self.server


@dataclass(frozen=True)
class Lane:
    """A way in which a case travels: `with lane.open(setup) as ask: observation = ask(case)`."""

    traits: Traits
    open: Callable[[Setup], AbstractContextManager[Ask]]

    @property
    def name(self) -> str:
        """Its name in configuration, records and reports."""
        return self.traits.name


@contextlib.contextmanager
def _server(setup: Setup) -> Iterator[Ask]:
    from evals.lanes import server

    target = setup.server_for(SERVER)
    yield lambda case: server.ask(
        target, case, timeout=setup.timeout, decode=setup.decode, max_bytes=setup.max_bytes
    )


@contextlib.contextmanager
def _stream(setup: Setup) -> Iterator[Ask]:
    from evals.lanes import stream

    target = setup.server_for(STREAM)
    yield lambda case: stream.ask(target, case, timeout=setup.timeout, max_bytes=setup.max_bytes)


@contextlib.contextmanager
def _agent(setup: Setup) -> Iterator[Ask]:
    need("agent", "lane agent")
    from evals.lanes import agent

    target = setup.server_for(AGENT)
    yield lambda case: agent.ask(
        target, case, timeout=setup.timeout, decode=setup.decode, max_bytes=setup.max_bytes
    )


@contextlib.contextmanager
def _direct(setup: Setup) -> Iterator[Ask]:
    from evals.lanes import direct

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


LANES: tuple[Lane, ...] = (
    Lane(SERVER, _server),
    Lane(STREAM, _stream),
    Lane(DIRECT, _direct),
    Lane(AGENT, _agent),
)
"""Every lane, the plain one first: a question is asked in this order."""


def lanes_asked(names: Sequence[str]) -> list[Lane]:
    """The lanes of these names, and the plain lane where one of them needs it as evidence.

    They stand in the registry's order.

    Raises:
        ConfigError: there is no lane of a name.
    """
    wanted = {name: lane_named(name).traits for name in names}
    needs = any(traits.needs_plain for traits in wanted.values())
    return [lane for lane in LANES if lane.name in wanted or (needs and lane.traits == PLAIN)]


@cache
def lane_named(name: str) -> Lane:
    """The lane of this name.

    Raises:
        ConfigError: there is none.
    """
    check_lanes([name])
    return next(lane for lane in LANES if lane.name == name)


def check_lanes(names: Iterable[str]) -> None:
    """Every name is a lane's.

    Raises:
        ConfigError: one is not.
    """
    known = [lane.name for lane in LANES]
    for name in names:
        if name not in known:
            raise ConfigError(unknown_name("lane", name, known))
