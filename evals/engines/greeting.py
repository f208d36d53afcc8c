"""The first requests to a server: what its model is called, and what it refuses.

They decide for the whole run: a wrong key or name ends it at once and names the setting that mends
it; what can be left out without harm is left out, and the run says so.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evals.engines.dialect import Dialect
from evals.engines.engine import Engine
from evals.engines.evidence import NONE, Evidence
from evals.engines.server import ONE_TOKEN, exchange, is_completion
from evals.errors import ServerError
from evals.escaping import excerpt, one_line
from evals.wire.address import key_headers


@dataclass(frozen=True)
class Wishes:
    """What a target says of how its server is asked; None and empty mean: as the engine has it."""

    served_name: str | None = None
    model: str | None = None
    key: str | None = field(default=None, repr=False)
    key_setting: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    logprobs: bool = True
    stream_options: bool = True


@dataclass(frozen=True)
class Greeting:
    """What the first requests told: how the server is asked, and what is worth saying of it."""

    dialect: Dialect
    left_out: tuple[str, ...] = ()
    """What it refuses and is asked without, in sentences."""
    unanswered: tuple[str, ...] = ()
    """What it takes and does nothing about, in sentences."""


def dialect_of(engine: Engine, wishes: Wishes) -> Dialect:
    """How requests are worded as far as it is known before the first one."""
    omit = [] if wishes.stream_options else ["stream_options"]
    return Dialect(
        model=wishes.served_name or engine.served_name or "",
        headers=wishes.headers,
        extra_body={**engine.extra_body, **wishes.extra_body},
        omit=(*engine.omit, *omit),
        evidence=engine.evidence if wishes.logprobs else NONE,
        ends_streams=engine.ends_streams,
        key=wishes.key,
    )


def greet(
    url: str, engine: Engine, wishes: Wishes, *, timeout: float, stream: bool = True
) -> Greeting:
    """How requests to the server at `url` are worded, and what had to be left out.

    Asks what models there are where the name is not known, then for one token, plain and streamed;
    each that is refused once more without what may have been refused.

    Raises:
        ServerError: it cannot be reached, wants a key, does not serve the model, or answers
            something that is no completion; the message names the setting.
        ConfigError: the key is none, or would travel over plain http.
    """
    if wishes.key:
        key_headers(url, wishes.key)  # a word, and not over plain http to another machine
    dialect = dialect_of(engine, wishes)
    if not dialect.model:
        dialect = replace(dialect, model=_found_name(url, dialect, wishes, timeout))
    greeting = _plain(url, dialect, wishes, timeout)
    return _streamed(url, greeting, wishes, timeout) if stream else greeting


def listed_models(url: str, dialect: Dialect, timeout: float) -> list[dict[str, Any]] | None:
    """The entries of /v1/models; None where the server has no such list.

    Raises:
        ServerError: it cannot be reached.
    """
    status, answer = exchange(url, "/models", timeout, headers=dialect.all_headers())
    try:
        entries = json.loads(answer)["data"] if status == 200 else None
        return [entry for entry in entries or () if isinstance(entry.get("id"), str)] or None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _found_name(url: str, dialect: Dialect, wishes: Wishes, timeout: float) -> str:
    """The only model that is listed, or the one that the target's `model` names."""
    status, answer = exchange(url, "/models", timeout, headers=dialect.all_headers())
    _check_key(url, status, answer, dialect, wishes)
    names = [str(entry["id"]) for entry in listed_models(url, dialect, timeout) or ()]
    wanted = (wishes.model or "").rstrip("/")
    same = [
        n for n in names if wanted and (n == wanted or n.split("/")[-1] == wanted.split("/")[-1])
    ]
    if len(same or names) == 1:
        return (same or names)[0]
    if not names:
        return wanted or "default"
    raise ServerError(
        f"{url} serves several models: {_shown(names)}; say which with served_name in the "
        "target, or --served-name"
    )


def _plain(url: str, dialect: Dialect, wishes: Wishes, timeout: float) -> Greeting:
    status, answer = _post(url, dialect, ONE_TOKEN, timeout)
    left_out: tuple[str, ...] = ()
    asked = ", ".join(dialect.evidence.body)
    if status in (400, 422, 500, 501) and dialect.evidence.body:
        lesser = replace(dialect, evidence=NONE)
        refused = _text(answer, dialect)
        status, answer = _post(url, lesser, ONE_TOKEN, timeout)
        if is_completion(status, answer):
            left_out = (
                f"{url} refuses {asked} ({refused}): asked without, so there is no evidence of "
                "what the model wrote; logprobs = false in the target asks without at once",
            )
            dialect = lesser
    _check(url, status, answer, dialect, wishes, timeout)
    _check_model(url, answer, dialect, wishes)
    unanswered: tuple[str, ...] = ()
    if dialect.evidence is not NONE and not _is_evidence(dialect.evidence, answer):
        unanswered = (
            f"{url} takes {asked} and returned no token ids: where it returns none, what is lost "
            "behind the model cannot be told from a miss",
        )
    return Greeting(dialect, left_out, unanswered)


def _is_evidence(evidence: Evidence, answer: bytes) -> bool:
    completion = json.loads(answer)
    return evidence.ids(completion) is not None or evidence.text(completion) is not None


def _streamed(url: str, greeting: Greeting, wishes: Wishes, timeout: float) -> Greeting:
    dialect = greeting.dialect
    body = {**ONE_TOKEN, "stream": True, "stream_options": {"include_usage": True}}
    status, answer = _post(url, dialect, body, timeout)
    if status == 200 or "stream_options" in dialect.omit:
        return greeting  # what is wrong with a stream that came is the lane's to say
    refused = _text(answer, dialect)
    lesser = dialect.without("stream_options")
    status, answer = _post(url, lesser, body, timeout)
    if status != 200:
        raise ServerError(
            f"{url} answers a streamed request with HTTP {status}: {_text(answer, dialect)}; "
            'leave the lane out: lanes = ["server"], or --lanes server'
        )
    said = (
        f"{url} refuses stream_options ({refused}): asked without, so streams have no token "
        "counts; stream_options = false in the target asks without at once"
    )
    return replace(greeting, dialect=lesser, left_out=(*greeting.left_out, said))


def _post(url: str, dialect: Dialect, body: Mapping[str, Any], timeout: float) -> tuple[int, bytes]:
    data = json.dumps(dialect.body(body)).encode()
    return exchange(url, "/chat/completions", timeout, data, dialect.all_headers())


def _check(
    url: str, status: int, answer: bytes, dialect: Dialect, wishes: Wishes, timeout: float
) -> None:
    _check_key(url, status, answer, dialect, wishes)
    if is_completion(status, answer):
        return
    text = _text(answer, dialect)
    if status == 404 or (400 <= status < 500 and "model" in text.lower()):
        listed = [str(entry["id"]) for entry in listed_models(url, dialect, timeout) or ()]
        there = f"it lists: {_shown(listed)}" if listed else "it lists no models"
        raise ServerError(
            f"{url} does not serve a model named {dialect.model!r} (HTTP {status}: {text}); "
            f"{there}; set served_name in the target, or --served-name; if there is no such path "
            "at all, the URL is wrong: it usually ends in /v1"
        )
    raise ServerError(f"{url} answers a one-token completion with HTTP {status}: {text}")


def _check_key(url: str, status: int, answer: bytes, dialect: Dialect, wishes: Wishes) -> None:
    if status not in (401, 403):
        return
    text = _text(answer, dialect)
    if dialect.key is None:
        raise ServerError(
            f"{url} wants an API key (HTTP {status}: {text}); put it into an environment variable "
            "and name that with api_key_env in the target, or --api-key-env NAME"
        )
    raise ServerError(
        f"{url} refuses the API key of {wishes.key_setting or 'the target'} (HTTP {status}: {text})"
    )


def _check_model(url: str, answer: bytes, dialect: Dialect, wishes: Wishes) -> None:
    """A model that the target names must be the one that answers, or its figures are another's."""
    told = json.loads(answer).get("model")
    if not wishes.served_name or not isinstance(told, str) or not told:
        return
    asked = wishes.served_name
    if not (told.startswith(asked) or asked.startswith(told) or _base(told) == _base(asked)):
        raise ServerError(
            f"{url} was asked for model {asked!r} and answers as {told[:100]!r}: it serves another "
            "one; set served_name to what it serves"
        )


def _base(name: str) -> str:
    return name.rstrip("/").split("/")[-1].removesuffix(".gguf").casefold()


def _shown(names: Sequence[str]) -> str:
    return ", ".join(one_line(excerpt(name, 100)) for name in names[:20])


def _text(answer: bytes, dialect: Dialect) -> str:
    return dialect.hide(excerpt(answer)) or "an empty body"
