"""Every regression case, played through the stock server: what it gets wrong today is known."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from evals.case import Case
from evals.casefile import find_case_files, read_cases
from evals.config import cache_folder
from evals.diagnosis import Judgement, judge
from evals.lanes import server as plain_lane
from evals.lanes import stream as stream_lane
from evals.lanes.tokens import decoder, load_tokenizer
from evals.observation import Observation
from evals.replay.build import ARGUMENTS, cached_replay
from evals.results import Layer, Status
from evals.servers.mlx_lm import boot

ROOT = Path(__file__).parents[2]
CASES = read_cases(find_case_files([ROOT / "cases" / "regressions"]), ROOT)
FORMATS = {
    "replay": ("qwen3-coder", "qwen3-coder-xml"),
    "replay-hermes": ("hermes", "hermes-json"),
}
Played = dict[str, dict[str, tuple[Observation, Judgement]]]
PARSER_IS_TO_BLAME = {
    "beyond-double",
    "space-before",
    "tool-call-closer-in-value",
    "parameter-closer-in-value",
    "digits",
    "any-of-integer",
    "any-of-boolean",
    "any-of-string-like-json",
    "null-lower",
    "null-upper",
    "trailing-space",
    "two-line-ends",
    "two-functions",
    "parameters-beside-none",
    "arguments-as-text",
    "closing-tag-in-value",
}
"""Cases whose script is a sound call, which the stock parser loses or changes."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Of each case: its plain and its streamed answer, judged; eight asked at a time."""
    return dict(
        pair
        for profile in FORMATS
        for pair in _play(profile, tmp_path_factory.mktemp(profile) / "server.log")
    )


def _play(
    profile: str, log: Path
) -> Iterator[tuple[str, dict[str, tuple[Observation, Judgement]]]]:
    template, call_format = FORMATS[profile]
    model = cached_replay(cache_folder(), template=template)
    decode = decoder(load_tokenizer(model))
    cases = [case for case in CASES if profile in case.profiles]

    with boot(model, log=log, cache=cache_folder(), arguments=ARGUMENTS) as server:

        def ask(case: Case) -> dict[str, tuple[Observation, Judgement]]:
            plain = plain_lane.ask(server, case, timeout=60, decode=decode)
            stream = stream_lane.ask(server, case, timeout=60)
            told: dict[str, Any] = {"profile": profile, "call_format": call_format}
            return {
                "server": (plain, judge(case, plain, **told)),
                "stream": (stream, judge(case, stream, plain=plain, **told)),
            }

        with ThreadPoolExecutor(8) as pool:
            yield from zip([case.node for case in cases], pool.map(ask, cases), strict=True)


def test_every_case_replays_and_belongs_to_one_replay_profile() -> None:
    for case in CASES:
        assert case.replay is not None, case.node
        assert len(set(case.profiles) & set(FORMATS)) == 1, case.node
    assert sum(bool(case.known_defects) for case in CASES) >= 12


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_script_is_played_to_the_letter(case: Case, played: Played) -> None:
    observation, _ = played[case.node]["server"]
    assert case.replay is not None
    if case.replay.ids is not None:
        assert (observation.token_ids or ())[:-1] == case.replay.ids
    else:
        assert observation.raw_text == case.replay.text


@pytest.mark.parametrize("lane", ["server", "stream"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_stock_server_does_what_the_case_says(case: Case, lane: str, played: Played) -> None:
    _, judgement = played[case.node][lane]
    expected = Status.KNOWN if case.known_defects else Status.PASS
    assert judgement.status == expected, judgement.verdicts


def test_what_the_parser_does_to_a_sound_call_is_a_violation(played: Played) -> None:
    blamed = {
        case.id
        for case in CASES
        for _, judgement in [played[case.node]["server"]]
        if judgement.cause and judgement.cause.layer == Layer.PARSER
    }
    assert blamed == PARSER_IS_TO_BLAME
