import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import TOOLS, Scripted, make_case, respond

from evals.lanes.stream import DONE, accumulate, ask, read_events
from evals.observation import Call, Event, Usage
from evals.request import build_request


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return json.dumps({"object": "chat.completion.chunk", "choices": [choice], **more})


def fragment(name: str | None = None, arguments: str | None = None, **more: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"function": {k: v for k, v in function.items() if v is not None}, **more}


def calls_of(*fragments: dict[str, Any], finish: str = "tool_calls") -> list[str]:
    return [*(chunk({"tool_calls": [f]}) for f in fragments), chunk(finish=finish), DONE]


def events(*data: str) -> list[Event]:
    return [Event(float(second), text) for second, text in enumerate(data)]


def sse(*data: str) -> bytes:
    return "".join(f"data: {text}\n\n" for text in data).encode()


# --- events ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"data: a\n\ndata: b\n\n", ["a", "b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
        (b"data: a\r\rdata: b\r\r", ["a", "b"]),
        (b"data:a\n\n", ["a"]),
        (b"data:  a\n\n", [" a"]),
        (b": keepalive 1/9\n\ndata: a\n\n: keepalive 9/9\n\n", ["a"]),
        (b"event: x\nid: 7\nretry: 1\ndata: a\n\n", ["a"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        ("data: a\u2028b\u0085c\n\n".encode(), ["a\u2028b\u0085c"]),
        (b'data: a\n\ndata: {"cut', ["a", '{"cut']),
        (b"data: a\n", ["a"]),
        (b"data: a\n\r\n\ndata: b\r", ["a", "b"]),
        (b"", []),
        (b"\n\n\n", []),
        (b"data: \xff\n\n", ["\ufffd"]),
    ],
)
def test_events_of_a_stream(stream: bytes, data: list[str]) -> None:
    assert [event.data for event in read_events([(0.5, stream)])] == data
    bytewise = [(0.5, stream[i : i + 1]) for i in range(len(stream))]
    assert [event.data for event in read_events(bytewise)] == data


def test_an_event_has_the_time_of_its_last_byte() -> None:
    chunks = [(0.1, b"data: a\n"), (0.2, b"\ndata: b"), (0.3, b"\n\n"), (0.4, b"data: c")]
    assert list(read_events(chunks)) == [Event(0.2, "a"), Event(0.3, "b"), Event(0.4, "c")]


@given(
    data=st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1)),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 500)),
)
def test_any_split_of_the_bytes_gives_the_same_events(
    data: list[str], end: str, cuts: list[int]
) -> None:
    whole = "".join(f"data: {text}{end}{end}" for text in data).encode()
    borders = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    chunks = [(0.0, whole[a:b]) for a, b in itertools.pairwise(borders)]
    assert [event.data for event in read_events(chunks)] == data


# --- what they add up to --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fragments", "calls"),
    [
        ([fragment("f", "{}", index=0, id="a")], [Call("f", "{}", "a")]),
        (
            [
                fragment("f", "", index=0, id="a"),
                fragment(None, '{"x": 1', index=0),
                fragment(None, "}", index=0),
            ],
            [Call("f", '{"x": 1}', "a")],
        ),
        # interleaved
        (
            [
                fragment("f", "{", index=0, id="a"),
                fragment("g", "{", index=1, id="b"),
                fragment(None, "}", index=0),
                fragment(None, " }", index=1),
            ],
            [Call("f", "{}", "a"), Call("g", "{ }", "b")],
        ),
        # the order is that of appearance, whatever the index
        (
            [fragment("f", "{}", index=5), fragment("g", "{}", index=1)],
            [Call("f", "{}"), Call("g", "{}")],
        ),
        # a name in pieces, and a name again: both are appended, as clients do it
        ([fragment("to", index=0), fragment("do", "{}", index=0)], [Call("todo", "{}")]),
        (
            [fragment("todoread", "{", index=0), fragment("todoread", "}", index=0)],
            [Call("todoreadtodoread", "{}")],
        ),
        # every call numbered 0: they run into each other, as in clients
        (
            [fragment("f", "{}", index=0, id="a"), fragment("g", "{}", index=0, id="b")],
            [Call("fg", "{}{}", "a")],
        ),
        # no index: a name begins a call
        (
            [fragment("f", "{"), fragment(None, "}"), fragment("g", "{}", id="b")],
            [Call("f", "{}"), Call("g", "{}", "b")],
        ),
        ([fragment(None, "{}")], [Call("", "{}")]),
        # the id may come later
        ([fragment("f", index=0), fragment(None, "{}", index=0, id="a")], [Call("f", "{}", "a")]),
        # nulls are as good as absent
        (
            [{"index": 0, "id": None, "function": {"name": "f", "arguments": None}}],
            [Call("f", "")],
        ),
        ([{"index": 0, "function": None}], [Call("", "")]),
    ],
)
def test_fragments_of_calls(fragments: list[dict[str, Any]], calls: list[Call]) -> None:
    seen = accumulate(events(*calls_of(*fragments)))
    assert seen.error is None
    assert list(seen.calls) == calls
    assert seen.finish_reason == "tool_calls"
    together = accumulate(events(chunk({"tool_calls": fragments}, "tool_calls"), DONE))
    assert together.calls == seen.calls


names = st.text(st.characters(categories=["L"]), min_size=1, max_size=8)


@given(
    wanted=st.lists(st.tuples(names, st.text(max_size=40), st.uuids()), min_size=1, max_size=4),
    data=st.data(),
)
def test_any_split_of_fragments_gives_the_same_calls(wanted: list[Any], data: Any) -> None:
    queues: list[list[dict[str, Any]]] = []
    for index, (name, arguments, id_) in enumerate(wanted):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(arguments)), max_size=5)))
        borders = [0, *cuts, len(arguments)]
        pieces = [arguments[a:b] for a, b in itertools.pairwise(borders)]
        middle = data.draw(st.integers(0, len(name)))
        queues.append([fragment(name[:middle], index=index, id=str(id_))])
        queues[-1].append(fragment(name[middle:], index=index))
        queues[-1].extend(fragment(None, piece, index=index) for piece in pieces)
    sent = [queue.pop(0) for queue in queues]
    while any(queues):
        waiting = [queue for queue in queues if queue]
        sent.append(data.draw(st.sampled_from(waiting)).pop(0))
    seen = accumulate(events(*calls_of(*sent)))
    assert seen.calls == tuple(Call(name, text, str(id_)) for name, text, id_ in wanted)


@given(st.lists(st.text(max_size=5), max_size=10), st.lists(st.text(max_size=5), max_size=10))
def test_content_and_reasoning_are_joined_as_they_came(content: list[str], why: list[str]) -> None:
    deltas = [chunk({"reasoning": text}) for text in why]
    deltas += [chunk({"content": text}) for text in content]
    seen = accumulate(events(*deltas, chunk(finish="stop"), DONE))
    assert (seen.content or "", seen.reasoning or "") == ("".join(content), "".join(why))


def test_usage_times_and_events() -> None:
    usage = {"prompt_tokens": 85, "completion_tokens": 11}
    usage |= {"prompt_tokens_details": {"cached_tokens": 84}}  # type: ignore[dict-item]
    sent = events(
        chunk({"role": "assistant"}),
        chunk({"content": ""}),
        chunk({"content": "hi"}),
        chunk(finish="stop"),
        json.dumps({"object": "chat.completion", "choices": [], "usage": usage}),
        DONE,
    )
    seen = accumulate(sent)
    assert seen.usage == Usage(85, 11, 84)
    assert (seen.first_token_seconds, seen.seconds, seen.status) == (2.0, 5.0, 200)
    assert seen.events == tuple(sent)
    assert seen.error is None
    assert (seen.lane, seen.token_ids, seen.raw_text) == ("stream", None, None)


def test_only_the_first_choice_counts() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "length"}]}
    seen = accumulate(events(chunk({"content": "yes"}, "stop"), json.dumps(other), DONE))
    assert (seen.content, seen.finish_reason) == ("yes", "stop")


HI = chunk({"content": "hi"})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "stream ended without finish reason, after 0 events"),
        ([HI], "stream ended without finish reason, after 1 events"),
        ([HI, DONE], "stream ended without finish reason"),
        ([HI, chunk(finish="stop")], "stream ended without [DONE]"),
        ([HI, '{"choices": [{"del'], 'event 2 of the stream: not JSON: {"choices": [{"del'),
        ([HI, "[1]"], "event 2 of the stream: not an object: [1]"),
        ([HI, '{"error": {"message": "boom"}}'], "event 2 of the stream: the server reports an"),
        ([HI, '{"choices": {}}'], "event 2 of the stream: `choices` is {}, not a list"),
        ([HI, chunk({"content": 1})], "event 2 of the stream: `content` is 1, not text"),
        ([HI, chunk({"tool_calls": [1]})], "event 2 of the stream: an entry of `tool_calls` is 1"),
        ([HI, "[" * 100_000], "event 2 of the stream: not JSON"),
    ],
)
def test_a_broken_stream_is_an_error_and_keeps_what_came(data: list[str], words: str) -> None:
    seen = accumulate(events(*data))
    assert seen.error is not None
    assert words in seen.error
    assert seen.content == ("hi" if data else None)
    assert len(seen.error) < 300


def test_an_engine_whose_streams_have_no_end_mark_ends_with_the_finish_reason() -> None:
    assert accumulate(events(HI, chunk(finish="stop")), ends=False).error is None
    cut = accumulate(events(HI), ends=False)
    assert cut.error == "stream ended without finish reason, after 1 events"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists), st.data())
def test_no_event_makes_it_raise(value: Any, data: Any) -> None:
    keys = ["choices", "delta", "index", "tool_calls", "function", "usage", "finish_reason"]
    for key in data.draw(st.lists(st.sampled_from(keys), max_size=6)):
        value = data.draw(st.sampled_from([{key: value}, [{key: value}], {key: [value]}]))
    accumulate([Event(0.0, json.dumps(value))])


# --- over HTTP ------------------------------------------------------------------------------------


def test_a_stream_over_http(scripted: Scripted) -> None:
    data = calls_of(fragment("todoread", "{}", index=0, id="a"))
    scripted.answer = respond(b": keepalive 1/1\n\n" + sse(*data))
    case = make_case(tools=TOOLS)
    seen = ask(scripted.server, case, timeout=5)
    assert scripted.bodies == [build_request(case, stream=True)]
    assert (seen.error, seen.calls) == (None, (Call("todoread", "{}", "a"),))
    assert [event.data for event in seen.events] == data
    assert seen.first_token_seconds is not None
    assert 0 < seen.first_token_seconds <= seen.seconds


def cut(handler: Any) -> None:
    respond(sse(HI), length=9999)(handler)


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (respond(b"boom", 500), 500, "HTTP 500: boom"),
        (respond(b""), 200, "stream ended without finish reason, after 0 events"),
        (respond(sse(HI)), 200, "stream ended without finish reason, after 1 events"),
        (respond(sse(HI)[:-9]), 200, "event 1 of the stream: not JSON"),
        (cut, 200, "the server closed the connection in the middle of its response"),
        (lambda h: h.connection.close(), None, "the server closed the connection without a resp"),
    ],
)
def test_a_faulty_stream_is_an_error_and_never_raises(
    answer: Any, status: int | None, words: str, scripted: Scripted
) -> None:
    scripted.answer = answer
    seen = ask(scripted.server, make_case(), timeout=5)
    assert seen.error is not None
    assert seen.error.startswith(words)
    assert seen.status == status
    if answer is cut:
        assert (seen.content, len(seen.events)) == ("hi", 1)


def test_reading_events_takes_time_by_their_length() -> None:
    def seconds(size: int) -> float:
        text = b"data: " + b"x" * size + b"\n\n"
        chunks = [(0.0, text[i : i + 1024]) for i in range(0, len(text), 1024)]
        begin = time.process_time()
        (event,) = read_events(chunks)
        assert len(event.data) == size
        return time.process_time() - begin

    short, long = (min(seconds(size) for _ in range(3)) for size in (2**20, 2**24))
    assert long < 16 * 4 * max(short, 0.001)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_the_same_wherever_their_bytes_are_split(end: bytes, size: int) -> None:
    lines = ["\ufeffdata: a", "", ": c", "data: b1", "data:b2 €", "", "data: c"]
    text = end.join(line.encode() for line in lines)
    chunks = [(float(i), text[i : i + size]) for i in range(0, len(text), size)]
    assert [event.data for event in read_events(chunks)] == ["a", "b1\nb2 €", "c"]
