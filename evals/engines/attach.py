"""Attach to a server that somebody else started: it is asked, and never started or stopped."""

import urllib.parse

from evals.engines.server import Server, one_token
from evals.errors import ServerError
from evals.wire.address import read_address


def attach(url: str, *, timeout: float = 60.0) -> Server:
    """The server at `url`, after it answered a one-token completion within `timeout` seconds.

    A URL without a path gets `/v1`: `http://127.0.0.1:8080` is `http://127.0.0.1:8080/v1`.

    Raises:
        ServerError: the URL is not one, or nothing there answers completions.
    """
    base = api_base(url)
    try:
        one_token(base, timeout)
    except ServerError as error:
        raise ServerError(
            f"cannot attach to {base}: {error}; start the server there, or leave out the URL to "
            "boot one"
        ) from error
    return Server(url=base)


def api_base(url: str) -> str:
    """`url` without a trailing slash, and with `/v1` where it has no path.

    Raises:
        ServerError: not an http or https URL with a host and no more than a path.
    """
    try:
        address = read_address(url)
    except ValueError as error:
        raise ServerError(str(error)) from None
    parts = urllib.parse.urlsplit(url.strip())
    return f"{parts.scheme}://{parts.netloc}{address.path or '/v1'}"
