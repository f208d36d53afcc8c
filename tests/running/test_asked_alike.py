"""A stream that differs is asked again beside its plain answer, from the same prompt cache."""

import json

import pytest
from scripted_server import TOOLS, call, completion, make_case, respond, serve

from evals.config import read_config
from evals.results import Status
from evals.running.life import Life
from evals.running.profile import open_profile
from evals.running.questions import Question
from evals.running.replica import Replica
from evals.running.runner import Runner

PASS, FAIL = Status.PASS, Status.FAIL
CASE = make_case(
    tools=TOOLS, expect={"call": {"name": "get_weather", "arguments": {"city": "Oslo"}}}
)


def usage(cached):
    counts = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    return {**counts, "prompt_tokens_details": {"cached_tokens": cached}}


def plain(city, cached):
    message = {"role": "assistant", "content": None, "tool_calls": [weather(city)]}
    return completion(message, "tool_calls", usage=usage(cached))


def weather(city, **more):
    return call("get_weather", json.dumps({"city": city}), id="a", **more)


def streamed(city, cached):
    start = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas = (
        ({"role": "assistant", "tool_calls": [weather(city, index=0)]}, None),
        (
            {},
            "tool_calls",
        ),
    )
    chunks = [
        {**start, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        for delta, reason in deltas
    ]
    chunks.append({**start, "choices": [], "usage": usage(cached)})
    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    return f"{text}data: [DONE]\n\n".encode()


def asked(tmp_path, answers):
    """Records of lanes server and stream, and how many requests it took.

    `answers`: (city, cached tokens) of the plain answers and of the streams, the last for ever.
    """
    left = {name: list(said) for name, said in answers.items()}

    def answer(handler):
        stream = scripted.bodies[-1].get("stream")
        mine = left["stream" if stream else "server"]
        said = mine.pop(0) if len(mine) > 1 else mine[0]
        kind = "text/event-stream" if stream else "application/json"
        respond((streamed if stream else plain)(*said), kind=kind)(handler)

    with serve() as scripted:
        scripted.answer = answer
        (tmp_path / "evals.toml").write_text(
            f'[targets.default]\nurl = "{scripted.server.url}"\nserved_name = "m"\n'
        )
        config = read_config(tmp_path)
        names = ("server", "stream")
        with open_profile("default", config, names, tmp_path, tmp_path, lambda _: None) as opened:
            left.update({name: list(said) for name, said in answers.items()})  # greetings ate some
            scripted.bodies.clear()
            life = Life(opened, timeout=config.timeout, in_flight=2, note=lambda death: None)
            questions = [Question(CASE, name) for name in names]
            runner = Runner(Replica(opened, life), questions, in_flight=2, save=lambda record: None)
            records = {name: runner.record(Question(CASE, name)) for name in names}
            runner.close()
        return records, len(scripted.bodies)


@pytest.mark.parametrize(
    ("plains", "streams", "requests", "status"),
    [
        # Equal at once: nothing is asked again.
        ([("Oslo", 0)], [("Oslo", 5)], 2, PASS),
        # Rome came with another part of the prompt from the cache; with the same one it is Oslo.
        ([("Oslo", 0), ("Oslo", 3), ("Oslo", 8)], [("Rome", 5), ("Rome", 8), ("Oslo", 8)], 6, PASS),
        # With the same cache it is Rome still, and so it counts.
        ([("Oslo", 0), ("Oslo", 8)], [("Rome", 5), ("Rome", 8)], 4, FAIL),
        # A cache that is never the same ends after three rounds.
        ([("Oslo", 1)], [("Rome", 5)], 8, FAIL),
    ],
)  # fmt: skip
def test_what_differs_is_asked_again_from_the_same_prompt_cache(
    tmp_path, plains, streams, requests, status
):
    records, count = asked(tmp_path, {"server": plains, "stream": streams})
    assert records["server"].status == PASS
    assert records["stream"].status == status
    assert records["stream"].asked_alone is (requests > 2)
    assert count == requests
