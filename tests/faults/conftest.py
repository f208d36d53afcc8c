"""The fault server, and every fault that was selected, done once and judged."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from builders import record
from scripted_server import make_case

from evals.case import Expect
from evals.engines.server import Server
from evals.lanes.lane import Setup, lane_named
from evals.results import Record
from faults.table import LONG, Fault

MAX_BYTES = 1_000_000
CASE = make_case(expect=Expect.model_validate({"answer": {"contains": ["Paris"]}}))


class FaultServer:
    """The control line of a running fault server."""

    def __init__(self, port: int) -> None:
        self._port = port

    def order(self, name: str) -> tuple[int, int]:
        """A port where it happens once, and its witness's."""
        port, witness = self._ask(f"order {name}")
        return port, witness

    def hits(self, port: int) -> int:
        return int(self._ask(f"hits {port}"))

    def _ask(self, line: str) -> Any:
        with (
            socket.create_connection(("127.0.0.1", self._port), timeout=30) as connection,
            connection.makefile("rw", encoding="utf-8") as lines,
        ):
            print(line, file=lines, flush=True)
            return json.loads(lines.readline())


@pytest.fixture(scope="session")
def fault_server() -> Iterator[FaultServer]:
    command = [sys.executable, str(Path(__file__).parent / "server.py")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield FaultServer(int(process.stdout.readline()))
        process.stdin.close()


@dataclass(frozen=True)
class Outcome:
    """What a lane said of a fault, how long it took, and what it said of the next case there."""

    record: Record
    seconds: float
    after: Record | None
    witnessed: int


@pytest.fixture(scope="session")
def outcomes(
    fault_server: FaultServer, request: pytest.FixtureRequest
) -> Iterator[dict[tuple[str, str], "Future[Outcome]"]]:
    """The outcome of each selected fault in each selected lane; they happen side by side."""
    wanted = [
        (item.callspec.params["fault"], item.callspec.params["lane"])
        for item in request.session.items
        if "outcomes" in getattr(item, "fixturenames", ()) and hasattr(item, "callspec")
    ]
    # A lane's first question pays for its imports, seconds on a busy machine.
    port, _ = fault_server.order("no fault")
    for lane in {lane for _, lane in wanted}:
        _ask(port, lane, LONG)
    with ThreadPoolExecutor(12) as pool:
        yield {
            (fault.name, lane): pool.submit(_outcome, fault_server, fault, lane)
            for fault, lane in wanted
        }


def _outcome(faults: FaultServer, fault: Fault, lane: str) -> Outcome:
    port, witness = faults.order(fault.name)
    begin = time.monotonic()
    seen = _ask(port, lane, fault.timeout)
    seconds = time.monotonic() - begin
    after = _ask(port, lane, LONG) if fault.act else None
    return Outcome(seen, seconds, after, faults.hits(witness))


def _ask(port: int, lane: str, timeout: float) -> Record:
    server = Server(f"http://127.0.0.1:{port}/v1")
    setup = Setup(timeout=timeout, server=server, max_bytes=MAX_BYTES)
    with contextlib.ExitStack() as stack:
        ask = stack.enter_context(lane_named(lane).open(setup))
        return record(CASE, ask(CASE))
