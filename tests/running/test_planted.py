"""Planted secrets are in nothing that a run leaves, and no other host is asked for anything.

The server says back all that it was sent, in answers and in errors, and redirects one question.
"""

import base64
import json
import os
import subprocess
import sys

import pytest
from builders import write_project
from scripted_server import completion, respond, serve

KEY = "sk-planted-4f1d9c2b7a"
PLANTED = {
    "OPENAI_API_KEY": "planted-openai-key",
    "OPENAI_ORG_ID": "planted-organisation",
    "OPENAI_PROJECT_ID": "planted-project",
    "OPENAI_CUSTOM_HEADERS": "X-Planted: planted-header",
    "HF_TOKEN": "planted-hub-token",
    "MY_KEY": KEY,
}
CASES = "defaults: {tools: [look]}\ncases:\n" + "".join(
    f"  - {{id: {name}, ask: {name}., expect: {{call: {{name: look}}}}}}\n"
    for name in ("echo", "refuse", "stream", "redirect")
)
SETTINGS = """\
[tool.pytest.ini_options]
[tool.evals]
lanes = ["server", "stream", "agent"]
in_flight = 2
timeout = 20
[tool.evals.targets.default]
api_key_env = "MY_KEY"
"""


@pytest.fixture
def hosts():
    """The server that is asked, and another one that nobody may ask."""
    with serve() as server, serve() as other:
        server.heard = []

        def answer(handler):
            heard = dict(handler.headers.items())
            server.heard.append(heard)
            asked, said = json.dumps(server.bodies[-1]["messages"]), json.dumps(heard)
            if "refuse" in asked:
                return respond(f"denied: {said}".encode(), status=401)(handler)
            if "redirect" in asked:
                handler.send_response(307)
                handler.send_header("Location", f"{other.server.url}/chat/completions?{KEY}")
                handler.send_header("Content-Length", "0")
                return handler.end_headers()
            if "stream" in asked and server.bodies[-1].get("stream"):
                return respond(f"data: {said}\n\n: {said}\n\n{said}\n".encode())(handler)
            return respond(completion({"role": "assistant", "content": said}))(handler)

        server.answer = answer
        yield server, other


def run(project, other, *command):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), other.server.url)
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=300,
        env={**environment, **proxies, **PLANTED},
    )
    return done.stdout + done.stderr


def test_planted_secrets_are_in_no_file_and_no_other_host_is_asked(tmp_path, hosts):
    server, other = hosts
    project = write_project(tmp_path, {"cases/a.yaml": CASES, "pyproject.toml": SETTINGS})
    attach = ("--attach", server.server.url, "--run-dir", "reports/run", "--junitxml", "junit.xml")
    said = run(project, other, "pytest", "cases", "-vv", *attach)
    for command in (("report",), ("rejudge",), ("export", "github")):
        said += run(project, other, "evals", *command, "reports/run")
    files = [
        path for path in project.rglob("*") if path.is_file() and path.name != "pyproject.toml"
    ]
    names = {path.name for path in files}
    assert {"records.jsonl", "report.html", "summary.json", "junit.xml", "job-summary.md"} <= names
    assert sum(path.name.endswith("-result.json") for path in files) == 12
    # It was sent, and came back; so this test can fail.
    assert any(KEY in heard.get("Authorization", "") for heard in server.heard)
    assert "Authorization" in (project / "reports/run/records.jsonl").read_text()
    texts = {str(path): path.read_bytes() for path in files} | {"terminal": said.encode()}
    for secret in (*PLANTED.values(), "planted-header"):
        for form in (secret, base64.b64encode(secret.encode()).decode().rstrip("=")):
            assert [name for name, text in texts.items() if form.encode() in text] == []
    sent = json.dumps([*server.heard, *server.bodies])
    for name, secret in PLANTED.items():
        assert (secret in sent) == (name == "MY_KEY")
    assert other.bodies == []
