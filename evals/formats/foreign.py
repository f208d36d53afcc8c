"""Forms of calls that no parser of the stock server reads, as a table."""

from collections.abc import Sequence

from evals.case import Tool
from evals.formats.call_format import Broken, CallFormat, Opening, Section
from evals.formats.foreign_form import (
    ForeignForm,
    of_available_tools,
    read_bare,
    read_name_first,
    read_python,
)
from evals.formats.invoke_xml import InvokeTags


def _of_invokes(tags: InvokeTags) -> CallFormat:
    """Elements with names as a foreign form: whole calls of available tools alone."""

    def read(body: str, start: int, tools: Sequence[Tool]) -> Section | None:
        try:
            section = tags.read(body, start, tools)
        except Broken:
            return None
        known = section is not None and of_available_tools(section.calls, tools)
        return section if known else None

    example = f'<{tags.invoke} name="f"><{tags.parameter} name="x">1{tags.parameter_close}'
    whole = f"{example}{tags.invoke_close}"
    doc = f"`<{tags.section}>{whole}{tags.close}`" if tags.section else f"`{whole}`"
    return CallFormat(tags.format, doc=doc, openings=(Opening(tags.open, read),))


_WRAPPERS = (
    *("tools", "tool", "tool_calls", "tool_use", "tool_request", "TOOLCALL", "tool_code"),
    *("function-call", "function_call", "functioncall", "function", "function_calls"),
)
_BARS = (
    *("tool_call", "tool_calls", "tools_prefix", "function_call"),
    *("action_start", "START_ACTION"),
)
_BARS_END = ("tools_suffix", "action_end", "END_ACTION")
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
        doc='`<|tool_call|>[{"name": …, "arguments": {…}}]`, also `<|START_ACTION|>` and others',
        tags=tuple(f"<|{tag}|>" for tag in _BARS),
        head=rf"<\|(?:{'|'.join(_BARS)})\|>\s*(?:<\|plugin\|>\s*)?(?=[{{\[])",
        payload="calls",
        tail=rf"\s*(?:<\|/?(?:{'|'.join((*_BARS, *_BARS_END))})\|>|</tool_call>)",
    ),
    ForeignForm(
        "react",
        doc="`Action: f`, and on the next line `Action Input: {…}`",
        tags=("Action:",),
        head=r"Action:[ \t*]*`?(?P<name>[\w.-]+)`?[ \t*]*\n+[ \t*]*Action Input:[\s*]*"
        r"(?:```(?:json)?\s*)?(?=\{)",
        payload="arguments",
        tail=r"\s*(?:```)?\s*(?:\n\s*Observation:)?",
    ),
    ForeignForm(
        "name-in-tags",
        doc="`<name>f</name><arguments>{…}</arguments>`, also `<tool>` and others",
        tags=("<name>", "<tool_name>", "<tool>", "<function>"),
        head=r"<(name|tool_name|tool|function)>\s*(?P<name>[\w.-]+)\s*</\1>\s*"
        r"<(?:arguments|parameters|args|input|tool_input)>\s*(?=\{)",
        payload="arguments",
        tail=r"(?:\s*</\w+>)*",
    ),
    ForeignForm(
        "name-in-attribute",
        doc='`<tool name="f">{…}</tool>`, also `<tool_call name="f">` and others',
        tags=(
            *("<tool name=", "<tool_call name=", "<function_call name=", "<action name="),
            "<function(",
        ),
        head=r"<(?:tool|tool_call|function_call|action|function)(?: name=[\"']?|\()"
        r"(?P<name>[\w.-]+)(?:[\"']|\))?>\s*(?=\{)",
        payload="arguments",
        tail=r"\s*</\w+>",
    ),
    ForeignForm(
        "llama-builtin-tag",
        doc="`<|python_tag|>f(x=1)`, also `f.call(x=1)`",
        tags=("<|python_tag|>",),
        head=r"<\|python_tag\|>(?=\s*[A-Za-z_][\w.]*\()",
        payload="python",
        tail=r"<\|(?:eom|eot)_id\|>",
    ),
    ForeignForm(
        "command-r",
        doc='`Action:` and a fence with `[{"tool_name": …, "parameters": {…}}]`',
        tags=("Action:",),
        head=r"Action:\s*```(?:json)?\s*(?=[{\[])",
        payload="calls",
        tail=r"\s*```",
    ),
    ForeignForm(
        "qwen-flowers",
        doc="`✿FUNCTION✿: f`, and on the next line `✿ARGS✿: {…}`",
        tags=("✿FUNCTION✿",),
        head=r"✿FUNCTION✿:?\s*(?P<name>[\w.-]+)\s*✿ARGS✿:?\s*(?=\{)",
        payload="arguments",
        tail=r"\s*✿RESULT✿:?",
    ),
    ForeignForm(
        "gemma-tool-code",
        doc="`f(x=1)` in a fence or tags of `tool_code`",
        tags=("```tool_code", "<tool_code>"),
        head=r"(?:```tool_code|<tool_code>)(?=\s*\[?\s*[A-Za-z_][\w.]*\()",
        payload="python",
        tail=r"```|</tool_code>",
    ),
    ForeignForm(
        "functionary",
        doc="`<|recipient|>f<|content|>{…}`, or `>>>f` and the arguments on the next line",
        tags=("<|recipient|>", ">>>"),
        head=r"(?:<\|recipient\|>|>>>)\s*(?P<name>[\w.-]+)\s*(?:<\|content\|>|\n)\s*(?=\{)",
        payload="arguments",
        tail=r"\s*<\|stop\|>",
    ),
    ForeignForm(
        "functools",
        doc='`functools[{"name": …, "arguments": {…}}]`',
        tags=("functools[",),
        head=r"functools(?=\[)",
        payload="calls",
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
_BARE_STARTS = ('{"', '{ "', "{\n", '[{"', "[\n")

FOREIGN: tuple[CallFormat, ...] = (
    *(form.format for form in _FORMS),
    *(
        _of_invokes(tags)
        for tags in (
            InvokeTags("invoke", "invoke", "parameter", section="function_calls"),
            InvokeTags("bare-invoke", "invoke", "parameter"),
            InvokeTags("steptml", "steptml:invoke", "steptml:parameter"),
            InvokeTags("xai", "xai:function_call", "parameter"),
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
        doc='`{"name": …, "arguments": {…}}` behind words, or in tags that no other form has',
        openings=tuple(Opening(start, read_bare) for start in _BARE_STARTS),
    ),
    CallFormat(
        "name-first",
        doc="`f` and `{…}` on the next line, `f({…})` or `functions.f:0{…}`, as the whole text",
        whole=read_name_first,
    ),
    CallFormat(
        "bare-python",
        doc="`[f(x=1)]` behind words, on a line of its own",
        openings=(Opening("\n[", read_python),),
    ),
)
"""Every foreign form as a call format; no parser of the stock server reads one."""
