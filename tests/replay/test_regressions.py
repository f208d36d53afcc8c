"""Every regression case, played through the stock server: what it gets wrong today is known."""

import dataclasses
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from builders import answer, judge
from mlx_lm import __version__ as mlx_lm_version

from evals.case import Case, KnownDefect, ReplayScript
from evals.config import cache_folder, read_config
from evals.engines.mlx_lm import boot
from evals.engines.registry import MLX_LM
from evals.lanes import server as plain_lane
from evals.lanes import stream as stream_lane
from evals.lanes.replayed import replayed
from evals.lanes.tokens import decoder, load_tokenizer
from evals.loading.casefile import find_case_files, read_cases
from evals.observation import Observation
from evals.replay.copy_model import CopyModel
from evals.replay.prompts import player_of, text_of
from evals.report.findings import Page, findings_page, not_asked
from evals.report.findings_data import findings_of, json_schema, read
from evals.report.history import history_of
from evals.results import Judgement, Layer, Record, Status

ROOT = Path(__file__).parents[2]
CASES = read_cases(find_case_files([ROOT / "cases" / "regressions"]), ROOT)
CONFIG = read_config(ROOT)
PROFILES = sorted(CONFIG.implied - CONFIG.by_name_alone)
HISTORY = history_of(ROOT / "docs" / "versions", "mlx-lm")
PAGE = Page(mlx_lm_version, frozenset(PROFILES), history=HISTORY)
Played = dict[str, dict[str, tuple[Observation, Judgement]]]
PARSER_IS_TO_BLAME = {
    "beyond-double",
    "call-in-thought",
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
    "number-beyond-double-in-list",
    "enum-of-integers",
    "referenced-integer",
    "mistral-call-id",
    "pythonic-end-tag-in-value",
    "glm-white-space",
    "glm-nullable-text",
    "glm-end-tag-in-value",
    "kimi-broken-json",
    "gemma-space-after-comma",
    "gemma-dash-in-key",
    "llama-json",
}
"""Cases whose script is a valid call, which the stock parser loses or changes."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Of each case: its plain and its streamed answer, judged; eight asked at a time."""
    return dict(
        pair
        for profile in PROFILES
        for pair in _play(profile, tmp_path_factory.mktemp(profile) / "server.log")
    )


def _play(
    profile: str, log: Path
) -> Iterator[tuple[str, dict[str, tuple[Observation, Judgement]]]]:
    call_format = CONFIG.profile(profile).call_format
    copying = CopyModel(CONFIG.target(profile).template)
    model = copying.folder(cache_folder())
    decode = decoder(load_tokenizer(model))
    player = player_of(model, cache_folder() / "downloads", copying.distance)
    cases = [case for case in CASES if profile in case.profiles]

    with boot(model, log=log, cache=cache_folder()) as booted:
        server = replayed(booted, MLX_LM, player)

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


def defects(case: Case) -> list[KnownDefect]:
    """The known defects of the stock server, as it is installed here."""
    return [
        defect
        for defect in case.known_defects
        if {*defect.profiles} & {*PROFILES} and defect.in_versions({"mlx-lm": mlx_lm_version})
    ]


def test_every_case_replays_in_one_profile_and_its_defects_say_who_is_hurt() -> None:
    for case in CASES:
        assert case.replay is not None, case.node
        assert len(set(case.profiles) & set(PROFILES)) == 1, case.node
        assert all(defect.hurts for defect in case.known_defects), case.node
    assert sum(bool(defects(case)) for case in CASES) >= 12


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_script_is_played_to_the_letter(case: Case, played: Played) -> None:
    observation, _ = played[case.node]["server"]
    assert case.replay is not None
    if any(defect.no_answer for defect in defects(case)):
        assert observation.error
        return
    text = case.replay.text
    if case.replay.ids is not None:  # of the whole vocabulary; this model's has others
        text = text_of(case.replay.ids, cache_folder() / "downloads")
    assert observation.raw_text == text


@pytest.mark.parametrize("lane", ["server", "stream"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_stock_server_does_what_the_case_says(case: Case, lane: str, played: Played) -> None:
    _, judgement = played[case.node][lane]
    expected = Status.KNOWN if defects(case) else Status.PASS
    assert judgement.status == expected, judgement.verdicts


def test_what_the_parser_does_to_a_sound_call_is_a_violation(played: Played) -> None:
    blamed = {
        case.id
        for case in CASES
        for _, judgement in [played[case.node]["server"]]
        if judgement.cause and judgement.cause.layer == Layer.PARSER
    }
    assert blamed == PARSER_IS_TO_BLAME


@pytest.fixture(scope="module")
def records(played: Played) -> list[Record]:
    """What a run of all replay profiles leaves, as it reads it from its file."""
    written = [
        Record.of(answer(case, observation, profile=name, call_format=format_), judgement)
        for case in CASES
        for name, format_ in [(case.profiles[0], CONFIG.profile(case.profiles[0]).call_format)]
        for observation, judgement in played[case.node].values()
    ]
    return [Record.from_json(record.to_json()) for record in written]


def test_the_findings_page_is_current(records: list[Record]) -> None:
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert findings_page(records, PAGE) == page, (
        "docs/findings.md is not what the stock server does today; run `make eval PROFILES="
        f"{','.join(PROFILES)}`, then `evals export findings`"
    )


def test_the_findings_as_data_are_current(records: list[Record]) -> None:
    kept = read(ROOT / "docs" / "findings.json")
    found = findings_of(records, "mlx_lm", "mlx-lm", mlx_lm_version, HISTORY)
    assert [finding for finding in kept.findings if finding.engine == "mlx_lm"] == found
    schema = (ROOT / "docs" / "findings.schema.json").read_text(encoding="utf-8")
    assert schema == json_schema()
    content = json.loads((ROOT / "docs" / "findings.json").read_text(encoding="utf-8"))
    jsonschema.validate(content, json.loads(schema))


def test_known_defects_of_some_versions_are_those_that_the_releases_show() -> None:
    assert HISTORY is not None
    checked = 0
    for case in (case for case in CASES if case.told_apart_by):
        for release in HISTORY.usable:
            for profile in {*PROFILES} & {name for d in case.known_defects for name in d.profiles}:
                cell = release.cells[f"{case.node}[{profile}]"]
                known = case.defect(profile, "server", {"mlx-lm": release.version})
                assert (cell.outcome != "right") == (known is not None), release.version
                checked += 1
    assert checked == 3 * len(HISTORY.usable)


def test_each_file_with_a_known_defect_is_one_finding(records: list[Record]) -> None:
    page = findings_page(records, PAGE)
    files = {Path(case.path).stem for case in CASES if defects(case)}
    sections = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    assert sections == sorted(files)
    assert len(files) >= 12
    for name in files:
        assert f"[{name}](#{name}): " in page
        assert f'ARGS="-k {name} -v"' in page


def test_a_case_that_a_run_did_not_ask_is_told(records: list[Record]) -> None:
    assert not not_asked(CASES, records, PROFILES)
    left = [record for record in records if "mlx-lm-607" not in record.case.path]
    assert [case.id for case in not_asked(CASES, left, PROFILES)] == ["glm-form"]


def test_a_page_shows_hostile_text_as_text(records: list[Record]) -> None:
    record = next(record for record in records if record.case.id == "fence-in-tags")
    script = ReplayScript(text="```\n# no heading\n\x1b[31m````")
    case = record.case.model_copy(update={"replay": script})
    page = findings_page([dataclasses.replace(record, case=case)], PAGE)
    assert "`````text\n```\n# no heading\n\\x1b[31m````\n`````\n" in page
