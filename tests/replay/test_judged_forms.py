"""Texts of models through the stock server's own code, and what is said of them: who is to blame.

Each text is in a form or spells a tag that somebody's model, parser or answer got wrong once.
"""

from dataclasses import replace

import builders
import pytest
from in_process import Setting, respond

from evals.case import Tool
from evals.formats.registry import format_of_parser
from evals.observation import Call
from evals.results import Kind, Layer, Prompt, Status

TOOLS = (
    Tool(name="todoread"),
    Tool(
        name="read_file",
        parameters={
            "type": "object",
            "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}},
            "required": ["path"],
        },
    ),
    Tool(
        name="copy",
        parameters={
            "type": "object",
            "properties": {"source": {"type": "string"}, "target": {"type": "string"}},
            "required": ["source", "target"],
        },
    ),
)
OFFERED = [
    {"type": "function", "function": {"name": t.name, "parameters": dict(t.parameters)}}
    for t in TOOLS
]
READ = {"call": {"name": "read_file", "arguments": {"path": "README.md"}}}
OBJECT = '{"name": "read_file", "arguments": {"path": "README.md"}}'
MODEL, PARSER = Layer.MODEL, Layer.PARSER


def judged(text, parser, expect, ask="Show me README.md.", **more):
    """The judgement on what the server makes of a text, whose end the model wrote itself."""
    pieces = list(text) if parser == "adaptive_xml" else [text]
    seen = respond(pieces, OFFERED, Setting(parser))
    seen = replace(seen, lane="server", raw_text=text, usage=None)
    form = "qwen3-coder-xml" if parser == "adaptive_xml" else format_of_parser(parser).name
    case = builders.case(expect, ask, tools=TOOLS, **more)
    return builders.judge(case, seen, call_format=form)


def xml(path="README.md"):
    return (
        f"<tool_call>\n<function=read_file>\n<parameter=path>\n{path}\n</parameter>\n"
        "</function>\n</tool_call>"
    )


MINIMAX = (
    '<minimax:tool_call>\n<invoke name="read_file">\n<parameter name="path">{}</parameter>\n'
    "</invoke>\n</minimax:tool_call>"
)
MINICPM = '<function name="read_file"><param name="path">{}</param></function>'
KIMI_K3 = (
    '<|open|>tools<|sep|><|open|>call tool="read_file" index="1"<|sep|><|open|>argument key="path" '
    'type="string"<|sep|>{}<|close|>argument<|sep|><|close|>call<|sep|><|close|>tools<|sep|>'
)
LONGCAT = (
    "<longcat_tool_call>read_file\n<longcat_arg_key>path</longcat_arg_key>\n"
    "<longcat_arg_value>{}</longcat_arg_value>\n</longcat_tool_call>"
)
GLM = "<tool_call>read_file<arg_key>path</arg_key><arg_value>{}</arg_value></tool_call>"
FUNCTION_GEMMA = "<start_function_call>call:read_file{{path:<escape>{}<escape>}}<end_function_call>"
MUSE = (
    '<atem:function_calls>\n<atem:invoke name="read_file">\n'
    '<atem:parameter name="path">{}</atem:parameter>\n</atem:invoke>\n</atem:function_calls>'
)
OF_PARSERS = [
    ("minimax_m2", MINIMAX),
    ("minicpm5", MINICPM),
    ("kimi_k3", KIMI_K3),
    ("longcat", LONGCAT),
    ("function_gemma", FUNCTION_GEMMA),
    ("muse_spark", MUSE),
    ("glm47", GLM),
]


@pytest.mark.parametrize(("parser", "form"), OF_PARSERS)
def test_a_right_call_in_the_parsers_own_form_passes(parser, form):
    found = judged(form.format("README.md"), parser, READ)
    assert found.status == Status.PASS, found.why
    assert all(not verdict.reason for verdict in found.verdicts)


@pytest.mark.parametrize(("parser", "form"), OF_PARSERS)
def test_another_value_is_the_models(parser, form):
    found = judged(form.format("OTHER.md"), parser, READ)
    assert (found.cause.kind, found.cause.layer) == (Kind.WRONG_VALUE, MODEL)


@pytest.mark.parametrize(
    ("parser", "text", "path"),
    [
        ("minimax_m2", MINIMAX.format("null"), "null"),
        ("minicpm5", MINICPM.format(" a"), " a"),
        ("longcat", LONGCAT.format(" a "), " a "),
        ("muse_spark", MUSE.format("5"), "5"),
        ("function_gemma", FUNCTION_GEMMA.format("{a}"), "{a}"),
    ],
)
def test_a_value_that_the_parser_changes_is_its_fault(parser, text, path):
    expect = {"call": {"name": "read_file", "arguments": {"path": path}}}
    found = judged(text, parser, expect)
    assert found.cause.layer == PARSER, found.why
    assert found.cause.kind in (Kind.CHANGED_ARGUMENTS, Kind.LOST_CALL)


ENDS_OF_VALUES = {
    "minimax_m2": "</parameter>",
    "minicpm5": "</param>",
    "kimi_k3": "<|close|>argument<|sep|>",
    "longcat": "</longcat_arg_value>",
    "muse_spark": "</atem:parameter>",
    "glm47": "</arg_value>",
}


@pytest.mark.parametrize(("parser", "form"), [(p, f) for p, f in OF_PARSERS if p in ENDS_OF_VALUES])
def test_a_call_swallowed_by_one_that_is_not_closed_is_not_the_parsers_fault(parser, form):
    unclosed = form.format("README.md").replace(ENDS_OF_VALUES[parser], "")
    found = judged(f"{unclosed}\n{form.format('OTHER.md')}", parser, READ)
    assert found.cause.layer == Layer.UNKNOWN, found.why
    assert "holds a call that is not closed there" in found.cause.reason


def test_a_value_that_swallowed_the_next_one_for_want_of_a_tag_is_not_the_parsers_fault():
    text = (
        "<tool_call>\n<function=copy>\n<parameter=source>\na\n</parameter>\nb\n</parameter>\n"
        "</function>\n</tool_call>"
    )
    wanted = {"call": {"name": "copy", "arguments": {"source": "a", "target": "b"}}}
    found = judged(text, "qwen3_coder", wanted)
    assert {v.layer for v in found.verdicts if not v.passed} == {MODEL}, found.why
    assert "<parameter=target> is missing" in found.cause.reason


@pytest.mark.parametrize(
    ("opens", "text", "layer"),
    [
        (False, f"</think>\n{xml()}", MODEL),
        (True, f"</think>\n{xml()}", PARSER),
        (False, f"<think></think>\n{xml()}", PARSER),
        (False, f"Let me see.</think>\n{xml()}", PARSER),
    ],
)
def test_the_end_of_a_thought_that_nobody_began_is_the_models(opens, text, layer):
    content = text.removesuffix(xml()).replace("<think>", "")
    made = Call("read_file", '{"path": "README.md"}', id="c")
    seen = builders.observation(calls=(made,), finish_reason="tool_calls", raw_text=text)
    case = builders.case(READ, tools=TOOLS)
    prompt = Prompt(opens_thought=opens)
    found = builders.judge(case, replace(seen, content=content), prompt=prompt)
    assert {(v.kind, v.layer) for v in found.verdicts if v.check == "markup"} == {
        (Kind.LEAKED_MARKUP, layer)
    }


TODO = "<function=todoread>\n</function>\n</tool_call>"


@pytest.mark.parametrize(
    "text",
    [
        f"{TODO}<tool_call>{xml().removeprefix('<tool_call>').removesuffix('</tool_call>')}",
        f"{TODO}<tool_call>{xml('OTHER.md').replace('<parameter=path>', '<tool_call>')}",
        f"{xml().removeprefix('<tool_call>')}<tool_call>"
        + xml("OTHER.md").replace("<parameter=path>", "<tool_call>"),
    ],
)
def test_what_a_server_makes_of_a_malformed_call_is_no_other_call_corrupted(text):
    found = judged(text, "qwen3_coder", {"calls": [{"name": "todoread"}, READ["call"]]})
    assert found.status == Status.FAIL
    assert {v.layer for v in found.verdicts if not v.passed} == {MODEL}, found.why


def test_a_call_behind_a_malformed_one_of_another_name_is_lost_and_not_corrupted():
    text = xml().replace("</function>\n", "") + f"<tool_call>\n{TODO}"
    made = Call("read_file", '{"path": "README.md"}', id="c")
    seen = builders.observation(calls=(made,), finish_reason="tool_calls", raw_text=text)
    wanted = {"calls": [READ["call"], {"name": "todoread"}]}
    found = builders.judge(builders.case(wanted, tools=TOOLS), seen)
    assert {v.kind for v in found.verdicts if v.layer == PARSER} == {Kind.LOST_CALL}, found.why


FOREIGN = [
    f"<tools>\n{OBJECT}\n</tools>",
    f"<function-call> {OBJECT}",
    f"<function>\n{OBJECT}\n</function>",
    f"<tool_calls>[{OBJECT}]</tool_calls>",
    f"<TOOLCALL>[{OBJECT}]</TOOLCALL>",
    f"<|tool_call|>[{OBJECT}]",
    f"[TOOL_REQUEST]{OBJECT}[END_TOOL_REQUEST]",
    f"I will read it.\n\n{OBJECT}",
    f"I will read it. {OBJECT}",
    'So:\n{\n  "name": "read_file",\n  "parameters": {"path": "README.md"}\n}',
    f'Now\n{{"type": "function", "function": {OBJECT}}}',
    OBJECT,
    "<|channel|>analysis<|message|>Read it.<|end|><|start|>assistant<|channel|>commentary "
    'to=functions.read_file <|constrain|>json<|message|>{"path": "README.md"}',
    "<|channel|>analysis<|message|>Read it.<|end|><|start|>assistant to=functions.read_file"
    '<|channel|>commentary json<|message|>{"path": "README.md"}<|call|>',
    'analysisRead it.assistantcommentary to=functions.read_file json{"path": "README.md"}',
    '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>read_file<｜tool▁sep｜>{"path": "README.md"}'
    "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>read_file\n```json\n"
    '{"path": "README.md"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    '<｜DSML｜function_calls>\n<｜DSML｜invoke name="read_file">\n<｜DSML｜parameter name="path" '
    'string="true">README.md</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>',
    '<function_calls>\nread_file(path="README.md")\n</function_calls>',
    '<function_calls>\n<invoke name="read_file">\n<parameter name="path">README.md</parameter>\n'
    "</invoke>\n</function_calls>",
    '<invoke name="read_file"><parameter name="path">README.md</parameter></invoke>',
    '<|python_start|>[read_file(path="README.md")]<|python_end|>',
    f"<|python_tag|>{OBJECT}",
    '<function=read_file>{"path": "README.md"}</function>',
    'I will read it.\n[read_file(path="README.md")]',
    MINIMAX.format("README.md"),
    MUSE.format("README.md"),
    KIMI_K3.format("README.md"),
    'Thought: Read it.\nAction: read_file\nAction Input: {"path": "README.md"}\nObservation:',
    'Action: read_file\nAction Input: ```json\n{"path": "README.md"}\n```',
    'Action: ```json\n[{"tool_name": "read_file", "parameters": {"path": "README.md"}}]\n```',
    '✿FUNCTION✿: read_file\n✿ARGS✿: {"path": "README.md"}\n✿RESULT✿:',
    "<|action_start|><|plugin|>\n"
    '{"name": "read_file", "parameters": {"path": "README.md"}}<|action_end|>',
    '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "read_file", '
    '"parameters": {"path": "README.md"}}]<|END_ACTION|>',
    '<|tools_prefix|>[{"read_file": {"path": "README.md"}}]<|tools_suffix|>',
    '```tool_code\nread_file(path="README.md")\n```',
    '<tool_code>\nread_file(path="README.md")\n</tool_code>',
    f"<tool_code>\n{OBJECT}\n</tool_code>",
    '<|from|>assistant\n<|recipient|>read_file\n<|content|>{"path": "README.md"}',
    '>>>read_file\n{"path": "README.md"}',
    f"functools[{OBJECT}]",
    f'{{"tool_calls": [{OBJECT}]}}',
    '<steptml:invoke name="read_file"><steptml:parameter name="path">README.md'
    "</steptml:parameter></steptml:invoke>",
    '<xai:function_call name="read_file"><parameter name="path">README.md</parameter>'
    "</xai:function_call>",
]


def test_calls_one_a_line_in_one_pair_of_tags_are_all_read():
    text = f"<tool_calls>\n{OBJECT}\n{OBJECT.replace('README', 'OTHER')}\n</tool_calls>"
    found = judged(text, "qwen3_coder", READ)
    assert found.cause.kind == Kind.FORMAT_MISMATCH, found.why
    assert "README.md" in found.why
    assert "OTHER.md" in found.why


@pytest.mark.parametrize("text", FOREIGN)
def test_a_call_in_a_form_that_the_server_does_not_parse(text):
    found = judged(text, "qwen3_coder", READ)
    assert (found.cause.kind, found.cause.layer) == (Kind.FORMAT_MISMATCH, MODEL), found.why
    assert not any(verdict.is_violation for verdict in found.verdicts)


@pytest.mark.parametrize("text", FOREIGN)
def test_such_a_call_where_an_answer_is_expected(text):
    found = judged(text, "qwen3_coder", {"answer": {}}, ask="What is a list?")
    assert (found.cause.kind, found.cause.layer) == (Kind.SPURIOUS_CALL, MODEL), found.why


@pytest.mark.parametrize(
    "text",
    [
        "Use read_file with the path to see a file.",
        "Action: read_file is what I would do first.",
        "Action: wait\nAction Input: none",
        ">>> read_file is the prompt of Python",
        "```tool_code\nprint(1)\n```",
        'The list {"tool_calls": []} is empty.',
        "Call read_file(path=...) when you need a file.",
        'The object {"name": "Ada", "arguments": {"age": 36}} describes a person.',
        'Each has a "name", such as {"name": "other"}.',
        "In Python: `[read_file(path='a')]` is a list.",
        "It goes to=functions.everyone who asks.",
        "A list is written [1, 2, 3].",
        "The <s>old</s> price is gone, and a < b.",
        "Press [ENTER], then [Ctrl]+[C].",
        "In F# you write x |> f <| y.",
        "The generic type is List<String> or Map<K, V>.",
    ],
)
def test_prose_is_neither_a_call_nor_a_leak(text):
    found = judged(text, "qwen3_coder", {"answer": {}}, ask="Say it.")
    assert found.status == Status.PASS, found.why


@pytest.mark.parametrize(
    "mark",
    [
        *[
            "<|im_end|>",
            "<|im_start|>",
            "<|eot_id|>",
            "<|endoftext|>",
            "<|channel|>final<|message|>",
        ],
        *["<start_of_turn>", "<end_of_turn>", "<tool_response>", "</tool_response>", "[/INST]"],
        *["[INST]", "<<SYS>>", "</s>", "<eos>", "<｜end▁of▁sentence｜>", "<|python_tag|>"],
        *["<|header_start|>", "<|START_OF_TURN_TOKEN|>", "[TOOL_RESULTS]", "[THINK]", "</tools>"],
        *["[gMASK]", "<sop>", "<extra_id_0>", "</thinking>", "<tool_use>", "<scratchpad>"],
        *["<function_calls>", "<|tool_response>", "<channel|>", "<end_of_utterance>", "<unused94>"],
    ],
)
def test_special_tokens_of_any_family_in_an_answer_are_a_leak_of_the_model(mark):
    for text in (f"Milk and bread. {mark}", f"Milk and bread.\n{mark}\nTea."):
        found = judged(text, "json_tools", {"answer": {"contains": ["milk"]}})
        assert (found.cause.kind, found.cause.layer) == (Kind.LEAKED_MARKUP, MODEL), text
        assert not any(verdict.is_violation for verdict in found.verdicts)
        # The server put it there.
        seen = builders.observation(content=text, raw_text="Milk and bread.")
        found = builders.judge(builders.case(tools=TOOLS), seen)
        assert any(verdict.is_violation for verdict in found.verdicts)
        assert not any(verdict.is_miss for verdict in found.verdicts)


NAMES_TAGS = [
    "It writes `<tool_call>` and then the name, such as `<function=read_file>`. That is all.",
    "The model writes <tool_call> first, then the function. That is all.",
    "A call stands between the tags <tool_call> and </tool_call>. That is all.",
    'The tag "<tool_call>" opens a call. That is all.',
    f"For example:\n\n```xml\n{xml()}\n```\n\nThat is all.",
    "- <tool_call>: the opening tag\n- </tool_call>: the closing tag\n\nThat is all.",
    "<think>\nI might write <tool_call> here, but the model need not.\n</think>\n\nThat is all.",
    f"<think>\nOne way:\n{xml()}\nNo.\n</think>\n\nThat is all.",
    "A turn ends with the token <|im_end|> in ChatML. That is all.",
    "Llama's template has `<|eot_id|>` and `[/INST]`. That is all.",
    "The `</think>` tag ends a thought. That is all.",
    "A section opens with the token <|tool_calls_section_begin|>, then the calls. That is all.",
]
ALL = {"answer": {"contains": ["that is all"]}}


@pytest.mark.parametrize("text", NAMES_TAGS)
def test_an_answer_that_names_tags_passes_where_it_is_delivered_whole(text):
    thought, closing, answer = text.rpartition("\n</think>\n\n")
    reasoning = thought.removeprefix("<think>") if closing else None
    seen = builders.observation(content=answer, reasoning=reasoning, raw_text=text)
    case = builders.case(ALL, "How does a model ask for a tool?", tools=TOOLS)
    found = builders.judge(case, seen)
    assert found.status == Status.PASS, found.why
    found = builders.judge(case, replace(seen, raw_text=None))
    assert found.status == Status.PASS, found.why
    # Changed behind the model it is the server's or the parser's, as any other answer.
    found = builders.judge(case, replace(seen, content=f"{answer} <|im_end|>"))
    assert found.cause.is_violation


@pytest.mark.parametrize("text", NAMES_TAGS[:8])
@pytest.mark.parametrize("parser", ["qwen3_coder", "json_tools"])
def test_what_the_server_cuts_out_of_such_an_answer_is_the_parsers(text, parser):
    found = judged(text, parser, ALL, ask="How does a model ask for a tool?")
    assert found.status == Status.FAIL
    assert found.cause.layer == PARSER, found.why
    assert not any(verdict.is_miss for verdict in found.verdicts), found.verdicts


@pytest.mark.parametrize(
    "text",
    [
        "Milk, bread <tool_call> and tea.",
        "<tool_call> milk and bread",
        "Milk and bread.\n<tool_call>\nTea.",
        "Milk </tool_call>",
    ],
)
def test_a_tag_that_is_not_named_is_a_call_begun_or_a_leak(text):
    found = judged(
        text, "json_tools", {"answer": {"contains": ["milk"]}}, ask="What is on the list?"
    )
    assert found.status == Status.FAIL
    assert found.cause.layer == MODEL


def test_a_tag_of_the_system_message_or_the_question_may_be_quoted():
    rules = {"role": "system", "content": "Close with <|done|>, and say what <tool_call> means."}
    asked = [rules, {"role": "user", "content": "Which ends a turn, [INST] or <|eot_id|>?"}]
    case = builders.case({"answer": {}}, messages=asked, tools=TOOLS)
    for text in ("It is <|eot_id|>. <|done|>", "<tool_call> opens a call. <|done|>"):
        seen = builders.observation(content=text, raw_text=text)
        assert builders.judge(case, seen).status == Status.PASS
    leak = builders.observation(content="It is this. <|end|>", raw_text="It is this. <|end|>")
    assert builders.judge(case, leak).status == Status.FAIL


ONE = xml()
CLOSERS = "\n</tool_call>"


@pytest.mark.parametrize("parser", ["qwen3_coder", "adaptive_xml"])
@pytest.mark.parametrize(
    "text",
    [
        ONE.replace("<tool_call>", "<tool_call>\n<tool_call>"),
        ONE.replace("</function>", "<parameter=>\n</parameter>\n</function>"),
        ONE.replace("</function>", "</function>\n</function>"),
        ONE.replace("<function=read_file>", "<function=read_file>\n<function=read_file>"),
        ONE.replace("</function>", "<parameter=path>\nREADME.md\n</parameter>\n</function>"),
    ],
)
def test_what_the_stock_parser_reads_rightly_ours_reads_too(parser, text):
    expect = {
        "call": {"name": "read_file", "arguments": {"path": {"$regex": r"^\s*README\.md\s*$"}}}
    }
    found = judged(text, parser, expect)
    assert found.status == Status.PASS, found.why


def test_a_closing_tag_that_is_written_twice_leaks_through_the_stock_parser_and_not_ours():
    found = judged(ONE + CLOSERS, "qwen3_coder", READ)
    assert (found.cause.kind, found.cause.layer) == (Kind.MALFORMED_CALL, MODEL)
    assert judged(ONE + CLOSERS, "adaptive_xml", READ).status == Status.PASS


def test_a_call_that_came_broken_was_mended_by_nobody():
    text = '<tool_call>\n{"name="read_file", "arguments": {"path": "README.md"}}\n</tool_call>'
    found = judged(text, "adaptive_xml", READ)
    assert (found.cause.kind, found.cause.layer) == (Kind.MALFORMED_CALL, MODEL)
    assert not any("mended" in verdict.reason for verdict in found.verdicts)
    text = ONE.replace("<parameter=path>\nREADME.md\n</parameter>", '{"path": "README.md"}')
    found = judged(text, "qwen3_coder", READ)
    assert not any("mended" in verdict.reason for verdict in found.verdicts)


def test_without_a_reader_the_text_tells_nothing():
    case = builders.case(READ, tools=TOOLS)
    seen = builders.observation(
        raw_text="§read_file README.md§",
        calls=(Call("read_file", '{"path": "README.md"}', id="1"),),
        finish_reason="tool_calls",
    )
    assert builders.judge(case, seen).cause.kind == Kind.INVENTED_CALL
    assert builders.judge(case, seen, call_format="other").status == Status.PASS
    wrong = replace(seen, calls=(Call("read_file", '{"path": "OTHER.md"}', id="1"),))
    found = builders.judge(case, wrong, call_format="other")
    assert (found.cause.kind, found.cause.layer) == (Kind.WRONG_VALUE, Layer.UNKNOWN)
