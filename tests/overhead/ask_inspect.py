"""The questions through inspect-ai, whose own client asks: URL N."""

import sys

from inspect_ai import Task, eval  # noqa: A004
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.scorer import CORRECT, INCORRECT, Score, Target, accuracy, scorer
from inspect_ai.solver import Generate, TaskState, solver
from inspect_ai.tool import ToolInfo, ToolParams
from questions import IN_FLIGHT, TOOLS, question


@solver
def offer_tools():
    tools = [
        ToolInfo(
            name=tool["name"],
            description=tool["description"],
            parameters=ToolParams(
                properties=tool["parameters"]["properties"],
                required=tool["parameters"].get("required", []),
            ),
        )
        for tool in TOOLS
    ]

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state.output = await get_model().generate(state.messages, tools=tools)
        return state

    return solve


@scorer(metrics=[accuracy()])
def right_call():
    async def score(state: TaskState, target: Target) -> Score:
        call = (state.output.message.tool_calls or [None])[0]
        expected = question(int(target.text))[1]
        right = call and (call.function, call.arguments) == ("get_weather", expected)
        return Score(value=CORRECT if right else INCORRECT)

    return score


def main(url: str, count: int) -> None:
    samples = [Sample(input=question(n)[0], target=str(n), id=f"town-{n}") for n in range(count)]
    config = GenerateConfig(max_connections=IN_FLIGHT, max_tokens=256, temperature=0.0)
    model = get_model("openai-api/local/instant", base_url=url, api_key="none", config=config)
    task = Task(dataset=MemoryDataset(samples), solver=offer_tools(), scorer=right_call())
    (log,) = eval(task, model=model, max_samples=IN_FLIGHT, display="none", log_dir="logs")
    print(f"{round(log.results.scores[0].metrics['accuracy'].value * count)} right")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
