"""Readers of the formats in which models write calls: strict, and independent of any server.

A server's parser may be forgiving; this one says what the model meant where that is certain, and
names every piece of markup that does not keep to its format.
"""

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.case import Tool
from evals.formats.families import (
    GEMMA_CLOSE,
    GEMMA_OPEN,
    KIMI_CLOSE,
    KIMI_OPEN,
    is_glm,
    json_at,
    read_gemma,
    read_glm,
    read_kimi,
)
from evals.formats.qwen_xml import (
    CALL_CLOSE,
    CALL_OPEN,
    FUNCTION,
    Broken,
    read_functions,
    skip_space,
)
from evals.formats.reading import Format, Malformed, ReadCall, Reading, json_call
from evals.json_text import parse_strict, parse_strict_at, to_text

THINK = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))
"""Tags around reasoning: opening and closing."""
MARKUP = (
    CALL_OPEN,
    CALL_CLOSE,
    "<function=",
    "</function>",
    "<parameter=",
    "</parameter>",
    *(tag for pair in THINK for tag in pair),
    "[TOOL_CALLS]",
    "<|tool_call_start|>",
    "<|tool_call_end|>",
    KIMI_OPEN,
    KIMI_CLOSE,
    GEMMA_OPEN,
    GEMMA_CLOSE,
    "<arg_key>",
    "<arg_value>",
)
"""Text that belongs to calls and reasoning and has no place in an answer."""

_CLOSERS = (CALL_CLOSE, "</function>", "</parameter>")
_FENCE = re.compile(r"```(json|tool_call|tool_code)?[ \t]*\r?\n", re.IGNORECASE)
_OPENERS = (
    CALL_OPEN,
    "<function=",
    "[TOOL_CALLS]",
    "<|tool_call_start|>",
    KIMI_OPEN,
    GEMMA_OPEN,
    "```",
)
_TAGGED = tuple(opener for opener in _OPENERS if opener != "```")
_MARKER = re.compile("|".join(map(re.escape, _OPENERS)))
_MISTRAL = re.compile(r"\s*([\w.-]+)(?:\[CALL_ID\]\w+)?(?:\[ARGS\])?\s*(?=\{)")


@dataclass
class _Found:
    """What has been read so far."""

    read: list[ReadCall] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    malformed: list[Malformed] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)


def read_model_text(raw: str, tools: Sequence[Tool]) -> Reading:
    """Read raw model text, without its end token, strictly. Never raises.

    Formats: Qwen3-Coder XML (`<tool_call><function=…>`), Hermes JSON (`<tool_call>{…}`), JSON in a
    code fence or as the whole text, a function tag without `<tool_call>`, Mistral
    (`[TOOL_CALLS]`), pythonic (`[f(x=1)]` as the whole text, or between its tags), GLM
    (`<tool_call>f<arg_key>…`), Kimi K2 (`<|tool_calls_section_begin|>`) and Gemma 4
    (`<|tool_call>`). Formats without tags count only for names of `tools`: else an example in an
    answer were a call.
    """
    # Before all else, for a value of such a call may hold any tag.
    if calls := _whole(raw, tools):
        return Reading(read=tuple(calls))
    reasoning, body = _split_reasoning(raw)
    if reasoning is not None and (calls := _whole(body, tools)):
        return Reading(read=tuple(calls), reasoning=reasoning)
    found = _Found()
    if reasoning and (FUNCTION.search(reasoning) or any(tag in reasoning for tag in _TAGGED)):
        found.ambiguous.append("a call stands inside the reasoning")
    _read_tagged(body, tools, found)
    text = "".join(found.text)
    for closer in _CLOSERS:
        if closer in text and found.read:
            found.ambiguous.append(f"{closer} is left over after a call")
        elif closer in text and not found.malformed:
            found.malformed.append(Malformed(closer, f"{closer} without its opening tag"))
    return Reading(
        read=tuple(found.read),
        text=text,
        reasoning=reasoning,
        malformed=tuple(found.malformed),
        ambiguous=tuple(found.ambiguous),
    )


def _split_reasoning(raw: str) -> tuple[str | None, str]:
    """Reasoning at the start of the text, and the rest; its opening tag may be in the prompt."""
    start = raw.lstrip()
    first_call = min((raw.find(tag) for tag in _TAGGED if tag in raw), default=len(raw))
    for opening, closing in THINK:
        if start.startswith(opening):
            thought, _, rest = start.removeprefix(opening).partition(closing)
            return thought, rest
        thought, found, rest = raw[:first_call].partition(closing)
        # Within a code block it is part of what is shown there.
        if found and opening not in raw[:first_call] and thought.count("```") % 2 == 0:
            return thought, rest + raw[first_call:]
    return None, raw


def _read_tagged(body: str, tools: Sequence[Tool], found: _Found) -> None:
    position = 0
    while marker := _MARKER.search(body, position):
        reader = _READERS[marker.group()]
        found.text.append(body[position : marker.start()])
        try:
            result = reader(body, marker.start(), tools, found)
        except Broken as broken:
            result = broken.end
            span = body[marker.start() : broken.end]
            found.malformed.append(Malformed(span, broken.reason, broken.cut))
        if result is None:  # no call after all
            result = marker.end()
            found.text.append(marker.group())
        position = result
    found.text.append(body[position:])


def _read_wrapped(body: str, start: int, tools: Sequence[Tool], found: _Found) -> int:
    inside = skip_space(body, start + len(CALL_OPEN))
    if body.startswith("{", inside):
        call, end = _hermes(body, inside, tools)
        found.read.append(call)
        return end
    if is_glm(body, inside, tools):
        call, end = read_glm(body, inside, tools)
        found.read.append(call)
        return end
    calls, end, ambiguous = read_functions(body, inside, tools, wrapped=True)
    found.read += calls
    found.ambiguous += ambiguous
    return end


def _hermes(body: str, start: int, tools: Sequence[Tool]) -> tuple[ReadCall, int]:
    value, end = json_at(body, start, CALL_CLOSE)
    close = skip_space(body, end)
    if not body.startswith(CALL_CLOSE, close):
        raise Broken.within(body, start, f"the JSON object is not followed by {CALL_CLOSE}")
    if problem := _call_problem(value, ("arguments",)):
        raise Broken(problem, close + len(CALL_CLOSE))
    call = json_call(value["name"], value["arguments"], "hermes-json", tools)
    return call, close + len(CALL_CLOSE)


def _read_bare(body: str, start: int, tools: Sequence[Tool], found: _Found) -> int | None:
    if not FUNCTION.match(body, start):
        return None
    calls, end, ambiguous = read_functions(body, start, tools, wrapped=False)
    found.read += calls
    found.ambiguous += ambiguous
    close = skip_space(body, end)
    return close + len(CALL_CLOSE) if body.startswith(CALL_CLOSE, close) else end


def _read_fence(body: str, start: int, tools: Sequence[Tool], found: _Found) -> int | None:
    fence = _FENCE.match(body, start)
    if fence is None:
        return None
    calls, end = _json_calls(body, fence.end(), tools)
    end = skip_space(body, end)
    if not calls and (fence[1] or "").lower() == "tool_code":
        end = body.find("```", fence.end())
        calls = _whole_pythonic(body[fence.end() : end], tools)
    if not calls or not body.startswith("```", end):
        return None
    found.read += calls
    return end + len("```")


def _read_mistral(body: str, start: int, tools: Sequence[Tool], found: _Found) -> int:
    inside = skip_space(body, start + len("[TOOL_CALLS]"))
    if body.startswith("[", inside):
        values, end = json_at(body, inside, "")
    elif name := _MISTRAL.match(body, inside):
        arguments, end = json_at(body, name.end(), "")
        values = [{"name": name.group(1), "arguments": arguments}]
    else:
        raise Broken("neither a list of calls nor a name follows [TOOL_CALLS]", len(body), cut=True)
    for value in values:
        if problem := _call_problem(value, ("arguments",)):
            raise Broken(problem, end)
    found.read += [json_call(v["name"], v["arguments"], "mistral", tools) for v in values]
    return end


def _read_pythonic(body: str, start: int, tools: Sequence[Tool], found: _Found) -> int:
    inside = start + len("<|tool_call_start|>")
    first = end = body.find("<|tool_call_end|>", inside)
    while end >= 0:  # a value may hold the closing tag
        if calls := _pythonic(body[inside:end], tools):
            found.read += calls
            return end + len("<|tool_call_end|>")
        end = body.find("<|tool_call_end|>", end + 1)
    if first < 0:
        raise Broken("<|tool_call_start|> is not closed", len(body), cut=True)
    raise Broken("no list of calls with literal arguments", first + len("<|tool_call_end|>"))


def _read_kimi(body: str, start: int, tools: Sequence[Tool], found: _Found) -> int:
    calls, end = read_kimi(body, start, tools)
    found.read += calls
    return end


def _read_gemma(body: str, start: int, tools: Sequence[Tool], found: _Found) -> int:
    call, end = read_gemma(body, start, tools)
    found.read.append(call)
    return end


_READERS: Mapping[str, Callable[[str, int, Sequence[Tool], _Found], int | None]] = {
    CALL_OPEN: _read_wrapped,
    "<function=": _read_bare,
    "[TOOL_CALLS]": _read_mistral,
    "<|tool_call_start|>": _read_pythonic,
    KIMI_OPEN: _read_kimi,
    GEMMA_OPEN: _read_gemma,
    "```": _read_fence,
}


def _call_problem(value: Any, keys: Sequence[str]) -> str | None:
    """Why a JSON value is no call; None if it is one."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value["name"]:
        return 'the JSON is not an object with a "name"'
    arguments = next((value[key] for key in keys if key in value), None)
    if not isinstance(arguments, dict):
        return '"arguments" is not an object'
    if extra := set(value) - {"name", "id", "type", *keys}:
        return f"the call has {to_text(min(extra))} beside name and arguments"
    return None


def _whole(text: str, tools: Sequence[Tool]) -> list[ReadCall]:
    """Calls of declared tools without tags, where they are the whole text; else nothing."""
    calls, end = _json_calls(text, 0, tools)
    if calls and skip_space(text, end) == len(text):
        return calls
    return _whole_pythonic(text, tools)


def _json_calls(text: str, start: int, tools: Sequence[Tool]) -> tuple[list[ReadCall], int]:
    """The calls of declared tools that begin at `start`, one by one or in a list; their end."""
    names = {tool.name for tool in tools}
    keys = ("arguments", "parameters")
    calls: list[ReadCall] = []
    end = start
    while text.startswith(("{", "["), skip_space(text, end)):
        try:
            value, after = parse_strict_at(text, skip_space(text, end))
        except ValueError:
            break
        values = value if isinstance(value, list) else [value]
        if any(_call_problem(v, keys) or v["name"] not in names for v in values):
            break
        calls += [
            json_call(v["name"], v[next(k for k in keys if k in v)], "json-fence", tools)
            for v in values
        ]
        end = after
    return calls, end


def _whole_pythonic(text: str, tools: Sequence[Tool]) -> list[ReadCall]:
    names = {tool.name for tool in tools}
    calls = _pythonic(text, tools)
    return calls if all(call.call.name in names for call in calls) else []


def _pythonic(text: str, tools: Sequence[Tool]) -> list[ReadCall]:
    """`[f(x=1), g()]` or `f(x=1)` with literal keyword arguments; else nothing."""
    if not re.match(r"\s*(\[\s*)?[A-Za-z_][\w.]*\(", text):
        return []
    try:
        node = ast.parse(text.strip(), mode="eval").body
        parts = node.elts if isinstance(node, ast.List) else [node]
        return [_pythonic_call(part, tools) for part in parts]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return []


def _pythonic_call(node: ast.expr, tools: Sequence[Tool]) -> ReadCall:
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("not a call with keyword arguments only")
    arguments = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise ValueError("** in a call, or an argument that is given twice")
        arguments[keyword.arg] = parse_strict(json.dumps(_literal(keyword.value)))
    format_: Format = "pythonic"
    return json_call(ast.unparse(node.func), arguments, format_, tools)


class _JsonNames(ast.NodeTransformer):
    """`true`, `false` and `null` at any depth: chat templates write nested values as JSON."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        known = node.id in ("true", "false", "null")
        return ast.Constant(json.loads(node.id)) if known else node


def _literal(node: ast.expr) -> Any:
    return ast.literal_eval(_JsonNames().visit(node))
