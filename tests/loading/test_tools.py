"""Tools in the spellings of OpenAI, MCP and Anthropic are read as they are."""

import json

import pytest

from evals.errors import CaseFileError
from evals.loading.casefile import find_case_files, read_cases
from evals.loading.tools import notes

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SPELLINGS = {
    "ours": {"name": "f", "description": "d", "parameters": SCHEMA},
    "openai": {
        "type": "function",
        "function": {"name": "f", "description": "d", "parameters": SCHEMA},
    },
    "openai strict": {
        "type": "function",
        "function": {"name": "f", "description": "d", "strict": True, "parameters": SCHEMA},
    },
    "openai responses": {
        "type": "function",
        "name": "f",
        "description": "d",
        "parameters": SCHEMA,
        "strict": None,
    },
    "mcp": {
        "name": "f",
        "title": "F",
        "description": "d",
        "inputSchema": {"$schema": "https://json-schema.org/draft/2020-12/schema", **SCHEMA},
        "outputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": True},
        "_meta": {},
    },
    "anthropic": {
        "name": "f",
        "description": "d",
        "input_schema": SCHEMA,
        "cache_control": {"type": "ephemeral"},
    },
    "anthropic custom": {"type": "custom", "name": "f", "description": "d", "input_schema": SCHEMA},
}
EMPTY = [
    {},
    {"parameters": None},
    {"parameters": {}},
    {"inputSchema": {"properties": {}}},
    {"input_schema": None},
]


@pytest.fixture
def read(tmp_path):
    def read(tools, form="tools_from: tools.json", wrap=lambda tools: tools):
        folder = tmp_path / "cases"
        folder.mkdir(exist_ok=True)
        (folder / "tools.json").write_text(json.dumps(wrap(tools), indent="\t"))
        inline = f"tools: {json.dumps(tools)}" if form == "inline" else form
        (folder / "a.yaml").write_text(
            f"cases:\n  - id: a\n    ask: Go\n    {inline}\n    expect: {{some_call: true}}\n"
        )
        return read_cases(find_case_files([folder]), tmp_path)[0]

    return read


@pytest.mark.parametrize("form", ["inline", "tools_from: tools.json", "tools_from: ./tools.json"])
@pytest.mark.parametrize("name", SPELLINGS)
def test_a_tool_is_read_in_any_spelling(read, name, form):
    (tool,) = read([SPELLINGS[name]], form).tools
    assert (tool.name, tool.description) == ("f", "d")
    assert {key: tool.parameters[key] for key in SCHEMA} == SCHEMA
    assert tool.strict is (True if "strict" in name else None)


@pytest.mark.parametrize("given", EMPTY)
def test_parameters_that_are_empty_or_without_a_type_are_an_objects(read, given):
    (tool,) = read([{"name": "f", **given}], "inline").tools
    assert tool.parameters == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tools: {"tools": tools},
        lambda tools: {"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}},
        lambda tools: {tool["name"]: {"parameters": SCHEMA} for tool in tools},
    ],
)
def test_a_file_may_be_what_a_server_answers(read, wrap):
    assert [tool.name for tool in read([SPELLINGS["ours"]], wrap=wrap).tools] == ["f"]


def test_names_are_found_in_the_file(read):
    both = [SPELLINGS["mcp"], {**SPELLINGS["mcp"], "name": "g"}]
    case = read(both, "{tools_from: tools.json}".strip("{}") + "\n    tools: [g]")
    assert [tool.name for tool in case.tools] == ["g"]
    with pytest.raises(CaseFileError, match=r"cases/a.yaml:5: .*there is no tool 'h'"):
        read(both, "tools_from: tools.json\n    tools: [h]")


def test_what_is_no_json_is_told_at_its_line(read, tmp_path):
    read([SPELLINGS["mcp"]])
    (tmp_path / "cases" / "tools.json").write_text('[\n  {"name": }\n]')
    with pytest.raises(CaseFileError, match=r"cases/tools.json:2: not JSON: Expecting value"):
        read_cases(find_case_files([tmp_path / "cases"]), tmp_path)


def test_names_that_engines_refuse_are_told(read):
    case = read([{"name": "files.read"}, {"name": "a" * 65}, {"name": "fine-1_A"}], "inline")
    told = list(notes([case]))
    assert len(told) == 2
    assert "'files.read'" in told[0]
