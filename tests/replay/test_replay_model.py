import base64
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import builders
import pytest

from evals.case import Case, ReplayScript
from evals.config import cache_folder
from evals.engines.mlx_lm import boot
from evals.engines.server import Server, exchange
from evals.lanes import server as plain_lane
from evals.lanes import stream as stream_lane
from evals.lanes.tokens import Decode, decoder, load_tokenizer, render
from evals.observation import Observation
from evals.replay.build import ARGUMENTS, cached_replay, templates
from evals.replay.model import MARKER, NO_SCRIPT, read_script
from evals.request import build_request, embed

END = 151645
CANONICAL = "<tool_call>\n<function=todoread>\n</function>\n</tool_call>"
ONE_LINE = "<tool_call><function=todoread></function></tool_call>"


def text(words: str, **changes: Any) -> Case:
    return builders.played(ReplayScript(text=words), **changes)


@pytest.fixture(scope="module")
def decode(replay_model: Path) -> Decode:
    return decoder(load_tokenizer(replay_model))


@pytest.fixture
def ask(replay_server: Server, decode: Decode) -> Callable[[Case], Observation]:
    return lambda case: plain_lane.ask(replay_server, case, timeout=60, decode=decode)


# --- what is played ------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [CANONICAL, ONE_LINE])
def test_a_zero_parameter_call_plays_plain_and_streamed(
    words: str, ask: Callable[[Case], Observation], replay_server: Server
) -> None:
    plain = ask(text(words))
    assert plain.raw_text == words
    stream = stream_lane.ask(replay_server, text(words), timeout=60)
    for observation in (plain, stream):
        assert observation.error is None
        assert [(c.name, c.arguments) for c in observation.calls] == [("todoread", "{}")]
        assert observation.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "ids",
    [
        (151657, 27, 1688, 24000, 67465, 329, 1472, 1688, 29, 151658),
        # The same text in other tokens: "></" in three.
        (151657, 27, 1688, 24000, 67465, 329, 29, 27, 14, 1688, 29, 151658),
        (0,),
        (151935,),
    ],
)
def test_ids_play_exactly_and_end(ids: tuple[int, ...], ask: Callable[[Case], Observation]) -> None:
    assert ask(builders.played(ReplayScript(ids=ids))).token_ids == (*ids, END)


@pytest.mark.parametrize(
    "words", ["", "é and e\u0301 are two spellings", "日本語 🙂", " two  spaces ", "[[replay64:]]"]
)
def test_any_text_plays_as_it_is_written(words: str, ask: Callable[[Case], Observation]) -> None:
    assert ask(text(words)).raw_text == words


def test_temperature_does_not_change_a_script(ask: Callable[[Case], Observation]) -> None:
    assert ask(text(CANONICAL, temperature=1.0)).raw_text == CANONICAL


def test_max_tokens_cuts_a_script(ask: Callable[[Case], Observation]) -> None:
    observation = ask(text("one two three four five", max_tokens=3))
    assert observation.raw_text == "one two three"
    assert observation.finish_reason == "length"


def test_without_a_script_the_model_says_so(ask: Callable[[Case], Observation]) -> None:
    assert ask(builders.played()).content == NO_SCRIPT


@pytest.mark.parametrize(
    "data", [b"not JSON", b"[]", b"{}", b'{"ids": [-1]}', b'{"ids": [151936]}', b'{"ids": ["1"]}']
)
def test_a_script_that_cannot_be_read_ends_no_server(
    data: bytes, ask: Callable[[Case], Observation]
) -> None:
    marker = f"[[replay64:{base64.urlsafe_b64encode(data).decode()}]]"
    observation = ask(builders.played(messages=[{"role": "user", "content": marker}]))
    assert (observation.content or "").startswith("The replay script cannot be read")
    assert ask(text("still there")).content == "still there"


# --- many at a time, and one after another -------------------------------------------------------


def test_eight_at_once_get_each_their_own_script(replay_server: Server, decode: Decode) -> None:
    """Prompts and scripts of many lengths, so that rows are padded, join and leave the batch."""
    cases = [
        text(
            f"answer {number}: " + f"word{number} " * (3 + 7 * number),
            messages=[{"role": "user", "content": f"Question {number}. " + "More. " * 40 * number}],
        )
        for number in range(8)
    ] * 4

    def ask_one(numbered: tuple[int, Case]) -> str | None:
        number, case = numbered
        if number % 3 == 0:
            return stream_lane.ask(replay_server, case, timeout=60).content
        return plain_lane.ask(replay_server, case, timeout=60, decode=decode).raw_text

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask_one, enumerate(cases)))
    expected = [case.replay.text for case in cases if case.replay]
    assert [(a or "").rstrip() for a in answers] == [(e or "").rstrip() for e in expected]


def test_a_prompt_from_the_cache_plays_its_own_script(ask: Callable[[Case], Observation]) -> None:
    messages = [{"role": "user", "content": "A long beginning that both prompts share. " * 20}]
    first = ask(text("the first", messages=messages))
    second = ask(text("another second", messages=messages))
    again = ask(text("the first", messages=messages))
    contents = [observation.content for observation in (first, second, again)]
    assert contents == ["the first", "another second", "the first"]
    assert second.usage is not None
    assert second.usage.cached > 100
    assert again.usage is not None
    assert again.usage.cached > second.usage.cached


def test_delay_is_waited_before_each_token(ask: Callable[[Case], Observation]) -> None:
    script = ReplayScript(ids=tuple(range(10)), delay=0.05)
    start = time.monotonic()
    assert ask(builders.played(script)).token_ids == (*range(10), END)
    assert 0.5 <= time.monotonic() - start < 5


def test_a_tool_result_carries_the_next_script(ask: Callable[[Case], Observation]) -> None:
    first = ask(text(CANONICAL))
    call = first.calls[0]
    result = f"nothing {embed(ReplayScript(text='There is nothing to do.'))}"
    turn = {
        "role": "assistant",
        "content": first.content,
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
        ],
    }
    asked = build_request(text(CANONICAL))["messages"]
    messages = [*asked, turn, {"role": "tool", "tool_call_id": call.id, "content": result}]
    second = ask(builders.played(messages=messages))
    assert second.content == "There is nothing to do."
    assert second.finish_reason == "stop"


def test_a_fault_ends_the_generation_of_the_server(replay_model: Path, tmp_path: Path) -> None:
    with boot(
        replay_model, log=tmp_path / "log", cache=cache_folder(), arguments=ARGUMENTS
    ) as server:
        case = builders.played(ReplayScript(text="one two three", fail_at=2))
        assert plain_lane.ask(server, case, timeout=30).error
        assert "the replay script fails at token 2, as it says" in server.log_slice(0)
        assert exchange(server.url.removesuffix("/v1"), "/health", 10)[0] == 503


# --- around the server ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "parser"), [("qwen3-coder", "qwen3_coder"), ("hermes", "json_tools")]
)
def test_each_template_makes_the_server_infer_its_parser(template: str, parser: str) -> None:
    tokenizer = load_tokenizer(cached_replay(cache_folder(), template=template))
    assert tokenizer.init_kwargs["tool_parser_type"] == parser


def test_a_parser_can_be_named() -> None:
    tokenizer = load_tokenizer(cached_replay(cache_folder(), parser="glm47"))
    assert tokenizer.init_kwargs["tool_parser_type"] == "glm47"


def test_the_prompt_has_as_many_tokens_as_the_server_says(
    replay_model: Path, ask: Callable[[Case], Observation]
) -> None:
    usage = ask(text(CANONICAL)).usage
    assert usage is not None
    tokens = render(load_tokenizer(replay_model), build_request(text(CANONICAL)))
    assert usage.prompt == len(tokens)


@pytest.mark.parametrize("template", templates())
def test_a_prompt_can_end_inside_a_thought(template: str) -> None:
    tokenizer = load_tokenizer(cached_replay(cache_folder(), template=template))
    request = {
        **build_request(text("so")),
        "chat_template_kwargs": {"generation_prompt": "<|im_start|>assistant\n<think>\n"},
    }
    assert tokenizer.decode(render(tokenizer, request)[-3:]) == "<think>\n<|fim_middle|>"


def test_the_last_marker_counts_and_other_text_is_none() -> None:
    def encode(words: str) -> list[int]:
        return list(words.encode())

    first, second = (embed(ReplayScript(text=words)) for words in ("one", "two"))
    assert read_script(f"{first} and {second} and [[replay64]]", encode, 256).ids == tuple(b"two")


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([{"role": "user", "content": "a"}], 0),
        ([{"role": "system", "content": "s"}, {"role": "user", "content": "a"}], 1),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], 0),
        ([{"role": "system", "content": "s"}], 0),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}]}], 0),
    ],
)
def test_a_case_carries_its_script_in_the_last_message_of_the_user(
    messages: Sequence[dict[str, Any]], place: int
) -> None:
    script = ReplayScript(ids=(1, 2), delay=0.5, fail_at=1)
    case = builders.played(script, messages=messages)
    request = build_request(case)
    found = [MARKER.findall(json.dumps(message)) for message in request["messages"]]
    assert [len(markers) for markers in found] == [int(i == place) for i in range(len(messages))]
    data = json.loads(base64.urlsafe_b64decode(found[place][0]))
    assert data == {"ids": [1, 2], "delay": 0.5, "fail_at": 1}
    assert case.messages == builders.played(messages=messages).messages
