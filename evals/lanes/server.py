"""Lane `server`: one plain HTTP request, and the response exactly as it was sent."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from evals.case import Case
from evals.engines.evidence import LOGPROBS, Evidence
from evals.engines.server import Server
from evals.errors import EvalsError
from evals.escaping import excerpt, one_line
from evals.lanes.faults import reported_error
from evals.lanes.timing import timing
from evals.lanes.tokens import Decode
from evals.observation import SERVER, Call, Observation, Usage
from evals.request import build_request, request_text
from evals.wire.bounds import MAX_RESPONSE_BYTES
from evals.wire.exchange import Exchange, ExchangeError


def ask(
    server: Server,
    case: Case,
    *,
    timeout: float,
    decode: Decode | None = None,
    max_bytes: int = MAX_RESPONSE_BYTES,
) -> Observation:
    """Ask the server. `timeout` is in seconds; `decode` turns the answer's ids into raw text.

    Never raises for what a server does: without a complete response, `error` says why.
    """
    start = time.perf_counter()
    asked = build_request(case)
    try:
        sent = server.worded(asked)
    except EvalsError as error:  # a script that cannot be laid out
        return Observation(SERVER.name, error=str(error), unasked=True)
    headers = server.dialect.all_headers()
    exchange = Exchange(server.url, request_text(sent).encode(), timeout, max_bytes, headers)
    try:
        body = b"".join(chunk for _, chunk in exchange)
        took = exchange.seconds
        seen = read_response(body, took, decode, server.dialect.evidence)
        time_of = timing(start, exchange, took, response=took)
    except ExchangeError as error:
        time_of = None
        seen = Observation(
            SERVER.name, status=error.status, error=str(error), seconds=exchange.seconds
        )
    seen = replace(
        seen,
        timing=time_of,
        retries=exchange.retries,
        waited_seconds=exchange.waited,
        request=None if sent == asked else sent,
    )
    return server.dialect.hide(seen)


def read_response(
    body: bytes, seconds: float, decode: Decode | None = None, evidence: Evidence = LOGPROBS
) -> Observation:
    """The observation in the body of a response with status 200; pure.

    Names, arguments and the finish reason are those of the body, to the letter. A call without a
    name or without arguments has empty texts for them; the checks tell what is wrong with that. A
    body that is not a chat completion at all makes an `error`.
    """
    try:
        return _read(body, seconds, decode, evidence)
    except (ValueError, RecursionError) as error:
        return Observation(SERVER.name, status=200, seconds=seconds, error=f"HTTP 200, but {error}")


def _read(body: bytes, seconds: float, decode: Decode | None, evidence: Evidence) -> Observation:
    if not body.strip():
        raise ValueError("the body is empty")
    try:
        completion = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError(f"the body is not JSON: {one_line(excerpt(body))}") from None
    choices = field(completion, "choices", list) if isinstance(completion, dict) else None
    if not choices or not isinstance(choices[0], dict):
        raise ValueError(f"the body has no choices: {excerpt(json.dumps(completion))}")
    if said := reported_error(completion):
        raise ValueError(f"the server reports an error: {said}")
    choice = choices[0]
    message = field(choice, "message", dict)
    if message is None:
        raise ValueError("choices[0] has no message")
    ids = evidence.ids(completion)
    return Observation(
        SERVER.name,
        status=200,
        content=field(message, "content", str),
        reasoning=read_reasoning(message),
        calls=tuple(_call(entry) for entry in field(message, "tool_calls", list) or ()),
        finish_reason=field(choice, "finish_reason", str),
        usage=read_usage(completion),
        seconds=seconds,
        token_ids=ids,
        raw_text=decode(ids) if decode and ids is not None else evidence.text(completion),
        body=_envelope(completion),
    )


def _envelope(completion: Mapping[str, Any]) -> str:
    """The completion as JSON text, without the evidence: most of it, and it is kept elsewhere."""
    choices = [
        {key: value for key, value in choice.items() if key != "logprobs"}
        for choice in completion["choices"]
        if isinstance(choice, dict)
    ]
    rest = {key: value for key, value in completion.items() if key != "__verbose"}
    return json.dumps({**rest, "choices": choices})


def field(mapping: Mapping[str, Any], name: str, kind: type) -> Any:
    """The value of this name; None where it is absent or null.

    Raises:
        ValueError: it is there and of another type than `kind`.
    """
    value = mapping.get(name)
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    raise ValueError(f"`{name}` is {json.dumps(value)[:80]}, not {_KINDS[kind]}")


_KINDS = {str: "text", list: "a list", dict: "an object", int: "an integer"}


def read_reasoning(message: Mapping[str, Any]) -> str | None:
    """The thoughts in a message or delta, under any of the names in use; one may be empty."""
    texts = [field(message, name, str) for name in ("reasoning", "reasoning_content", "thinking")]
    return next((text for text in texts if text), next((t for t in texts if t is not None), None))


def read_usage(completion: Mapping[str, Any]) -> Usage | None:
    """The token counts of a response or chunk; None where it has none.

    A count that is no number is 0 here: the answer is whole all the same, and the check `usage`
    says what is wrong with it.
    """
    usage = completion.get("usage")
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details")
    return Usage(
        prompt=_count(usage, "prompt_tokens"),
        completion=_count(usage, "completion_tokens"),
        cached=_count(details, "cached_tokens") if isinstance(details, dict) else 0,
    )


def _count(counts: Mapping[str, Any], name: str) -> int:
    value = counts.get(name)
    if isinstance(value, float) and not isfinite(value):  # no JSON: strict clients cannot read it
        raise ValueError(f"`{name}` is {json.dumps(value)}, not an integer")
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def read_function(entry: object) -> tuple[str | None, str | None, str | None]:
    """Id, name and arguments of one entry of `tool_calls`, each None where it is absent."""
    if not isinstance(entry, dict):
        raise ValueError(f"an entry of `tool_calls` is {json.dumps(entry)[:80]}, not an object")
    function = field(entry, "function", dict) or {}
    return field(entry, "id", str), field(function, "name", str), field(function, "arguments", str)


def _call(entry: object) -> Call:
    id_, name, arguments = read_function(entry)
    return Call(name=name or "", arguments=arguments or "", id=id_)
