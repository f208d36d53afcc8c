"""The request in a record is the one that was sent: sent again, it gets the same answer."""

import json
import shlex
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from builders import case

from evals.case import Case, ReplayScript
from evals.config import cache_folder, read_config
from evals.engines.server import Server
from evals.lanes.stream import accumulate, read_events
from evals.observation import Observation
from evals.request import as_curl, request_text
from evals.results import Record, Status
from evals.running.life import Life
from evals.running.profile import Opened, open_profile
from evals.running.questions import Question
from evals.running.replica import Replica
from evals.running.runner import Runner

CALL = (
    "<tool_call>\n<function=find>\n<parameter=where>\nOslo\n</parameter>\n</function>\n</tool_call>"
)
LANES = ["server", "stream", "agent"]
# No key is where sorting would put it.
FIND = {
    "name": "find",
    "description": "Find a place.",
    "parameters": {
        "type": "object",
        "required": ["where"],
        "properties": {
            "where": {"type": "string", "description": "A name, also with ü."},
            "depth": {"type": "integer", "default": 3},
        },
    },
}
CASE: Case = case(
    {"call": {"name": "find", "arguments": {"where": "Oslo"}}},
    "Where is Oslo?",
    tools=[FIND],
    replay=ReplayScript(text=CALL),
)


@pytest.fixture(scope="module")
def opened(replay_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    folder = tmp_path_factory.mktemp("opened")
    target = f'[targets.default]\nurl = "{replay_server.url}"\nmodel = "replay"\n'
    (folder / "evals.toml").write_text(target)
    config = read_config(folder)
    with open_profile(
        "default", config, LANES, folder, cache_folder(), lambda text: None
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
def records(opened: Opened) -> dict[str, Record]:
    """One question in each lane, as it is read back."""
    questions = [Question(CASE, lane) for lane in LANES]
    life = Life(opened, timeout=60, in_flight=1, note=lambda death: None)
    runner = Runner(Replica(opened, life), questions, in_flight=1, save=lambda record: None)
    asked = {lane: runner.record(Question(CASE, lane)) for lane in LANES}
    runner.close()
    return {lane: Record.from_json(record.to_json()) for lane, record in asked.items()}


def _send(url: str, body: bytes) -> bytes:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return bytes(response.read())


def _plain(body: bytes) -> tuple[int, list[tuple[str, str]], str | None]:
    completion: dict[str, Any] = json.loads(body)
    message = completion["choices"][0]["message"]
    calls = [c["function"] for c in message.get("tool_calls") or ()]
    pairs = [(c["name"], c["arguments"]) for c in calls]
    return completion["usage"]["prompt_tokens"], pairs, message.get("content")


def _said(seen: Observation) -> tuple[int, list[tuple[str, str]], str | None]:
    assert seen.usage is not None
    return seen.usage.prompt, [(c.name, c.arguments) for c in seen.calls], seen.content


@pytest.mark.parametrize("lane", LANES)
def test_a_recorded_request_sent_again_gets_the_same_prompt_and_answer(
    lane: str, records: dict[str, Record], replay_server: Server
) -> None:
    record = records[lane]
    assert record.status == Status.PASS, record.why
    body = _send(replay_server.url, request_text(record.request).encode())
    seen = record.observation.received or record.observation
    if lane == "stream":
        again = accumulate(read_events([(0.0, body)]))
        assert (again.usage and again.usage.prompt) == (seen.usage and seen.usage.prompt)
        assert [(c.name, c.arguments) for c in again.calls] == [("find", '{"where": "Oslo"}')]
    else:
        sent, calls, content = _plain(body)
        assert (sent, calls, content or None) == (*_said(seen)[:2], seen.content or None)


@pytest.mark.parametrize("lane", LANES)
def test_the_prompt_of_a_recorded_request_is_the_servers(
    lane: str, records: dict[str, Record]
) -> None:
    record = records[lane]
    usage = (record.observation.received or record.observation).usage
    assert usage is not None
    assert record.rendered_prompt_tokens == usage.prompt
    assert record.model_text == CALL


def test_the_curl_line_has_the_same_bytes(records: dict[str, Record]) -> None:
    for record in records.values():
        words = shlex.split(as_curl(record.request, "http://127.0.0.1:1/v1"))
        assert words[words.index("-d") + 1] == request_text(record.request)


def test_the_agents_request_is_the_librarys_own(records: dict[str, Record]) -> None:
    mine, theirs = records["server"].request, records["agent"].request
    assert mine["tools"] != theirs["tools"]
    assert list(theirs["tools"][0]["function"]["parameters"]["properties"]) == ["where", "depth"]
    assert records["agent"].plain is None
