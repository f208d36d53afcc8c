import json
import time
from typing import Any

import pytest
from scripted_server import TOOLS, Answer, Scripted, call, completion, make_case, respond

from evals.engines import ports
from evals.engines.server import Server
from evals.lanes.server import ask, read_response
from evals.observation import Call, Usage
from evals.request import build_request


def test_the_request_on_the_wire_is_the_requests_value(scripted: Scripted) -> None:
    scripted.answer = respond(completion({"content": "hi"}))
    case = make_case(tools=TOOLS, tool_choice="required", temperature=0.5)
    ask(scripted.server, case, timeout=5)
    assert scripted.bodies == [build_request(case)]


def test_nothing_is_lost_or_invented(scripted: Scripted) -> None:
    message = {
        "role": "assistant",
        "content": "\n\n",
        "reasoning": " I see ",
        "tool_calls": [
            call("todoread</function", '{"a": 1, "a": 2}', id="7"),
            call("get_weather\n", '{"city": NaN'),
            {"type": "function", "function": {"arguments": "{}"}},
            {"function": {"name": "bare"}},
        ],
    }
    details = {"prompt_tokens": 9, "completion_tokens": 3}
    details |= {"prompt_tokens_details": {"cached_tokens": 8}}  # type: ignore[dict-item]
    scripted.answer = respond(completion(message, "something_new", usage=details))
    seen = ask(scripted.server, make_case(), timeout=5)
    assert (seen.status, seen.error, seen.finish_reason) == (200, None, "something_new")
    assert (seen.content, seen.reasoning) == ("\n\n", " I see ")
    assert seen.calls == (
        Call("todoread</function", '{"a": 1, "a": 2}', "7"),
        Call("get_weather\n", '{"city": NaN'),
        Call("", "{}"),
        Call("bare", ""),
    )
    assert seen.usage == Usage(prompt=9, completion=3, cached=8)
    assert (seen.token_ids, seen.raw_text) == (None, None)
    assert seen.seconds > 0


def with_ids(*ids: Any) -> bytes:
    choice = {"message": {"content": "x"}, "logprobs": {"content": [{"id": i} for i in ids]}}
    return json.dumps({"choices": [choice]}).encode()


@pytest.mark.parametrize(
    ("body", "ids", "text"),
    [
        (with_ids(5, 6, 2), (5, 6, 2), "5 6 2"),
        (with_ids(), None, None),
        (with_ids(5, None), None, None),
        (with_ids(5, True), None, None),
        (b'{"choices": [{"message": {}, "logprobs": null}]}', None, None),
    ],
)
def test_token_ids_and_raw_text(body: bytes, ids: tuple[int, ...] | None, text: str) -> None:
    seen = read_response(body, 0.5, lambda tokens: " ".join(map(str, tokens)))
    assert (seen.token_ids, seen.raw_text, seen.error, seen.seconds) == (ids, text, None, 0.5)
    assert read_response(body, 0.5).raw_text is None


def test_finish_reason_without_calls_is_kept_as_it_is() -> None:
    seen = read_response(completion({"content": None}, "tool_calls"), 0.0)
    assert (seen.content, seen.calls, seen.finish_reason) == (None, (), "tool_calls")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "HTTP 200, but the body is empty"),
        (b" \n", "HTTP 200, but the body is empty"),
        (b"<html>", "HTTP 200, but the body is not JSON: <html>"),
        (b"\xff\xfe", "HTTP 200, but the body is not JSON"),
        (b"[" * 100_000, "HTTP 200, but the body is not JSON"),
        (b"[]", "HTTP 200, but the body has no choices: []"),
        (b"{}", "HTTP 200, but the body has no choices: {}"),
        (b'{"error": "no"}', 'the body has no choices: {"error": "no"}'),
        (b'{"choices": []}', "the body has no choices"),
        (b'{"choices": [1]}', "the body has no choices"),
        (b'{"choices": 1}', "`choices` is 1, not a list"),
        (b'{"choices": [{}]}', "choices[0] has no message"),
        (b'{"choices": [{"message": "hi"}]}', '`message` is "hi", not an object'),
        (completion({"content": ["hi"]}), '`content` is ["hi"], not text'),
        (completion({"tool_calls": {}}), "`tool_calls` is {}, not a list"),
        (completion({"tool_calls": ["f"]}), 'an entry of `tool_calls` is "f", not an object'),
        (completion({"tool_calls": [call("f", {})]}), "`arguments` is {}, not text"),  # type: ignore[arg-type]
        (completion({"tool_calls": [call(1, "")]}), "`name` is 1, not text"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_completion_is_an_error(body: bytes, words: str) -> None:
    seen = read_response(body, 0.0)
    assert seen.error is not None
    assert words in seen.error
    assert (seen.status, seen.content, seen.calls) == (200, None, ())


def close(handler: Any) -> None:
    handler.connection.close()


def hang(handler: Any) -> None:
    time.sleep(1.0)


def trickle(handler: Any) -> None:
    respond(b"{")(handler)
    for _ in range(12):
        time.sleep(0.1)
        handler.wfile.write(b" ")


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (respond(b"it broke", 500), 500, "HTTP 500: it broke"),
        (respond(b"x" * 999, 404), 404, "HTTP 404: " + "x" * 200),
        (respond(b"", 503), 503, "HTTP 503: an empty body"),
        (respond(b"{}", 201), 201, "HTTP 201: {}"),
        (respond(b""), 200, "HTTP 200, but the body is empty"),
        (respond(b'{"choices": [{"mess'), 200, "HTTP 200, but the body is not JSON"),
        (
            respond(b'{"cho', length=100),
            200,
            "the server closed the connection in the middle of its response (5 bytes)",
        ),
        (close, None, "the server closed the connection without a response"),
        (lambda h: h.wfile.write(b"HELLO\r\n\r\n"), None, "the response is not valid HTTP"),
        (hang, None, "timeout: no response after 0.5 s"),
        (trickle, 200, "timeout: the response was not complete"),
    ],
)
def test_a_faulty_server_is_an_error_and_never_raises(
    answer: Answer, status: int | None, words: str, scripted: Scripted
) -> None:
    scripted.answer = answer
    seen = ask(scripted.server, make_case(), timeout=0.5)
    assert seen.error is not None
    assert seen.error.startswith(words)
    assert (seen.status, seen.content, seen.calls) == (status, None, ())
    assert len(scripted.bodies) == 1  # nothing is sent twice
    assert len(seen.error) < 260


def test_connection_refused() -> None:
    url = f"http://127.0.0.1:{ports.free_port()}/v1"
    seen = ask(Server(url), make_case(), timeout=1)
    assert seen.error == f"connection refused: nothing listens at {url}"
    assert seen.status is None


def test_a_proxy_in_the_environment_is_not_used(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{ports.free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    scripted.answer = respond(completion({"content": "hi"}))
    assert ask(scripted.server, make_case(), timeout=5).content == "hi"
