"""Lane `stream`: server-sent events, and the one place where their fragments become an answer."""

import codecs
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evals.case import Case
from evals.engines.server import Server
from evals.errors import EvalsError
from evals.escaping import excerpt, one_line
from evals.lanes import server as plain
from evals.lanes.faults import reported_error
from evals.lanes.timing import prompt_done, stream_parts, timing
from evals.observation import STREAM, Call, Event, Observation, Usage
from evals.request import build_request, request_text
from evals.wire.bounds import MAX_RESPONSE_BYTES
from evals.wire.exchange import Exchange, ExchangeError

DONE = "[DONE]"
MAX_EVENTS = 50_000
"""The longest answer has 8,192 tokens; each event costs far more memory than its bytes."""


def ask(
    server: Server, case: Case, *, timeout: float, max_bytes: int = MAX_RESPONSE_BYTES
) -> Observation:
    """Ask the server for a stream and take it to its end. `timeout` is in seconds.

    Never raises for what a server does: without a complete stream, `error` says why, and what had
    come until then is kept.
    """
    events: list[Event] = []
    comments: list[tuple[float, bytes]] = []
    failure, start = None, time.perf_counter()
    asked = build_request(case, stream=True)
    try:
        sent = server.worded(asked)
    except EvalsError as error:  # a script that cannot be laid out
        return Observation(STREAM.name, error=str(error), unasked=True)
    headers = server.dialect.all_headers()
    exchange = Exchange(server.url, request_text(sent).encode(), timeout, max_bytes, headers)
    try:
        events.extend(_bounded(read_events(exchange, comments)))
    except ExchangeError as error:
        failure = error
    took = exchange.seconds
    total = _total(events, ends=server.dialect.ends_streams)
    whole = failure is None and total.error is None and exchange.head is not None
    observation = replace(
        _observation(total, events),
        seconds=took,
        timing=timing(start, exchange, took, **_parts(total, exchange, took, comments))
        if whole
        else None,
        retries=exchange.retries,
        waited_seconds=exchange.waited,
        request=None if sent == asked else sent,
    )
    if failure:
        observation = replace(observation, status=failure.status, error=str(failure))
    return server.dialect.hide(observation)


def _parts(
    total: "_Sum", exchange: Exchange, took: float, comments: Iterable[tuple[float, bytes]]
) -> Mapping[str, Any]:
    hidden = total.first_is_call and total.parts[0].fragments == 1
    return stream_parts(
        exchange.head or 0.0,
        took,
        texts=total.texts,
        first_output=total.first_output,
        hidden=hidden,
        done=prompt_done(comments),
        completion=total.usage.completion if total.usage else None,
    )


def read_events(
    chunks: Iterable[tuple[float, bytes]], comments: list[tuple[float, bytes]] | None = None
) -> Iterator[Event]:
    """The events in the bytes of a stream, each with the seconds at which it was complete; pure.

    Comments (`: keepalive`) and fields other than `data` are left out; `comments` gets the former,
    each with its seconds. Lines end at CR, LF or both
    and nowhere else: Unicode's other line ends may stand in the data. An event that the stream's
    end cut short is an event all the same, for its text shows where the stream broke. Lines that
    have no field of an event, such as the body of an error, come last, as one that is not `framed`.
    """
    data, strays, seconds = list[str](), list[bytes](), 0.0
    for seconds, line, ended in _lines(chunks):
        if line.startswith(b"data:"):
            data.append(_text(line))
        elif not line and ended and data:
            yield Event(seconds, "\n".join(data))
            data = []
        elif line.startswith(b":"):
            if comments is not None and len(comments) < _MOST_COMMENTS:
                comments.append((seconds, line[:_LONGEST_COMMENT]))
        elif not _FIELD.match(line) and len(strays) < _MOST_STRAYS:
            strays.append(line)
    if data:
        yield Event(seconds, "\n".join(data))
    if strays:
        text = b"\n".join(strays)[:_LONGEST_STRAY].decode("utf-8", errors="replace")
        yield Event(seconds, text, framed=False)


def _lines(chunks: Iterable[tuple[float, bytes]]) -> Iterator[tuple[float, bytes, bool]]:
    """Each line with its seconds, and whether it ended; the last one, the stream's rest, did not.

    Only what is new is searched for line ends, so a long line takes time by its length.
    """
    begun, seconds, held, number = list[bytes](), 0.0, b"", 0
    for seconds, chunk in chunks:
        # A CR at the very end may be the first half of CR LF: it waits for the next chunk.
        text = held + chunk
        held = text[-1:] if text.endswith(b"\r") else b""
        first, *others = _LINE_END.split(text[: len(text) - len(held)])
        begun.append(first)
        for other in others:
            yield seconds, _line(begun, number), True
            begun, number = [other], number + 1
    yield seconds, _line([*begun, held], number), False


def _line(parts: list[bytes], number: int) -> bytes:
    """The line of these parts; the first one's byte order mark is no part of it."""
    line = b"".join(parts)
    return line.removeprefix(codecs.BOM_UTF8) if number == 0 else line


_LINE_END = re.compile(rb"\r\n|\n|\r")


def _bounded(events: Iterable[Event]) -> Iterator[Event]:
    """`events`, as many as an answer can have.

    Raises:
        ExchangeError: there are more.
    """
    for number, event in enumerate(events):
        if number == MAX_EVENTS:
            raise ExchangeError(f"the stream has more than {MAX_EVENTS} events", 200)
        yield event


# A field of an event, a comment, or nothing.
_FIELD = re.compile(rb"(data|event|id|retry)(:|\r?\Z)|:|\s*\Z")
_MOST_STRAYS, _LONGEST_STRAY = 50, 4000
_MOST_COMMENTS, _LONGEST_COMMENT = 10_000, 200


def _text(line: bytes) -> str:
    data = line.removeprefix(b"data:").removeprefix(b" ").removesuffix(b"\r")
    return data.decode("utf-8", errors="replace")


@dataclass
class _Part:
    id: str | None = None
    name: str = ""
    arguments: str = ""
    fragments: int = 0


@dataclass
class _Sum:
    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    parts: list[_Part] = field(default_factory=list)
    by_index: dict[int, _Part] = field(default_factory=dict)
    finish_reason: str | None = None
    usage: Usage | None = None
    texts: list[float] = field(default_factory=list)
    """Seconds of each piece of text."""
    first_output: float | None = None
    first_is_call: bool = False
    error: str | None = None


def accumulate(events: Iterable[Event], *, ends: bool = True) -> Observation:
    """The answer that the events of one stream add up to; pure, and never raises.

    Fragments of calls are joined as the openai and pydantic-ai clients join them, so that a call
    comes out here as it reaches a user: the index says which call a fragment belongs to, whatever
    its id; the first id counts; names and arguments are appended, also a name that is sent again
    (`todoreadtodoread`: such a server corrupts names). Without an index, a fragment with a name
    begins a call and one without continues the latest. Only the first choice is read.

    A stream is complete with a finish reason and `[DONE]`, which an engine whose streams have none
    (`ends`) need not send. Without either, or with an event that is not a chunk, `error` says so
    and the answer is what had come until then. It quotes what came outside of events: clients pass
    over that, as over all of an error that has no `data:`.
    """
    events = tuple(events)
    return _observation(_total(events, ends=ends), events)


def _total(events: Sequence[Event], *, ends: bool) -> _Sum:
    framed = [event for event in events if event.framed]
    total, error, done = _Sum(), None, not ends
    for number, event in enumerate(framed, start=1):
        if event.data.strip() == DONE:
            done = True
            break
        try:
            _add(total, event)
        except (ValueError, RecursionError) as reason:
            error = f"event {number} of the stream: {reason}"
            break
    if error is None and total.finish_reason is None:
        error = f"stream ended without finish reason, after {len(framed)} events"
    elif error is None and not done:
        error = f"stream ended without {DONE}, after {len(framed)} events"
    if error and (strays := [event.data for event in events if not event.framed]):
        error += f"; outside of events came: {one_line(excerpt(strays[0]))}"
    total.error = error
    return total


def _observation(total: _Sum, events: Sequence[Event]) -> Observation:
    return Observation(
        STREAM.name,
        status=200,
        content="".join(total.content) or None,
        reasoning="".join(total.reasoning) or None,
        calls=tuple(Call(part.name, part.arguments, part.id) for part in total.parts),
        finish_reason=total.finish_reason,
        usage=total.usage,
        seconds=events[-1].seconds if events else 0.0,
        first_token_seconds=total.texts[0] if total.texts else None,
        events=tuple(events),
        error=total.error,
    )


def _add(total: _Sum, event: Event) -> None:
    try:
        chunk = json.loads(event.data)
    except (ValueError, RecursionError):
        raise ValueError(f"not JSON: {one_line(excerpt(event.data))}") from None
    if not isinstance(chunk, dict):
        raise ValueError(f"not an object: {one_line(excerpt(event.data))}")
    if said := reported_error(chunk):
        raise ValueError(f"the server reports an error: {said}")
    usage, choices = plain.read_usage(chunk), plain.field(chunk, "choices", list)
    if usage is None and choices is None:
        shown = one_line(excerpt(event.data))
        raise ValueError(f"neither choices nor usage nor an error: {shown}")
    total.usage = usage or total.usage
    for choice in choices or ():
        if isinstance(choice, dict) and choice.get("index") in (0, None):
            _add_choice(total, choice, event.seconds)


def _add_choice(total: _Sum, choice: dict[str, Any], seconds: float) -> None:
    delta = plain.field(choice, "delta", dict) or {}
    content = plain.field(delta, "content", str) or ""
    reasoning = plain.read_reasoning(delta) or ""
    fragments = plain.field(delta, "tool_calls", list) or ()
    total.content.append(content)
    total.reasoning.append(reasoning)
    for fragment in fragments:
        _add_fragment(total, fragment)
    total.finish_reason = plain.field(choice, "finish_reason", str) or total.finish_reason
    if content or reasoning or fragments:
        total.first_is_call = total.first_is_call or not (total.texts or content or reasoning)
        total.texts.append(seconds)
    if total.first_output is None and (content or fragments):
        total.first_output = seconds


def _add_fragment(total: _Sum, fragment: object) -> None:
    id_, name, arguments = plain.read_function(fragment)
    assert isinstance(fragment, dict)
    index = plain.field(fragment, "index", int)
    if index is not None:
        part = total.by_index.get(index)
    else:
        part = total.parts[-1] if total.parts and not name else None
    if part is None:
        part = _Part()
        total.parts.append(part)
        if index is not None:
            total.by_index[index] = part
    part.fragments += 1
    part.id = part.id or id_
    part.name += name or ""
    part.arguments += arguments or ""
