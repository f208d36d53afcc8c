"""A server under test as a value, and the one question that tells whether it really answers."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from evals.engines.dialect import Dialect
from evals.errors import ServerError
from evals.escaping import escape_controls, excerpt, without_key
from evals.wire.exchange import ExchangeError, fetch

_PLAIN = Dialect()


class Process(Protocol):
    """A server's process that can be started again, at the same address."""

    @property
    def pid(self) -> int | None:
        """Its id; after a restart it is another."""

    def how_ended(self) -> str | None:
        """How it died, in words; None while it serves."""

    def restart(self) -> None:
        """End what is left of it, and start it again."""


@dataclass(frozen=True)
class Server:
    """A server that answers. `url` is the base of its API, such as `http://127.0.0.1:8080/v1`.

    `pid` and `log` are those of a server that this run booted; None for an attached one. So are
    `ended`, which tells within some seconds how its process ended (None: it runs), and `process`,
    of one that can be started again; its pid then is another. `dialect` is how its requests are
    worded; `lay`, how a replayed script is laid into one; `engine` is the name of its kind, and
    `version` that of its package, where this run booted it.
    """

    url: str
    pid: int | None = None
    log: Path | None = None
    ended: Callable[[float], str | None] | None = field(default=None, compare=False, repr=False)
    process: Process | None = field(default=None, compare=False, repr=False)
    dialect: Dialect = field(default_factory=Dialect)
    lay: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    engine: str = "mlx_lm"
    version: str | None = None

    def worded(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A request's body as it is sent to this server.

        Raises:
            ConfigError: its replay script cannot be played by the model that is served.
        """
        return self.dialect.body(self.lay(body))

    def log_position(self) -> int:
        """Bytes in the log so far: the start of a later `log_slice`. 0 without a log."""
        return self.log.stat().st_size if self.log and self.log.exists() else 0

    def log_slice(self, start: int, end: int | None = None) -> str:
        """The log from byte `start` up to `end` (None: up to now).

        Requests in flight at one time share the log, so a slice has the lines of all of them.
        """
        if not self.log or not self.log.exists():
            return ""
        with self.log.open("rb") as stream:
            stream.seek(start)
            content = stream.read() if end is None else stream.read(max(end - start, 0))
        return content.decode("utf-8", errors="replace")

    def log_tail(self, n: int = 20) -> str:
        """The last `n` lines of the log; empty without a log."""
        return "\n".join(self.log_slice(0).splitlines()[-n:]) if n > 0 else ""


def one_token(url: str, timeout: float, dialect: Dialect = _PLAIN) -> None:
    """Ask for one token of the model. Returns only if a completion came back.

    It is the only proof of life: the stock server's /health says 200 before its model is loaded.
    `url` is the base of the API; `timeout` is in seconds.

    Raises:
        ServerError: no connection, no answer in time, or an answer that is not a completion.
    """
    body = json.dumps(dialect.without(*dialect.evidence.body).body(ONE_TOKEN)).encode()
    headers = dialect.all_headers()
    status, answer = exchange(url, "/chat/completions", timeout, body, headers)
    if not is_completion(status, answer):
        text = dialect.hide(excerpt(answer, 300)) or "an empty body"
        raise ServerError(f"{url} answers a one-token completion with HTTP {status}: {text}")


ONE_TOKEN: Mapping[str, Any] = {
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 1,
    "temperature": 0.0,
}


def is_completion(status: int, answer: bytes) -> bool:
    """Whether a response is a chat completion with a choice."""
    try:
        return status == 200 and bool(json.loads(answer)["choices"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def exchange(
    url: str,
    path: str,
    timeout: float,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Status and body of one GET, or POST where there is a `body`.

    Redirects are not followed: `headers` may hold a key, which goes to this server alone.

    Raises:
        ServerError: no connection, no complete response, or not in `timeout` seconds.
    """
    try:
        return fetch(url, path, body, timeout=timeout, headers=headers)
    except ExchangeError as error:
        # It may quote what is no HTTP, and so a key that the server says back.
        key = (headers or {}).get("Authorization", "").removeprefix("Bearer ")
        raise ServerError(without_key(str(error), key)) from error


def check_alive(server: Server, timeout: float = 30.0) -> None:
    """Ask the server for one token.

    Raises:
        ServerError: it does not answer; the message ends with the last lines of its log.
    """
    try:
        one_token(server.url, timeout, server.dialect)
    except ServerError as error:
        tail = escape_controls(server.log_tail())
        raise ServerError(f"{error}\n{tail}" if tail else str(error)) from error
