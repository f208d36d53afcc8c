"""Questions asked: what one lane cannot do is the error of its own answer alone."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_server import TOOLS, Scripted, call, completion, make_case, respond, serve

from evals.case import Case
from evals.config import cache_folder, read_config
from evals.errors import ServerError
from evals.lanes import lane as lanes
from evals.lanes.lane import Ask, Lane, Setup
from evals.observation import Observation, Traits
from evals.results import Layer, Record, Status
from evals.running.life import Life
from evals.running.profile import open_profile
from evals.running.questions import Question
from evals.running.replica import Replica
from evals.running.runner import Group, Keep, Runner

READ: dict[str, Any] = {"call": {"name": "todoread"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def _calling(name: str, **more: Any) -> bytes:
    """A call, by a server that counts no tokens: it has no prompt that could be another one."""
    message = {"role": "assistant", "content": None, "tool_calls": [call(name, "{}", id="a")]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls", **more}
    return completion(message, choices=[choice], usage=None)


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with serve() as server:
        server.answer = respond(_calling("todoread"))
        yield server


@pytest.fixture
def asked(scripted: Scripted, tmp_path: Path) -> Callable[..., dict[str, Record]]:
    """Asks a case in these lanes, with the tokenizer of the replay model beside the server."""

    def asked(case: Case, *names: str) -> dict[str, Record]:
        (tmp_path / "evals.toml").write_text(
            f'[targets.default]\nurl = "{scripted.server.url}"\nmodel = "replay"\n'
        )
        config = read_config(tmp_path)
        opening = open_profile(
            "default", config, names, tmp_path, cache_folder(), lambda text: None
        )
        with opening as opened:
            life = Life(opened, timeout=config.timeout, in_flight=2, note=lambda death: None)
            questions = [Question(case, name) for name in names]
            saved: list[Record] = []
            runner = Runner(Replica(opened, life), questions, in_flight=2, save=saved.append)
            records = {name: runner.record(Question(case, name)) for name in names}
            assert all(runner.has_given(question) for question in questions)
            assert sorted(record.lane for record in saved) == sorted(names)
            runner.close()
        return records

    return asked


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": [{"type": "text", "text": "Check the tasks."}, IMAGE]}],
        [{"role": "user", "content": [5]}],
        [
            {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function"}]},
            {"role": "user", "content": "And now the tasks."},
        ],
        [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Read."}],
        [{"role": "user", "content": "Read."}, {"role": "assistant", "content": "I"}],
    ],
)
def test_messages_that_the_agent_lane_cannot_put_are_no_fault_of_the_server(
    messages: list[dict[str, Any]], asked: Callable[..., dict[str, Record]]
) -> None:
    records = asked(make_case(messages=messages, tools=TOOLS, expect=READ), "server", "agent")
    assert (records["agent"].status, records["agent"].blame) == (Status.ERROR, Layer.HARNESS)
    assert records["server"].status == Status.PASS


def test_a_lane_that_raises_ends_its_own_answer_alone(
    asked: Callable[..., dict[str, Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def opened(setup: Setup) -> Iterator[Ask]:
        def ask(case: Case) -> Observation:
            raise KeyError("text")

        yield ask

    monkeypatch.setattr(lanes, "LANES", (*lanes.LANES, Lane(Traits("broken"), opened)))
    records = asked(make_case(tools=TOOLS, expect=READ), "server", "broken", "agent")
    assert [records[name].status for name in ("server", "agent")] == [Status.PASS] * 2
    assert (records["broken"].status, records["broken"].blame) == (Status.ERROR, Layer.HARNESS)
    assert "lane broken failed: KeyError: 'text'" in records["broken"].why


@pytest.mark.parametrize("token", [-1, 2**31, 2**70])
def test_token_ids_that_no_tokenizer_has_are_no_evidence(
    token: int, scripted: Scripted, asked: Callable[..., dict[str, Record]]
) -> None:
    ids = {"content": [{"id": token, "logprob": -0.1}]}
    scripted.answer = respond(_calling("nothing", logprobs=ids))
    for record in asked(make_case(tools=TOOLS, expect=READ), "server", "agent").values():
        assert (record.outcome, record.blame) == ("miss", Layer.UNKNOWN)
        assert record.model_text is None


class _Down:
    """An asker whose server is down for good."""

    def ask(self, group: Group, keep: Keep) -> dict[str, Record]:
        raise ServerError("it is down")

    def close(self) -> None:
        pass


def test_a_question_that_comes_after_the_end_is_told_of_it_and_waits_for_nobody() -> None:
    first, *later = (Question(make_case(id=name), "server") for name in "abc")
    runner = Runner(_Down(), [first], in_flight=2, save=lambda record: None)
    with pytest.raises(ServerError):
        runner.record(first)
    failed: list[str] = []

    def ask() -> None:
        for question in later:
            runner.add([question])
            with pytest.raises(ServerError, match="it is down"):
                runner.record(question)
            failed.append(question.case.id)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout=10)
    assert failed == ["b", "c"]
