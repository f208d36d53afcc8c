"""`evals bench latency` against a server: cold and warm passes, a table, and pictures."""

import json
import time

import pytest
from builders import write_project
from scripted_server import completion, respond, serve

from evals.bench import latency
from evals.errors import ConfigError

PAUSE = 0.03
PLAIN = """\
cases:
  - {id: a, ask: Say a., expect: {answer: {}}}
  - {id: b, ask: Say b., expect: {answer: {}}}
  - {id: c, ask: Say c., expect: {answer: {}}}
  - {id: d, ask: Say d., expect: {answer: {}}}
"""


@pytest.fixture
def measured(tmp_path):
    project = write_project(tmp_path, {"cases/c.yaml": PLAIN})
    said = respond(completion({"role": "assistant", "content": "Yes."}))

    def slow(handler):
        time.sleep(PAUSE)
        said(handler)

    def measure(levels, most=4, lanes="server"):
        with serve() as scripted:
            scripted.answer = slow
            settings = {"attach": scripted.server.url, "lanes": lanes, "engine": "mlx_lm"}
            rows = latency.measure(project, tmp_path, settings, levels, most, lambda _: None)
            return rows, scripted.bodies

    return measure


def test_each_number_in_flight_is_asked_cold_and_warm(measured, tmp_path):
    rows, bodies = measured([1, 4])
    assert [row.name for row in rows] == [
        f"default-server-{n}-{what}" for n in (1, 4) for what in ("cold", "warm")
    ]
    asked = [body["messages"][-1]["content"] for body in bodies]
    assert sum(text.startswith("Say ") for text in asked) == 16
    for row in rows:
        assert row.latency.answers == 4
        assert row.latency.measures["e2el"].p50.value >= PAUSE
        assert 0.9 < row.explained <= 1
    assert rows[0].seconds >= 4 * PAUSE
    assert rows[2].seconds < rows[0].seconds
    stored = json.loads((tmp_path / "latency.json").read_text())["rows"]
    assert [row["in_flight"] for row in stored] == [1, 1, 4, 4]
    assert (tmp_path / "waterfall-default-server-1-cold.svg").read_text().count("<rect") > 4
    table = (tmp_path / "latency.md").read_text()
    head, _, first = table.splitlines()[:3]
    assert head.count("|") == first.count("|")
    assert "default-server-4-warm" in (tmp_path / "e2el.svg").read_text()


def test_some_questions_are_evenly_chosen(measured):
    _, bodies = measured([1], most=2)
    texts = [body["messages"][-1]["content"] for body in bodies]
    assert {text for text in texts if text.startswith("Say ")} == {"Say a.", "Say c."}


def test_a_lane_without_cases_is_a_mistake(tmp_path):
    project = write_project(tmp_path, {"cases/c.yaml": PLAIN})
    settings = {"profiles": "replay", "lanes": "server"}
    with pytest.raises(ConfigError, match="no case asks profile replay in lane server"):
        latency.measure(project, tmp_path, settings, [1], 4, lambda _: None)
