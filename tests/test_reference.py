"""The reference pages say what the code says."""

import itertools
import json
from dataclasses import replace

import builders
import pytest
from builders import judge

from evals.case import Case, Tool
from evals.config import Gate
from evals.observation import Call, Observation, Usage
from evals.reference import __main__ as command
from evals.reference.commands import all_commands
from evals.reference.mkdocs_hook import on_page_markdown
from evals.reference.pages import BLAMED, pages
from evals.reference.tables import attribute_docs, table
from evals.report.writers import WRITERS
from evals.results import Kind, Layer, Prompt

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
TOOLS = (Tool(name="todoread"), Tool(name="get_weather", parameters=WEATHER))
OSLO = {"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}
OSLO_XML = (
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n"
    "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>"
)


def case_of(expect, **more) -> Case:
    return builders.case(expect, tools=TOOLS, **more)


CASES = [
    case_of({"call": OSLO}),
    case_of({"answer": {"contains": ["yes"]}}),
    case_of({"calls": [{"name": "todoread"}, OSLO]}),
    case_of({"answer": {}}, tool_choice="none"),
    case_of({"not_call": ["get_weather"]}),
    case_of({"call": OSLO}, stop=("city",), parallel_tool_calls=False),
]
WRITTEN = [
    None,
    "yes",
    OSLO_XML,
    OSLO_XML.replace("Oslo", "Rome"),
    OSLO_XML.replace("get_weather", "nonsense"),
    OSLO_XML.replace("3", "three"),
    OSLO_XML[:60],
    '```json\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}\n```',
]
CALLS = [
    (),
    (Call("get_weather", '{"city": "Oslo", "days": 3}'),),
    (Call("get_weather", '{"city": "Oslo", "days": "3"}'),),
    (Call("get_weather", '{"city": "Rome"}'),),
    (Call("get_weather", "{"),),
    (Call("todoread", "{}"),),
    (Call("todoread</function", "{}"),),
    (Call("", "{}"),),
    (Call("todoread", "{}"), Call("get_weather", '{"city": "Oslo", "days": 3}')),
]
CONTENTS = [None, "yes", "no </tool_call>"]
REASONS = ["stop", "length", "tool_calls"]


def response(lane, calls, content, reason, raw=None) -> Observation:
    return Observation(
        lane,
        status=200,
        content=content,
        calls=calls,
        finish_reason=reason,
        usage=Usage(5, 256),
        raw_text=raw,
    )


def judgements():
    """Every case with every response, whether or not a server could send it."""
    for case, calls, content, reason in itertools.product(CASES, CALLS, CONTENTS, REASONS):
        for raw in WRITTEN:
            answer = response("server", calls, content, reason, raw)
            yield judge(case, answer, rendered_prompt_tokens=6)
        for plain in CALLS[:2]:
            evidence = response("server", plain, "yes", "stop", OSLO_XML if plain else "yes")
            streamed, heard = (
                response(lane, calls, content, reason) for lane in ("stream", "agent")
            )
            yield judge(case, streamed, plain=evidence)
            yield judge(case, heard, plain=evidence)  # as records of old have it
            yield judge(case, replace(heard, received=evidence))
    for case, raw in itertools.product(CASES, WRITTEN):
        yield judge(case, Observation("direct", raw_text=raw, finish_reason="stop"))
    yield judge(CASES[0], Observation("server", error="connection refused"))
    yield from judgements_of_serving()
    yield from judgements_of_order()


def judgements_of_serving():
    """What is wrong around a call: its field, the usage, the prompt."""
    right = response("server", CALLS[1], None, "tool_calls", OSLO_XML)
    legacy = json.dumps({"choices": [{"message": {"function_call": {"name": "get_weather"}}}]})
    yield judge(CASES[0], replace(right, calls=(), raw_text=None, body=legacy))
    yield judge(CASES[0], replace(right, usage=Usage(0, 9)))
    yield judge(CASES[0], right, rendered_prompt_tokens=9, prompt=Prompt(without_tools=5))
    refused = replace(right, status=500, error="HTTP status 500")
    yield judge(CASES[0], refused, prompt=Prompt(error="no template for tools"))


def judgements_of_order():
    """Both calls in another order than the case's, by each layer that can do that."""
    case = case_of({"calls": [{"name": "todoread"}, OSLO], "order": "given"})
    here = CALLS[-1]
    read = "<tool_call>\n<function=todoread>\n</function>\n</tool_call>"
    there, ordered, reverse = here[::-1], f"{read}\n{OSLO_XML}", f"{OSLO_XML}\n{read}"
    yield judge(case, response("server", there, None, "tool_calls"))
    for raw in (ordered, reverse):
        yield judge(case, response("server", there, None, "tool_calls", raw))
    heard = response("agent", there, None, "tool_calls")
    yield judge(
        case, replace(heard, received=response("server", here, None, "tool_calls", ordered))
    )


def test_the_layers_of_each_kind_are_those_that_are_blamed():
    blamed: dict[Kind, set[Layer]] = {}
    for judgement in judgements():
        for verdict in judgement.verdicts:
            if not verdict.passed:
                blamed.setdefault(verdict.kind, set()).add(verdict.layer)
    assert blamed == {kind: set(layers) for kind, layers in BLAMED.items()}


def test_the_pages_in_the_repository_are_current(request):
    folder = request.config.rootpath / command.FOLDER
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == (pages())


def test_the_check_fails_where_a_page_is_old_or_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "FOLDER", tmp_path / "reference")
    with pytest.raises(SystemExit, match="is not what the code says"):
        command.main(["--check"])
    command.main([])
    command.main(["--check"])
    page = tmp_path / "reference" / "verdicts.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"verdicts\.md"):
        command.main(["--check"])


def test_every_command_kind_and_key_is_there():
    written = pages()
    for given, _ in all_commands():
        assert f"## {given}\n" in written["command-line.md"]
    for word in (*Kind, *Layer):
        assert f"| `{word}` | " in written["verdicts.md"]
    assert "| `ask` | text |" in written["case-format.md"]
    assert "| `profiles` | [ProfileFigures](#profilefigures) by name | " in written["summary.md"]
    assert "| `value` | number or null | " in written["summary.md"]
    for writer in WRITERS:
        assert f"| `{writer.name}` | {writer.doc} |" in written["summary.md"]
    assert "| `in_flight` | integer, from 1 to 256 | `4` |" in written["configuration.md"]


def test_a_table_cell_holds_any_text():
    rows = list(table(["a"], [["reports/<time> `<x>` a|b"]]))
    assert rows[2] == "| reports/&lt;time> `<x>` a\\|b |"


def test_docstrings_under_attributes_are_found_with_those_of_base_classes():
    documented = attribute_docs(Gate)
    assert documented["violations"] == "The maximum of violations."
    assert documented["discrimination"].startswith("Call or answer")


def test_the_site_has_no_links_to_files_that_are_not_built():
    code = "````\n```\n[x](../cases/x.yaml) \\<\n````\n"
    page = f"See [x](../cases/x.yaml), [y](y.md) \\</a>.\n{code}\\<\n"
    assert on_page_markdown(page, page=None) == f"See x, [y](y.md) &lt;/a>.\n{code}&lt;\n"
