"""A bare openai client that sends requests as they are: URL FILE IN_FLIGHT.

Prints how many answers came back.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI


async def main(url: str, file: str, in_flight: int) -> None:
    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=600)
    room = asyncio.Semaphore(in_flight)

    async def send(body: dict[str, Any]) -> bool:
        known = {key: body[key] for key in ("model", "messages", "tools") if key in body}
        rest = {key: value for key, value in body.items() if key not in known}
        async with room:
            try:
                answer = await client.chat.completions.create(**known, extra_body=rest)
            except Exception as error:
                print(repr(error)[:200])
                return False
        return bool(answer.choices)

    print(sum(await asyncio.gather(*map(send, json.loads(Path(file).read_text())))))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
