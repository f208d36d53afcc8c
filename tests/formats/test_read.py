"""What every reader makes of a call that breaks off anywhere, or lacks any one of its signs."""

import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import golden
import pytest
from test_stock_parsers import WRITTEN
from test_variants import FOREIGN

from evals.case import Tool
from evals.formats.model_text import read_model_text
from evals.formats.registry import FORMATS
from evals.observation import Call

KEPT = Path(__file__).with_name("read")
PROPERTIES = {"text": {"type": "string"}, "n": {"type": "integer"}, "items": {"type": "array"}}
TOOLS = (
    Tool(name="look"),
    Tool(name="f", parameters={"type": "object", "properties": PROPERTIES}),
)
VALUES = {"text": "a b", "n": 5, "items": ["c"]}


OBJECT = json.dumps(VALUES)
CALLED = f'{{"name": "f", "arguments": {OBJECT}}}'
OTHERS = {
    "longcat-object": f"<longcat_tool_call>{CALLED}</longcat_tool_call>",
    "python-fence": "```python\n[f(text='a b', n=5)]\n```",
    "json-fence": f"```json\n{CALLED}\n```",
    "list": f"[{CALLED}, {CALLED}]",
    "doubled": "<tool_call>" + WRITTEN["qwen3_coder"]("f", VALUES),
    "two": f"<tool_call>{CALLED}</tool_call> and <tool_call>{CALLED}</tool_call>",
    "harmony": f"<|channel|>commentary to=functions.f <|constrain|>json<|message|>{OBJECT}<|call|>",
    "deepseek": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n"
    f"{OBJECT}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "invoke": '<function_calls>\n<invoke name="f">\n<parameter name="text">a b</parameter>\n'
    "</invoke>\n</function_calls>",
    "python-tag": "<|python_tag|>f.call(text='a b', n=5)<|eom_id|>",
    "function-tag": f"<function=f>{OBJECT}</function>",
    "react": f"Thought: so.\nAction: f\nAction Input: {OBJECT}",
    "command-r": f'Action:```json\n[{{"tool_name": "f", "parameters": {OBJECT}}}]\n```',
    "thought": f"<think>If {CALLED} then</think>\n<tool_call>\n{CALLED}\n</tool_call>",
}
"""More ways of writing it."""


def broken(text: str) -> Iterator[tuple[str, str]]:
    """The text cut after each character, and without each of its signs; what was done, and it."""
    for end in range(1, len(text) + 1):
        yield "to", text[:end]
    for place, sign in enumerate(text):
        if not sign.isalnum():
            yield f"without {sign!r}", text[:place] + text[place + 1 :]


def told(text: str, tools: tuple[Tool, ...] = TOOLS) -> str:
    """All that is read of a text, in one line."""
    found = read_model_text(text, tools)
    known = {
        "calls": [[one.call.name, one.call.arguments, one.format] for one in found.read],
        "broken": [[text.find(one.text), one.reason, one.cut] for one in found.malformed],
        "text": "all" if found.text == text else len(found.text),
        "reasoning": found.reasoning,
        "ambiguous": found.ambiguous,
        "named": found.named,
    }
    return json.dumps({key: value for key, value in known.items() if value}, ensure_ascii=False)


@pytest.mark.parametrize("name", [*WRITTEN, *OTHERS])
def test_a_broken_call(name):
    text = OTHERS.get(name) or f"So: {WRITTEN[name]('f', VALUES)}"
    read = [(what, told(one)) for what, one in broken(text)]
    grouped = (
        ("; ".join(w for w, _ in same), line) for line, same in groupby(read, lambda r: r[1])
    )
    golden.as_kept(KEPT / f"{name}.txt", [f"{len(w.split('; '))} {w[:40]} {t}" for w, t in grouped])


def test_forms_that_no_parser_reads():
    texts = [
        *FOREIGN,
        *(re.sub(r"\bf\b", "look", raw) for raw in FOREIGN),
        *map("{} .".format, FOREIGN),
    ]
    golden.as_kept(KEPT / "foreign.txt", [f"{raw!r} {told(raw)}" for raw in texts])


def test_what_a_format_writes():
    lines = []
    for one in FORMATS:
        if write := one.write:
            text = write(Call("f", json.dumps(VALUES)))
            lines += [
                f"{one.name} {text!r} {told(text)}",
                f"{one.name}, unknown tool {told(text, ())}",
            ]
    golden.as_kept(KEPT / "written.txt", lines)
