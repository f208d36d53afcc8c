"""What came back from one question: the response as sent, and the evidence of how it came to be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Call:
    """One tool call as the lane delivered it; `arguments` is the raw text, never parsed here."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True)
class Usage:
    """Token counts as the server reports them; `cached` is the part of the prompt it had kept."""

    prompt: int
    completion: int
    cached: int = 0


@dataclass(frozen=True)
class Event:
    """One server-sent event of a streamed response: seconds since the request, and its text.

    Not `framed` is what came outside of all events, which no client reads.
    """

    seconds: float
    data: str
    framed: bool = True


@dataclass(frozen=True)
class Timing:
    """Where the time of one answer went, in seconds, each part between two readings of one clock.

    The parts from `client` to `tool` follow one another and add up to `wall`, the time of the
    whole. A part is None where nothing shows it: it is never guessed. A plain response shows its
    own time alone (`response`); a stream, when it began (`queue`), when the server was done with
    the prompt (`prompt`), and the rest (`decode`).
    """

    wall: float
    client: float = 0.0
    """Building and sending the request, and what a library made of the answer."""
    retry: float = 0.0
    """A busy server refused, and was asked again when it had said."""
    queue: float | None = None
    """From the request to the first byte of a stream, or to an idle model."""
    prompt: float | None = None
    """From there until the prompt was read: the server said so, or its first token came."""
    decode: float | None = None
    """From there to the end of the response."""
    response: float | None = None
    """The whole response, where its parts are not shown."""
    parse: float = 0.0
    """Reading the response here."""
    tool: float = 0.0
    """The tools that an agent called."""
    first_token: float | None = None
    """From the request to the first text of any kind; None where calls come as a whole."""
    first_output: float | None = None
    """From the request to the first text of the answer or of a call."""
    decoded: int | None = None
    """The tokens that came within `decode`."""
    gaps: Sequence[float] = ()
    """Between each piece of text in a stream and the one before."""

    @property
    def parts(self) -> dict[str, float]:
        """The parts of `wall` that are known, in the order of time."""
        values = {name: getattr(self, name) for name in PHASES}
        return {name: value for name, value in values.items() if value is not None}


PHASES = ("client", "retry", "queue", "prompt", "decode", "response", "parse", "tool")
"""The parts of a `Timing`, in the order of time."""


@dataclass(frozen=True)
class Traits:
    """What a lane can do and show. Judging asks these; it never asks a lane's name."""

    name: str
    over_http: bool = True
    """A server is asked, and its response is judged; without, the raw text of the model alone."""
    has_token_ids: bool = False
    """The answer brings its own evidence of what the model wrote."""
    needs_plain: bool = False
    """It is judged with the plain answer to the same question, which must say the same."""
    streamed: bool = False
    """The request asks for a stream."""
    through_client: bool = False
    """A library asks, in its own words: what reaches its tools is held against its response."""


SERVER = Traits("server", has_token_ids=True)
STREAM = Traits("stream", needs_plain=True, streamed=True)
DIRECT = Traits("direct", over_http=False, has_token_ids=True)
AGENT = Traits("agent", has_token_ids=True, through_client=True)
PLAIN = SERVER
"""The lane whose answers are the evidence for lanes that need one."""


@dataclass(frozen=True)
class Observation:
    """One answer in one lane.

    `status` is the HTTP status (None in lanes without HTTP). `error` is set where no complete
    response came back: connection refused or closed, a cut stream, a timeout, a status other than
    200. Such an observation says nothing about the model and enters no rate. With `unasked` it is
    this suite that failed: it could not ask, or could not read the answer.

    `token_ids` are all generated ids with the end token, also those of calls that the server
    dropped; `raw_text` is their decoded text without the end token. Both are None where a lane
    cannot see them (streams; servers that send no logprobs).

    `refused` is what the agent library said where it did not take the model's answer: an unknown
    tool, arguments that are not JSON, an empty or a truncated response. It is an answer, not an
    error: its calls are those that reached the tools all the same.

    `killed_server`: nothing was asked, for the server has died of this question, also when it was
    asked alone; a run that is resumed does not ask it again.

    `body` is the JSON text of a plain response without its logprobs, whose ids are `token_ids`: the
    fields around the answer, to be held against the API. A stream has its `events` for that.

    `request` is the body that was sent, in its own order; None where the lane adds nothing to that
    of the case. `received` is the response that the agent library got, in full: `calls` and
    `content` are then what the library made of it.

    `started` is in seconds since the epoch. `token_texts` has the text of each of `token_ids`;
    where a character takes several tokens, it is the last one's. `server_log` is what the server
    logged meanwhile; requests in flight at one time share it.

    `timing` says where the time went; it is not there in records of earlier versions.

    `retries` says how often a busy server (429 or 503 with `Retry-After`) was asked again, and
    `waited_seconds` how long that took; neither is part of `seconds`.
    """

    lane: str
    status: int | None = None
    content: str | None = None
    reasoning: str | None = None
    calls: tuple[Call, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    seconds: float = 0.0
    first_token_seconds: float | None = None
    token_ids: tuple[int, ...] | None = None
    raw_text: str | None = None
    events: tuple[Event, ...] = ()
    error: str | None = None
    refused: str | None = None
    killed_server: bool = False
    started: float | None = None
    token_texts: tuple[str, ...] | None = None
    server_log: str | None = None
    retries: int = 0
    waited_seconds: float = 0.0
    body: str | None = None
    unasked: bool = False
    request: Mapping[str, Any] | None = None
    received: "Observation | None" = None
    timing: Timing | None = None

    def to_dict(self) -> dict[str, Any]:
        """A plain mapping for a record; `from_dict` turns it back into an equal value."""
        plain: dict[str, Any] = _plain(self)
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The observation that `to_dict` wrote."""
        values = dict(data)
        values["calls"] = tuple(Call(**call) for call in data.get("calls") or ())
        values["events"] = tuple(Event(**event) for event in data.get("events") or ())
        if data.get("usage"):
            values["usage"] = Usage(**data["usage"])
        if data.get("received"):
            values["received"] = cls.from_dict(data["received"])
        if data.get("timing"):
            timing = data["timing"]
            values["timing"] = Timing(**{**timing, "gaps": tuple(timing["gaps"])})
        for name in ("token_ids", "token_texts"):
            if data.get(name) is not None:
                values[name] = tuple(data[name])
        return cls(**values)


def _plain(value: Any) -> Any:
    """As `dataclasses.asdict`, but that texts, numbers and mappings are taken and not copied."""
    if is_dataclass(value):
        return {name: _plain(each) for name, each in vars(value).items()}
    if isinstance(value, tuple) and value and is_dataclass(value[0]):
        return tuple(map(_plain, value))
    return value
