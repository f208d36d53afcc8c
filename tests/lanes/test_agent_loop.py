"""Lane `agent` in a program whose thread has an event loop that runs, as in an async test."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from scripted_server import TOOLS, call, completion, make_case, respond, serve

from evals.lanes.lane import Setup, lane_named


def test_it_asks_beside_a_loop_that_runs() -> None:
    async def ask_within_a_loop() -> tuple[str, ...]:
        with serve() as scripted:
            calls = [call("get_weather", '{"city": "Oslo"}', id="a")]
            message = {"role": "assistant", "content": None, "tool_calls": calls}
            scripted.answer = respond(completion(message, "tool_calls"))
            with lane_named("agent").open(Setup(timeout=10, server=scripted.server)) as ask:
                seen = ask(make_case(tools=TOOLS))
        assert seen.error is None
        return tuple(each.name for each in seen.calls)

    with ThreadPoolExecutor(1) as thread:  # other tests may have a loop that runs in this one
        assert thread.submit(asyncio.run, ask_within_a_loop()).result() == ("get_weather",)
