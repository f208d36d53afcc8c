"""The questions through pydantic-evals, with an openai client as its task: URL N."""

import sys
from dataclasses import dataclass
from pathlib import Path

from openai import AsyncOpenAI
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import Evaluator, EvaluatorContext
from questions import IN_FLIGHT, is_right, request


@dataclass
class RightCall(Evaluator[int, tuple[str, str], None]):
    """The call is the one that is expected."""

    def evaluate(self, ctx: EvaluatorContext[int, tuple[str, str], None]) -> bool:
        return is_right(ctx.inputs, *ctx.output)


def main(url: str, count: int) -> None:
    client = AsyncOpenAI(base_url=url, api_key="none")

    async def ask(number: int) -> tuple[str, str]:
        answer = await client.chat.completions.create(**request(number))
        function = answer.choices[0].message.tool_calls[0].function
        return function.name, function.arguments

    cases = [Case(name=f"town-{number}", inputs=number) for number in range(count)]
    dataset = Dataset(name="towns", cases=cases, evaluators=[RightCall()])
    report = dataset.evaluate_sync(ask, max_concurrency=IN_FLIGHT, progress=False)
    Path("report.txt").write_text(report.render(width=120, include_input=True, include_output=True))
    print(f"{sum(case.assertions['RightCall'].value for case in report.cases)} right")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
