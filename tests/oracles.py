"""How the openai and pydantic-ai libraries read a response: what each says is wrong with it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import openai
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import ModelRequest, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tools import ToolDefinition

MESSAGES: Any = [{"role": "user", "content": "Please do."}]


def tools_of(names: list[str]) -> Any:
    return [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        for name in names
    ]


@dataclass(frozen=True)
class Read:
    """What a library makes of a response; `problem` is what it says or lacks."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    text: str = ""
    finish: str | None = None
    tokens: tuple[int, int] = (0, 0)
    """Those of the prompt and of the answer."""
    problem: str | None = None


def openai_stream(url: str, names: list[str]) -> Read:
    """What openai's own accumulator adds up."""
    # Without certificates, which take longer to load than all of the rest.
    http = openai.DefaultHttpxClient(verify=False)
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, http_client=http) as client:
        manager = client.chat.completions.stream(
            model="m",
            messages=MESSAGES,
            tools=tools_of(names),
            stream_options={"include_usage": True},
        )
        done = []
        try:
            with manager as stream:
                for event in stream:
                    if event.type == "tool_calls.function.arguments.done":
                        done.append((event.name, event.arguments))
                final = stream.get_final_completion()
            choice, usage = final.choices[0], final.usage
            calls = [
                (call.function.name, call.function.arguments)
                for call in choice.message.tool_calls or ()
            ]
            tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
        except Exception as error:
            return Read(problem=f"{type(error).__name__}: {error}")
    problem = None if done == calls else f"its events have {done}"
    return Read(calls, choice.message.content or "", choice.finish_reason, tokens, problem)


def pydantic_ai(url: str, names: list[str], *, stream: bool) -> Read:
    """What pydantic-ai reads."""
    try:
        response = asyncio.run(_ask(url, names, stream))
    except Exception as error:
        return Read(problem=f"{type(error).__name__}: {error}")
    calls = [p for p in response.parts if isinstance(p, ToolCallPart)]
    return Read(
        [(part.tool_name, part.args_as_json_str()) for part in calls],
        "".join(p.content for p in response.parts if isinstance(p, TextPart)),
        response.finish_reason,
        (response.usage.input_tokens, response.usage.output_tokens),
    )


async def _ask(url: str, names: list[str], stream: bool) -> Any:
    http = openai.DefaultAsyncHttpxClient(verify=False)
    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=http)
    async with client:
        model = OpenAIChatModel("m", provider=OpenAIProvider(openai_client=client))
        tools = [ToolDefinition(name=name) for name in names]
        asked: Any = [ModelRequest(parts=[UserPromptPart("Please do.")])]
        parameters = ModelRequestParameters(function_tools=tools)
        if not stream:
            return await model_request(model, asked, model_request_parameters=parameters)
        opening = model_request_stream(model, asked, model_request_parameters=parameters)
        async with opening as events:
            async for _ in events:
                pass
            return events.get()
