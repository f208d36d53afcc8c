"""What a parser of the stock server reads rightly, ours reads rightly, too.

Texts are those of the regression cases, of recorded models, and generated ones with the slips that
models make. Rightly read is what the case or the recording expects, or what was generated.
"""

import json
from pathlib import Path

import pytest
from canitoolcall.fixtures import load_fixtures
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import Setting, respond

from evals.judging.checks import Said, match_expected
from evals.loading.casefile import find_case_files, read_cases
from evals.parsers.events import MALFORMED

ROOT = Path(__file__).parents[2]
STOCK = ("qwen3_coder", "json_tools")
"""The parsers that share our opening tag and its forms."""
CASES = [
    case
    for case in read_cases(find_case_files([ROOT / "cases" / "regressions"]), ROOT)
    if case.replay and case.replay.text is not None and case.expect.alternatives
]
FIXTURES = [
    fixture
    for family in ("qwen3-xml", "qwen3-hermes")
    for fixture in load_fixtures(families=[family])
    if fixture.expected is not None and fixture.expected.tool_calls
]


def offered(tools):
    return [
        {"type": "function", "function": {"name": t.name, "parameters": dict(t.parameters)}}
        for t in tools
    ]


def respond_as(parser, text, tools):
    pieces = list(text) if parser == "adaptive_xml" else [text]
    return respond(pieces, tools, Setting(parser))


def called(seen):
    read = [(call.name, json.loads(call.arguments)) for call in seen.calls]
    return [(name, arguments) for name, arguments in read if name != MALFORMED]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_texts_of_the_regression_cases(case):
    tools = offered(case.tools)
    right = {
        parser
        for parser in (*STOCK, "adaptive_xml")
        for seen in [respond_as(parser, case.replay.text, tools)]
        if not seen.error and seen.calls and match_expected(case, Said.of(seen)).ok
    }
    assert "adaptive_xml" in right or not right


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.id)
def test_texts_that_were_recorded(fixture):
    expected = [(c.name, c.arguments) for c in fixture.expected.tool_calls]
    read = {
        parser: called(respond_as(parser, fixture.raw_output, fixture.tools or ()))
        for parser in (*STOCK, "adaptive_xml")
    }
    assert read["adaptive_xml"] == expected or expected not in read.values()


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "f",
            "parameters": {
                "type": "object",
                "properties": {
                    "text": {"type": "string"},
                    "n": {"type": "integer"},
                    "yes": {"type": "boolean"},
                    "items": {"type": "array"},
                    "thing": {"type": "object"},
                },
            },
        },
    }
]
WORDS = st.from_regex(r"[a-z][a-z' ]{0,8}[a-z]", fullmatch=True).filter(lambda t: t != "null")
SCALARS = WORDS | st.integers(-999, 999) | st.booleans()
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "text": WORDS,
        "n": st.integers(-999, 999),
        "yes": st.booleans(),
        "items": st.lists(SCALARS | st.none(), max_size=3),
        "thing": st.dictionaries(WORDS, SCALARS, max_size=2),
    },
)


@st.composite
def slips(draw):
    """Arguments, and a text that means them and is written as models write it."""
    arguments = draw(ARGUMENTS)
    python, wide = draw(st.booleans()), draw(st.booleans())
    end = "\n" if wide else ""
    lines = []
    for key, value in arguments.items():
        spelt = repr(value) if python else json.dumps(value)
        value_text = value if isinstance(value, str) else spelt
        lines.append(f"<parameter={key}>{end}{value_text}{end}</parameter>{end}")
        lines += lines[-1:] * draw(st.booleans())
    lines += [f"<parameter=>{end}</parameter>{end}"] * draw(st.booleans())
    opening = f"<tool_call>{end}" * draw(st.integers(1, 2))
    head = f"<function=f>{end}" * draw(st.integers(1, 2))
    tail = f"</function>{end}" * draw(st.integers(1, 2))
    return arguments, f"{opening}{head}{''.join(lines)}{tail}</tool_call>"


@settings(max_examples=60, deadline=None)
@given(slips())
def test_generated_texts_with_slips(slip):
    arguments, text = slip
    expected = [("f", arguments)]
    read = {parser: called(respond_as(parser, text, TOOLS)) for parser in (*STOCK, "adaptive_xml")}
    assert read["adaptive_xml"] == expected or expected not in read.values(), text
