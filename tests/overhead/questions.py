"""The questions of the overhead benchmark: N towns, of each a call is expected; no package needed.

`build_project` writes them as a project of evals. Every harness asks the same ones with the same
tools and holds name and arguments of the call against what is expected.
"""

import json
from pathlib import Path
from typing import Any

IN_FLIGHT = 8
PROMPTFOO = "promptfooconfig.json"
TOOLS: list[dict[str, Any]] = [
    {
        "name": "get_weather",
        "description": "Weather of a town for some days.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Name of the town."},
                "days": {"type": "integer", "minimum": 1, "maximum": 14},
            },
            "required": ["city", "days"],
        },
    },
    {
        "name": "todoread",
        "description": "Read the list of todos.",
        "parameters": {"type": "object", "properties": {}},
    },
]
OPENAI_TOOLS = [{"type": "function", "function": tool} for tool in TOOLS]


def question(number: int) -> tuple[str, dict[str, Any]]:
    """The text of a question, and the arguments of the call of `get_weather` that is expected."""
    days = number % 14 + 1
    arguments = {"city": f"Town-{number}", "days": days}
    return f"What is the weather in Town-{number} for {days} days?", arguments


def request(number: int) -> dict[str, Any]:
    """The body that asks a question."""
    text, _ = question(number)
    messages = [{"role": "user", "content": text}]
    settings = {"max_tokens": 256, "temperature": 0.0}
    return {"model": "instant", "messages": messages, "tools": OPENAI_TOOLS, **settings}


def is_right(number: int, name: str, arguments: str) -> bool:
    """Whether a call is the one that is expected."""
    return name == "get_weather" and json.loads(arguments) == question(number)[1]


def build_project(folder: Path, count: int, in_a_file: int = 100) -> None:
    """A project of evals with `count` cases, in the new folder `folder`."""
    (folder / "cases" / "tools").mkdir(parents=True)
    (folder / "cases" / "towns").mkdir()
    settings = f'cases = ["cases"]\nlanes = ["server"]\nin_flight = {IN_FLIGHT}\n'
    (folder / "evals.toml").write_text(settings)
    shelf = {tool["name"]: {k: v for k, v in tool.items() if k != "name"} for tool in TOOLS}
    (folder / "cases" / "tools" / "tools.yaml").write_text(json.dumps(shelf, indent=1))
    for first in range(0, count, in_a_file):
        lines = ["defaults:", "  tools: [get_weather, todoread]", "cases:"]
        for number in range(first, min(first + in_a_file, count)):
            text, arguments = question(number)
            call = f"{{name: get_weather, arguments: {json.dumps(arguments)}}}"
            lines += [f"  - id: town-{number}", f"    ask: {text}", f"    expect: {{call: {call}}}"]
        file = folder / "cases" / "towns" / f"towns_{first:05}.yaml"
        file.write_text("\n".join(lines) + "\n")


def build_promptfoo(folder: Path, url: str, count: int) -> None:
    """The configuration of promptfoo with `count` tests, in `folder`."""
    asked = [question(number) for number in range(count)]
    settings = {"apiBaseUrl": url, "apiKey": "none", "tools": OPENAI_TOOLS, "max_tokens": 256}
    config = {
        "prompts": ["{{text}}"],
        "providers": [{"id": "openai:chat:instant", "config": {**settings, "temperature": 0}}],
        "defaultTest": {"assert": [{"type": "javascript", "value": _RIGHT_CALL}]},
        "tests": [{"vars": {"text": text, "wanted": json.dumps(args)}} for text, args in asked],
    }
    (folder / PROMPTFOO).write_text(json.dumps(config))


_RIGHT_CALL = """\
const [call] = typeof output === "string" ? JSON.parse(output) : output;
const said = JSON.parse(call.function.arguments), wanted = JSON.parse(context.vars.wanted);
const same = said.city === wanted.city && said.days === wanted.days;
return same && call.function.name === "get_weather";
"""
