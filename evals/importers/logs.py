"""Cases from request logs, JSONL: what was answered becomes what is expected, to be reviewed.

A line is one exchange: `{"request": {…}, "response": {…}}`, the keys of a request with `response`
beside them, or a row of chat whose last message is the assistant's.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evals.errors import CaseFileError
from evals.importers.drafts import Draft, Imported, Listed, Names, case_id, tool_entry
from evals.json_text import parse_strict

REVIEW = "to review: what was answered is what is expected"
_REQUESTS = ("request", "body", "input")
_RESPONSES = ("response", "output", "completion")
_MAX_LINE = 4 * 1024 * 1024


def read_log(path: Path) -> Imported:
    """The exchanges of a log as drafts; a broken line, and one without an answer, is listed.

    Raises:
        CaseFileError: it cannot be read.
    """
    imported = Imported(f"a request log ({path.name})")
    names, drafts = Names(), list[Draft]()
    try:
        for number, line in enumerate(_lines(path), 1):
            place = f"{path}:{number}"
            try:
                entry = exchange_entry(line, names, [draft.entry["id"] for draft in drafts])
                drafts.append(Draft(place, entry))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                imported.unusable.append(Listed(place, _why(error)))
    except (OSError, UnicodeDecodeError) as error:
        raise CaseFileError(f"{path}: cannot be read: {error}") from error
    if drafts:
        imported.files[case_id(path.stem)] = drafts
    imported.notes += names.notes(str(path))
    return imported


def _why(error: Exception) -> str:
    return f"there is no {error}" if isinstance(error, KeyError) else str(error)


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig") as file:
        yield from (line for line in file)


def exchange_entry(line: str, names: Names, taken: list[str]) -> dict[str, Any]:
    """The entry of a case for one line of a log.

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
    messages = [dict(message) for message in request["messages"]]
    response: Any = next((row[key] for key in _RESPONSES if row.get(key) is not None), None)
    if response is None and messages and messages[-1].get("role") == "assistant":
        response = messages.pop()
    answer = _message(response)
    tools = [tool_entry(tool, names) for tool in request.get("tools") or ()]
    users = [m for m in messages if m.get("role") == "user"]
    question = str(users[-1].get("content")) if users else "case"
    return draft_entry(case_id(question, taken), messages, tools, answer, names)


def draft_entry(
    name: str,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]],
    answer: Mapping[str, Any],
    names: Names,
) -> dict[str, Any]:
    """The entry of a case that expects what was answered, and says that this is to be reviewed."""
    entry: dict[str, Any] = {"id": name, "#": REVIEW}
    if len(messages) == 1 and messages[0].get("role") == "user":
        entry["ask"] = messages[0]["content"]
    else:
        entry["messages"] = messages
    if tools:
        entry["tools"] = tools
    return {**entry, "tags": ["to-review"], "expect": _expected(answer, names)}


def _message(response: Any) -> Mapping[str, Any]:
    """The assistant's message in a response, in any of the forms in use."""
    if isinstance(response, str):
        return {"content": response}
    if not isinstance(response, dict):
        raise ValueError("there is no response")
    if isinstance(response.get("choices"), list):
        if not response["choices"]:
            raise ValueError("the response has no choices")
        response = response["choices"][0]
    message: Any = response.get("message", response)
    if not isinstance(message, dict) or not (message.get("content") or message.get("tool_calls")):
        raise ValueError("the response has neither text nor calls")
    return message


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
