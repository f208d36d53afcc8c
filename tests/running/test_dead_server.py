"""A dead or lying server can not pass: not one answer counts, and no rate moves."""

import json

import builders
import pytest
from made_runs import PRINT, RUN
from scripted_server import completion, make_case, respond, serve

from evals.config import Config
from evals.lanes import server, stream
from evals.report.summarize import summarize
from evals.results import Status


def close(handler):
    handler.close_connection = True
    handler.connection.close()


def events(*data):
    lines = "".join(
        f"data: {item if isinstance(item, str) else json.dumps(item)}\n\n" for item in data
    )
    return respond(lines.encode())


CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
COUNTS = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def delta(finish_reason=None, **message):
    return {**CHUNK, "choices": [{"index": 0, "delta": message, "finish_reason": finish_reason}]}


FAULTS = {
    "status 500": (respond(b"oops", status=500), respond(b"oops", status=500), Status.ERROR),
    "closed": (close, close, Status.ERROR),
    "empty 200": (respond(b""), respond(b""), Status.ERROR),
    "cut in the middle": (
        respond(b'{"choices": [', length=500),
        events(delta(content="Par")),
        Status.ERROR,
    ),
    "calls announced, none sent": (
        respond(completion({"role": "assistant", "content": None}, "tool_calls")),
        events(delta(role="assistant"), delta("tool_calls"), "[DONE]"),
        Status.FAIL,
    ),
}
GOOD = (
    respond(completion({"role": "assistant", "content": "Paris."})),
    events(
        delta(content="Paris."), delta("stop"), {**CHUNK, "choices": [], "usage": COUNTS}, "[DONE]"
    ),
)


def ask(scripted, lane, answer):
    scripted.answer = answer
    case = make_case()
    return builders.record(case, lane.ask(scripted.server, case, timeout=5))


@pytest.mark.parametrize("lane", [server, stream], ids=["server", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_answer_never_passes_and_moves_no_rate(lane, fault):
    plain, streamed, status = FAULTS[fault]
    index = 0 if lane is server else 1
    with serve() as scripted:
        good = ask(scripted, lane, GOOD[index])
        bad = ask(scripted, lane, plain if lane is server else streamed)
    assert good.status == Status.PASS
    assert bad.status == status
    alone = summarize([good], Config(), PRINT, RUN)
    both = summarize([good, bad], Config(), PRINT, RUN)
    rates = [s.profiles["default"].rates for s in (alone, both)]
    assert rates[0] == rates[1]
    assert alone.gate.passed
    assert not both.gate.passed
