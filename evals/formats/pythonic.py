"""Calls as in Python, `[f(x=1), g()]`: between their tags, in a `tool_code` fence, or alone."""

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

from evals.case import Tool
from evals.formats.call_format import FENCE, Broken, CallFormat, Opening, Section
from evals.formats.reading import ReadCall, json_call
from evals.json_text import parse_strict

OPEN, CLOSE = "<|tool_call_start|>", "<|tool_call_end|>"

_FENCE = re.compile(r"```tool_code[ \t]*\r?\n", re.IGNORECASE)


def _read(body: str, start: int, tools: Sequence[Tool]) -> Section:
    inside = start + len(OPEN)
    first = end = body.find(CLOSE, inside)
    while end >= 0:  # a value may hold the closing tag
        if calls := python_calls(body[inside:end], tools):
            return Section(calls, end + len(CLOSE))
        end = body.find(CLOSE, end + 1)
    if first < 0:
        raise Broken(f"{OPEN} is not closed", len(body), cut=True)
    raise Broken("no list of calls with literal arguments", first + len(CLOSE))


def _read_fence(body: str, start: int, tools: Sequence[Tool]) -> Section | None:
    fence = _FENCE.match(body, start)
    end = body.find(FENCE, fence.end()) if fence else -1
    if fence is None or end < 0:
        return None
    calls = _read_whole(body[fence.end() : end], tools)
    return Section(calls, end + len(FENCE)) if calls else None


def _read_whole(text: str, tools: Sequence[Tool]) -> list[ReadCall]:
    names = {tool.name for tool in tools}
    calls = python_calls(text, tools)
    return calls if all(call.call.name in names for call in calls) else []


def python_calls(text: str, tools: Sequence[Tool]) -> list[ReadCall]:
    """`[f(x=1), g()]` or `f(x=1)` with literal keyword arguments; else nothing."""
    if not re.match(r"\s*(\[\s*)?[A-Za-z_][\w.]*\(", text):
        return []
    try:
        node = ast.parse(text.strip(), mode="eval").body
        parts = node.elts if isinstance(node, ast.List) else [node]
        return [_call(part, tools) for part in parts]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return []


def _call(node: ast.expr, tools: Sequence[Tool]) -> ReadCall:
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("not a call with keyword arguments only")
    arguments = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise ValueError("** in a call, or an argument that is given twice")
        arguments[keyword.arg] = parse_strict(json.dumps(_literal(keyword.value)))
    return json_call(ast.unparse(node.func), arguments, PYTHONIC.name, tools)


class _JsonNames(ast.NodeTransformer):
    """`true`, `false` and `null` at any depth: chat templates write nested values as JSON."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        known = node.id in ("true", "false", "null")
        return ast.Constant(json.loads(node.id)) if known else node


def _literal(node: ast.expr) -> Any:
    return ast.literal_eval(_JsonNames().visit(node))


PYTHONIC = CallFormat(
    "pythonic",
    doc="`[f(x=1)]` between `<|tool_call_start|>` and `<|tool_call_end|>`, or as the whole text",
    openings=(Opening(OPEN, _read), Opening(FENCE, _read_fence)),
    whole=_read_whole,
    markup=(OPEN, CLOSE),
    template="pythonic",
    parsers=("pythonic",),
)
