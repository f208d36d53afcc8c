"""A lane is one value: configuration, running and judging go by its traits, not by its name."""

import contextlib
import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import TOOLS, Scripted, call, completion, make_case, respond, serve

from evals.case import Case, Expect
from evals.config import read_config
from evals.errors import ConfigError
from evals.lanes import lane as lanes
from evals.lanes.lane import Ask, Lane, Setup
from evals.lanes.server import read_response
from evals.observation import Observation, Traits
from evals.request import build_request
from evals.results import Kind, Layer, Record, Status
from evals.running.life import Life
from evals.running.profile import open_profile
from evals.running.questions import Question
from evals.running.replica import Replica
from evals.running.runner import Runner

URLLIB = Traits("urllib", needs_plain=True)
OSLO = '{"city": "Oslo"}'
CASE = make_case(
    tools=TOOLS,
    expect=Expect.model_validate({"call": {"name": "get_weather", "arguments": {"city": "Oslo"}}}),
)


@contextlib.contextmanager
def _open(setup: Setup) -> Iterator[Ask]:
    """Ask with Python's own client, which sends other headers than openai's."""
    server = setup.server_for(URLLIB)

    def ask(case: Case) -> Observation:
        start = time.perf_counter()
        body = json.dumps(build_request(case)).encode()
        request = urllib.request.Request(f"{server.url}/chat/completions", body)
        with urllib.request.urlopen(request, timeout=setup.timeout) as response:
            seen = read_response(response.read(), time.perf_counter() - start)
        return Observation(**{**vars(seen), "lane": URLLIB.name})

    yield ask


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with serve() as server:
        yield server


def _asked(scripted: Scripted, folder: Path, *names: str) -> list[Record]:
    """A project whose configuration names the new lane, asked and judged."""
    url, chosen = scripted.server.url, ", ".join(f'"{name}"' for name in names)
    (folder / "evals.toml").write_text(f'lanes = [{chosen}]\n[targets.default]\nurl = "{url}"\n')
    config = read_config(folder)
    with open_profile("default", config, config.lanes, folder, folder, lambda text: None) as opened:
        questions = [Question(CASE, name) for name in config.lanes]
        life = Life(opened, timeout=config.timeout, in_flight=2, note=lambda death: None)
        saved: list[Record] = []
        runner = Runner(Replica(opened, life), questions, in_flight=2, save=saved.append)
        records = [runner.record(question) for question in questions]
        runner.close()
    assert [Record.from_json(record.to_json()) for record in records] == records
    assert {record.key for record in saved} == {record.key for record in records}
    return records


def _answers(city_by_agent: dict[str, str]):
    def answer(handler):
        agent = handler.headers.get("User-Agent", "").partition("/")[0]
        arguments = json.dumps({"city": city_by_agent.get(agent, "Oslo")})
        calls = [call("get_weather", arguments, id="a")]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        respond(completion(message, "tool_calls"))(handler)

    return answer


def test_a_lane_is_added_as_one_value(
    monkeypatch: pytest.MonkeyPatch, scripted: Scripted, tmp_path: Path
) -> None:
    scripted.answer = _answers({})
    with pytest.raises(ConfigError, match="unknown lane 'urllib'"):
        _asked(scripted, tmp_path, "urllib")
    monkeypatch.setattr(lanes, "LANES", (*lanes.LANES, Lane(URLLIB, _open)))

    (right,) = _asked(scripted, tmp_path, "urllib")
    assert (right.lane, right.status, right.key) == (
        "urllib",
        Status.PASS,
        "cases/x.yaml::x[default-urllib]",
    )
    assert right.plain is not None
    assert right.plain.lane == "server"

    scripted.answer = _answers({"Python-urllib": "Rome"})
    plain, other = _asked(scripted, tmp_path, "server", "urllib")
    assert plain.status == Status.PASS
    assert (other.outcome, other.blame, other.asked_alone) == ("violation", Layer.SERVER, True)
    assert other.cause is not None
    assert other.cause.kind == Kind.STREAM_MISMATCH
