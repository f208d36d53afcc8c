"""Where a text is split, and what else is in the batch, changes nothing.

A text is played in the tokens that the vocabulary has for it, and in others that spell the same.
"""

import itertools
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from builders import judge
from canitoolcall.fixtures import Fixture, load_fixtures
from in_process import Setting, essence, respond

from evals.case import Case, ReplayScript
from evals.engines.server import Server
from evals.lanes import server as plain_lane
from evals.lanes import stream as stream_lane
from evals.lanes.tokens import Decode, decoder, load_tokenizer
from evals.loading.casefile import find_case_files, read_cases
from evals.observation import Observation
from evals.parsers.adaptive_xml import AdaptiveXmlParser, declared_tools
from evals.parsers.events import ParserEvent, merged
from evals.results import Status

ROOT = Path(__file__).parents[2]
CASES = {
    case.id: case
    for case in read_cases(find_case_files([ROOT / "cases" / "regressions"]), ROOT)
    if "replay" in case.profiles and case.replay and case.replay.text
}
SAMPLE = [
    "todoread-canonical",
    "todoread-one-line",
    "todoread-unclosed-tag",
    "todoread-text-before",
    "write-canonical",
    "write-one-line",
    "two-wrappers",
    "two-functions",
    "tool-call-closer-in-value",
    "parameter-closer-in-value",
    "indented-text",
    "entities-and-escapes",
    "call-after-thought",
    "closer-only",
    "bracket-inside",
    "ends-with-bracket",
]
RECORDED = [
    fixture
    for fixture in load_fixtures(families=["qwen3-xml", "qwen3-hermes"])
    if fixture.provenance.license in ("Apache-2.0", "MIT")
]
PARSERS = {"qwen3-xml": Setting("qwen3_coder"), "qwen3-hermes": Setting("json_tools")}


def pieces_of(text: str, chance: random.Random) -> list[str]:
    """The text cut at random places, one in about five characters."""
    places = sorted(chance.sample(range(len(text)), len(text) // 5)) if text else []
    bounds = [0, *places, len(text)]
    return [text[i:j] for i, j in itertools.pairwise(bounds) if i < j]


# --- in process ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fixture", RECORDED, ids=lambda fixture: fixture.id)
def test_every_split_in_two_gives_the_same_events(fixture: Fixture) -> None:
    tools, text = declared_tools(fixture.tools), fixture.raw_output

    def read(*pieces: str) -> list[ParserEvent]:
        parser = AdaptiveXmlParser(tools)
        events = [event for piece in pieces for event in parser.feed(piece)]
        return merged([*events, *parser.finish()])

    whole = read(text)
    for place in range(1, len(text)):
        assert read(text[:place], text[place:]) == whole, text[:place]


@pytest.mark.parametrize("fixture", RECORDED, ids=lambda fixture: fixture.id)
def test_random_pieces_give_the_same_response_of_the_servers_code(fixture: Fixture) -> None:
    chance, setting, text = random.Random(fixture.id), PARSERS[fixture.family], fixture.raw_output
    whole = essence(respond([text], fixture.tools, setting))
    for stream in (False, True):
        for _ in range(4):
            pieces = pieces_of(text, chance)
            assert essence(respond(pieces, fixture.tools, setting, stream=stream)) == whole, pieces


# --- over HTTP -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer(replay_model: Path) -> Any:
    return load_tokenizer(replay_model)


@pytest.fixture(scope="module")
def decode(tokenizer: Any) -> Decode:
    return decoder(tokenizer)


def retold(case: Case, tokenizer: Any, seed: int) -> Case:
    """The case, its script's text in other tokens: that of pieces of it, cut at random places."""
    assert case.replay is not None
    text = case.replay.text or ""
    pieces = pieces_of(text, random.Random(f"{case.id} {seed}"))
    ids = [i for piece in pieces for i in tokenizer.encode(piece, add_special_tokens=False)]
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    return case.model_copy(update={"replay": ReplayScript(ids=tuple(ids))})


Ask = Callable[[Case, bool], Observation]


@pytest.fixture(scope="module")
def ask(replay_server: Server, decode: Decode) -> Ask:
    def send(case: Case, stream: bool) -> Observation:
        if stream:
            return stream_lane.ask(replay_server, case, timeout=60)
        return plain_lane.ask(replay_server, case, timeout=60, decode=decode)

    return send


@pytest.fixture(scope="module")
def alone(ask: Ask) -> dict[str, Observation]:
    """The plain answer to each case of the sample, in the usual tokens, one after the other."""
    return {name: ask(CASES[name], False) for name in SAMPLE}


@pytest.fixture(scope="module")
def together(ask: Ask, tokenizer: Any) -> dict[str, list[Observation]]:
    """Each case's answers in other tokens, plain and streamed, eight at a time."""
    asked = [
        (name, retold(CASES[name], tokenizer, seed), stream)
        for seed in range(2)
        for name in SAMPLE
        for stream in (False, True)
    ]
    answers: dict[str, list[Observation]] = {name: [] for name in SAMPLE}
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda question: ask(*question[1:]), asked)
        for (name, _, _), seen in zip(asked, found, strict=True):
            answers[name].append(seen)
    return answers


@pytest.mark.parametrize("name", SAMPLE)
def test_other_tokens_among_seven_others_give_the_same_answer(
    name: str, alone: dict[str, Observation], together: dict[str, list[Observation]]
) -> None:
    assert len(together[name]) == 4
    for seen in together[name]:
        assert essence(seen) == essence(alone[name])
        assert seen.raw_text in (None, alone[name].raw_text)


@pytest.mark.parametrize("name", SAMPLE)
def test_other_tokens_alone_give_the_same_answer(
    name: str, ask: Ask, alone: dict[str, Observation], tokenizer: Any
) -> None:
    other = retold(CASES[name], tokenizer, 99)
    assert other.replay != CASES[name].replay
    for stream in (False, True):
        assert essence(ask(other, stream)) == essence(alone[name])


TODOREAD = read_cases([ROOT / "cases/regressions/todoread-end-tag-in-name.yaml"], ROOT)


@pytest.mark.parametrize("clients", [1, 8])
def test_todoread_is_exact_in_all_its_forms(clients: int, ask: Ask) -> None:
    def statuses(case: Case) -> list[Status]:
        plain, stream = ask(case, False), ask(case, True)
        return [judge(case, plain).status, judge(case, stream, plain=plain).status]

    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(statuses, TODOREAD))
    assert found == [[Status.PASS, Status.PASS]] * len(TODOREAD)
