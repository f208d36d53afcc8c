"""A bare openai client: URL N. Nothing but the questions, and whether the calls are right."""

import asyncio
import json
import sys
from pathlib import Path

from openai import AsyncOpenAI
from questions import IN_FLIGHT, is_right, request


async def main(url: str, count: int) -> None:
    client, room = AsyncOpenAI(base_url=url, api_key="none"), asyncio.Semaphore(IN_FLIGHT)

    async def ask(number: int) -> bool:
        async with room:
            answer = await client.chat.completions.create(**request(number))
        function = answer.choices[0].message.tool_calls[0].function
        return is_right(number, function.name, function.arguments)

    right = await asyncio.gather(*map(ask, range(count)))
    Path("results.json").write_text(json.dumps(right))
    print(f"{sum(right)} right")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
