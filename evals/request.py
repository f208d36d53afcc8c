"""Requests: the OpenAI body of a case as a plain value; no server is needed to make one."""

import base64
import json
import shlex
from collections.abc import Mapping
from typing import Any

from evals.case import Case, ReplayScript, Tool

MODEL = "default_model"
"""mlx_lm.server's name for the model it was started with; any other name makes it load another."""


OWN_KEYS = ("model", "messages", "tools", "tool_choice", "max_tokens", "temperature", "stream")
"""Keys that `build_request` sets, and that a case's `extra_body` may not."""


def build_request(case: Case, *, stream: bool = False) -> dict[str, Any]:
    """The body for `POST /v1/chat/completions`.

    It has no nulls (the server answers them with 400) and no seed (the server would stop
    batching). A plain request asks for logprobs: with them the stock server returns the id of
    every generated token, also of calls that its parser dropped. A stream carries none.
    """
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": build_messages(case),
        "max_tokens": case.max_tokens,
        "temperature": case.temperature,
        "stream": stream,
    }
    if case.tools:
        body["tools"] = [tool_schema(tool) for tool in case.tools]
    if case.tool_choice != "auto":
        body["tool_choice"] = case.tool_choice
    if stream:
        body["stream_options"] = {"include_usage": True}
    else:
        body["logprobs"] = True
    return {**body, **case.request_keys}


def build_messages(case: Case) -> list[dict[str, Any]]:
    """The case's messages; its replay script, if it has one, ends the last message of the user.

    Where no message is the user's, the script ends the last message. Content in parts gets one
    part more.
    """
    messages = [dict(message) for message in case.messages]
    if case.replay is not None:
        users = [m for m in messages if m.get("role") == "user"]
        message = (users or messages)[-1]
        content, marker = message.get("content") or "", embed(case.replay)
        if isinstance(content, list):
            message["content"] = [*content, {"type": "text", "text": marker}]
        else:
            message["content"] = f"{content} {marker}".lstrip()
    return messages


def embed(script: ReplayScript) -> str:
    """The marker that carries `script` inside a message to the replay model.

    The last marker of a prompt counts, so a tool's result can carry what the model writes next.
    """
    data = json.dumps(script.model_dump(exclude_defaults=True))
    return f"[[replay64:{base64.urlsafe_b64encode(data.encode()).decode()}]]"


def tool_schema(tool: Tool) -> dict[str, Any]:
    """The tool as an entry of a request's `tools`."""
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def request_text(body: Mapping[str, Any]) -> str:
    """A request's body as it is sent: key by key in its own order, without white space.

    Half of a surrogate pair, which UTF-8 cannot hold, is its escape.
    """
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def as_curl(body: Mapping[str, Any], url: str) -> str:
    """One shell line that sends `body` again; `url` is the server's base, such as http://…/v1."""
    data = shlex.quote(request_text(body))
    endpoint = f"{url.rstrip('/')}/chat/completions"
    silent = "-sN" if body.get("stream") else "-s"
    return f"curl {silent} {endpoint} -H 'Content-Type: application/json' -d {data}"
