"""Tool lists of released programs are read as they are; tests/data/tools/README.md names them."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals import schema as schemas
from evals.errors import CaseFileError
from evals.judging.schema_values import Where, sample
from evals.loading.casefile import read_cases
from evals.request import build_request

DATA = Path(__file__).parents[1] / "data" / "tools"
FILES = sorted(DATA.rglob("*.json"))
CASE = """\
cases:
  - {id: any, ask: Go on., tools_from: %s, expect: {some_call: true}}
  - {id: words, ask: Go on., tools_from: %s, expect: {answer: {}}}
"""
LISTED = re.findall(r"^\| (\S+\.json) .* \| (\d+) \|$", (DATA / "README.md").read_text(), re.M)


def read(folder, file):
    (folder / file.name).write_bytes(file.read_bytes())
    (folder / "a.yaml").write_text(CASE % (file.name, file.name))
    return read_cases([folder / "a.yaml"], folder)


def test_the_readme_names_every_list():
    assert sorted(name for name, _ in LISTED) == [str(file.relative_to(DATA)) for file in FILES]
    assert sum(name.startswith("mcp/") for name, _ in LISTED) >= 10
    assert sum(name.startswith("openai/") for name, _ in LISTED) >= 5


@pytest.mark.parametrize(("name", "count"), LISTED)
def test_a_list_is_read_as_it_is(tmp_path, name, count):
    case, _ = read(tmp_path, DATA / name)
    given = json.loads((DATA / name).read_text())
    given = given["tools"] if isinstance(given, dict) else given
    functions = [tool.get("function", tool) for tool in given]
    assert len(case.tools) == int(count) == len(functions)
    for sent, function in zip(build_request(case, stream=False)["tools"], functions, strict=True):
        written = function.get("parameters", function.get("inputSchema"))
        assert sent["function"]["name"] == function["name"]
        assert sent["function"].get("description") == (function.get("description") or None)
        assert sent["function"]["parameters"] == {"type": "object", **written}


@pytest.mark.parametrize("name", [name for name, _ in LISTED])
def test_every_tool_has_arguments_that_its_schema_allows(tmp_path, name):
    case, _ = read(tmp_path, DATA / name)
    for tool in case.tools:
        found = sample(Where(tool.parameters, tool.parameters))
        assert found.values, tool.name
        assert schemas.is_valid(found.values[0], tool.parameters, tool.parameters)


def test_a_key_of_its_own_program_is_left_out_and_a_slip_is_not(tmp_path):
    tool = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    own = tmp_path / "own.json"
    own.write_text(json.dumps([{**tool, "call": {"url": "http://127.0.0.1"}, "cached": True}]))
    (tmp_path / "a").mkdir()
    case, _ = read(tmp_path / "a", own)
    assert build_request(case, stream=False)["tools"] == [{"type": "function", "function": tool}]
    slip = {"name": "f", "parametres": {"type": "object", "required": ["city"]}}
    own.write_text(json.dumps([slip]))
    with pytest.raises(CaseFileError, match="parametres: unknown key; did you mean parameters"):
        read(tmp_path / "a", own)


def test_an_openapi_document_gets_a_sentence_of_its_own(tmp_path):
    file = tmp_path / "api.json"
    file.write_text(json.dumps({"openapi": "3.1.0", "info": {}, "paths": {"/posts": {}}}))
    (tmp_path / "a").mkdir()
    with pytest.raises(CaseFileError) as error:
        read(tmp_path / "a", file)
    assert str(error.value).startswith("api.json:1: this is an OpenAPI document")
    assert len(str(error.value).splitlines()) <= 2


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,20}", fullmatch=True)


@settings(max_examples=settings.default.max_examples // 2)
@given(names, st.sampled_from(["parameters", "inputSchema", "input_schema"]))
def test_any_other_key_of_a_foreign_tool_changes_nothing(tmp_path_factory, key, spelling):
    folder = tmp_path_factory.mktemp("tools")
    tool = {"name": "f", "description": "d", spelling: {"type": "object", "properties": {}}}
    file = folder / "list.json"
    file.write_text(json.dumps([{"extra-" + key: 1, **tool}]))
    (folder / "a").mkdir()
    case, _ = read(folder / "a", file)
    assert case.tools[0].parameters == tool[spelling]
