"""A project that begins: what `init`, `new` and `record` write is valid, and says what is meant."""

import json

import pytest
import yaml
from scripted_server import call, completion, respond, serve
from typer.testing import CliRunner

from evals.cli import app
from evals.config import read_config
from evals.loading.casefile import find_case_files, read_cases


def evals(*words):
    result = CliRunner().invoke(app, [*map(str, words)])
    return result.exit_code, result.output


def test_init_writes_a_project_that_validates(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'mine'\n")
    code, output = evals("init", "--url", "http://127.0.0.1:9/v1")
    assert code == 0
    written = sorted(line.removeprefix("wrote ") for line in output.splitlines()[:-1])
    assert written == [
        ".github/workflows/evals.yml",
        "evals.toml",
        "evals/cases/evals.schema.json",
        "evals/cases/first.yaml",
        "evals/cases/schema.json",
        "evals/cases/tools.schema.json",
        "evals/cases/tools/first.yaml",
        "reports/.gitignore",
    ]
    assert evals("validate") == (0, "3 cases over 2 tools are valid\n")
    assert evals("schema", "--check")[0] == 0
    assert read_config(tmp_path).target("default").url == "http://127.0.0.1:9/v1"
    jobs = yaml.safe_load((tmp_path / ".github/workflows/evals.yml").read_text())["jobs"]
    assert jobs["evals"]["strategy"]["matrix"]["os"] == ["ubuntu-24.04", "macos-15"]
    before = (tmp_path / "evals.toml").read_text()
    assert evals("init")[0] == 1
    assert (tmp_path / "evals.toml").read_text() == before


def test_in_a_folder_of_a_repository_the_workflow_is_where_github_reads_it(tmp_path, monkeypatch):
    project = tmp_path / "services/agent"
    project.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(project)
    code, output = evals("init")
    assert (code, "wrote ../../.github/workflows/evals-services-agent.yml" in output) == (0, True)
    assert not (project / ".github").exists()
    text = (tmp_path / ".github/workflows/evals-services-agent.yml").read_text()
    job = yaml.safe_load(text)["jobs"]["evals"]
    assert job["defaults"] == {"run": {"working-directory": "services/agent"}}
    assert job["steps"][-1]["with"]["path"] == "services/agent/reports/ci"
    assert "@@" not in text


def test_init_leaves_files_that_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evals/cases").mkdir(parents=True)
    (tmp_path / "evals/cases/first.yaml").write_text("mine\n")
    code, output = evals("init")
    assert (code, "first.yaml" in output.replace("tools/first", "")) == (0, False)
    assert (tmp_path / "evals/cases/first.yaml").read_text() == "mine\n"


def test_new_writes_a_file_that_validates_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert evals("new", "cases/mine.yaml")[0] == 0
    assert "$schema=schema.json\n" in (tmp_path / "cases/mine.yaml").read_text()
    assert len(read_cases(find_case_files([tmp_path / "cases"]), tmp_path)) == 4
    assert evals("new", "cases/mine.yaml")[0] == 1
    assert evals("new", "cases/mine.json")[0] == 1


def test_new_names_the_schema_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert evals("init")[0] == 0
    for path, schema in (("mine.yaml", "schema.json"), ("a/b/mine.yaml", "../../schema.json")):
        assert evals("new", f"evals/cases/{path}")[0] == 0
        text = (tmp_path / "evals/cases" / path).read_text()
        assert text.startswith(f"# yaml-language-server: $schema={schema}\n")


@pytest.fixture
def tools(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evals.toml").write_text("")
    mcp = {"tools": [{"name": "look", "inputSchema": {"properties": {"at": {"type": "string"}}}}]}
    (tmp_path / "tools.json").write_text(json.dumps(mcp))
    return tmp_path / "tools.json"


def test_record_drafts_what_came_back(tmp_path, tools):
    message = {"role": "assistant", "tool_calls": [call("look", '{"at": "it"}', id="1")]}
    with serve() as server:
        server.answer = respond(completion(message, "tool_calls"))
        url = server.server.url
        code, output = evals("record", "Look at it!", "--tools", tools, "--attach", url)
        assert (code, "cases/look-at-it.yaml" in output) == (0, True), output
        [case] = read_cases(find_case_files([tmp_path / "cases"]), tmp_path)
        assert case.expect.call.arguments == {"at": "it"}
        assert case.tags == ("to-review",)
        assert evals("record", "Look at it!", "--tools", tools, "--attach", url)[0] == 1


def test_record_writes_nothing_of_an_answer_that_makes_no_case(tmp_path, tools):
    message = {"role": "assistant", "tool_calls": [call("nosuch", "{}", id="1")]}
    with serve() as server:
        server.answer = respond(completion(message, "tool_calls"))
        words = ("record", "Look!", "--tools", tools, "--attach", server.server.url)
        result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code == 1
    assert not (tmp_path / "cases").exists()
