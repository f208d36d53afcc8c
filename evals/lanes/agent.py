"""Lane `agent`: a PydanticAI agent on the same server, and what reached its tools.

The agent makes one request. What it then does with the answer, its own reading of it included, is
what is observed: calls as the tool functions got them, or the text that it would return. The run
stops after the first round of calls, so the calls are the answer to the case's question.

The library rewrites schemas and messages its own way before it sends them; that is part of the
lane, so its prompt may differ from the other lanes' prompt.
"""

import json
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from openai.types.chat import ChatCompletion
from pydantic_ai import Agent, CallToolsNode, Tool
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
from evals.lanes.tokens import Decode
from evals.loops import run_apart
from evals.observation import AGENT, Call, Observation, Timing
from evals.request import MODEL, build_messages
from evals.wire.bounds import MAX_RESPONSE_BYTES


class CannotAskError(ValueError):
    """The lane has no way to put the case's messages; that is no fault of a server."""


def ask(
    server: Server,
    case: Case,
    *,
    timeout: float,
    decode: Decode | None = None,
    max_bytes: int = MAX_RESPONSE_BYTES,
) -> Observation:
    """Let an agent answer the case. `timeout` is in seconds, for the whole.

    The response that the library got is kept in `received`, read as lane `server` reads it, and is
    what the answer is held against; the request that it sent is `request`.

    Never raises for what a server does. An answer that the library refuses is an observation with
    `refused`; a response that is no chat completion is an `error`, whatever the library made of
    it. Messages that this lane cannot put are an `error` with `unasked`.
    """
    start = time.perf_counter()
    try:
        messages = history(build_messages(case))
    except CannotAskError as error:
        return Observation(AGENT.name, error=str(error), unasked=True)
    calls: list[Call] = []
    tools: list[float] = []
    transport = Transport(server, timeout, max_bytes, decode)
    try:
        values = run_apart(_answer(server, case, messages, calls, tools, transport))
    except Exception as error:  # whatever the library and the client in it raise
        values = _without_answer(error, transport)
    exchange, received = transport.exchange, transport.received
    answer = Observation(
        AGENT.name,
        calls=tuple(calls),
        seconds=exchange.seconds if exchange else time.perf_counter() - start,
        retries=exchange.retries if exchange else 0,
        waited_seconds=exchange.waited if exchange else 0.0,
        request=json.loads(exchange.body) if exchange else None,
        received=received,
        usage=received.usage if received else None,
        timing=_timing(start, transport, sum(tools)) if received else None,
        **values,
    )
    return server.dialect.hide(answer)


def _timing(start: float, transport: Transport, tool: float) -> Timing | None:
    if (exchange := transport.exchange) is None:
        return None
    wall, retry = time.perf_counter() - start, exchange.began - exchange.asked
    return Timing(
        wall=wall,
        client=wall - retry - transport.took - transport.parse - tool,
        retry=retry,
        response=transport.took,
        parse=transport.parse,
        tool=tool,
    )


def _without_answer(error: Exception, transport: Transport) -> dict[str, Any]:
    """The fields of the observation where the library raised: an error, or an answer it refuses."""
    if failure := transport.failure:
        unasked = transport.exchange is None
        return {"status": failure.status, "error": str(failure), "unasked": unasked}
    # Arguments that are no object get as far as the call of the tool, where Python refuses.
    if isinstance(error, TypeError) and "must be a mapping" in str(error):
        return {**_OK, "refused": f"the arguments of a call are not an object: {error}"}
    said = f"{type(error).__name__}: {error}"
    if transport.received:
        return {**_OK, "refused": said}
    cause = error.__cause__.__cause__ if error.__cause__ else None
    unasked = transport.exchange is None
    return {"error": f"{said}: {cause}" if cause else said, "unasked": unasked}


_OK = {"status": HTTPStatus.OK.value}


class _Model(OpenAIChatModel):
    def _validate_completion(self, response: ChatCompletion) -> Any:
        # The token ids that mlx_lm sends are no logprobs as the library knows them, and it never
        # asked for them: this suite did.
        for choice in response.choices or ():
            choice.logprobs = None
        return super()._validate_completion(response)


async def _answer(
    server: Server,
    case: Case,
    messages: list[ModelMessage],
    calls: list[Call],
    seconds: list[float],
    transport: Transport,
) -> dict[str, Any]:
    """The fields of the observation; calls that reach a tool are put into `calls`, in order.

    The time of each goes into `seconds`.
    """
    async with open_client(server, transport) as client:
        agent = Agent(
            _Model(MODEL, provider=OpenAIProvider(openai_client=client)),
            tools=[_tool(tool, calls, seconds) for tool in case.tools],
            model_settings=_settings(case),
        )
        async with agent.iter(message_history=messages) as run:
            node = run.next_node
            while not isinstance(node, End | CallToolsNode):
                node = await run.next(node)
            if isinstance(node, End):
                raise CannotAskError("the agent ended without asking the model")
            beside = node.model_response.text
            after = await run.next(node)
    return {
        **_OK,
        "content": str(after.data.output) if isinstance(after, End) else beside,
        "refused": _refusals(getattr(after, "request", None)),
    }


def _settings(case: Case) -> ModelSettings:
    # As a setting, `required` is refused for a whole agent run; here it is for one request. And
    # with logprobs the stock server returns the id of every generated token.
    body: dict[str, Any] = {"logprobs": True, **case.request_keys}
    if case.tool_choice != "auto":
        body["tool_choice"] = case.tool_choice
    return ModelSettings(temperature=case.temperature, max_tokens=case.max_tokens, extra_body=body)


def _tool(tool: cases.Tool, calls: list[Call], seconds: list[float]) -> Tool[None]:
    # A coroutine function: the library starts them in the order of the calls, whereas plain
    # functions go to threads.
    async def scripted(**arguments: Any) -> str:
        start = time.perf_counter()
        calls.append(Call(tool.name, json.dumps(arguments, ensure_ascii=False)))
        seconds.append(time.perf_counter() - start)
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
        CannotAskError: it is not, a role is unknown, or a message has a form that the lane has not.
    """
    result: list[ModelMessage] = []
    names: dict[str, str] = {}
    for message in messages:
        if message.get("role") == "assistant":
            result.append(_response(message, names))
            continue
        if not result or isinstance(result[-1], ModelResponse):
            result.append(ModelRequest(parts=[]))
        latest = result[-1]
        assert isinstance(latest, ModelRequest)
        latest.parts = [*latest.parts, _request_part(message, names)]
    if not result or isinstance(result[-1], ModelResponse):
        raise CannotAskError("the agent lane needs a last message from the user or a tool")
    return result


def _request_part(
    message: dict[str, Any], names: dict[str, str]
) -> SystemPromptPart | UserPromptPart | ToolReturnPart:
    role, content = message.get("role"), _text(message.get("content"))
    if role == "system":
        return SystemPromptPart(content)
    if role == "user":
        return UserPromptPart(content)
    if role == "tool":
        id_ = str(message.get("tool_call_id", ""))
        name = str(message.get("name") or names.get(id_, ""))
        return ToolReturnPart(tool_name=name, content=content, tool_call_id=id_)
    raise CannotAskError(
        f"the agent lane has no role {role!r}; it has system, user, assistant, tool"
    )


def _response(message: dict[str, Any], names: dict[str, str]) -> ModelResponse:
    parts: list[TextPart | ToolCallPart] = []
    if content := _text(message.get("content")):
        parts.append(TextPart(content))
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str):
            raise CannotAskError(
                "the agent lane needs a function with a name in each earlier call, "
                f"not {call!r:.80}"
            )
        id_ = str(call.get("id", ""))
        names[id_] = name
        parts.append(ToolCallPart(name, function.get("arguments") or "{}", tool_call_id=id_))
    return ModelResponse(parts=parts)


def _text(content: Any) -> str:
    parts = content if isinstance(content, list) else [{"text": content or ""}]
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    for part, text in zip(parts, texts, strict=True):
        if not isinstance(text, str):
            raise CannotAskError(f"the agent lane has text alone in messages, not {part!r:.80}")
    return "".join(map(str, texts))
