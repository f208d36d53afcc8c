"""Some fifteen requests that tell what an unknown server does with tools.

The questions are plain enough for a small model, and what only a model can be blamed for is
`cannot tell`: a probe is about the server. Calls are asked for with `tool_choice` `auto`.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from evals.case import Case
from evals.engines.evidence import NONE
from evals.engines.server import ONE_TOKEN, Server, exchange
from evals.formats.model_text import read_model_text
from evals.formats.registry import syntax
from evals.json_text import parse_strict
from evals.lanes import server as plain_lane
from evals.lanes import stream as stream_lane
from evals.observation import Call, Observation
from evals.probing.finding import Finding, passes

CALLS, FORMAT = "a call comes as a call", "call format"
_CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "The weather of a city.", "parameters": _CITY}
TODOS = {"name": "list_todos", "description": "The list of things to do."}
_WRITTEN = 6
"""Tokens of an answer that is more than its end."""
ASK_WEATHER = "What is the weather in Paris? Call get_weather."
ASK_TODOS = "What is on my list of things to do? Call list_todos."
ASK_BOTH = "What is the weather in Paris, and what in Rome? Call get_weather for each of the two."


@dataclass(frozen=True)
class _Asked:
    """What the findings are made of: the answers to the first question, plain and streamed."""

    plain: Observation
    stream: Observation


def probe(server: Server, *, timeout: float) -> Iterator[Finding]:
    """What the server does, one finding after the other; each request ends after `timeout` s."""

    def ask(question: str, **changes: Any) -> Observation:
        return plain_lane.ask(server, _case(question, **changes), timeout=timeout)

    yield _tools_reach(server, timeout)
    asked = _Asked(ask(ASK_WEATHER), stream_lane.ask(server, _case(ASK_WEATHER), timeout=timeout))
    yield from _call(asked.plain)
    yield _format(asked.plain)
    yield _evidence(server, asked.plain)
    yield from _stream(asked)
    yield from _choices(ask)
    yield _zero_parameters(ask(ASK_TODOS, tools=[TODOS]))
    yield _parallel(ask(ASK_BOTH))
    yield from _cut(server, asked.plain, timeout)
    yield _history(ask)


def _case(question: str, **changes: Any) -> Case:
    values: dict[str, Any] = {
        "id": "probe",
        "path": "probe.yaml",
        "line": 1,
        "category": "probe",
        "messages": [{"role": "user", "content": question}],
        "tools": [WEATHER],
        "expect": {"answer": {}},
        "max_tokens": 200,
    }
    return Case.model_validate({**values, **changes})


def _failed(name: str, seen: Observation) -> Finding | None:
    if not seen.error:
        return None
    slow = seen.error.startswith("timeout")
    return Finding(name, "cannot tell" if slow else "fail", seen.error)


def _tools_reach(server: Server, timeout: float) -> Finding:
    """Whether a request with a tool has a longer prompt than one without."""
    name = "tools reach the prompt"
    tools = [{"type": "function", "function": {**TODOS, "parameters": {"type": "object"}}}]
    with_, without = (
        _prompt_tokens(server, body, timeout) for body in ({"tools": tools}, dict[str, Any]())
    )
    if with_ is None or without is None:
        return Finding(name, "cannot tell", "the responses count no prompt tokens")
    return passes(name, with_ > without, f"{without} prompt tokens, with a tool {with_}")


def _prompt_tokens(server: Server, more: dict[str, Any], timeout: float) -> int | None:
    usage = _completion(server, more, timeout).get("usage")
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return tokens if type(tokens) is int else None


def _completion(server: Server, more: dict[str, Any], timeout: float) -> dict[str, Any]:
    """The body of a one-token answer; empty where it is none."""
    body = json.dumps(server.worded({**ONE_TOKEN, **more})).encode()
    headers = server.dialect.all_headers()
    _, answer = exchange(server.url, "/chat/completions", timeout, body, headers)
    try:
        found = json.loads(answer)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def version(server: Server, timeout: float) -> str:
    """What the server says of its version: `system_fingerprint`, else nothing."""
    told = _completion(server, {}, timeout).get("system_fingerprint")
    return told[:80] if isinstance(told, str) else "tells no version"


def _call(seen: Observation) -> Iterator[Finding]:
    name = CALLS
    if failed := _failed(name, seen):
        yield failed
        return
    if not seen.calls:
        yield _no_call(name, seen)
        return
    call = seen.calls[0]
    yield passes(name, call.name == "get_weather", f"{call.name}({call.arguments[:60]})")
    yield passes("arguments are a JSON object", _is_object(call), call.arguments[:60])
    ids = [call.id for call in seen.calls]
    yield passes("calls have ids", all(ids) and len({*ids}) == len(ids), ", ".join(map(str, ids)))
    finish = str(seen.finish_reason)
    yield passes("finish reason of a call", finish == "tool_calls", finish)


def _no_call(name: str, seen: Observation) -> Finding:
    """None came: the server's fault if the markup of one is in the text."""
    leaked = _has_markup(seen.content or "")
    said = f"the text is {json.dumps((seen.content or '')[:80])}"
    return Finding(name, "fail" if leaked else "cannot tell", said)


def _has_markup(text: str) -> bool:
    return any(mark in text for mark in syntax().markup)


def _is_object(call: Call) -> bool:
    try:
        return isinstance(parse_strict(call.arguments), dict)
    except ValueError:
        return False


def _format(seen: Observation) -> Finding:
    text = seen.raw_text or seen.content or ""
    found = read_model_text(text, _case("").tools).format
    if found:
        return Finding(FORMAT, "pass", found)
    return Finding(FORMAT, "cannot tell", "no raw text of a call was seen")


def _evidence(server: Server, seen: Observation) -> Finding:
    evidence, name = server.dialect.evidence, "evidence"
    if evidence is NONE:
        return Finding(name, "cannot tell", evidence.doc)
    if seen.token_ids is None:
        return Finding(name, "cannot tell", f"{evidence.name}: asked for, and not in the response")
    tokens = seen.usage.completion if seen.usage else None
    said = f"{evidence.name}: {len(seen.token_ids)} ids of {tokens} tokens"
    # Some count the end token, and some do not.
    return passes(name, tokens is None or abs(len(seen.token_ids) - tokens) <= 1, said)


def _stream(asked: _Asked) -> Iterator[Finding]:
    name = "a stream ends as it should"
    seen = asked.stream
    if failed := _failed(name, seen):
        yield failed
        return
    yield Finding(name, "pass", f"{len(seen.events)} events, finish reason {seen.finish_reason}")
    if asked.plain.error:
        return
    plain, streamed = (
        [(call.name, call.arguments) for call in one.calls] for one in (asked.plain, seen)
    )
    said = "the same" if plain == streamed else f"plain {plain}, streamed {streamed}"
    yield passes("stream and plain have the same calls", plain == streamed, said[:160])
    reasons = asked.plain.finish_reason, seen.finish_reason
    same = reasons[0] == reasons[1]
    yield passes(
        "stream and plain have the same finish reason", same, " and ".join(map(str, reasons))
    )
    counted = seen.usage is not None
    yield Finding(
        "streams count tokens",
        "pass" if counted else "cannot tell",
        "usage came" if counted else "no usage came",
    )


def _choices(ask: Callable[..., Observation]) -> Iterator[Finding]:
    yield _forbidden(ask(ASK_WEATHER, tool_choice="none"))
    required = ask("Say hello.", tool_choice="required")
    yield _forced("tool_choice required", required, required.calls)
    named = {"type": "function", "function": {"name": "list_todos"}}
    seen = ask(ASK_WEATHER, tools=[WEATHER, TODOS], tool_choice=named)
    calls = tuple(call for call in seen.calls if call.name == "list_todos")
    yield _forced("tool_choice with a name", seen, calls)


def _forbidden(seen: Observation) -> Finding:
    """No call may come, nor its markup; nor may all that the model wrote be gone."""
    name = "tool_choice none"
    leaked = _has_markup(seen.content or "")
    tokens = seen.usage.completion if seen.usage else 0
    gone = not (seen.calls or seen.content or seen.reasoning) and tokens >= _WRITTEN
    said = f"{len(seen.calls)} calls"
    said += (
        ", markup in the text" if leaked else f", and no text of {tokens} tokens" if gone else ""
    )
    return _failed(name, seen) or passes(name, not (seen.calls or leaked or gone), said)


def _forced(name: str, seen: Observation, calls: tuple[Call, ...]) -> Finding:
    if failed := _failed(name, seen):
        return failed
    came = ", ".join(call.name for call in seen.calls) or "no call"
    return passes(name, bool(calls), came)


def _zero_parameters(seen: Observation) -> Finding:
    name = "a call without parameters"
    if failed := _failed(name, seen):
        return failed
    if not seen.calls:
        return _no_call(name, seen)
    call = seen.calls[0]
    right = call.name == "list_todos" and _is_object(call)
    return passes(name, right, f"{call.name}({call.arguments[:60]})")


def _parallel(seen: Observation) -> Finding:
    name = "several calls in one answer"
    if failed := _failed(name, seen):
        return failed
    count = len(seen.calls)
    if count < 2:
        return Finding(name, "cannot tell", f"{count} came: the model's choice, or the server's")
    ids = {call.id for call in seen.calls}
    return passes(name, len(ids) == count, f"{count} came, with {len(ids)} ids")


def _cut(server: Server, whole: Observation, timeout: float) -> Iterator[Finding]:
    """A call that max_tokens cuts in the middle must not look like one that is whole."""
    tokens = whole.usage.completion if whole.usage else 0
    if not whole.calls or tokens < _WRITTEN:
        yield Finding("a call cut by max_tokens", "cannot tell", "no call to cut came before")
        return
    case = _case(ASK_WEATHER, max_tokens=tokens // 2)
    for how, lane in (("plain", plain_lane), ("streamed", stream_lane)):
        name = f"a call cut by max_tokens, {how}"
        seen = lane.ask(server, case, timeout=timeout)
        said = f"{tokens // 2} tokens: finish reason {seen.finish_reason}"
        yield _failed(name, seen) or passes(name, seen.finish_reason == "length", said)


def _history(ask: Callable[..., Observation]) -> Finding:
    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    call = {"id": "call_1", "type": "function", "function": function}
    messages = [
        {"role": "user", "content": ASK_WEATHER},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny, 21 degrees"},
    ]
    name = "a tool's result is taken"
    seen = ask("", messages=messages, max_tokens=60)
    said = json.dumps((seen.content or "")[:60]) if not seen.calls else f"{len(seen.calls)} calls"
    return _failed(name, seen) or Finding(name, "pass", said)
