"""The grammar of an answer: what a model may write, given its tools, in llguidance's Lark.

Text is free. A call has a declared name and arguments that satisfy the tool's schema: required ones
are there, each comes at most once, none is made up, and a tool without parameters takes none. In
Qwen3-Coder XML a text stands raw and ends at the first closing tag on a line of its own; any other
value is JSON, which llguidance holds to the schema.

The tags count however they are spelled, in one token or in many. A call as JSON in a code fence,
which the adaptive parser would read, is forbidden: it could hold anything.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.case import Tool
from evals.formats.qwen_xml import CALL_CLOSE, CALL_OPEN, FUNCTION_CLOSE
from evals.parsers.value_grammar import ANY, literal, value_rules
from evals.schema import resolve

ANY_ORDER = 6
"""Tools with more parameters than this take them in the schema's order."""
_FUNCTION_OPEN = "<function="


@dataclass(frozen=True)
class Marks:
    """How a tokenizer spells the tags of calls and thoughts; those that are one token are special.

    Each is Lark: `<[3]>` for a special token, else a literal. Thoughts are None where there are
    none.
    """

    call_open: str = json.dumps(CALL_OPEN)
    call_close: str = json.dumps(CALL_CLOSE)
    think_open: str | None = None
    think_close: str | None = None


def grammar(
    tools: Sequence[Tool],
    tool_choice: Any = None,
    marks: Marks = Marks(),
    *,
    one_call: bool = False,
    thinking: bool = False,
    loose: Collection[str] = (),
) -> str | None:
    """The Lark grammar of an answer, or None where nothing is to be constrained.

    `tool_choice` is OpenAI's: "auto" or None, "required", "none", or a function by name; anything
    else counts as "auto". `one_call` is `parallel_tool_calls: false`. `thinking`: the prompt ends
    within a thought. `loose` names tools of whose schema is left out what llguidance may not know:
    patterns, and keywords that it does not support; names, required parameters and types still
    hold.

    Raises:
        ValueError: the choice names a tool that is not declared, or a tool's parameters depend on
            each other (`anyOf` or `oneOf` beside or in place of `properties`).
    """
    if not tools:
        return None
    offered = _offered(tools, tool_choice)
    forced = tool_choice == "required" or _named(tool_choice) is not None
    rules = [
        f"start: {_thought(marks, thinking)}({_start(tool_choice, one_call=one_call)})",
        f'wrapped: {_opening(marks, free=not forced)} "\\n" function "\\n" closing',
        f"closing: {' | '.join(sorted({marks.call_close, literal(CALL_CLOSE)}))}",
        "bare: bare_open tail",
        f"function: {literal(_FUNCTION_OPEN)} tail",
        "tail: " + " | ".join(f"tool_{i}" for i in range(len(offered))),
        *_free_text(tools),
        *_free_thought(marks),
    ]
    for i, tool in enumerate(offered):
        rules += _tool_rules(f"tool_{i}", tool, loose=tool.name in loose)
    return "\n".join(rules) + "\n"


def _offered(tools: Sequence[Tool], tool_choice: Any) -> Sequence[Tool]:
    named = _named(tool_choice)
    if named is None:
        return tools
    offered = [tool for tool in tools if tool.name == named]
    if not offered:
        raise ValueError(f"tool_choice names {named!r}, which is not among the tools")
    return offered


def _start(tool_choice: Any, *, one_call: bool) -> str:
    if tool_choice == "none":
        return "TEXT?"
    if _named(tool_choice) is not None or (tool_choice == "required" and one_call):
        return "wrapped"
    if tool_choice == "required":
        return 'wrapped ("\\n" wrapped)*'
    return "TEXT? | wrapped | bare" if one_call else "(wrapped | bare)* TEXT?"


def _opening(marks: Marks, *, free: bool) -> str:
    """The tag that opens a call, with text before it where that is free."""
    if not free:
        return marks.call_open
    special = f" | TEXT? {marks.call_open}" if _special(marks.call_open) else ""
    return f"(spelled_open{special})"


def _free_text(tools: Sequence[Tool]) -> Iterator[str]:
    """Text without a call, and text up to the tag that begins one, as soon as it stands there."""
    texts = (json.dumps(tool.name, ensure_ascii=False) for tool in tools)
    names = "|".join(re.escape(text).replace("/", r"\/") for text in texts)
    fence = rf"```(json|tool_call|tool_code)?[ \t]*\n\s*[{{\[][^`]*\"name\"\s*:\s*({names})"
    # One negation of all: the lexer of several, each beside the others, grows without bound.
    yield f"TEXT: {_without(CALL_OPEN, _FUNCTION_OPEN, fence)}"
    yield f"spelled_open[suffix={literal(CALL_OPEN)}]: {_without(_FUNCTION_OPEN, fence)}"
    yield f"bare_open[suffix={literal(_FUNCTION_OPEN)}]: {_without(CALL_OPEN, fence)}"


def _without(*parts: str) -> str:
    # The negation alone would hold the byte by which llguidance knows special tokens.
    return f"/{ANY}/ & ~/{ANY}({'|'.join(parts)}){ANY}/"


def _named(tool_choice: Any) -> str | None:
    if not isinstance(tool_choice, Mapping):
        return None
    function = tool_choice.get("function")
    name = function.get("name") if isinstance(function, Mapping) else tool_choice.get("name")
    return name if isinstance(name, str) else None


def _thought(marks: Marks, thinking: bool) -> str:
    """A thought in front of the answer: the rest of one where the prompt ends within it."""
    if marks.think_close is None:
        return ""
    ended = f"THOUGHT? {marks.think_close}" if _special(marks.think_close) else "spelled_thought"
    return f"{ended} " if thinking else f"({marks.think_open} {ended})? "


def _free_thought(marks: Marks) -> Iterator[str]:
    yield f"THOUGHT: /{ANY}/"
    if marks.think_close is not None and not _special(marks.think_close):
        yield f"spelled_thought[suffix={marks.think_close}]: /{ANY}/"


def _special(mark: str) -> bool:
    """Whether a tag is one special token, which no text can hold."""
    return mark.startswith("<[")


def _tool_rules(rule: str, tool: Tool, *, loose: bool) -> Iterator[str]:
    properties, needed = _parameters(tool, loose=loose)
    names = list(properties)
    required = {name for name in names if name in needed}
    yield f"{rule}: {literal(tool.name + '>' + chr(10))} {rule}_0 {literal(FUNCTION_CLOSE)}"
    for i, name in enumerate(names):
        yield f"{rule}_p{i}: {literal(f'<parameter={name}>' + chr(10))} {rule}_v{i}"
        yield from value_rules(f"{rule}_v{i}", properties[name], tool.parameters, loose=loose)
    any_order = len(names) <= ANY_ORDER
    yield from _orders(rule, names, required) if any_order else _in_order(rule, names, required)


def _parameters(tool: Tool, *, loose: bool) -> tuple[dict[str, Any], set[str]]:
    """The tool's parameters, name to schema, and the names of the required ones.

    Those of an `anyOf` or `oneOf` may come or not, if `loose`.
    """
    whole = resolve(tool.parameters, tool.parameters)
    parts = [whole, *_branches(whole, "allOf", tool)]
    choices = [
        branch
        for part in parts
        for key in ("anyOf", "oneOf")
        for branch in _branches(part, key, tool)
    ]
    if choices and not loose:
        raise ValueError(f"the parameters of {tool.name!r} depend on each other")
    properties: dict[str, Any] = {}
    for part in [*parts, *choices]:
        found = part.get("properties")
        properties |= found if isinstance(found, Mapping) else {}
    lists = [part.get("required") for part in parts]
    return properties, {str(name) for found in lists if isinstance(found, list) for name in found}


def _branches(schema: Mapping[str, Any], key: str, tool: Tool) -> list[Mapping[str, Any]]:
    found = schema.get(key)
    branches = (
        [resolve(branch, tool.parameters) for branch in found or ()]
        if isinstance(found, list)
        else []
    )
    return [branch for branch in branches if isinstance(branch, Mapping)]


def _orders(rule: str, names: Sequence[str], required: set[str]) -> Iterator[str]:
    """A rule for each set of parameters that have come, by its bits: what may come next."""
    for come in range(1 << len(names)):
        left = [i for i in range(len(names)) if not come >> i & 1]
        nexts = [f"{rule}_p{i} {rule}_{come | 1 << i}" for i in left]
        if all(names[i] not in required for i in left):
            nexts.append('""')
        yield f"{rule}_{come}: " + " | ".join(nexts)


def _in_order(rule: str, names: Sequence[str], required: set[str]) -> Iterator[str]:
    parts = [f"{rule}_p{i}{'' if name in required else '?'}" for i, name in enumerate(names)]
    yield f"{rule}_0: " + " ".join(parts)
