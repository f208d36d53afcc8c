"""The grammar of an answer: what a model may write, given its tools, in llguidance's Lark.

Text is free. A call has a declared name and arguments that satisfy the tool's schema: required ones
are there, each comes at most once, none is made up, and a tool without parameters takes none. In
Qwen3-Coder XML a text stands raw and ends at the first closing tag on a line of its own; any other
value is JSON, which llguidance holds to the schema.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.case import Tool
from evals.json_text import to_text
from evals.schema import allowed_types, resolve
from evals.xml_format import CALL_CLOSE, CALL_OPEN, FUNCTION_CLOSE, PARAMETER_CLOSE

ANY_ORDER = 6
"""Tools with more parameters than this take them in the schema's order."""
_ANY = "(?s:.*)"
_VALUE_END = f"\n{PARAMETER_CLOSE}"


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
) -> str | None:
    """The Lark grammar of an answer, or None where nothing is to be constrained.

    `tool_choice` is OpenAI's: "auto" or None, "required", "none", or a function by name; anything
    else counts as "auto". `one_call` is `parallel_tool_calls: false`. `thinking`: the prompt ends
    within a thought.

    Raises:
        ValueError: the choice names a tool that is not declared.
    """
    if not tools:
        return None
    named = _named(tool_choice)
    if named is not None:
        tools = [tool for tool in tools if tool.name == named]
        if not tools:
            raise ValueError(f"tool_choice names {named!r}, which is not among the tools")
    if tool_choice == "none":
        start = "TEXT"
    elif named is not None or (tool_choice == "required" and one_call):
        start = "wrapped"
    elif tool_choice == "required":
        start = 'wrapped ("\\n" wrapped)*'
    elif one_call:
        start = "TEXT? | wrapped | bare"
    else:
        start = "(wrapped | bare)* TEXT?"
    free = "" if named is not None or tool_choice == "required" else "TEXT? "
    rules = [
        f"start: {_thought(marks, thinking)}({start})",
        f'wrapped: {free}{marks.call_open} "\\n" function "\\n" {marks.call_close}',
        "bare: bare_open tail",
        'function: "<function=" tail',
        "tail: " + " | ".join(f"tool_{i}" for i in range(len(tools))),
        f'bare_open[suffix="<function="]: /{_ANY}/',
        f"TEXT: /{_ANY}/ & ~/{_ANY}<function={_ANY}/",
        f"THOUGHT: /{_ANY}/",
    ]
    for i, tool in enumerate(tools):
        rules += _tool_rules(f"tool_{i}", tool)
    return "\n".join(rules) + "\n"


def _named(tool_choice: Any) -> str | None:
    if not isinstance(tool_choice, Mapping):
        return None
    function = tool_choice.get("function")
    name = function.get("name") if isinstance(function, Mapping) else tool_choice.get("name")
    return name if isinstance(name, str) else None


def _thought(marks: Marks, thinking: bool) -> str:
    if marks.think_close is None:
        return ""
    if thinking:
        return f"THOUGHT? {marks.think_close} "
    return f"({marks.think_open} THOUGHT? {marks.think_close})? "


def _tool_rules(rule: str, tool: Tool) -> Iterator[str]:
    schema = tool.parameters
    properties = schema.get("properties")
    names = list(properties) if isinstance(properties, Mapping) else []
    required = {name for name in schema.get("required", ()) if name in names}
    head = _literal(f"{tool.name}>\n")
    yield f"{rule}: {head} {rule}_0 {_literal(FUNCTION_CLOSE)}"
    for i, name in enumerate(names):
        yield f"{rule}_p{i}: {_literal(f'<parameter={name}>' + chr(10))} {rule}_v{i}"
        yield from _value_rules(f"{rule}_v{i}", schema["properties"][name], schema)
    any_order = len(names) <= ANY_ORDER
    yield from _orders(rule, names, required) if any_order else _in_order(rule, names, required)


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


def _value_rules(rule: str, declared: Any, root: Mapping[str, Any]) -> Iterator[str]:
    """A value with the closing tag behind it: text, one of some texts, or JSON."""
    schema = resolve(declared, root)
    end = f"{_literal(_VALUE_END + chr(10))}"
    choices = _choices(schema)
    types = allowed_types(declared, root)
    if choices is not None:
        texts = [choice if isinstance(choice, str) else to_text(choice) for choice in choices]
        yield f"{rule}: ({' | '.join(_literal(text) for text in texts)}) {end}"
    elif types is not None and "string" not in types:
        yield f"{rule}: %json {_with_definitions(declared, root)} {end}"
    else:
        yield f'{rule}: {rule}_text "\\n"'
        yield f"{rule}_text[suffix={_literal(_VALUE_END)}]: {_text(schema, types)}"


def _choices(schema: Any) -> list[Any] | None:
    """The values of an enum or const, also in the parts of an anyOf; None if any value will do."""
    if not isinstance(schema, Mapping):
        return None
    if "const" in schema:
        return [schema["const"]]
    if isinstance(schema.get("enum"), list):
        return list(schema["enum"])
    for key in ("anyOf", "oneOf"):
        parts = [_choices(part) or _only(part) for part in schema.get(key, ())]
        if parts and all(part is not None for part in parts):
            return [choice for part in parts if part is not None for choice in part]
    return None


def _only(part: Any) -> list[Any] | None:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "null":
        return [None]
    return [True, False] if kind == "boolean" else None


def _text(schema: Any, types: frozenset[str] | None) -> str:
    """The regular expression of a raw text: its length and pattern where nothing but text fits."""
    if not isinstance(schema, Mapping) or types != frozenset({"string"}):
        return f"/{_ANY}/"
    low, high = schema.get("minLength", 0), schema.get("maxLength", "")
    length = f"(?s:.{{{low},{high}}})" if low or high != "" else _ANY
    parts = [f"/{length}/"]
    if isinstance(pattern := schema.get("pattern"), str):
        head = "" if pattern.startswith("^") else _ANY
        tail = "" if pattern.endswith("$") else _ANY
        body = pattern.removeprefix("^").removesuffix("$").replace("/", r"\/")
        parts.append(f"/{head}({body}){tail}/")
    return " & ".join(parts)


def _with_definitions(declared: Any, root: Mapping[str, Any]) -> str:
    definitions = {key: root[key] for key in ("$defs", "definitions") if key in root}
    return json.dumps({**declared, **definitions})


def _literal(text: str) -> str:
    """`text` as a Lark string."""
    escaped = json.dumps(text, ensure_ascii=False)
    return re.sub(r"[\x7f-\x9f\u2028\u2029]", lambda m: f"\\u{ord(m[0]):04x}", escaped)
