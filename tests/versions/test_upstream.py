"""Texts for upstream: their blocks, and what of a response is compared."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from builders import observation, played, record

from evals.engines.registry import engine_named
from evals.errors import HarnessError
from evals.observation import Call
from evals.report.findings_data import Finding, read, unlinked
from evals.versions.repeat import blocks
from evals.versions.upstream import first_of, said_in, same

ROOT = Path(__file__).parents[2]
CALL = {"id": "x", "function": {"name": "f", "arguments": "{}"}}
PLAIN = {"choices": [{"message": {"content": "", "tool_calls": [CALL]}, "finish_reason": "stop"}]}
SAID = {
    "content": None,
    "tool_calls": [{"name": "f", "arguments": "{}"}],
    "finish_reason": "stop",
}


def test_what_changes_from_time_to_time_is_not_compared():
    assert said_in(json.dumps(PLAIN)) == SAID


def test_a_stream_is_put_together():
    named = {"index": 0, "id": "x", "function": {"name": "f"}}
    pieces = [{"index": 0, "function": {"arguments": piece}} for piece in ("{", "}")]
    calls = [{"tool_calls": [piece]} for piece in (named, *pieces)]
    deltas = [{"content": "a"}, {"content": "b\u2028"}, *calls]
    events = [{"choices": [{"delta": d, "finish_reason": None}]} for d in deltas]
    events[-1]["choices"][0]["finish_reason"] = "stop"
    lines = [json.dumps(event, ensure_ascii=False) for event in [*events, {"choices": []}]]
    text = "\n\n".join(f"data: {line}" for line in lines)
    assert said_in(f"{text}\n\ndata: [DONE]") == {**SAID, "content": "ab\u2028"}


@pytest.mark.parametrize("output", ["", "<html>", '{"error": "no"}', '{"choices": []}'])
def test_an_error_is_an_error_whatever_it_says(output):
    assert same({"error": "no response"}, said_in(output))
    assert not same(SAID, said_in(output))


def test_another_response_is_not_the_same():
    assert same(SAID, said_in(json.dumps(PLAIN)))
    assert not same({**SAID, "finish_reason": "tool_calls"}, said_in(json.dumps(PLAIN)))


BROKEN: dict[str, Any] = {"calls": (Call("todoread", '{"a', "x"),), "finish_reason": "tool_calls"}
SLIP: dict[str, Any] = {"content": "<tool_call>{", "raw_text": "<tool_call>{"}


@pytest.mark.parametrize(("plain", "shows"), [(SLIP, "stream"), (BROKEN, "server")])
def test_a_text_shows_what_the_server_is_to_blame_for_and_plain_if_it_can(plain, shows):
    """The model's own slip, returned as it is, is nothing for a tracker; arguments cut off are."""
    case = played(expect={"call": {"name": "todoread"}})
    first, stream = observation(**plain), observation("stream", **BROKEN)
    records = [record(case, first), record(case, stream, first)]
    finding = Finding(
        **{"id": "played::played", "engine": "vllm", "package": "vllm", "seen_in": "1"},
        **{"call_format": "x", "profile": "default", "lanes": ["server", "stream"]},
        **{"kind": "k", "layer": "parser", "reason": "r", "command": "c"},
    )
    for order in (records, records[::-1]):
        assert first_of(finding, order).lane == shows


KNOWN = read(ROOT / "docs" / "findings.json")
ASKED = sorted({finding.engine for finding in KNOWN.findings})


@pytest.mark.parametrize("engine", ASKED)
def test_each_finding_without_a_public_link_has_a_text_that_can_be_followed(engine):
    wanted, own = unlinked(KNOWN, engine), "" if engine == "mlx_lm" else f"{engine}/"
    folder = ROOT / "docs" / "upstream" / own
    texts = {p.stem: p for p in folder.glob("*.md") if p.stem != "README"}
    assert set(texts) == set(wanted)
    index = (ROOT / "docs" / "upstream" / "README.md").read_text(encoding="utf-8")
    start = shlex.split(engine_named(engine).shell("", 8080))[:2]
    for name, path in texts.items():
        shell, seen = blocks(path)
        assert shlex.split(shell[0])[:2] == start
        assert shell[1].startswith("curl -s")
        assert {*json.loads(seen)} in ({"error"}, {*SAID})
        assert f"[{name}]({own}{name}.md)" in index


def test_a_text_without_its_blocks_is_told(tmp_path):
    (tmp_path / "a.md").write_text("# A\n\n```sh\ncurl\n```\n")
    with pytest.raises(HarnessError, match="it should have two sh blocks and one json block"):
        blocks(tmp_path / "a.md")
