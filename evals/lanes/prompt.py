"""What the model's own template makes of a request: whether it takes it, and shows all tools."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evals.formats.registry import THINK
from evals.lanes.tokens import TemplateError, render, render_text
from evals.results import Prompt


def look_at(tokenizer: Any, request: Mapping[str, Any]) -> Prompt:
    """The prompt of a request, rendered as it is, without tools, and with each tool renamed.

    A tool whose name the prompt does not show is unseen, wherever in the list it stands.
    """
    try:
        text = render_text(tokenizer, request)
    except TemplateError as error:
        return Prompt(error=str(error) if _usable(request["messages"]) else None)
    except ValueError:
        return Prompt()
    seen = Prompt(opens_thought=_opens_thought(text))
    tools = request.get("tools") or []
    if not tools:
        return seen
    bare = {key: value for key, value in request.items() if key != "tools"}
    unseen = tuple(
        str(tool["function"]["name"])
        for i, tool in enumerate(tools)
        if _renders_as(text, tokenizer, {**bare, "tools": _with_renamed(tools, i)})
    )
    try:
        return replace(seen, without_tools=len(render(tokenizer, bare)), unseen_tools=unseen)
    except ValueError:
        return replace(seen, unseen_tools=unseen)


def _usable(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all earlier calls have arguments as templates take them: else it is not their fault.

    The server must make an object of the text, which is not always the text of one.
    """
    calls = [call for message in messages for call in message.get("tool_calls") or ()]
    texts = [(call.get("function") or {}).get("arguments") for call in calls]
    return all(_is_object(text) for text in texts)


def _is_object(arguments: Any) -> bool:
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return False
    return isinstance(value, Mapping)


def _with_renamed(tools: Sequence[Any], i: int) -> list[Any]:
    function = tools[i]["function"]
    renamed = {**tools[i], "function": {**function, "name": f"{function['name']}_renamed"}}
    return [*tools[:i], renamed, *tools[i + 1 :]]


def _renders_as(text: str, tokenizer: Any, request: Mapping[str, Any]) -> bool:
    """Whether the request has this prompt; not where the template rejects it."""
    try:
        return render_text(tokenizer, request) == text
    except ValueError:
        return False


def _opens_thought(text: str) -> bool:
    return any(text.rfind(opening) > text.rfind(closing) for opening, closing in THINK)
