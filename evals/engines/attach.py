"""Attach to a server that somebody else started: it is asked, and never started or stopped."""

import urllib.parse
from collections.abc import Callable

from evals.engines.engine import Engine
from evals.engines.greeting import Wishes, dialect_of, greet, listed_models
from evals.engines.registry import ENGINES, MLX_LM, OPENAI_COMPATIBLE
from evals.engines.server import Server
from evals.errors import ServerError
from evals.wire.address import read_address


def attach(
    url: str,
    *,
    engine: Engine | None = MLX_LM,
    wishes: Wishes | None = None,
    timeout: float = 60.0,
    stream: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Server:
    """The server at `url`, after it answered a one-token completion within `timeout` seconds.

    A URL without a path gets `/v1`: `http://127.0.0.1:8080` is `http://127.0.0.1:8080/v1`. Without
    an `engine` it is recognised by its list of models. `say` is told what requests must leave out;
    with `stream`, a streamed request is tried, too.

    Raises:
        ServerError: the URL is not one, or nothing there answers completions.
    """
    base = api_base(url)
    wishes = wishes or Wishes()
    try:
        engine = engine or recognise(base, wishes, timeout)
        greeting = greet(base, engine, wishes, timeout=timeout, stream=stream)
    except ServerError as error:
        advice = "" if "the target" in str(error) or "--" in str(error) else _ADVICE
        raise ServerError(f"cannot attach to {base}: {error}{advice}") from error
    for text in (*greeting.left_out, *greeting.unanswered):
        say(f"server: {text}")
    return Server(url=base, dialect=greeting.dialect, engine=engine.name)


_ADVICE = "; start the server there, or leave out the URL to boot one"


def recognise(base: str, wishes: Wishes, timeout: float) -> Engine:
    """The kind of the server at `base`, by who it says owns its models.

    mlx_lm.server names no owner; a server without the list is taken for one as well.

    Raises:
        ServerError: it cannot be reached.
    """
    models = listed_models(base, dialect_of(OPENAI_COMPATIBLE, wishes), timeout)
    owners = [entry.get("owned_by") for entry in models or ()]
    if models is None or all(owner is None for owner in owners):
        return MLX_LM
    known = (engine for engine in ENGINES if any(owner in owners for owner in engine.owners))
    return next(known, OPENAI_COMPATIBLE)


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
