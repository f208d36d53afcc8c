"""The parts of an answer's time: seen, not guessed, and as long together as the whole."""

import time

import pytest
from scripted_server import completion, make_case, respond, serve

from evals.lanes.server import ask as ask_plain
from evals.lanes.stream import ask
from evals.lanes.timing import prompt_done
from evals.observation import Observation

CHUNK = 'data: {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": %s, %s}]}\n\n'
USAGE = '"usage": {"prompt_tokens": 9, "completion_tokens": 4}, "choices": []'
CALL = '{"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}]}'
STEP = 0.05


@pytest.fixture
def scripted():
    with serve() as server:
        yield server


def streamed(*pieces):
    """Answers with a head, then each piece after a pause."""

    def answer(handler):
        time.sleep(STEP)
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        handler.wfile.flush()
        for piece in pieces:
            time.sleep(STEP)
            handler.wfile.write(piece.encode())
            handler.wfile.flush()

    return answer


def text(word):
    return CHUNK % (f'{{"content": "{word}"}}', '"finish_reason": null')


END = (CHUNK % ("{}", '"finish_reason": "stop"')) + f"data: {{{USAGE}}}\n\ndata: [DONE]\n\n"


def parts_fill_the_whole(seen: Observation) -> bool:
    assert seen.timing is not None
    return sum(seen.timing.parts.values()) == pytest.approx(seen.timing.wall, rel=0.03)


def test_a_stream_shows_queue_prompt_and_decoding(scripted):
    scripted.answer = streamed(": keepalive 9/9\n\n", text("a"), text("b"), text("c"), END)
    seen = ask(scripted.server, make_case(), timeout=20)
    timing = seen.timing
    assert parts_fill_the_whole(seen)
    assert timing.queue >= STEP
    assert timing.prompt == pytest.approx(STEP, abs=STEP / 2)
    assert timing.decode >= 4 * STEP
    assert timing.first_token == timing.first_output >= 3 * STEP
    assert timing.decoded == 4
    assert len(timing.gaps) == 2
    assert min(timing.gaps) == pytest.approx(STEP, abs=STEP / 2)


def test_without_the_servers_word_the_prompt_ends_with_the_first_token(scripted):
    scripted.answer = streamed(text("a"), text("b"), END)
    timing = ask(scripted.server, make_case(), timeout=20).timing
    assert timing.queue + timing.prompt == pytest.approx(timing.first_token)
    assert timing.decoded == 3


def test_the_first_token_of_a_call_that_comes_as_a_whole_is_not_seen(scripted):
    call = CHUNK % (CALL, '"finish_reason": null')
    end = END.replace('"stop"', '"tool_calls"')
    scripted.answer = streamed(call, end)
    seen = ask(scripted.server, make_case(), timeout=20)
    assert parts_fill_the_whole(seen)
    assert (seen.timing.first_token, seen.timing.prompt, seen.timing.decode) == (None, None, None)
    assert seen.timing.first_output >= 2 * STEP
    assert seen.timing.response >= STEP


def test_a_plain_response_shows_its_own_time_alone(scripted):
    scripted.answer = respond(completion({"role": "assistant", "content": "Paris."}))
    seen = ask_plain(scripted.server, make_case(), timeout=20)
    assert parts_fill_the_whole(seen)
    assert seen.timing.response == pytest.approx(seen.seconds)
    assert seen.timing.queue is None
    assert Observation.from_dict(seen.to_dict()) == seen


def test_time_for_which_a_busy_server_refused_is_told_apart(scripted):
    whole = respond(completion({"role": "assistant", "content": "Paris."}))

    def busy_once(handler):
        if len(scripted.wire) > 1:
            return whole(handler)
        handler.send_response(503)
        handler.send_header("Retry-After", "0")
        handler.end_headers()
        return None

    scripted.answer = busy_once
    timing = ask_plain(scripted.server, make_case(), timeout=20).timing
    assert timing.retry >= 0.25
    assert timing.response < 0.25


def test_an_answer_that_was_cut_off_has_no_timing(scripted):
    scripted.answer = streamed(text("a"))
    assert ask(scripted.server, make_case(), timeout=20).timing is None
    scripted.answer = respond(b"no", status=500)
    assert ask_plain(scripted.server, make_case(), timeout=20).timing is None


def test_only_the_end_of_the_prompt_is_its_end():
    said = [(0.1, b": keepalive 512/900"), (0.2, b": ping"), (0.3, b": keepalive 900/900")]
    assert prompt_done(said) == 0.3
    assert prompt_done(said[:2]) is None
