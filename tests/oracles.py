"""How the openai and pydantic-ai libraries read a response: what each says is wrong with it."""

import asyncio
from typing import Any

import openai
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import ModelRequest, ToolCallPart, UserPromptPart
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


def openai_stream(url: str, names: list[str]) -> tuple[list[tuple[str, str]], str | None]:
    """The calls that openai's own accumulator adds up, and what it says or lacks."""
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
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
            calls = [
                (call.function.name, call.function.arguments)
                for call in final.choices[0].message.tool_calls or ()
            ]
        except Exception as error:
            return [], f"{type(error).__name__}: {error}"
    return calls, None if done == calls else f"its events have {done}"


def pydantic_ai(url: str, names: list[str], *, stream: bool) -> tuple[list[Any], str | None]:
    """The calls that pydantic-ai reads, and what it says."""
    try:
        response = asyncio.run(_ask(url, names, stream))
    except Exception as error:
        return [], f"{type(error).__name__}: {error}"
    parts = [part for part in response.parts if isinstance(part, ToolCallPart)]
    return [(part.tool_name, part.args_as_json_str()) for part in parts], None


async def _ask(url: str, names: list[str], stream: bool) -> Any:
    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
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
