"""What every reader makes of a call that breaks off anywhere, or lacks any one of its signs."""

import json
import re
from collections.abc import Iterator
from itertools import groupby, product
from pathlib import Path
from typing import Any

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
    "kimi-k3-object": '<|open|>tools<|sep|><|open|>call tool="f" index="1"<|sep|>'
    f"<|open|>json<|sep|>{OBJECT}<|close|>json<|sep|><|close|>call<|sep|><|close|>tools<|sep|>",
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


def told(text: str, tools: tuple[Tool, ...] = TOOLS, **how: Any) -> str:
    """All that is read of a text, in one line."""
    found = read_model_text(text, tools, **how)
    known = {
        "calls": [[one.call.name, one.call.arguments, one.format] for one in found.read],
        "broken": [
            [text.find(one.text), len(one.text), one.reason, one.cut] for one in found.malformed
        ],
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


def doubled(text: str) -> Iterator[tuple[str, str]]:
    """The text with parts of it twice: lines, tags, what stands between commas, 4 or 5 of them."""
    ends = [0, *(found.end() for found in re.finditer(r"\n|>|\]|,", text)), len(text)]
    for parts in (1, 4, 5):
        for start, end in zip(ends, ends[parts:], strict=False):
            yield text[start:end], text[:end] + text[start:]


def test_a_part_that_comes_twice():
    lines = [
        f"{name} {part!r} {told(given)}" for name, text in every() for part, given in doubled(text)
    ]
    golden.as_kept(KEPT / "twice.txt", lines)


def every() -> Iterator[tuple[str, str]]:
    """A call in each of the spellings."""
    yield from ((name, write("f", VALUES)) for name, write in WRITTEN.items())
    yield from OTHERS.items()


def test_a_call_beside_one_of_another_format():
    texts = list(every())
    lines = []
    for number, (name, text) in enumerate(texts):
        for step in (1, 5, 12, 20):
            beside, other = texts[(number + step) % len(texts)]
            for between in ("", "\n", " and "):
                lines.append(f"{name} {beside} {between!r} {told(text + between + other)}")
    golden.as_kept(KEPT / "beside.txt", lines)


FRAMES = (
    *(
        "{}",
        " {}\n",
        "\n\n{}.",
        "`{}`",
        "Write `{}` there.",
        "```\n{}\n```",
        "See:\n```\n{}\n```\n",
    ),
    *('The tag "{}" opens it.', "The tag {} opens it.", "A model writes {} then.", "The {} of it."),
    *("I like tags.\n{} is there", "{} is there\nI like tags.", "So {} is a tag", "- {}: a tag"),
    *(
        "<code>{}</code>",
        "x<code>{}</code>y",
        "({})",
        "*{}* opens",
        "“{}” is a token",
        "1. {} closes",
    ),
    *("<think>{}</think>yes", "<think>I write {}.</think>yes", "<think>{}", "{}</think>yes"),
    *(
        "a</think>{}",
        "</think>{}",
        "<think></think>{}",
        "{}{}",
        "no {} but {}",
        "Tags: ... {} ... so",
    ),
)
"""Words around a call, or around a tag alone; some name it."""


HOWS: tuple[dict[str, Any], ...] = (
    {"examples": True},
    {"told": True},
    {"told": True, "examples": True},
)


def test_a_call_or_a_tag_among_words():
    lines = []
    for name, text in every():
        tag = re.match(r"<[^>\n]*>|\[[A-Z_]+\]|[^\s{\[]*", text)[0]
        prompt = f"Write {text} or\n{tag}."
        for frame, inside in product(FRAMES, (text, tag)):
            raw = frame.replace("{}", inside)
            plain = told(raw)
            lines.append(f"{name} {frame!r} {plain}")
            for how in HOWS:
                known = {**how, "told": prompt} if how.get("told") else how
                if (found := told(raw, **known)) != plain:
                    lines.append(f"  {' '.join(how)} {found}")
    golden.as_kept(KEPT / "words.txt", [line for line, _ in groupby(lines)])
