"""Forms of calls that no parser of the stock server reads, as a table.

Models fall back on the form that they were trained on, whatever the prompt asks for. A text counts
as such a call only if it is a whole one of an available tool: prose is none, and nothing is ever
malformed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evals.case import Tool
from evals.formats.call_format import Broken, CallFormat, Opening, Section, skip_space
from evals.formats.invoke_xml import InvokeTags
from evals.formats.naming import CodeMarks
from evals.formats.pythonic import python_calls
from evals.formats.reading import ReadCall, json_call
from evals.json_text import parse_strict_at

Payload = Literal["arguments", "calls", "python"]


@dataclass(frozen=True)
class ForeignForm:
    """A form by what stands before a call, what the call is, and what may stand behind it.

    `head` is a pattern that begins with one of `tags`. Its group `name`, if it has one, is the
    tool's. The payload is a JSON object of `arguments`, JSON of whole `calls`, or `python` calls up
    to `tail`.
    """

    name: str
    doc: str
    tags: tuple[str, ...]
    head: str
    payload: Payload
    tail: str = ""

    def read(self, body: str, start: int, tools: Sequence[Tool]) -> Section | None:
        """The calls that begin with the tag at `start`; None if there are none."""
        head = re.compile(self.head).match(body, start)
        if head is None:
            return None
        if self.payload == "python":
            end = re.compile(self.tail).search(body, head.end())
            inside = body[head.end() : end.start() if end else len(body)]
            calls = [call for line in _statements(inside) for call in python_calls(line, tools)]
            after = end.end() if end else len(body)
        else:
            try:
                value, after = parse_strict_at(body, head.end())
            except ValueError:
                return None
            named = head["name"] if self.payload == "arguments" else None
            calls = _json_calls(value, named, self.name, tools)
            tail = re.compile(self.tail).match(body, after)
            after = tail.end() if tail else after
        if not _of_available_tools(calls, tools):
            return None
        return Section([ReadCall(c.call, self.name, c.unfit, c.either) for c in calls], after)

    @property
    def format(self) -> CallFormat:
        """The form as a call format."""
        openings = tuple(Opening(tag, self.read) for tag in self.tags)
        return CallFormat(self.name, doc=self.doc, openings=openings)


def _of_available_tools(calls: Sequence[ReadCall], tools: Sequence[Tool]) -> bool:
    """Whether these are calls, and of available tools alone."""
    names = {tool.name for tool in tools}
    return bool(calls) and all(item.call.name in names for item in calls)


def _statements(inside: str) -> list[str]:
    """A list of calls is one statement; else each line is one."""
    text = inside.strip()
    return [text] if text.startswith("[") else [line for line in text.splitlines() if line.strip()]


def _json_calls(value: Any, name: str | None, form: str, tools: Sequence[Tool]) -> list[ReadCall]:
    """The calls that a JSON value is; `name` where it is the arguments of one. Else nothing."""
    if name is not None:
        return [json_call(name, value, form, tools)] if isinstance(value, dict) else []
    parts = [_name_and_arguments(item) for item in (value if isinstance(value, list) else [value])]
    calls = [json_call(*part, form, tools) for part in parts if part]
    return calls if len(calls) == len(parts) else []


def _name_and_arguments(value: Any) -> tuple[str, Mapping[str, Any]] | None:
    """Name and arguments of a call as families write it in JSON; None if it is none."""
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("function"), dict):
        value = value["function"]
    name = next((value[k] for k in ("name", "function", "tool", "tool_name") if k in value), None)
    keys = ("arguments", "parameters", "args", "input", "tool_input")
    arguments = next((value[k] for k in keys if k in value), None)
    fits = isinstance(name, str) and isinstance(arguments, dict)
    return (name, arguments) if fits else None  # type: ignore[return-value]


def _read_bare(body: str, start: int, tools: Sequence[Tool]) -> Section | None:
    """JSON of a call with which a text ends, behind words."""
    section = ForeignForm("bare-json", "", (), "", "calls").read(body, start, tools)
    if section is None or skip_space(body, section.end) < len(body):
        return None
    return section if CodeMarks(body).around(start) is None else None


def _read_python(body: str, start: int, tools: Sequence[Tool]) -> Section | None:
    """A list of Python calls with which a text ends, on lines of its own."""
    calls = python_calls(body[start:], tools)
    return Section(calls, len(body)) if _of_available_tools(calls, tools) else None


def _of_invokes(tags: InvokeTags) -> CallFormat:
    """Elements with names as a foreign form: whole calls of available tools alone."""

    def read(body: str, start: int, tools: Sequence[Tool]) -> Section | None:
        try:
            section = tags.read(body, start, tools)
        except Broken:
            return None
        known = section is not None and _of_available_tools(section.calls, tools)
        return section if known else None

    example = f'<{tags.invoke} name="f"><{tags.parameter} name="x">1{tags.parameter_close}'
    whole = f"{example}{tags.invoke_close}"
    doc = f"`<{tags.section}>{whole}{tags.close}`" if tags.section else f"`{whole}`"
    return CallFormat(tags.format, doc=doc, openings=(Opening(tags.open, read),))


_WRAPPERS = (
    *("tools", "tool", "tool_calls", "tool_use", "tool_request", "TOOLCALL", "tool_code"),
    *("function-call", "function_call", "functioncall", "function", "function_calls"),
)
_DEEPSEEK = r"<｜tool[▁_ ]call[▁_ ]begin｜>"

_FORMS = (
    ForeignForm(
        "harmony",
        doc="`<|channel|>commentary to=functions.f <|constrain|>json<|message|>{…}`",
        tags=("<|start|>assistant", "<|channel|>", " to=functions.", "to=functions."),
        head=r"(?:<\|start\|>assistant)?\s*(?:<\|channel\|>\w+)?\s*to=(?:functions\.)?(?P<name>[\w-]+)"
        r"\s*(?:<\|channel\|>\w+)?\s*(?:<\|constrain\|>)?\s*(?:json|code|commentary json)?"
        r"\s*(?:<\|message\|>)?\s*(?=\{)",
        payload="arguments",
        tail=r"\s*<\|(?:call|end|return)\|>",
    ),
    ForeignForm(
        "deepseek",
        doc="`<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{…}<｜tool▁call▁end｜>`",
        tags=("<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool_call_begin｜>"),
        head=rf"(?:<｜tool▁calls▁begin｜>\s*)?(?:{_DEEPSEEK})?(?:function<｜tool[▁_ ]sep｜>)?"
        r"(?P<name>[\w.-]+)(?:<｜tool[▁_ ]sep｜>)?\s*(?:```json\s*)?(?=\{)",
        payload="arguments",
        tail=r"\s*(?:```)?\s*(?:<｜tool[▁_ ]call[▁_ ]end｜>)?\s*(?:<｜tool[▁_ ]calls[▁_ ]end｜>)?",
    ),
    ForeignForm(
        "olmo",
        doc="`<function_calls>f(x=1)</function_calls>`",
        tags=("<function_calls>",),
        head=r"<function_calls>(?=\s*\[?\s*[A-Za-z_][\w.]*\()",
        payload="python",
        tail=r"</function_calls>",
    ),
    ForeignForm(
        "llama4",
        doc="`<|python_start|>[f(x=1)]<|python_end|>`",
        tags=("<|python_start|>",),
        head=r"<\|python_start\|>",
        payload="python",
        tail=r"<\|python_end\|>",
    ),
    ForeignForm(
        "llama-python-tag",
        doc='`<|python_tag|>{"name": …, "parameters": {…}}`',
        tags=("<|python_tag|>",),
        head=r"<\|python_tag\|>\s*(?=[{\[])",
        payload="calls",
        tail=r"\s*<\|(?:eom|eot)_id\|>",
    ),
    ForeignForm(
        "llama-function-tag",
        doc="`<function=f>{…}</function>`",
        tags=("<function=",),
        head=r"<function=(?P<name>[\w.-]+)>\s*(?=\{)",
        payload="arguments",
        tail=r"\s*</function>",
    ),
    ForeignForm(
        "json-in-tags",
        doc='`<tools>{"name": …, "arguments": {…}}</tools>`, also `<function-call>` and others',
        tags=tuple(f"<{tag}>" for tag in _WRAPPERS),
        head=rf"<(?P<tag>{'|'.join(_WRAPPERS)})>\s*(?:```json\s*)?(?=[{{\[])",
        payload="calls",
        tail=rf"\s*(?:```)?\s*(?:</(?:{'|'.join(_WRAPPERS)})>)?",
    ),
    ForeignForm(
        "json-in-bars",
        doc='`<|tool_call|>[{"name": …, "arguments": {…}}]`',
        tags=("<|tool_call|>", "<|tool_calls|>", "<|tools_prefix|>", "<|function_call|>"),
        head=r"<\|(?:tool_calls?|tools_prefix|function_call)\|>\s*(?=[{\[])",
        payload="calls",
        tail=r"\s*(?:<\|/?(?:tool_calls?|tools_suffix|function_call)\|>|</tool_call>)",
    ),
    ForeignForm(
        "tool-request",
        doc='`[TOOL_REQUEST]{"name": …, "arguments": {…}}[END_TOOL_REQUEST]`',
        tags=("[TOOL_REQUEST]",),
        head=r"\[TOOL_REQUEST\]\s*(?=\{)",
        payload="calls",
        tail=r"\s*\[END_TOOL_REQUEST\]",
    ),
)
_DSML = (
    ("deepseek-dsml", "", "function_calls"),
    ("deepseek-dsml-4", "", "tool_calls"),
    ("deepseek-dsml-4.1", " ", " calls"),
)
_BARE_STARTS = ('{"name"', '{ "name"', "{\n", '{"type"', '{"function"', '{"tool"', '[{"name"')

FOREIGN: tuple[CallFormat, ...] = (
    *(form.format for form in _FORMS),
    *(
        _of_invokes(tags)
        for tags in (
            InvokeTags("invoke", "invoke", "parameter", section="function_calls"),
            InvokeTags("bare-invoke", "invoke", "parameter"),
            *(
                InvokeTags(
                    name, f"｜DSML｜{gap}invoke", f"｜DSML｜{gap}parameter", f"｜DSML｜{section}"
                )
                for name, gap, section in _DSML
            ),
        )
    ),
    CallFormat(
        "bare-json",
        doc='`{"name": …, "arguments": {…}}` behind words',
        openings=tuple(Opening(start, _read_bare) for start in _BARE_STARTS),
    ),
    CallFormat(
        "bare-python",
        doc="`[f(x=1)]` behind words, on a line of its own",
        openings=(Opening("\n[", _read_python),),
    ),
)
"""Every foreign form as a call format; no parser of the stock server reads one."""
