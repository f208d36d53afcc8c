"""The life of the server that is asked: it may die, hang, and be started again.

A server that this run booted is started again when it died, a bounded number of times. Of the
cases that were in flight then each is asked once more, alone; the one that it dies of again is
not asked any more. A server that answers nobody any more is called down: that costs the time of
one answer, not of all.
"""

import contextlib
import datetime
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

from evals.case import Case
from evals.engines.server import one_token
from evals.errors import ServerError
from evals.lanes.lane import lane_named
from evals.observation import Observation
from evals.report.summary import ServerDeath
from evals.running.profile import Opened

MOST_DEATHS = 8
"""The server is started again this often; then the run ends."""
_MOST_BOOTS, _LONGEST_BOOTS = 3, 120.0
"""One restart may take this many starts, while they have taken less than these seconds."""
_WATCH = 1.0
_NEARLY = 0.95
_LOG_LINES = 12
_ONLY_PROBES = (
    "it gives one token to a request for one, and no answer to a question in {:g} s (if the model "
    "is only slow: more time with --ask-timeout, or fewer at a time with --in-flight); the latest: "
    "{}"
)
_ACCESS = re.compile(r'"(GET|POST) \S+ HTTP/[0-9.]+" [0-9]{3}')
_ERROR = re.compile(r"[A-Za-z_.]+(Error|Exception|Exit|Interrupt)\b")


class Life:
    """Asks an opened profile, and looks after its server; may be called from several threads.

    `timeout` is that of one question in seconds, `in_flight` the most that are asked at a time.
    `note` gets each death. `elsewhere`: the process that booted the server keeps it alive.
    """

    def __init__(
        self,
        opened: Opened,
        *,
        timeout: float,
        in_flight: int,
        note: Callable[[ServerDeath], None],
        elsewhere: bool = False,
    ) -> None:
        self._opened = opened
        self._elsewhere = elsewhere
        self._process = opened.server.process if opened.server else None
        self._timeout = timeout
        self._in_flight = in_flight
        self._note = note
        self._lock = threading.Lock()
        self._judging_it = threading.Lock()
        self._number = 0
        self._log_start = opened.server.log_position() if opened.server else 0
        self._silent = 0
        self._hung = self._only_probes = False
        self._suspects: dict[int, list[str]] = {}
        self._over: str | None = None

    def now(self) -> int:
        """Names the life that the server leads: after a restart it is another."""
        return self._number

    def ask(self, lane: str, case: Case) -> Observation:
        """The answer to `case` in one lane.

        Raises:
            ServerError: the server is down for good.
        """
        if self._over:
            raise ServerError(self._over)
        begin = time.monotonic()
        answer = self._opened.ask(lane, case)
        if not lane_named(lane).traits.over_http or answer.unasked:
            return answer
        late = bool(answer.error) and time.monotonic() - begin >= self._timeout * _NEARLY
        if answer.error and not late and self._elsewhere and self._is_alive_again():
            return self._opened.ask(lane, case)
        # A server of our own that refuses has died, and that is found out where it was asked.
        refused = bool(answer.error) and answer.status is None and self._process is None
        if self._counts_as_hung(late or refused):
            self._judge_hung(answer.error or "")
        return answer

    def keep_alive(self) -> None:
        """Start the server again whenever it dies, for others that ask it, until `close`."""
        with contextlib.suppress(ServerError):
            while not self._over:
                self.revive(self._number)
                time.sleep(_WATCH)

    def _is_alive_again(self) -> bool:
        """Whether the server was dead and is not any more: waits for the process that booted it.

        Raises:
            ServerError: it stays dead.
        """
        server, dead = self._opened.server, False
        assert server is not None
        deadline = time.monotonic() + _LONGEST_BOOTS
        while not self._over:
            try:
                one_token(server.url, self._timeout / 2, server.dialect)
                return dead
            except ServerError as error:
                dead = True
                if time.monotonic() > deadline:
                    self._end(f"the server is down: it was not started again, and {error}")
            time.sleep(_WATCH)
        return False

    def close(self) -> None:
        """The run ends, and its server with it: that is no death."""
        self._over = self._over or "the run has ended"

    def died(self, since: int) -> bool:
        """Whether the server has died in or after the life `since`; asked after an error."""
        if self._process is None or self._over:
            return False
        return since != self._number or self._process.how_ended() is not None

    def suspect(self, since: int, case: Case) -> None:
        """`case` was in flight when the server died in the life `since`."""
        with self._lock:
            self._suspects.setdefault(since, []).append(case.node)

    def revive(self, since: int) -> None:
        """Start the server again if that is still to be done; call it while nobody asks.

        Raises:
            ServerError: it has died too often, or does not start.
        """
        if since == self._number and self._process and (how := self._process.how_ended()):
            self._restart(how, tuple(self._suspects.get(since, ())))

    def ask_alone(self, lanes: list[str], case: Case) -> dict[str, Observation]:
        """The answers to a suspect while nobody else asks; if the server dies of it, it is named.

        Raises:
            ServerError: the server is down for good.
        """
        answers: dict[str, Observation] = {}
        for lane in lanes:
            since, answer = self._number, self.ask(lane, case)
            asked = answer.error and self._process and since == self._number
            if asked and self._process and (how := self._process.how_ended()):
                with contextlib.suppress(ServerError):  # the next question says so
                    self._restart(how, (case.node,), killer=case.node)
                left = lanes[lanes.index(lane) :]
                return answers | {name: _killed(name, how) for name in left}
            answers[lane] = answer
        return answers

    def _restart(self, how: str, in_flight: tuple[str, ...], killer: str | None = None) -> None:
        assert self._process is not None
        if self._over:  # said while this thread found the server dead
            raise ServerError(self._over)
        server = self._opened.server
        assert server is not None
        log = server.dialect.hide(told(server.log_slice(self._log_start)))
        when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self._note(
            ServerDeath(
                profile=self._opened.name,
                when=when,
                how=how,
                in_flight=in_flight,
                killer=killer,
                log=log,
            )
        )
        if self._number >= MOST_DEATHS:
            self._end(f"the server died {MOST_DEATHS + 1} times, the last time it {how}\n{log}")
        self._boot_again(how)
        self._number += 1
        self._silent, self._only_probes = 0, False
        self._log_start = server.log_position()

    def _boot_again(self, how: str) -> None:
        """Start it; one that is killed while it starts is started once more, within limits."""
        assert self._process is not None
        began = time.monotonic()
        for attempt in range(1, _MOST_BOOTS + 1):
            try:
                self._process.restart()
                return
            except ServerError as error:
                if attempt == _MOST_BOOTS or time.monotonic() - began > _LONGEST_BOOTS:
                    self._end(f"the server {how}, and cannot be started again: {error}")

    def _end(self, why: str) -> NoReturn:
        self._over = why
        raise ServerError(why)

    def _counts_as_hung(self, late: bool) -> bool:
        with self._lock:
            self._silent = self._silent + 1 if late else 0
            self._only_probes = self._only_probes and late
            # One hang was forgiven: a server that hangs again is not given all of them again.
            return self._silent >= (1 if self._hung else max(2, self._in_flight))

    def _judge_hung(self, latest: str) -> None:
        """Ask for one token; a server that does not even give that is down.

        One that gives it, and again answers none of its questions, is down as well.

        Raises:
            ServerError: it is, and is not ours to start again, or has hung before.
        """
        server = self._opened.server
        assert server is not None
        since = self._number
        with self._one_judge() as first:
            if not first or since != self._number or self._over:
                return
            try:
                one_token(server.url, self._timeout / 2, server.dialect)
                if self._only_probes:
                    raise ServerError(_ONLY_PROBES.format(self._timeout, latest))
                self._silent, self._only_probes = 0, True
            except ServerError as error:
                how = f"hung ({error})"
                if self._process is None or self._hung:
                    self._end(f"the server is down: it gave no answer any more, and {error}")
                self._hung = True
                self._restart(how, tuple(self._suspects.get(since, ())))

    @contextlib.contextmanager
    def _one_judge(self) -> Iterator[bool]:
        """Whether this thread is the first; the others need not judge the same silence."""
        first = self._judging_it.acquire(blocking=False)
        try:
            yield first
        finally:
            if first:
                self._judging_it.release()


def told(log: str) -> str:
    """What a server's log tells of its death: the errors in it, each once, and its last lines."""
    lines = [line for line in log.splitlines() if line.strip() and not _ACCESS.search(line)]
    errors = list(dict.fromkeys(line for line in lines if _ERROR.match(line)))[:_LOG_LINES]
    last = lines[-_LOG_LINES:]
    return "\n".join([*(line for line in errors if line not in last), *last])


def _killed(lane: str, how: str) -> Observation:
    error = f"the server dies of this question: it {how}, also when nothing else was asked"
    return Observation(lane, error=error, killed_server=True)
