"""The probe against servers that are right and wrong in known ways, and against llama.cpp."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psutil
import pytest
from scripted_server import Scripted, call, completion, serve

from evals.config import cache_folder
from evals.engines.blas import one_thread
from evals.engines.mlx_lm import boot
from evals.engines.registry import LLAMA_CPP, OPENAI_COMPATIBLE
from evals.probing.doctor import engine_findings, model_findings
from evals.probing.finding import Finding, Result, table_lines
from evals.probing.probe import CALLS, FORMAT
from evals.probing.report import Probed, probe_url
from evals.replay.copy_model import CopyModel

Change = Callable[[dict[str, Any], dict[str, Any]], None]
"""Changes a right answer, given the request."""


def right(body: dict[str, Any]) -> dict[str, Any]:
    """What a good server with a good model answers."""
    prompt = 20 + 40 * len(body.get("tools", ()))
    words = str(body["messages"][-1].get("content"))
    choice = body.get("tool_choice", "auto")
    names = (
        ["list_todos"] if "list_todos" in words else ["get_weather"] if "weather" in words else []
    )
    if isinstance(choice, dict):
        names = [choice["function"]["name"]]
    if choice == "required":
        names = ["get_weather"]
    if choice == "none" or not body.get("tools") or body["messages"][-1]["role"] == "tool":
        names = []
    names = names * 2 if "Rome" in words else names
    arguments = {"get_weather": '{"city": "Paris"}', "list_todos": "{}"}
    calls = [call(n, arguments[n], id=f"call_{i}", index=i) for i, n in enumerate(names)]
    cut = body["max_tokens"] < 12 and calls
    finish = "length" if cut else "tool_calls" if calls else "stop"
    usage = {"prompt_tokens": prompt, "completion_tokens": 12 if calls else 3}
    message = {"content": None if calls else "Hello.", **({"tool_calls": calls} if calls else {})}
    return {"message": message, "finish_reason": finish, "usage": usage}


def respond(handler: BaseHTTPRequestHandler, body: dict[str, Any], told: dict[str, Any]) -> None:
    message, finish = told["message"], told["finish_reason"]
    if body.get("stream"):
        choice = {"index": 0, "delta": message, "finish_reason": finish}
        chunk = json.dumps({"choices": [choice], "usage": told["usage"]})
        data, kind = f"data: {chunk}\n\ndata: [DONE]\n\n".encode(), "text/event-stream"
    else:
        data, kind = completion(message, finish, usage=told["usage"]), "application/json"
    handler.send_response(200)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def probed(change: Change) -> tuple[Probed, Scripted]:
    with serve() as target:

        def answer(handler: BaseHTTPRequestHandler) -> None:
            body = target.bodies[-1]
            told = right(body)
            change(body, told)
            respond(handler, body, told)

        target.answer = answer
        found = probe_url(
            target.server.url, engine=OPENAI_COMPATIBLE, timeout=10, say=lambda text: None
        )
        return found, target


def failed(found: Probed) -> list[str]:
    return [finding.name for finding in found.findings if finding.result == "fail"]


def test_a_good_server_passes_in_some_fifteen_requests() -> None:
    found, target = probed(lambda body, told: None)
    assert failed(found) == []
    assert found.passed
    assert 13 <= len(target.bodies) <= 18
    untold = [f.name for f in found.findings if f.result == "cannot tell"]
    assert untold == ["call format", "evidence"]


def _arguments(text: str) -> Change:
    def change(body: dict[str, Any], told: dict[str, Any]) -> None:
        for entry in told["message"].get("tool_calls", ()):
            entry["function"]["arguments"] = text

    return change


def _finish(body: dict[str, Any], told: dict[str, Any]) -> None:
    if told["message"].get("tool_calls"):
        told["finish_reason"] = "tool_calls" if body["max_tokens"] < 12 else "stop"


def _no_tools(body: dict[str, Any], told: dict[str, Any]) -> None:
    told["usage"]["prompt_tokens"] = 20


def _choice_ignored(body: dict[str, Any], told: dict[str, Any]) -> None:
    if body.get("tool_choice") == "none":
        told["message"] = {"content": None, "tool_calls": [call("get_weather", "{}", id="1")]}
    elif "tool_choice" in body:
        told["message"] = {"content": "Hello."}


def _stream_lost(body: dict[str, Any], told: dict[str, Any]) -> None:
    if body.get("stream"):
        told["message"], told["finish_reason"] = {"content": "Hm."}, "stop"


def _none_drops(body: dict[str, Any], told: dict[str, Any]) -> None:
    if body.get("tool_choice") == "none":
        told["message"], told["usage"]["completion_tokens"] = {"content": None}, 12


def _markup(body: dict[str, Any], told: dict[str, Any]) -> None:
    if told["message"].get("tool_calls"):
        text = "<tool_call>\n<function=get_weather>\n</function>\n</tool_call>"
        told["message"], told["finish_reason"] = {"content": text}, "stop"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (
            _arguments(""),
            {"arguments are a JSON object", "a call without parameters"},
        ),
        (_finish, {"finish reason of a call", "a call cut by max_tokens, plain"}),
        (_no_tools, {"tools reach the prompt"}),
        (
            _choice_ignored,
            {"tool_choice none", "tool_choice required", "tool_choice with a name"},
        ),
        (_stream_lost, {"stream and plain have the same calls"}),
        (_none_drops, {"tool_choice none"}),
        (_markup, {"a call comes as a call", "a call without parameters"}),
    ],
)
def test_a_broken_server_fails_where_it_is_broken(change: Change, names: set[str]) -> None:
    found, _ = probed(change)
    assert names <= {*failed(found)}
    assert not found.passed


def test_the_findings_as_json_and_as_a_target() -> None:
    found, _ = probed(lambda body, told: None)
    content = json.loads(found.json_text())
    assert content["engine"] == "openai_compatible"
    assert {entry["result"] for entry in content["findings"]} == {"pass", "cannot tell"}
    lines = list(found.target_lines())
    assert lines[0] == "[targets.127-0-0-1]"
    assert f'url = "{found.server.url}"' in lines
    assert lines[-2:] == ["[profiles.127-0-0-1]", 'target = "127-0-0-1"']


@pytest.mark.parametrize(("came", "said"), [("pass", True), ("fail", False)])
def test_what_a_call_was_made_of_is_the_format_of_the_profile(came: Result, said: bool) -> None:
    found, _ = probed(lambda body, told: None)
    findings = (Finding(CALLS, came, "f({})"), Finding(FORMAT, "pass", "hermes-json"))
    lines = list(replace(found, findings=findings).target_lines())
    assert ('call_format = "hermes-json"' in lines) == said


def test_a_table_shows_hostile_text_as_text() -> None:
    lines = list(table_lines([Finding("a", "pass", "x\x1b[31m\ny"), Finding("longer", "fail", "")]))
    assert lines == ["a       pass         x\\x1b[31m\\ny", "longer  fail         "]


def test_llama_cpp_behind_a_key(tmp_path: Path) -> None:
    """The copying model answers nothing in particular; the server's part is told all the same."""
    pytest.importorskip("xllamacpp")
    from evals.engines.greeting import Wishes

    key = "sk-planted-0815"
    with boot(
        CopyModel().gguf(cache_folder()),
        log=tmp_path / "log",
        cache=cache_folder(),
        environment=one_thread(),
        arguments=("--threads", "1", "--api-key", key),
        engine=LLAMA_CPP,
        wishes=Wishes(key=key),
    ) as server:
        command = [sys.executable, "-m", "evals", "probe", server.url, "-o", "found.json"]
        without = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        with_key = subprocess.run(
            [*command, "--api-key-env", "PROBE_KEY"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**one_thread(), "PROBE_KEY": key},
        )
    assert without.returncode == 1
    assert "wants an API key (HTTP 401" in without.stderr
    told = with_key.stdout
    content = json.loads((tmp_path / "found.json").read_text())
    assert (content["engine"], content["evidence"]) == ("llama_cpp", "verbose")
    results = {entry["name"]: entry["result"] for entry in content["findings"]}
    assert results["tools reach the prompt"] == "pass"
    assert results["evidence"] == "pass"
    assert 'api_key_env = "PROBE_KEY"' in told
    assert key not in told + with_key.stderr + (tmp_path / "found.json").read_text()


def test_mlx_lm_in_under_a_minute(tmp_path: Path) -> None:
    with boot(
        CopyModel().folder(cache_folder()),
        log=tmp_path / "log",
        cache=cache_folder(),
        environment=one_thread(),
    ) as server:
        begin = time.process_time(), psutil.Process(server.pid).cpu_times().user
        found = probe_url(server.url, timeout=30, say=lambda text: None)
        spent = psutil.Process(server.pid).cpu_times().user - begin[1]
    results = {finding.name: finding.result for finding in found.findings}
    assert (found.server.engine, found.server.dialect.model) == ("mlx_lm", "default_model")
    assert results["tools reach the prompt"] == "pass"
    assert results["evidence"] == "pass"
    assert results["a stream ends as it should"] == "pass"
    # The copying model answers to none of it with a call: what is asked of the server is left.
    assert results["tool_choice required"] == "fail"
    assert spent + time.process_time() - begin[0] < 60


# --- doctor --------------------------------------------------------------------------------------


def test_the_doctor_names_every_engine_and_what_brings_it() -> None:
    found = {finding.name: finding for finding in engine_findings(cache_folder())}
    assert len(found) == 12
    assert found["mlx_lm"].result == "pass"
    assert "in an environment of its own" in found["sglang"].said


def test_a_model_that_is_fit_for_tools() -> None:
    folder = CopyModel().folder(cache_folder())
    found = {finding.name: finding for finding in model_findings(folder)}
    assert {finding.result for finding in found.values()} == {"pass"}
    assert found["tool parser of mlx_lm.server"].said == "qwen3_coder"


def test_a_model_without_a_parser() -> None:
    folder = CopyModel(template="llama").folder(cache_folder())
    found = {finding.name: finding.result for finding in model_findings(folder)}
    assert found["tool parser of mlx_lm.server"] == "fail"


def test_a_gguf_file_whole_and_cut_off(tmp_path: Path) -> None:
    file = CopyModel().gguf(cache_folder())
    assert {finding.result for finding in model_findings(file)} == {"pass"}
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(file.read_bytes()[:-1000])
    assert [finding.result for finding in model_findings(cut)] == ["fail"]
    (tmp_path / "other.gguf").write_text("hello")
    assert "is no GGUF file" in next(iter(model_findings(tmp_path / "other.gguf"))).said
    assert "does not exist" in next(iter(model_findings(tmp_path / "none.gguf"))).said
