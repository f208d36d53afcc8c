"""The evidence of a record as plain values for every report: what was written, and what came back.

Text of a model stays text: control characters and whatever else a terminal or a browser acts on
are made visible here, once, and long text is cut with its whole length told.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from evals.escaping import escape_controls, escape_unprintable
from evals.observation import Observation
from evals.request import as_curl

NO_SERVER = "http://127.0.0.1:PORT/v1"
"""The base URL in a curl line where the server is gone, or was another machine's."""
_EVIDENCE = ("token_ids", "token_texts", "raw_text", "events", "server_log", "lane")


@dataclass(frozen=True)
class Shown:
    """Text that is safe to show; `length` is that of the whole, in characters, before the cut."""

    text: str
    length: int
    cut: bool


def shown(text: str, limit: int) -> Shown:
    """At most `limit` characters of `text`, control characters made visible."""
    return Shown(escape_controls(text[:limit]), len(text), len(text) > limit)


def as_json(value: object) -> str:
    """JSON for readers, also of dataclasses; what a terminal or a browser acts on is escaped."""
    try:  # json's own encoder takes twenty times as long as soon as it indents
        text = to_json(value, indent=2, inf_nan_mode="constants").decode()
    except ValueError:  # half of a surrogate pair
        text = json.dumps(value, indent=2, ensure_ascii=False, default=vars)
    return escape_in_json(text)


def escape_in_json(text: str) -> str:
    """JSON, or text with JSON in it: what is not printable stands inside its texts."""
    return escape_unprintable(text, lambda c: json.dumps(c)[1:-1])


def curl_line(request: Mapping[str, Any], url: str) -> str:
    """The shell line that sends `request` again, all of it printable."""
    return escape_in_json(as_curl(request, url))


def token_pieces(observation: Observation) -> list[tuple[int, str]]:
    """Each generated token's id with its text, escaped; empty text where none was recorded."""
    ids: Sequence[int] = observation.token_ids or ()
    texts = observation.token_texts or ()
    return [
        (token, escape_controls(texts[i]) if i < len(texts) else "") for i, token in enumerate(ids)
    ]


def response_value(observation: Observation) -> dict[str, Any]:
    """What came back, without the evidence that reports show by itself; for `as_json`."""
    value = _without_evidence(observation)
    if observation.received:
        value["received"] = _without_evidence(observation.received)
    return value


def _without_evidence(observation: Observation) -> dict[str, Any]:
    return {name: value for name, value in vars(observation).items() if name not in _EVIDENCE}


def transcript(observation: Observation) -> str:
    """The server-sent events of a stream, each with its seconds since the request."""
    return "\n\n".join(
        f"+{e.seconds:.3f} s  {'data: ' if e.framed else ''}{e.data}" for e in observation.events
    )
