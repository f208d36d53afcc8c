"""The API's contract: fields without which clients cannot read a response, or read it wrongly.

It asks for what the openai and pydantic-ai clients need and no more: where a server leaves out a
field that both do without, that is no fault. Pure, and never raises, whatever a server sent.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

from evals.json_text import read_once
from evals.judging.checks import Finding, show
from evals.observation import Observation
from evals.results import Kind

Json = Mapping[str, Any]
_DONE = "[DONE]"
_SHOWN = 3


def check_contract(observation: Observation) -> Finding | None:
    """Everything in a response that clients cannot read, as far as its envelope was kept."""
    chunks, completion = chunks_of(observation), completion_of(observation)
    problems = list(stream_problems(chunks)) if chunks else []
    problems += completion_problems(completion) if completion is not None else ()
    problems = list(dict.fromkeys(problems))
    if not problems:
        return None
    more = f", and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return Finding(Kind.API_CONTRACT, "; ".join(problems[:_SHOWN]) + more)


def completion_of(observation: Observation) -> Json | None:
    """The body of a plain response; None where it was not kept."""
    return None if observation.body is None else _object(observation.body)


def chunks_of(observation: Observation) -> list[Json]:
    """The chunks of a stream, as far as clients read it; none of another response."""
    sent = (event.data for event in observation.events if event.framed)
    chunks = (_object(data) for data in takewhile(lambda data: data.strip() != _DONE, sent))
    return [chunk for chunk in chunks if chunk is not None]


def completion_problems(completion: Json) -> Iterator[str]:
    """What clients cannot read in the body of a plain response."""
    yield from _head_problems(completion, "the completion")
    if completion.get("object") != "chat.completion":
        yield f"`object` is {show(completion.get('object'))}, not chat.completion"
    choices = choices_of(completion)
    if len(choices) > 1:
        yield f"there are {len(choices)} choices, and one was asked for"
    choice = next(iter(choices), {})
    yield from _choice_problems(choice)
    message = part_of(choice, "message")
    if message.get("role") != "assistant":
        yield f"the `role` of the message is {show(message.get('role'))}, not assistant"
    yield from _legacy_problems(message)
    calls = [entry for entry in _list(message, "tool_calls") if isinstance(entry, Mapping)]
    yield from _call_problems(calls)
    for call in calls:
        function = part_of(call, "function")
        if not isinstance(function.get("arguments"), str):
            said = "null" if "arguments" in function else "missing"
            yield f"the `arguments` of call {show(function.get('name'))} are {said}, not text"


def stream_problems(chunks: Sequence[Json]) -> Iterator[str]:
    """What clients cannot read in the chunks of a stream."""
    if chunks and chunks[0].get("object") != "chat.completion.chunk":
        yield f"`object` is {show(chunks[0].get('object'))}, not chat.completion.chunk"
    calls: dict[Any, dict[str, Any]] = {}
    for number, chunk in enumerate(chunks, start=1):
        yield from _head_problems(chunk, "a chunk")
        if not isinstance(chunk.get("choices"), list):
            yield f"chunk {number} has no `choices`"
        for choice in choices_of(chunk):
            yield from _choice_problems(choice)
            if not isinstance(choice.get("delta"), Mapping):
                yield f"a choice of chunk {number} has no `delta`"
            delta = part_of(choice, "delta")
            if delta.get("role") not in (None, "", "assistant"):
                yield f"the `role` of a delta is {show(delta['role'])}, not assistant"
            yield from _legacy_problems(delta)
            for fragment in _list(delta, "tool_calls"):
                if isinstance(fragment, Mapping):
                    yield from _join(calls, fragment)
    yield from _call_problems(list(calls.values()))


def legacy_call(observation: Observation) -> bool:
    """Whether the response has a call in the outdated field `function_call`."""
    bodies = [*chunks_of(observation), completion_of(observation) or {}]
    choices = [choice for body in bodies for choice in choices_of(body)]
    places = [part_of(choice, name) for choice in choices for name in ("message", "delta")]
    return any(place.get("function_call") for place in places)


def _join(calls: dict[Any, dict[str, Any]], fragment: Json) -> Iterator[str]:
    """Add a fragment to its call, as openai's accumulator does: by an index that counts from 0."""
    index = fragment.get("index")
    if not isinstance(index, int) or isinstance(index, bool):
        yield f"the `index` of a call is {show(index)}: clients cannot tell which call goes on"
        index = len(calls) if fragment.get("id") or not calls else len(calls) - 1
    elif index not in calls and index != len(calls):
        yield f"call {len(calls) + 1} of the stream has `index` {index}, not {len(calls)}"
    call = calls.setdefault(index, {"function": {"name": None}})
    known, name = call["function"]["name"], part_of(fragment, "function").get("name")
    if known and name == known:
        yield f"the `name` {show(name)} is sent again: clients append it"
    elif known and name and fragment.get("id") not in (None, call.get("id")):
        yield f"two calls, {show(known)} and {show(name)}, have the same `index` {index}"
    elif call.get("id") and fragment.get("id") not in (None, "", call["id"]):
        yield f"the `id` of call {show(known)} changes from {show(call['id'])} within the stream"
    for key in ("id", "type"):
        call[key] = call.get(key) or fragment.get(key)
    call["function"]["name"] = known or name


def _call_problems(calls: Sequence[Json]) -> Iterator[str]:
    ids = [call.get("id") for call in calls]
    for id_, call in zip(ids, calls, strict=True):
        name = part_of(call, "function").get("name")
        if not name or not isinstance(name, str):
            yield "a call has no `name`"
        if not isinstance(id_, str) or not id_.strip():
            yield f"the `id` of call {show(name)} is {show(id_)}"
        elif ids.count(id_) > 1:
            yield f"the `id` {show(id_)} stands for {ids.count(id_)} calls"
        if call.get("type") != "function":
            yield f"the `type` of call {show(name)} is {show(call.get('type'))}, not function"


def _head_problems(body: Json, what: str) -> Iterator[str]:
    for name in ("id", "model"):
        if not isinstance(body.get(name), str):
            yield f"the `{name}` of {what} is {show(body.get(name))}, not text"
    created = body.get("created")
    if created is not None and not _is_whole(created):
        yield f"`created` of {what} is {show(created)}, not whole seconds"


def _choice_problems(choice: Json) -> Iterator[str]:
    index = choice.get("index")
    if index != 0 or not isinstance(index, int) or isinstance(index, bool):
        yield f"the `index` of the choice is {show(index)}, not 0"


def _legacy_problems(message: Json) -> Iterator[str]:
    if message.get("function_call"):
        yield "the call is in `function_call`, not in `tool_calls`"


def _is_whole(value: Any) -> bool:
    """Whether clients take it for an integer; they are as lenient with text and floats."""
    try:
        return not isinstance(value, bool) and float(value).is_integer()
    except (TypeError, ValueError, OverflowError):
        return False


def _object(text: str) -> Json | None:
    try:
        value = read_once(json.loads, text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def choices_of(body: Json) -> list[Json]:
    """The choices of a completion or a chunk; none where it has none that can be read."""
    return [choice for choice in _list(body, "choices") if isinstance(choice, Mapping)]


def _list(mapping: Json, name: str) -> list[Any]:
    value = mapping.get(name)
    return value if isinstance(value, list) else []


def part_of(mapping: Json, name: str) -> Json:
    """The object of this name, such as a message; empty where there is none."""
    value = mapping.get(name)
    return value if isinstance(value, Mapping) else {}
