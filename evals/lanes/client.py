"""One exchange with a server through the openai client, byte for byte and with precise errors."""

import errno
import functools
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
import openai

from evals.errors import TransportError


class ExchangeError(TransportError):
    """No complete response; the message says why. `status` is the HTTP status, if one came."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def send(url: str, body: Mapping[str, Any], timeout: float) -> Iterator[tuple[float, bytes]]:
    """POST `body` to the chat completions of the API at `url`; yield its response of status 200.

    Yields (seconds since the request, bytes) as they arrive. Nothing is retried, and nothing is
    read into the client's own types, which fill in what the server left out. `timeout` is in
    seconds, for every single wait and for the whole.

    Raises:
        ExchangeError: refused, closed, cut off, too late, or a status other than 200.
    """
    start = time.perf_counter()
    status = None
    received = 0
    try:
        completions = _client(url).chat.completions.with_streaming_response
        with completions.create(**body, timeout=timeout) as response:
            status = response.status_code
            if status != 200:
                raise ExchangeError(_refusal(status, response.read()), status)
            for chunk in response.iter_bytes():
                seconds = time.perf_counter() - start
                if seconds > timeout:
                    raise ExchangeError(_too_late(timeout, received), status)
                received += len(chunk)
                yield seconds, chunk
    except openai.APIStatusError as error:
        message = _refusal(error.status_code, error.response.content)
        raise ExchangeError(message, error.status_code) from error
    except (openai.APIConnectionError, httpx2.HTTPError) as error:
        raise ExchangeError(_reason(error, url, timeout, received, status), status) from error


@functools.lru_cache(maxsize=8)
def _client(url: str) -> openai.OpenAI:
    # A proxy from the environment is no part of the pipeline under test, and a kept connection
    # that the server has closed meanwhile would look like a fault of this answer.
    http = openai.DefaultHttpxClient(
        trust_env=False, limits=httpx2.Limits(max_keepalive_connections=0)
    )
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0, http_client=http)


def _refusal(status: int, body: bytes) -> str:
    text = body.decode("utf-8", errors="replace")[:200]
    return f"HTTP {status}: {text or 'an empty body'}"


def _too_late(timeout: float, received: int) -> str:
    what = f"the response was not complete ({received} bytes)" if received else "no response"
    return f"timeout: {what} after {timeout:g} s"


def _reason(error: Exception, url: str, timeout: float, received: int, status: int | None) -> str:
    cause = error if isinstance(error, httpx2.HTTPError) else error.__cause__
    if isinstance(error, openai.APITimeoutError) or isinstance(cause, httpx2.TimeoutException):
        return _too_late(timeout, received)
    if isinstance(cause, httpx2.ConnectError):
        if f"Errno {errno.ECONNREFUSED}]" in str(cause):
            return f"connection refused: nothing listens at {url}"
        return f"cannot connect to {url}: {cause}"
    closed = isinstance(cause, httpx2.NetworkError) or "disconnected" in str(cause)
    if status is not None and (closed or isinstance(cause, httpx2.ProtocolError)):
        return f"the server closed the connection in the middle of its response ({received} bytes)"
    if closed:
        return "the server closed the connection without a response"
    return f"the response is not valid HTTP: {cause or error}"
