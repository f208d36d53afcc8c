"""One question to a server and its whole answer, within one deadline; the errors say what came."""

import email.utils
import time
import urllib.parse
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from evals.errors import TransportError
from evals.escaping import excerpt
from evals.wire.address import read_address
from evals.wire.bounds import MAX_RESPONSE_BYTES, Bounds, TooLarge, TooLate
from evals.wire.response import Broken, Response, open_response

COMPLETIONS = "/chat/completions"
_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_LEAST_WAIT = 0.25
_ERROR_BODY = 2_000


class ExchangeError(TransportError):
    """No complete response; the message says why. `status` is the HTTP status, if one came."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Exchange:
    """POSTs `body` to a path of the API at `url`; iterate, once, for its response of status 200.

    Yields (seconds since the request, bytes) as they arrive. `timeout` is in seconds and bounds
    the whole in every state; `max_bytes` bounds the body. A server that is busy (429 or 503) and
    says `Retry-After` is asked again after that time, within the timeout; nothing else is asked
    again, and no redirect is followed.

    Raises:
        ExchangeError: refused, closed, cut off, too late, too large, no HTTP, a redirect, or any
            other status than 200.
    """

    url: str
    body: bytes
    timeout: float
    max_bytes: int = MAX_RESPONSE_BYTES
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = COMPLETIONS
    retries: int = 0
    """How often the server was asked again because it had said when."""
    waited: float = 0.0
    """Seconds spent waiting for that."""
    content_type: str = ""
    """The response's, once it has begun."""
    head: float | None = None
    """Seconds from the request to the head of the response of status 200."""
    asked: float = 0.0
    """When the first request was made, by `time.perf_counter`."""
    began: float = 0.0
    """When the latest was made: a busy server refused those before it."""
    _status: int | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the latest request was made, waits before it left out."""
        return time.perf_counter() - self.began

    def __iter__(self) -> Iterator[tuple[float, bytes]]:
        """The response of status 200, as it arrives."""
        deadline = time.monotonic() + self.timeout
        while True:
            self.began, self._status = time.perf_counter(), None
            self.asked = self.asked or self.began
            bounds = Bounds(deadline, self.max_bytes)
            try:
                wait = yield from self._attempt(bounds)
            except TooLate:
                raise self._error(self._too_late(bounds)) from None
            except TooLarge:
                raise self._error(self._too_large()) from None
            except (Broken, ValueError) as error:
                raise self._error(str(error)) from error
            if wait is None:
                return
            time.sleep(wait)
            self.retries += 1
            self.waited += wait

    def _attempt(self, bounds: Bounds) -> Generator[tuple[float, bytes], None, float | None]:
        """Yields the response; returns the seconds to wait where it is to be asked for again."""
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "toolcall-evals",
            **self.headers,
        }
        address = read_address(self.url)
        with open_response(address, self.path, headers, self.body, bounds) as response:
            self._status = response.status
            self.content_type = response.header("content-type") or ""
            if response.status != HTTPStatus.OK:
                return self._refused(response, bounds)
            encoding = (response.header("content-encoding") or "").strip().lower()
            if encoding not in ("", "identity"):
                raise Broken(
                    f"HTTP 200, but the body is compressed ({excerpt(encoding, 40)}), though "
                    "only identity was accepted"
                )
            self.head = self.seconds
            for chunk in response.chunks:
                yield self.seconds, chunk
        return None

    def _refused(self, response: Response, bounds: Bounds) -> float:
        """The seconds after which to ask again.

        Raises:
            Broken: the server is not to be asked again.
        """
        after = response.header("retry-after")
        seconds = retry_seconds(after) if response.status in _BUSY and after else None
        message = f"HTTP {response.status}: {self._said(response)}"
        if seconds is None:
            raise Broken(f"{message}{self._asked()}")
        wait: float = max(seconds, _LEAST_WAIT * 2**self.retries)
        if time.monotonic() + wait >= bounds.deadline:
            raise Broken(
                f"{message}; Retry-After asks for {seconds:g} s, and the timeout is "
                f"{self.timeout:g} s{self._asked()}"
            )
        return wait

    def _said(self, response: Response) -> str:
        """What a response other than 200 says, as far as it came in time."""
        if response.status // 100 == 3 and (place := response.header("location")) is not None:
            return (
                f"the server redirects to {_host(self.url, place)}; redirects are not followed: "
                "give the server's own URL"
            )
        body, note = b"", ""
        try:
            for chunk in response.chunks:
                body += chunk
                if len(body) >= _ERROR_BODY:
                    break
        except TooLate:
            note = f" (not complete after {self.timeout:g} s)"
        except (TooLarge, Broken):
            note = " (not complete)"
        return f"{excerpt(body) or 'an empty body'}{note}"

    def _asked(self) -> str:
        return f" (asked {self.retries + 1} times)" if self.retries else ""

    def _too_late(self, bounds: Bounds) -> str:
        what = f"the response was not complete ({bounds.body} bytes)" if bounds.body else None
        return f"timeout: {what or 'no response'} after {self.timeout:g} s{self._asked()}"

    def _too_large(self) -> str:
        return (
            f"the response is larger than {self.max_bytes} bytes; the setting max_response_bytes "
            "allows more"
        )

    def _error(self, message: str) -> ExchangeError:
        return ExchangeError(message, self._status)


def fetch(
    url: str,
    path: str,
    body: bytes | None = None,
    *,
    timeout: float,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Status, whichever, and body of one POST, without a `body` one GET; `timeout` is in seconds.

    Raises:
        ExchangeError: no complete response in time, or no response of a usable size.
    """
    bounds = Bounds(time.monotonic() + timeout, MAX_RESPONSE_BYTES)
    typed = {"Content-Type": "application/json"} if body is not None else {}
    try:
        address = read_address(url)
        with open_response(address, path, {**typed, **(headers or {})}, body, bounds) as response:
            return response.status, b"".join(response.chunks)
    except TooLate:
        raise ExchangeError(f"{url} did not answer within {timeout:g} s") from None
    except TooLarge:
        raise ExchangeError(f"{url} answers with more than {MAX_RESPONSE_BYTES} bytes") from None
    except (Broken, ValueError) as error:
        raise ExchangeError(f"{url} cannot be reached: {error}") from error


def retry_seconds(value: str) -> float | None:
    """The seconds that a `Retry-After` asks for, as a number or a date; None if it is neither."""
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value[:12])
    try:
        moment = email.utils.parsedate_to_datetime(value)
        return max(moment.timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None


def _host(url: str, location: str) -> str:
    """Host and port of a redirect's target; user and password, path and query are left out."""
    try:
        place = urllib.parse.urlsplit(urllib.parse.urljoin(url, location))
    except ValueError:
        return "what is no URL"
    return excerpt(place.netloc.rpartition("@")[2]) or "nowhere"
