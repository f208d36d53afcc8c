"""A run spread over the nodes of a Ray cluster: an actor for each replica, cases as tasks.

Each actor opens the profile on its node, boots the target's server there (or attaches to the one
that its URL names there), and asks it as a run on one machine would. Its records are streamed back
one by one. What a node that is lost still had to answer is asked again elsewhere.
"""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evals import __version__
from evals.config import Config, Replicas
from evals.errors import ConfigError, EvalsError, ServerError
from evals.extras import need
from evals.report.summary import ProfileServed, ServerDeath
from evals.results import Record
from evals.running.fingerprint import graders_digest
from evals.running.node import Farewell, Greeting, Place
from evals.running.options import with_options
from evals.running.questions import Question
from evals.running.runner import Group, Keep

LOCAL = "local"
"""In place of an address: a cluster of this machine alone, for as long as the run."""
_REACHED = 10.0
"""Seconds in which a cluster's address takes a connection."""
_FAREWELL = 20.0
"""Seconds in which a replica ends its server and hands over what it has."""


@dataclass
class _Seat:
    """A replica as the run sees it: its actor, and how many groups it has now."""

    name: str
    actor: Any
    busy: int = 0
    lost: bool = False


@dataclass
class Spread:
    """The open replicas of one profile, as a runner's `Asker`."""

    name: str
    served: ProfileServed
    seats: Sequence[_Seat]
    in_flight: int
    note: Callable[[ServerDeath], None]
    lost: Callable[[str], None]
    peak_bytes: int = 0
    """The most that any replica's server had; known when all is closed."""
    _over: str | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def questions_at_a_time(self) -> int:
        """Of all replicas together."""
        return self.in_flight * len(self.seats)

    def ask(self, group: Group, keep: Keep) -> dict[str, Record]:
        """The records of a group from the replica that is the least busy, or from the next one.

        Raises:
            ServerError: no replica is left.
        """
        records: dict[str, Record] = {}
        left: Sequence[Question] = group
        while True:
            with self._taken() as seat:
                try:
                    for item in _streamed(seat.actor, left):
                        if isinstance(item, ServerDeath):
                            self.note(item)
                            continue
                        records[item.lane] = item
                        keep(item)
                    return records
                except _LostError as error:
                    self._lose(seat, str(error))
            # One that differs from its plain answer was about to be asked again alone.
            if not any(record.differs_from_plain for record in records.values()):
                left = [question for question in group if question.lane not in records]
            if not left:
                return records

    def close(self) -> None:
        """Nobody is asked any more."""
        with self._changed:
            self._over = self._over or "the run has ended"
            self._changed.notify_all()

    @contextlib.contextmanager
    def _taken(self) -> Iterator[_Seat]:
        with self._changed:
            while True:
                if self._over:
                    raise ServerError(self._over)
                here = [seat for seat in self.seats if not seat.lost]
                seat = min(here, key=lambda seat: seat.busy)
                if seat.busy < self.in_flight:
                    break
                self._changed.wait()
            seat.busy += 1
        try:
            yield seat
        finally:
            with self._changed:
                seat.busy -= 1
                self._changed.notify()

    def _lose(self, seat: _Seat, why: str) -> None:
        with self._changed:
            if seat.lost or self._over:
                return
            seat.lost = True
            left = sum(not seat.lost for seat in self.seats)
            self.lost(f"ray: {seat.name} is lost: {why}; {left} of {len(self.seats)} replicas left")
            if not left:
                self._over = f"no replica is left: {seat.name} was the last: {why}"
            self._changed.notify_all()


class _LostError(Exception):
    """A replica does not answer any more; the message says why."""


def _streamed(actor: Any, group: Group) -> Iterator[Record | ServerDeath]:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        for item in actor.ask.options(num_returns="streaming").remote(group):
            yield ray.get(item)
    except RayTaskError as error:
        if not isinstance(error.cause, EvalsError):
            raise
        raise _LostError(str(error.cause)) from None
    except RayError as error:
        raise _LostError(_first_line(error)) from None


@contextlib.contextmanager
def spread(
    profile: str,
    config: Config,
    lanes: Sequence[str],
    address: str,
    folder: Path,
    *,
    in_flight: int,
    note: Callable[[ServerDeath], None],
    lost: Callable[[str], None],
    say: Callable[[str], None],
) -> Iterator[Spread]:
    """The replicas of a profile on the cluster at `address`, open; all of them end with it.

    `in_flight` is the most that each is asked at a time. `lost` is told of each replica that does
    not answer any more. `folder` gets their logs at the end.

    Raises:
        ConfigError: Ray is not installed, there is no such cluster, no node has what a replica
            needs, or the nodes are not alike.
        EvalsError: a replica cannot be opened.
    """
    need("ray", "--ray")
    config = _with_whole_path(config, profile)
    with _cluster(address):
        wanted = config.target(profile).replicas
        seats = _seated(wanted, (profile, config, lanes, in_flight), in_flight)
        try:
            greetings = _opened(seats)
            for seat, greeting in zip(seats, greetings, strict=True):
                seat.name = f"{seat.name} on {greeting.host}"
                for text in greeting.said:
                    say(f"{seat.name}: {text}")
            _check_alike(greetings)
            open_ = Spread(profile, greetings[0].served, seats, in_flight, note, lost)
            yield open_
            open_.close()
        finally:
            farewells = _farewells(seats)
        _keep_files(farewells, folder)
        open_.peak_bytes = max((of.peak_bytes or 0 for of in farewells), default=0)


def _with_whole_path(config: Config, profile: str) -> Config:
    """A folder is named from here; an actor runs elsewhere."""
    model = config.target(profile).model
    if not Path(model).exists():
        return config
    return with_options(config, profile, model=str(Path(model).resolve()))


@contextlib.contextmanager
def _cluster(address: str) -> Iterator[None]:
    import ray

    _check_reachable(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address == LOCAL:
            ray.init(address=LOCAL, include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except Exception as error:  # Ray raises no kind of its own for it
        raise ConfigError(
            f"--ray {address}: no cluster: {_first_line(error)}; start one with `ray "
            "start --head`, or give `local` for one of this machine alone"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Make sure that somebody listens at HOST:PORT: Ray itself would try for minutes.

    Raises:
        ConfigError: nobody does.
    """
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=_REACHED).close()
    except OSError as error:
        raise ConfigError(
            f"--ray {address}: no cluster: {error}; start one with `ray start`"
        ) from None


def _seated(wanted: Replicas, given: tuple[Any, ...], in_flight: int) -> list[_Seat]:
    """An actor for each replica: one on each node that has what it needs, or as many as wanted."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    needs = {"CPU": wanted.cpus, "GPU": wanted.gpus, **wanted.resources}
    alive = [node for node in ray.nodes() if node["Alive"]]
    fitting = [
        node["NodeID"]
        for node in alive
        if all(node["Resources"].get(name, 0) >= amount for name, amount in needs.items())
    ]
    if not fitting:
        has = "; ".join(
            str({n: v for n, v in of["Resources"].items() if n in needs}) for of in alive
        )
        asked = {name: amount for name, amount in needs.items() if amount}
        raise ConfigError(f"replicas: no node of the cluster has {asked}; its nodes have {has}")
    where: list[Any] = (
        ["SPREAD"] * wanted.count
        if wanted.count
        else [NodeAffinitySchedulingStrategy(node, soft=False) for node in fitting]
    )
    actor = ray.remote(Place)
    options = {
        "num_cpus": wanted.cpus,
        "num_gpus": wanted.gpus,
        "resources": wanted.resources,
        "max_concurrency": in_flight + 1,  # one more, to be closed
        "max_restarts": 0,
        # A worker of Ray that ends kills its children first: here the supervisor, which ends the
        # server as soon as the worker is gone, and would leave it behind.
        "runtime_env": {"env_vars": {"RAY_kill_child_processes_on_worker_exit": "false"}},
    }
    return [
        _Seat(f"replica {n}", actor.options(**options, scheduling_strategy=to).remote(*given))
        for n, to in enumerate(where, 1)
    ]


_PENDING = 1800.0
"""Seconds for a replica to be placed and opened; a model may be built or loaded meanwhile."""


def _opened(seats: Sequence[_Seat]) -> list[Greeting]:
    import ray
    from ray.exceptions import GetTimeoutError, RayError, RayTaskError

    opening = [seat.actor.open.remote() for seat in seats]
    try:
        return list(ray.get(opening, timeout=_PENDING))
    except GetTimeoutError:
        free = ray.available_resources()
        raise ServerError(
            f"{len(seats)} replicas were not open after {_PENDING:g} s; the cluster has {free} free"
        ) from None
    except RayTaskError as error:
        if isinstance(error.cause, EvalsError):
            raise error.cause from None
        raise
    except RayError as error:
        raise ServerError(f"a replica cannot be opened: {_first_line(error)}") from error


def _check_alike(greetings: Sequence[Greeting]) -> None:
    """Records of one run come from one model, judged by one code: this one."""
    first = greetings[0]
    wanted = {"evals": __version__, "graders": graders_digest(), "versions": first.versions}
    for of in greetings:
        has = {"evals": of.evals, "graders": of.graders, "versions": of.versions}
        told = [(name, wanted[name], has[name]) for name in wanted]
        told += [(n, asdict(first.served)[n], value) for n, value in asdict(of.served).items()]
        if differing := [f"{name}: {x} and {y}" for name, x, y in told if x != y]:
            raise ConfigError(
                f"the nodes of the cluster are not alike; {of.host} differs in\n  "
                + "\n  ".join(differing)
            )


def _farewells(seats: Sequence[_Seat]) -> list[Farewell]:
    import ray
    from ray.exceptions import RayError

    leaving = [seat.actor.close.remote() for seat in seats if not seat.lost]
    heard, _ = (
        ray.wait(leaving, num_returns=len(leaving), timeout=_FAREWELL) if leaving else ([], [])
    )
    found = []
    for farewell in heard:
        with contextlib.suppress(RayError):
            found.append(ray.get(farewell))
    for seat in seats:
        ray.kill(seat.actor)
    return found


def _keep_files(farewells: Sequence[Farewell], folder: Path) -> None:
    """Counts of grammars together in one file; each replica's logs in files of its own."""
    for number, farewell in enumerate(farewells, 1):
        for name, content in farewell.files.items():
            path = Path(name)
            place = name if path.suffix == ".jsonl" else f"{path.stem}-{number}{path.suffix}"
            with (folder / place).open("ab") as file:
                file.write(content)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
