"""The built wheel in an environment of its own: small, quick, and enough for a project outside.

It installs packages, minutes on a busy machine: `make test-reliability`.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from scripted_server import call, completion, respond, serve

ROOT = Path(__file__).parents[1]
MOST_MEGABYTES = 150


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of a clean environment with the wheel, and nothing but what it asks for."""
    folder = tmp_path_factory.mktemp("clean")
    source = folder / "source"
    left_out = shutil.ignore_patterns(".*", "reports", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=left_out)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    build = (
        *pip,
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(source),
    )
    subprocess.run(build, check=True, capture_output=True)
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv/bin/python"
    [wheel] = folder.glob("*.whl")
    subprocess.run([python, "-m", "pip", "install", "-q", wheel], check=True, capture_output=True)
    return python


def run(python, folder, *words):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "PYTHON"))}
    done = subprocess.run(
        [python, *map(str, words)], cwd=folder, capture_output=True, text=True, env=kept
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def server():
    """It calls `get_weather` for the city that it is asked about; other questions get words."""
    with serve() as scripted:

        def answer(handler):
            text = scripted.bodies[-1]["messages"][-1]["content"]
            city = next((name for name in ("Oslo", "Rome") if name in text), None)
            message = {"role": "assistant", "content": "Hello."}
            if city:
                arguments = json.dumps({"city": city})
                message = {
                    "role": "assistant",
                    "tool_calls": [call("get_weather", arguments, id="1")],
                }
            elif "tasks" in text:
                message = {"role": "assistant", "tool_calls": [call("list_tasks", "{}", id="1")]}
            reason = "tool_calls" if "tool_calls" in message else "stop"
            respond(completion(message, reason))(handler)

        scripted.answer = answer
        yield scripted


def test_the_environment_is_small(python):
    files = (path for path in python.parents[1].rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files) / 2**20
    assert size < MOST_MEGABYTES


def test_a_project_begins_and_passes_and_fails(python, tmp_path, server):
    code, output = run(python, tmp_path, "-m", "evals", "init", "--url", server.server.url)
    assert code == 0, output
    ask = ("-m", "pytest", "--lanes", "server")
    code, output = run(python, tmp_path, *ask)
    assert (code, "gate: passed" in output) == (0, True), output
    cases = tmp_path / "evals/cases/first.yaml"
    cases.write_text(cases.read_text().replace('{"$text": "Oslo"}', "Rome"))
    code, output = run(python, tmp_path, *ask)
    assert (code, "gate: FAILED" in output) == (1, True), output


@pytest.mark.parametrize("where", ["in the tree", "outside"])
def test_the_example_passes(python, tmp_path, server, where):
    folder = ROOT / "examples/weather-agent"
    if where == "outside":
        folder = shutil.copytree(folder, tmp_path / "agent")
    run_dir = tmp_path / "run"
    options = ("--attach", server.server.url, "--run-dir", run_dir, "-p", "no:cacheprovider")
    code, output = run(python, folder, "-m", "pytest", *options)
    assert (code, "3 passed" in output) == (0, True), output
    assert "gate: passed" in output


def test_a_missing_extra_is_one_line(python, tmp_path):
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases/a.yaml").write_text("cases: [{id: a, ask: Hi, expect: {answer: {}}}]\n")
    code, output = run(python, tmp_path, "-m", "evals", "run")
    assert code not in (0, 1)
    assert "pip install 'toolcall-evals[mlx]'" in output
    assert "Traceback" not in output
