"""Cases from request logs, JSONL: what was answered becomes what is expected, to be reviewed.

A line is one exchange: `{"request": {…}, "response": {…}}`, the keys of a request with `response`
beside them, or a row of chat whose last message is the assistant's.
"""

import codecs
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evals.errors import CaseFileError
from evals.importers.drafts import Draft, Imported, Listed, Names, asked, case_id, tool_entry
from evals.json_text import parse_strict

REVIEW = "to review: what was answered is what is expected"
_REQUESTS = ("request", "body", "input")
_RESPONSES = ("response", "output", "completion")
_KEPT = ("tool_choice", "parallel_tool_calls", "stop", "response_format")
_LEFT_OUT = (
    "temperature",
    "top_p",
    "top_k",
    "n",
    "seed",
    "max_tokens",
    "max_completion_tokens",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "function_call",
    "reasoning_effort",
    "thinking",
    "stop_sequences",
)
"""Keys of OpenAI's and Anthropic's requests that change an answer, and that no case here gets."""
_MAX_LINE = 4 * 1024 * 1024


def read_log(path: Path) -> Imported:
    """The exchanges of a log as drafts; a broken line, and one without an answer, is listed.

    Raises:
        CaseFileError: it cannot be read.
    """
    imported = Imported(f"a request log ({path.name})")
    names, drafts = Names(), list[Draft]()
    taken, left = dict[str, None](), Counter[str]()
    try:
        for number, line in _lines(path):
            place = f"{path}:{number}"
            try:
                entry = exchange_entry(line.decode("utf-8"), names, taken, left)
                drafts.append(Draft(place, entry))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                imported.unusable.append(Listed(place, _why(error)))
                continue
            taken[entry["id"]] = None
    except OSError as error:
        raise CaseFileError(f"{path}: cannot be read: {error}") from error
    if drafts:
        imported.files[case_id(path.stem)] = drafts
    for key, count in left.items():
        imported.notes.append(Listed(str(path), f"`{key}` of {count} requests is left out"))
    imported.notes += names.notes(str(path))
    return imported


def _why(error: Exception) -> str:
    return f"there is no {error}" if isinstance(error, KeyError) else str(error)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers; one that is no text spoils no other."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if text.strip():
                yield number, text


def exchange_entry(
    line: str, names: Names, taken: Iterable[str], left: Counter[str]
) -> dict[str, Any]:
    """The entry of a case for one line of a log; `left` counts keys that it has not.

    Raises:
        ValueError: it is no exchange with an answer.
    """
    if len(line) > _MAX_LINE:
        raise ValueError(f"longer than {_MAX_LINE // 2**20} MiB")
    try:
        row = parse_strict(line)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    request = next((row[key] for key in _REQUESTS if isinstance(row.get(key), dict)), row)
    messages = [_plain_message(message, names) for message in request["messages"]]
    response: Any = next((row[key] for key in _RESPONSES if row.get(key) is not None), None)
    if response is None and messages and messages[-1].get("role") == "assistant":
        response = messages.pop()
    answer = _message(response)
    offered = request.get("tools") or request.get("functions") or ()
    tools = [tool_entry(tool, names) for tool in offered]
    users = [m for m in messages if m.get("role") == "user"]
    question = str(users[-1].get("content")) if users else "case"
    entry = draft_entry(case_id(question, taken), messages, tools, answer, names)
    left.update(key for key in _LEFT_OUT if request.get(key) is not None)
    return {**entry, **_settings(request, names)}


def _settings(request: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """What a request says beside its messages and tools, as a case says it."""
    kept = {key: request[key] for key in _KEPT if request.get(key) not in (None, "auto")}
    if isinstance(choice := kept.get("tool_choice"), dict):
        kept["tool_choice"] = _named_choice(choice, names)
    if isinstance(kept.get("stop"), str):
        kept["stop"] = [kept["stop"]]
    if isinstance(system := request.get("system"), str):
        kept["system"] = system
    elif system:
        raise ValueError("system is no text")
    return kept


def _named_choice(choice: Mapping[str, Any], names: Names) -> dict[str, Any]:
    if choice.get("type") != "function":
        raise ValueError(f"tool_choice is not OpenAI's: {json.dumps(choice)[:80]}")
    return {"type": "function", "function": {"name": names(choice["function"]["name"])}}


def _plain_message(given: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """A message of a log without keys that say nothing, its calls by the names of the tools.

    Clients write all the keys that they know, most of them null.
    """
    message = {k: v for k, v in dict(given).items() if k == "content" or v not in (None, [])}
    if isinstance(message.get("tool_calls"), list):
        message["tool_calls"] = [_renamed(call, names) for call in message["tool_calls"]]
    return message


def _renamed(call: Mapping[str, Any], names: Names) -> dict[str, Any]:
    function = dict(call["function"])
    return {**call, "function": {**function, "name": names(function["name"])}}


def draft_entry(
    name: str,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]],
    answer: Mapping[str, Any],
    names: Names,
) -> dict[str, Any]:
    """The entry of a case that expects what was answered, and says that this is to be reviewed."""
    entry: dict[str, Any] = {"id": name, "#": REVIEW, **asked(messages)}
    if tools:
        entry["tools"] = tools
    return {**entry, "tags": ["to-review"], "expect": _expected(answer, names)}


def _message(response: Any) -> Mapping[str, Any]:
    """The assistant's message in a response, in any of the forms in use.

    Raises:
        ValueError: it is none, or one that a case cannot be made of.
    """
    if isinstance(response, str):
        return _message_in_text(response)
    if isinstance(response, list):
        raise ValueError("the response is a list, such as a stream's chunks or Responses' items")
    if not isinstance(response, dict):
        raise ValueError("there is no response")
    if isinstance(response.get("choices"), list):
        if not response["choices"]:
            raise ValueError("the response has no choices")
        response = response["choices"][0]
    message: Any = response.get("message", response)
    said = ("content", "tool_calls", "function_call")
    if not isinstance(message, dict) or not any(message.get(key) for key in said):
        raise ValueError("the response has neither text nor calls")
    if isinstance(message.get("function_call"), dict):
        return {"tool_calls": [{"function": message["function_call"]}]}
    parts = message.get("content")
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, dict) or part.get("type") not in ("text", "output_text"):
            kind = part.get("type") if isinstance(part, dict) else part
            raise ValueError(f"the response has a part of type {kind!r}; only text is read")
    return message


def _message_in_text(text: str) -> Mapping[str, Any]:
    """The message of a response that is a text: the answer itself, or a body as it was sent."""
    if text.lstrip("\ufeff \r\n").startswith(("data:", "event:", ": ")):
        raise ValueError("the response is a stream of events; log the whole response")
    try:
        body = parse_strict(text)
    except ValueError:
        body = None
    if isinstance(body, dict) and body.keys() & {"choices", "tool_calls", "error", "output"}:
        return _message(body)
    return {"content": text}


def _expected(answer: Mapping[str, Any], names: Names) -> dict[str, Any]:
    calls = [_call(call, names) for call in answer.get("tool_calls") or ()]
    if not calls:
        return {"answer": {}}
    return {"call": calls[0]} if len(calls) == 1 else {"calls": calls}


def _call(call: Mapping[str, Any], names: Names) -> dict[str, Any]:
    function = call["function"]
    arguments = function.get("arguments") or "{}"
    if isinstance(arguments, str):
        try:
            arguments = parse_strict(arguments)
        except ValueError as error:
            raise ValueError(f"arguments of {function['name']} are not JSON: {error}") from error
    if '"$' in json.dumps(arguments):
        arguments = {"$literal": arguments}
    return {"name": names(function["name"]), "arguments": arguments}
