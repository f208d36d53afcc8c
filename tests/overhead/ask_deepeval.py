"""The questions asked by an openai client, judged by deepeval's own metric of tools: URL N."""

import asyncio
import json
import sys

from deepeval import evaluate
from deepeval.evaluate import AsyncConfig, CacheConfig, DisplayConfig
from deepeval.metrics import BaseMetric
from deepeval.test_case import LLMTestCase, ToolCall
from openai import AsyncOpenAI
from questions import IN_FLIGHT, question, request


class RightCall(BaseMetric):
    """The call is the one that is expected."""

    threshold = 1.0
    async_mode = True

    def measure(self, test_case: LLMTestCase, *_: object, **__: object) -> float:
        came, wanted = test_case.tools_called or [], test_case.expected_tools or []
        pairs = zip(came, wanted, strict=False)
        same = all(a.name == b.name and a.input_parameters == b.input_parameters for a, b in pairs)
        self.score = float(len(came) == len(wanted) and same)
        self.success = self.score == 1.0
        return self.score

    async def a_measure(self, test_case: LLMTestCase, *_: object, **__: object) -> float:
        return self.measure(test_case)

    def is_successful(self) -> bool:
        return bool(self.success)


async def ask_all(url: str, count: int) -> list[LLMTestCase]:
    client, room = AsyncOpenAI(base_url=url, api_key="none"), asyncio.Semaphore(IN_FLIGHT)

    async def ask(number: int) -> LLMTestCase:
        async with room:
            answer = await client.chat.completions.create(**request(number))
        function = answer.choices[0].message.tool_calls[0].function
        text, expected = question(number)
        came = ToolCall(name=function.name, input_parameters=json.loads(function.arguments))
        wanted = ToolCall(name="get_weather", input_parameters=expected)
        return LLMTestCase(
            input=text, actual_output="", tools_called=[came], expected_tools=[wanted]
        )

    return await asyncio.gather(*map(ask, range(count)))


def main(url: str, count: int) -> None:
    cases = asyncio.run(ask_all(url, count))
    result = evaluate(
        cases,
        [RightCall()],
        async_config=AsyncConfig(max_concurrent=IN_FLIGHT),
        cache_config=CacheConfig(write_cache=False),
        display_config=DisplayConfig(print_results=False, show_indicator=False),
    )
    print(f"{sum(test.success for test in result.test_results)} right")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
