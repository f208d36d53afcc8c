"""The first requests decide: keys, names and what a server refuses, against scripted servers."""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from builders import write_project

from evals.config import Target
from evals.engines.attach import attach, recognise
from evals.engines.dialect import Dialect
from evals.engines.evidence import EVIDENCE, LOGPROBS, NONE, TOKEN_IDS, VERBOSE
from evals.engines.greeting import Wishes
from evals.engines.registry import ENGINES, LLAMA_CPP, MLX_LM, OPENAI_COMPATIBLE, engine_named
from evals.engines.server import is_completion
from evals.errors import ConfigError, ServerError
from evals.escaping import HIDDEN_KEY, without_key
from evals.observation import Call, Observation
from evals.running.targets import wishes_of

KEY = "sk-planted-4711"
GREETING = f"Hello, bearer of {KEY}."


@dataclass
class Strict:
    """A server with a key, named models, and a list of body keys that it refuses."""

    key: str | None = None
    models: tuple[str, ...] = ("small",)
    owner: str | None = "someone"
    refuses: tuple[str, ...] = ()
    answers_as: str | None = None
    html: bool = False
    seen: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)


def completion(model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": GREETING}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": model}
    return {**body, "choices": [choice], "usage": usage}


def stream(model: str) -> bytes:
    whole = {**completion(model), "object": "chat.completion.chunk"}
    delta = {"role": "assistant", "content": GREETING}
    choice = {"index": 0, "delta": delta, "finish_reason": "stop"}
    told = [{**whole, "choices": [choice], "usage": None}, {**whole, "choices": []}]
    data = [*(json.dumps(chunk) for chunk in told), "[DONE]"]
    return "".join(f"data: {text}\n\n" for text in data).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    strict: Strict

    def log_message(self, *_: Any) -> None:
        pass

    def _send(self, status: int, body: Any, kind: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _allowed(self) -> bool:
        told = self.headers.get("Authorization")
        self.strict.keys.append(told)
        if self.strict.key is None or told == f"Bearer {self.strict.key}":
            return True
        self._send(401, {"error": f"Incorrect API key provided: {told}"})
        return False

    def do_GET(self) -> None:
        if self.strict.html:
            self._send(200, b"<html>Sign in</html>", "text/html")
        elif self._allowed():
            owned = {"owned_by": self.strict.owner} if self.strict.owner else {}
            self._send(200, {"data": [{"id": m, **owned} for m in self.strict.models]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.strict.seen.append(body)
        if self.strict.html:
            self._send(200, b"<html>Sign in</html>", "text/html")
            return
        if not self._allowed():
            return
        if body["model"] not in self.strict.models:
            self._send(404, {"error": f"The model {body['model']!r} does not exist"})
        elif refused := [name for name in self.strict.refuses if name in body]:
            self._send(400, {"error": f"Unsupported parameter: {refused[0]}"})
        elif body.get("stream"):
            self._send(200, stream(body["model"]), "text/event-stream")
        else:
            self._send(200, completion(self.strict.answers_as or body["model"]))


Start = Callable[[Strict], str]


@pytest.fixture
def start() -> Iterator[Start]:
    servers = []

    def begin(strict: Strict) -> str:
        handler = type("Bound", (Handler,), {"strict": strict})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/v1"

    yield begin
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_only_model_is_found_and_named(start: Start) -> None:
    strict = Strict()
    server = attach(start(strict), engine=OPENAI_COMPATIBLE)
    assert server.dialect.model == "small"
    assert [body["model"] for body in strict.seen] == ["small"]


def test_several_models_need_a_name_or_the_targets_model(start: Start) -> None:
    url = start(Strict(models=("org/small", "org/large")))
    with pytest.raises(ServerError, match=r"org/small, org/large; say which with served_name"):
        attach(url, engine=OPENAI_COMPATIBLE)
    by_model = attach(url, engine=OPENAI_COMPATIBLE, wishes=Wishes(model="/models/large"))
    assert by_model.dialect.model == "org/large"
    named = attach(url, engine=OPENAI_COMPATIBLE, wishes=Wishes(served_name="org/small"))
    assert named.dialect.model == "org/small"


def test_a_wrong_name_ends_at_once_and_names_the_setting(start: Start) -> None:
    strict = Strict(models=("a", "b"))
    with pytest.raises(ServerError, match=r"named 'c' \(HTTP 404.*it lists: a, b; set served_name"):
        attach(start(strict), engine=OPENAI_COMPATIBLE, wishes=Wishes(served_name="c"))
    assert len(strict.seen) == 1


def test_a_missing_key_and_a_wrong_key(start: Start) -> None:
    strict = Strict(key=KEY)
    url = start(strict)
    with pytest.raises(ServerError, match=r"wants an API key \(HTTP 401.*--api-key-env NAME"):
        attach(url)
    wishes = Wishes(key="sk-wrong-one", key_setting="api_key_env = 'MY'")
    with pytest.raises(ServerError, match=r"refuses the API key of api_key_env = 'MY'") as caught:
        attach(url, wishes=wishes)
    assert "sk-wrong-one" not in str(caught.value)
    assert HIDDEN_KEY in str(caught.value)
    assert len(strict.seen) == 2


def test_the_key_goes_with_the_first_request(start: Start) -> None:
    strict = Strict(key=KEY)
    server = attach(start(strict), engine=OPENAI_COMPATIBLE, wishes=Wishes(key=KEY))
    assert {*strict.keys} == {f"Bearer {KEY}"}
    assert KEY not in repr(server)


@pytest.mark.parametrize("engine", [OPENAI_COMPATIBLE, LLAMA_CPP], ids=lambda e: e.name)
def test_refused_evidence_is_left_out_and_said(start: Start, engine: Any) -> None:
    strict = Strict(refuses=tuple(engine.evidence.body))
    told: list[str] = []
    server = attach(start(strict), engine=engine, say=told.append)
    assert server.dialect.evidence is NONE
    assert len(strict.seen) == 2
    assert len(told) == 1
    assert "logprobs = false in the target" in told[0]
    assert f"Unsupported parameter: {next(iter(engine.evidence.body))}" in told[0]


def test_without_logprobs_none_are_asked(start: Start) -> None:
    strict = Strict(refuses=("logprobs",))
    told: list[str] = []
    attach(start(strict), engine=OPENAI_COMPATIBLE, wishes=Wishes(logprobs=False), say=told.append)
    assert (len(strict.seen), told) == (1, [])


def test_refused_stream_options_are_left_out_and_said(start: Start) -> None:
    strict = Strict(refuses=("stream_options",))
    told: list[str] = []
    server = attach(start(strict), engine=OPENAI_COMPATIBLE, stream=True, say=told.append)
    assert "stream_options" not in server.dialect.body({"stream": True, "stream_options": {}})
    assert len(strict.seen) == 3
    assert "stream_options = false in the target" in told[0]
    assert "returned no token ids" in told[1]


def test_another_model_than_asked_for_is_never_graded(start: Start) -> None:
    url = start(Strict(models=("large",), answers_as="tiny"))
    with pytest.raises(ServerError, match="asked for model 'large' and answers as 'tiny'"):
        attach(url, engine=OPENAI_COMPATIBLE, wishes=Wishes(served_name="large"))


def test_a_name_with_a_date_is_the_same_model(start: Start) -> None:
    url = start(Strict(models=("large",), answers_as="large-2026-01-01"))
    assert attach(url, engine=OPENAI_COMPATIBLE, wishes=Wishes(served_name="large"))


def test_html_in_place_of_json(start: Start) -> None:
    with pytest.raises(ServerError, match=r"with HTTP 200: <html>Sign in</html>"):
        attach(start(Strict(html=True)), engine=OPENAI_COMPATIBLE)


@pytest.mark.parametrize(
    ("owner", "engine"),
    [("llamacpp", "llama_cpp"), ("vllm", "vllm"), (None, "mlx_lm"), ("me", "openai_compatible")],
)
def test_an_engine_is_recognised_by_who_owns_its_models(
    start: Start, owner: str | None, engine: str
) -> None:
    assert recognise(start(Strict(owner=owner)), Wishes(), 10).name == engine


# --- values --------------------------------------------------------------------------------------


def test_engines_have_names_of_their_own_and_say_whether_they_were_run() -> None:
    assert len({engine.name for engine in ENGINES}) == len(ENGINES) == 12
    for engine in ENGINES:
        assert bool(engine.seen_version) == (engine.seen != "documentation only"), engine.name
        assert engine.evidence in EVIDENCE
    with pytest.raises(ConfigError, match="unknown engine 'lama_cpp', did you mean 'llama_cpp'"):
        engine_named("lama_cpp")


def test_a_command_line_listens_on_this_machine_alone() -> None:
    argv = MLX_LM.argv("/m", 81, ("--x",))
    assert argv == [
        *(sys.executable, "-m", "mlx_lm", "server", "--model", "/m"),
        *("--host", "127.0.0.1", "--port", "81", "--x"),
    ]
    with pytest.raises(ValueError, match="ollama has no command"):
        engine_named("ollama").argv("/m", 81)


def test_a_body_is_worded_for_its_server() -> None:
    body = {"model": "default_model", "logprobs": True, "stream": False, "seed": 1}
    dialect = Dialect("m", extra_body={"top_k": 1}, omit=("seed",), evidence=VERBOSE)
    assert dialect.body(body) == {
        "model": "m",
        "stream": False,
        "verbose": True,
        "return_tokens": True,
        "top_k": 1,
    }
    assert Dialect().body(body) == body
    streamed = {"model": "default_model", "stream": True}
    assert Dialect(evidence=VERBOSE).body(streamed) == streamed


@pytest.mark.parametrize(
    ("evidence", "response", "ids"),
    [
        (LOGPROBS, {"choices": [{"logprobs": {"content": [{"id": 1}, {"id": 2}]}}]}, (1, 2)),
        (LOGPROBS, {"choices": [{"logprobs": {"content": [{"id": 1}, {}]}}]}, None),
        (LOGPROBS, {"choices": [{"logprobs": {"content": [7]}}]}, None),
        (VERBOSE, {"__verbose": {"tokens": [1, 2]}}, (1, 2)),
        (VERBOSE, {"__verbose": {"tokens": []}}, None),
        (VERBOSE, {"__verbose": "x"}, None),
        (TOKEN_IDS, {"choices": [{"token_ids": [3]}]}, (3,)),
        (TOKEN_IDS, {"choices": [{"provider_specific_fields": {"token_ids": [4]}}]}, (4,)),
        (TOKEN_IDS, {"choices": [{"token_ids": [True]}]}, None),
        (NONE, {"choices": [{"token_ids": [3]}]}, None),
        *((each, {"choices": "no list"}, None) for each in EVIDENCE),
    ],
)
def test_evidence(evidence: Any, response: dict[str, Any], ids: tuple[int, ...] | None) -> None:
    assert evidence.ids(response) == ids


def test_a_key_is_taken_out_of_everything_that_is_kept() -> None:
    seen = Observation("server", content=f"a {KEY}", calls=(Call("f", KEY, KEY),), error=KEY)
    hidden = Dialect(key=KEY).hide(seen)
    assert KEY not in repr(hidden)
    assert hidden.content == f"a {HIDDEN_KEY}"
    assert Dialect().hide(seen) is seen


@pytest.mark.parametrize(
    ("key", "said", "shown"),
    [
        ("sk-planted/4711-8f2a", "no: sk-planted/4711-8", "no: [key]"),
        ("sk-planted/4711-8f2a", "sk-planted/47 (not complete)", "[key] (not complete)"),
        ("sk-planted/4711-8f2a", 'no: "sk-planted\\/4711-8f2a"', 'no: "[key]"'),
        ('sk-"planted"-4711-8f2a', 'sk-\\"planted\\"-4711-8f2a', "[key]"),
        ("sk-planted/4711-8f2a", "a key is sk-…", "a key is sk-…"),
        ("none", "nobody said none, no", "nobody said [key], no"),
        ("", "none", "none"),
    ],
)
def test_a_key_is_taken_out_also_where_it_was_cut_or_escaped(
    key: str, said: str, shown: str
) -> None:
    assert without_key(said, key) == shown


@pytest.mark.parametrize("said", [f"{KEY}!", f"HTTP/1.1 200 OK\r\nno header {KEY}\r\n\r\n"])
def test_a_key_that_comes_back_as_no_http_is_in_no_message(said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(said.encode())

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ServerError, match="not valid HTTP") as caught:
            attach(url, engine=MLX_LM, wishes=Wishes(key=KEY, served_name="small"))
        thread.join()
    assert KEY not in str(caught.value)
    assert HIDDEN_KEY in str(caught.value)


@pytest.mark.parametrize("owner", [["someone"], {"a": 1}, 5])
def test_an_owner_that_is_no_text_is_nobody_known(start: Start, owner: Any) -> None:
    assert recognise(start(Strict(owner=owner)), Wishes(), 10) is OPENAI_COMPATIBLE


def test_brackets_without_end_are_no_completion_and_no_list() -> None:
    assert not is_completion(200, b"[" * 100_000)


def test_names_of_models_do_not_act_on_the_terminal(start: Start) -> None:
    url = start(Strict(models=("a\x1b[31m", "b" * 10_000)))
    with pytest.raises(ServerError, match="several models") as caught:
        attach(url, engine=OPENAI_COMPATIBLE)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_where_a_key_comes_from(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    assert wishes_of(Target(api_key_env="K"), {"K": KEY}).key == KEY
    assert wishes_of(Target(api_key_file=str(tmp_path / "key"))).key == KEY
    with pytest.raises(ConfigError, match="variable K is not set, or empty"):
        wishes_of(Target(api_key_env="K"), {})
    with pytest.raises(ConfigError, match=r"api_key_file: .* cannot be read"):
        wishes_of(Target(api_key_file=str(tmp_path / "none")))
    with pytest.raises(ValueError, match="one of api_key_env and api_key_file"):
        Target(api_key_env="K", api_key_file="f")


# --- a whole run ---------------------------------------------------------------------------------

CASES = """\
cases:
  - {id: hello, ask: Hello., expect: {answer: {}}}
"""


def run(folder: Path, url: str, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "evals", "run", "--attach", url, "--run-dir", "out", *options]
    environment = {**os.environ, "PROBED_KEY": KEY}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def test_the_planted_key_is_sent_by_every_lane_and_occurs_in_no_output(
    start: Start, tmp_path: Path
) -> None:
    strict = Strict(key=KEY)
    project = write_project(tmp_path, {"cases/hello.yaml": CASES})
    options = ("--lanes", "server,stream,agent", "--api-key-env", "PROBED_KEY", "-v")
    done = run(project, start(strict), *options, "--engine", "openai_compatible")
    assert (project / "out" / "records.jsonl").exists(), done.stdout + done.stderr
    assert len(strict.seen) >= 5
    assert {*strict.keys} == {f"Bearer {KEY}"}
    assert KEY not in done.stdout + done.stderr
    written = [path for path in project.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []
    lines = (project / "out" / "records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["status"] for record in records] == ["pass"] * 3


def test_a_run_against_a_server_with_a_key_says_how_to_give_it(
    start: Start, tmp_path: Path
) -> None:
    strict = Strict(key=KEY)
    done = run(write_project(tmp_path, {"cases/hello.yaml": CASES}), start(strict))
    assert done.returncode != 0
    assert "--api-key-env NAME" in done.stdout + done.stderr
    assert len(strict.seen) <= 2
