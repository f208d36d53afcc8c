"""What the agent's tools are called with, as tests in Python."""

import pytest
from agent import TOOLS

from evals import Tool, make_case

OFFERED = [
    Tool(
        name=t["name"],
        description=t["description"],
        parameters={"type": "object", **t["inputSchema"]},
    )
    for t in TOOLS
]


@pytest.mark.parametrize("city", ["Oslo", "Rome"])
def test_a_question_about_weather_is_a_call(evals_ask, city):
    expect = {"call": {"name": "get_weather", "arguments": {"city": {"$text": city}}}}
    answer = evals_ask(make_case(f"Weather in {city}?", tools=OFFERED, expect=expect))
    assert [name for name, _ in answer.calls] == ["get_weather"]
