"""The launcher: a real server with a model that writes what a list says, and another parser."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from evals.case import Tool
from evals.config import cache_folder
from evals.engines.mlx_lm import boot
from evals.engines.server import Server, exchange
from evals.errors import ServerError
from evals.parsers.adaptive_xml import AdaptiveXmlParser
from evals.parsers.launcher import END, START, Delivery, rewritten

LAUNCHER = (sys.executable, "-m", "evals.parsers.launcher", "--parser", "adaptive_xml", "--")

# Writes the scripts one after another, one request at a time: a prompt of new tokens starts the
# next script once the last one is over.
MODEL = """
import json, pathlib
from dataclasses import dataclass
import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import KVCache

@dataclass
class ModelArgs:
    vocab_size: int
    scripts: list
    @classmethod
    def from_dict(cls, values):
        return cls(values["vocab_size"], values["scripts"])

class Model(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.x = mx.zeros((1,))
        self.args, self.turn, self.step = args, 0, 0
    @property
    def layers(self):
        return [None]
    def make_cache(self):
        return [KVCache()]
    def __call__(self, inputs, cache=None, **_):
        batch, length = inputs.shape
        nothing = mx.zeros((batch, 1, length, 1))
        cache[0].update_and_fetch(nothing, nothing)
        script = self.args.scripts[min(self.turn, len(self.args.scripts) - 1)]
        if length > 1:
            if self.step >= len(script):
                self.turn += 1
            self.step, token = 0, 0
        else:
            token = script[min(self.step, len(script) - 1)]
            self.step += 1
        row = mx.where(mx.arange(self.args.vocab_size) == token, 0.0, -1e4)
        return mx.broadcast_to(row, (batch, length, self.args.vocab_size))
"""

TODO, WRITE = ("todoread", {}), ("write", {"text": "a </tool_call> b \ue000 <"})
INNER = "\n<function=write>\n<parameter=text>\na </tool_call> b \ue000 <\n</parameter>\n"
TEXTS: list[tuple[str, str, list[tuple[str, Any]]]] = [
    ("The end tag is </tool_call>, if a <", "The end tag is </tool_call>, if a <", []),
    ("<tool_call>\n<function=todoread</function>\n</tool_call>", "", [TODO]),
    ("Hi <function=todoread></function> there", "Hi  there", [TODO]),
    (f"a<tool_call>{INNER}</function>\n</tool_call>b", "ab", [WRITE]),
    ('```json\n{"name": "todoread", "arguments": {}}\n```', "", [TODO]),
    (f"<tool_call>\n<function=todoread>\n</function>{INNER}</function>", "", [TODO, WRITE]),
    (
        "<tool_call>\n<function=unknown>\n</function>\n</tool_call>",
        "",
        [("malformed_tool_call", {"raw": "<function=unknown>\n</function>"})],
    ),
]
TOOLS = [
    {"type": "function", "function": {"name": "todoread", "parameters": {"type": "object"}}},
    {
        "type": "function",
        "function": {
            "name": "write",
            "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
        },
    },
]


@pytest.fixture(scope="module")
def server(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("scripted")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base_model / name, folder)
    for template in base_model.glob("chat_template*"):
        shutil.copy(template, folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = json.loads((base_model / "config.json").read_text())
    end = config["eos_token_id"]
    end = end[0] if isinstance(end, list) else end
    scripts = [
        [*tokenizer.encode(text, add_special_tokens=False).ids, end]
        for text, _, _ in TEXTS
        for _ in ("plain", "stream")
    ]
    values = {
        "model_type": "scripted",
        "model_file": "scripted.py",
        "vocab_size": config["vocab_size"],
        "eos_token_id": end,
        "scripts": scripts,
    }
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "scripted.py").write_text(MODEL)
    header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    weights = len(header).to_bytes(8, "little") + header + b"\0\0\0\0"
    (folder / "model.safetensors").write_bytes(weights)
    log = folder / "server.log"
    arguments = ("--trust-remote-code",)
    with boot(
        folder, log=log, cache=cache_folder(), launcher=LAUNCHER, arguments=arguments
    ) as found:
        yield found


def ask(server: Server, question: str, *, stream: bool) -> dict[str, Any]:
    """The message and the finish reason, from either kind of response."""
    body = {
        "model": "default_model",
        "messages": [{"role": "user", "content": question}],
        "tools": TOOLS,
        "max_tokens": 400,
        "temperature": 0,
        "stream": stream,
    }
    status, data = exchange(server.url, "/chat/completions", 60.0, json.dumps(body).encode())
    assert status == 200, data
    text = data.decode()
    if not stream:
        response = json.loads(text)
        choice = response["choices"][0]
        message = choice["message"]
        return {
            "content": message.get("content") or "",
            "calls": message.get("tool_calls") or [],
            "finish": choice["finish_reason"],
        }
    found: dict[str, Any] = {"content": "", "calls": [], "finish": None}
    for line in text.splitlines():
        if line.startswith("data: {"):
            choice = json.loads(line.removeprefix("data: "))["choices"][0]
            found["content"] += choice["delta"].get("content") or ""
            found["calls"] += choice["delta"].get("tool_calls") or []
            found["finish"] = choice["finish_reason"] or found["finish"]
    return found


def test_the_server_returns_what_the_parser_reads_plain_and_streamed(server: Server) -> None:
    for number, (text, content, calls) in enumerate(TEXTS):
        for stream in (False, True):
            got = ask(server, f"{number} {stream}: say your text", stream=stream)
            named = [(c["function"]["name"], json.loads(c["function"]["arguments"]))
                     for c in got["calls"]]  # fmt: skip
            assert (got["content"].strip(), named) == (content, calls), (text, stream)
            assert got["finish"] == ("tool_calls" if calls else "stop"), (text, stream)
    assert "tool parser: adaptive_xml" in server.log.read_text() if server.log else False


def test_an_unknown_parser_is_refused_with_the_names_that_are_allowed(
    base_model: Path, tmp_path: Path
) -> None:
    launcher = (*LAUNCHER[:-2], "no_such", "--")
    log = tmp_path / "log"
    with (
        pytest.raises(ServerError, match=r"unknown parser \'no_such\' \(choose from adaptive_xml"),
        boot(base_model, log=log, cache=cache_folder(), launcher=launcher),
    ):
        pass


# --- without a server ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Response:
    text: str
    token: int
    finish_reason: str | None = None


def texts(*pieces: str, reason: str = "stop", last: str = "") -> list[Response]:
    """What becomes of responses with these texts; one comes out for each that goes in."""
    responses = [Response(piece, i) for i, piece in enumerate(pieces)]
    responses.append(Response(last, len(pieces), reason))
    parser = AdaptiveXmlParser((Tool(name="todoread"),))
    result = list(rewritten(responses, parser, Delivery()))
    assert [r.token for r in result] == [r.token for r in responses]
    assert [r.finish_reason for r in result] == [r.finish_reason for r in responses]
    return result


def test_what_is_left_at_the_end_goes_with_the_last_response_that_the_server_reads() -> None:
    assert [r.text for r in texts("a", " <")] == ["a", " <", ""]
    cut = texts("a", " <", reason="length", last="fun")
    assert "".join(r.text for r in cut) == "a <fun"
    assert [r.text for r in texts()] == [""]


def test_a_call_becomes_one_pair_of_marks_and_a_cut_one_too() -> None:
    whole = "<tool_call><function=todoread></function></tool_call>"
    assert "".join(r.text for r in texts(*whole, "x")) == f"{START}{END}x"
    assert "".join(r.text for r in texts(*whole[:-20])) == f"{START}{END}"
    cut = texts(*whole[:-30], reason="length", last="</f")
    assert "".join(r.text for r in cut) == f"{START}{END}"
