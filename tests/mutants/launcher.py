"""mlx_lm.server, where each request's system message names the parser that reads its answer.

python launcher.py --model FOLDER --port 8080
"""

import sys
from contextvars import ContextVar
from typing import Any

from mlx_lm import server
from small_parsers import MUTANTS, SMALL, WholeText

from evals.parsers import launcher
from evals.parsers.adaptive_xml import AdaptiveXmlParser

CHOICE: ContextVar[tuple[str, bool]] = ContextVar("choice", default=("adaptive", False))


def chosen(tools: Any, *, thinking: bool) -> Any:
    name, stream = CHOICE.get()
    if name == "adaptive":
        return AdaptiveXmlParser(tools, thinking=thinking)
    return WholeText({**MUTANTS, "small": SMALL}[name], tools, stream=stream)


def install() -> None:
    launcher.install("adaptive_xml")
    launcher.AdaptiveXmlParser = chosen  # type: ignore[misc, assignment]
    original = server.ResponseGenerator.generate

    def generate(self: Any, request: Any, arguments: Any, *rest: Any, **options: Any) -> Any:
        first = request.messages[0]
        name = first["content"] if first["role"] == "system" else "adaptive"
        # A generator does not know whether it streams; only plain requests of evals ask for this.
        CHOICE.set((name, not arguments.logprobs))
        return original(self, request, arguments, *rest, **options)

    server.ResponseGenerator.generate = generate


if __name__ == "__main__":
    install()
    sys.argv[0] = "mlx_lm.server"
    server.main()
