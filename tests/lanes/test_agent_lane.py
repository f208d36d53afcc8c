import json
from typing import Any

import pytest
from pydantic_ai.messages import ModelResponse, ToolReturnPart
from scripted_server import TOOLS, Scripted, call, completion, make_case, respond

from evals.engines import ports
from evals.engines.server import Server
from evals.lanes.agent import ask, history
from evals.observation import Call, Observation, Usage
from evals.request import request_text


def calling(*calls: dict[str, Any], finish: str = "tool_calls") -> bytes:
    return completion({"role": "assistant", "content": None, "tool_calls": list(calls)}, finish)


def test_calls_reach_the_tools_in_order_and_the_run_stops_there(scripted: Scripted) -> None:
    scripted.answer = respond(
        calling(
            call("get_weather", '{"city": "Zürich <>&", "days": 12345678901234567890}', id="a"),
            call("todoread", "{}", id="b"),
            call("get_weather", '{"city": "5", "unknown": null}', id="c"),
        )
    )
    seen = ask(scripted.server, make_case(tools=TOOLS), timeout=10)
    assert (seen.error, seen.refused, seen.content) == (None, None, None)
    assert seen.calls == (
        Call("get_weather", '{"city": "Zürich <>&", "days": 12345678901234567890}'),
        Call("todoread", "{}"),
        Call("get_weather", '{"city": "5", "unknown": null}'),
    )
    assert (seen.lane, seen.usage, seen.finish_reason) == ("agent", Usage(9, 3, 0), None)
    assert len(scripted.bodies) == 1


def test_the_request_has_the_cases_settings_and_tools(scripted: Scripted) -> None:
    scripted.answer = respond(completion({"role": "assistant", "content": "hi"}))
    case = make_case(tools=TOOLS, tool_choice="required", max_tokens=99)
    ask(scripted.server, case, timeout=10)
    body = scripted.bodies[0]
    assert (body["model"], body["temperature"]) == ("default_model", 0.0)
    assert body.get("max_tokens", body.get("max_completion_tokens")) == 99
    assert body["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in body["tools"]] == ["todoread", "get_weather"]
    assert "seed" not in body
    assert "parallel_tool_calls" not in body


def test_an_answer_in_words_is_the_content(scripted: Scripted) -> None:
    scripted.answer = respond(completion({"role": "assistant", "content": " Paris. "}))
    seen = ask(scripted.server, make_case(tools=TOOLS), timeout=10)
    assert (seen.content, seen.calls, seen.refused, seen.error) == (" Paris. ", (), None, None)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (calling(call("todoread</function", "{}", id="a")), "Unknown tool name"),
        (calling(call("get_weather", '{"city": ', id="a")), "Invalid JSON"),
        (calling(call("get_weather", '["city"]', id="a")), "not an object"),
        (completion({"role": "assistant", "content": None}, "tool_calls"), ""),
        (completion({"role": "assistant", "content": None}, "length"), "token limit"),
    ],
)
def test_what_the_library_refuses_is_an_answer_without_calls(
    body: bytes, words: str, scripted: Scripted
) -> None:
    scripted.answer = respond(body)
    seen = ask(scripted.server, make_case(tools=TOOLS), timeout=10)
    assert seen.refused
    assert words.lower() in seen.refused.lower()
    assert (seen.error, seen.calls, seen.content) == (None, (), None)
    assert len(scripted.bodies) == 1


def test_a_good_call_beside_a_refused_one_still_counts(scripted: Scripted) -> None:
    scripted.answer = respond(
        calling(call("todoread", "{}", id="a"), call("no_such_tool", "{}", id="b"))
    )
    seen = ask(scripted.server, make_case(tools=TOOLS), timeout=10)
    assert seen.calls == (Call("todoread", "{}"),)
    assert "no_such_tool" in (seen.refused or "")


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (respond(b'{"error": "it broke"}', 500), 500, "HTTP 500: "),
        (lambda h: h.connection.close(), None, "without a response"),
    ],
)
def test_a_faulty_server_is_an_error(
    answer: Any, status: int | None, words: str, scripted: Scripted
) -> None:
    scripted.answer = answer
    seen = ask(scripted.server, make_case(tools=TOOLS), timeout=10)
    assert words in (seen.error or "")
    assert (seen.status, seen.calls, seen.content, seen.refused) == (status, (), None, None)
    assert len(scripted.bodies) == 1


def test_nobody_there_and_nobody_who_answers_in_time(scripted: Scripted) -> None:
    url = f"http://127.0.0.1:{ports.free_port()}/v1"
    assert ask(Server(url), make_case(), timeout=5).error
    scripted.answer = lambda _: __import__("time").sleep(1)
    seen = ask(scripted.server, make_case(), timeout=0.5)
    assert "timeout" in (seen.error or "").lower() or "timed out" in (seen.error or "").lower()


MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "Weather "}, {"type": "text", "text": "?"}],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [call("get_weather", '{"city": "Paris"}', id="a")],
    },
    {"role": "tool", "tool_call_id": "a", "content": "sunny"},
]


def test_the_history_is_sent_as_the_case_has_it(scripted: Scripted) -> None:
    scripted.answer = respond(completion({"role": "assistant", "content": "It is sunny."}))
    seen = ask(scripted.server, make_case(messages=MESSAGES, tools=TOOLS), timeout=10)
    assert (seen.content, seen.error) == ("It is sunny.", None)
    sent = scripted.bodies[0]["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool"]
    assert sent[1]["content"] == "Weather ?"
    function = sent[2]["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == (
        "get_weather",
        {"city": "Paris"},
    )
    assert (sent[3]["content"], sent[3]["tool_call_id"]) == ("sunny", "a")


def test_a_tools_result_knows_its_tool() -> None:
    converted = history(MESSAGES)
    assert isinstance(converted[1], ModelResponse)
    part = converted[2].parts[0]
    assert isinstance(part, ToolReturnPart)
    assert part.tool_name == "get_weather"


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([*MESSAGES[:2], {"role": "assistant", "content": "hi"}], "needs a last message"),
        ([{"role": "developer", "content": "hi"}], "has no role 'developer'"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "has text alone in messages"),
        ([{"role": "user", "content": [5]}], "has text alone in messages"),
        ([{"content": "hi"}], "has no role None"),
        (
            [{"role": "assistant", "tool_calls": [{"id": "a"}]}, {"role": "user", "content": "hi"}],
            "needs a function with a name in each earlier call",
        ),
    ],
)
def test_histories_that_the_lane_cannot_send(
    messages: list[dict[str, Any]], words: str, scripted: Scripted
) -> None:
    seen = ask(scripted.server, make_case(messages=messages), timeout=5)
    assert words in (seen.error or "")
    assert seen.unasked
    assert scripted.bodies == []


EVIDENCE = {
    "logprobs": {"content": [{"id": 65, "logprob": -0.1}, {"id": 66, "logprob": -0.2}]},
}


def with_ids(body: bytes) -> bytes:
    """A response with token ids as mlx_lm sends them, which the library would refuse."""
    content = json.loads(body)
    content["choices"][0].update(EVIDENCE)
    return json.dumps(content).encode()


def test_the_response_is_kept_as_it_came_and_the_request_as_it_went(scripted: Scripted) -> None:
    scripted.answer = respond(with_ids(calling(call("todoread", "{ }", id="a"))))
    case = make_case(tools=TOOLS)
    seen = ask(scripted.server, case, timeout=10, decode=lambda ids: "".join(map(chr, ids)))
    assert seen.calls == (Call("todoread", "{}"),)
    assert seen.refused is None
    assert seen.received is not None
    assert seen.received.calls == (Call("todoread", "{ }", "a"),)
    assert (seen.received.token_ids, seen.received.raw_text) == ((65, 66), "AB")
    assert seen.received.finish_reason == "tool_calls"
    assert seen.request is not None
    assert seen.request["logprobs"] is True
    assert request_text(seen.request).encode() == scripted.wire[0]
    assert Observation.from_dict(json.loads(json.dumps(seen.to_dict()))) == seen


NAN = completion({"role": "assistant", "content": "hi"}).replace(b"9", b"NaN", 1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "context is full"}}', "context is full"),
        (b'{"object": "error", "message": "no"}', "has no choices"),
        (b'{"id": "1", "choices": []}', "has no choices"),
        (b"<html>Bad gateway</html>", "is not JSON: <html>"),
        (b"", "the body is empty"),
        (NAN, "`prompt_tokens` is NaN"),
        (calling(call("todoread", {}, id="a")), "`arguments` is {}"),  # type: ignore[arg-type]
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_completion_is_an_error_whatever_the_library_makes_of_it(
    body: bytes, words: str, scripted: Scripted
) -> None:
    scripted.answer = respond(body)
    seen = ask(scripted.server, make_case(tools=TOOLS), timeout=10)
    assert words in (seen.error or "")
    assert (seen.status, seen.received, seen.refused, seen.unasked) == (200, None, None, False)


def test_arguments_nested_too_deep_are_refused_not_raised(scripted: Scripted) -> None:
    deep = '{"city": ' + "[" * 100_000 + "]" * 100_000 + "}"
    scripted.answer = respond(calling(call("get_weather", deep, id="a")))
    seen = ask(scripted.server, make_case(tools=TOOLS), timeout=20)
    assert seen.refused
    assert (seen.error, seen.calls) == (None, ())
    assert seen.received is not None
    assert seen.received.calls[0].arguments == deep


def test_token_ids_that_no_tokenizer_has_are_no_evidence(scripted: Scripted) -> None:
    scripted.answer = respond(with_ids(completion({"role": "assistant", "content": "hi"})))
    seen = ask(scripted.server, make_case(), timeout=10, decode=lambda ids: None)
    assert seen.received is not None
    assert (seen.received.token_ids, seen.received.raw_text) == ((65, 66), None)
