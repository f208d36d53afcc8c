"""Lane `agent`: a PydanticAI agent on the same server, and what reached its tools.

The agent makes one request. What it then does with the answer, its own reading of it included, is
what is observed: calls as the tool functions got them, or the text that it would return. The run
stops after the first round of calls, so the calls are the answer to the case's question.

The library rewrites schemas and messages its own way before it sends them; that is part of the
lane, so its prompt may differ from the other lanes' prompt.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from pydantic_ai import Agent, CallToolsNode, Tool
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_graph import End

from evals import case as cases
from evals.case import Case
from evals.engines.server import Server
from evals.lanes.agent_client import Transport, open_client
from evals.observation import AGENT, Call, Observation, Usage
from evals.request import MODEL, build_messages
from evals.wire.bounds import MAX_RESPONSE_BYTES


def ask(
    server: Server, case: Case, *, timeout: float, max_bytes: int = MAX_RESPONSE_BYTES
) -> Observation:
    """Let an agent answer the case. `timeout` is in seconds, for the whole.

    Never raises for what a server does. An answer that the library refuses is an observation with
    `refused`; only an answer that did not come back at all makes an `error`.
    """
    start = time.perf_counter()
    calls: list[Call] = []
    transport = Transport(server, timeout, max_bytes)
    try:
        values = asyncio.run(_answer(server, case, calls, transport))
    except Exception as error:  # whatever the library and the client in it raise
        values = _without_answer(error, transport)
    exchange = transport.exchange
    return Observation(
        AGENT.name,
        calls=tuple(calls),
        seconds=exchange.seconds if exchange else time.perf_counter() - start,
        retries=exchange.retries if exchange else 0,
        waited_seconds=exchange.waited if exchange else 0.0,
        **values,
    )


def _without_answer(error: Exception, transport: Transport) -> dict[str, Any]:
    """The fields of the observation where the library raised: an error, or an answer it refuses."""
    if failure := transport.failure:
        return {"status": failure.status, "error": str(failure)}
    if isinstance(error, UnexpectedModelBehavior):
        return {"refused": f"{type(error).__name__}: {error}"}
    # Arguments that are no object get as far as the call of the tool, where Python refuses.
    if isinstance(error, TypeError) and "must be a mapping" in str(error):
        return {"refused": f"the arguments of a call are not an object: {error}"}
    cause = error.__cause__.__cause__ if error.__cause__ else None
    return {"error": f"{type(error).__name__}: {error}" + (f": {cause}" if cause else "")}


async def _answer(
    server: Server, case: Case, calls: list[Call], transport: Transport
) -> dict[str, Any]:
    """The fields of the observation; calls that reach a tool are put into `calls`, in order."""
    async with open_client(server, transport) as client:
        agent = Agent(
            OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client)),
            tools=[_tool(tool, calls) for tool in case.tools],
            model_settings=_settings(case),
        )
        async with agent.iter(message_history=history(build_messages(case))) as run:
            node = run.next_node
            while not isinstance(node, End | CallToolsNode):
                node = await run.next(node)
            if isinstance(node, End):
                raise ValueError("the agent ended without asking the model")
            usage = node.model_response.usage
            beside = node.model_response.text
            after = await run.next(node)
    return {
        "content": str(after.data.output) if isinstance(after, End) else beside,
        "refused": _refusals(getattr(after, "request", None)),
        "usage": Usage(usage.input_tokens, usage.output_tokens, usage.cache_read_tokens),
    }


def _settings(case: Case) -> ModelSettings:
    settings = ModelSettings(temperature=case.temperature, max_tokens=case.max_tokens)
    # As a setting, `required` is refused for a whole agent run; here it is for one request.
    choice = {} if case.tool_choice == "auto" else {"tool_choice": case.tool_choice}
    if body := {**choice, **case.request_keys}:
        settings["extra_body"] = body
    return settings


def _tool(tool: cases.Tool, calls: list[Call]) -> Tool[None]:
    # A coroutine function: the library starts them in the order of the calls, whereas plain
    # functions go to threads.
    async def scripted(**arguments: Any) -> str:
        calls.append(Call(tool.name, json.dumps(arguments, ensure_ascii=False)))
        return tool.result

    made: Tool[None] = Tool.from_schema(
        scripted, tool.name, tool.description or None, tool.parameters
    )
    if tool.strict is not None:
        made.strict = tool.strict
    return made


def _refusals(request: ModelRequest | None) -> str | None:
    """What the library would tell the model about an answer that it did not take."""
    texts = []
    for part in request.parts if request else ():
        if isinstance(part, ToolReturnPart) and part.outcome != "success":
            texts.append(part.model_response_str(wrap_if_error=False))
        elif isinstance(part, RetryFeedbackPart):
            texts.append(str(part.content))
    return "; ".join(texts) or None


def history(messages: Sequence[dict[str, Any]]) -> list[ModelMessage]:
    """A case's messages as PydanticAI's; the last must be from the user or a tool.

    Raises:
        ValueError: it is not, or a role is unknown.
    """
    result: list[ModelMessage] = []
    names: dict[str, str] = {}
    for message in messages:
        if message["role"] == "assistant":
            result.append(_response(message, names))
            continue
        if not result or isinstance(result[-1], ModelResponse):
            result.append(ModelRequest(parts=[]))
        latest = result[-1]
        assert isinstance(latest, ModelRequest)
        latest.parts = [*latest.parts, _request_part(message, names)]
    if not result or isinstance(result[-1], ModelResponse):
        raise ValueError("the agent lane needs a last message from the user or a tool")
    return result


def _request_part(
    message: dict[str, Any], names: dict[str, str]
) -> SystemPromptPart | UserPromptPart | ToolReturnPart:
    role, content = message["role"], _text(message.get("content"))
    if role == "system":
        return SystemPromptPart(content)
    if role == "user":
        return UserPromptPart(content)
    if role == "tool":
        id_ = str(message.get("tool_call_id", ""))
        name = str(message.get("name") or names.get(id_, ""))
        return ToolReturnPart(tool_name=name, content=content, tool_call_id=id_)
    raise ValueError(f"the agent lane has no role {role!r}; it has system, user, assistant, tool")


def _response(message: dict[str, Any], names: dict[str, str]) -> ModelResponse:
    parts: list[TextPart | ToolCallPart] = []
    if content := _text(message.get("content")):
        parts.append(TextPart(content))
    for call in message.get("tool_calls") or ():
        function, id_ = call["function"], str(call.get("id", ""))
        names[id_] = function["name"]
        arguments = function.get("arguments") or "{}"
        parts.append(ToolCallPart(function["name"], arguments, tool_call_id=id_))
    return ModelResponse(parts=parts)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content or ""
