"""The table of texts and engines: what a run's records become, and what came and went."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import case, observation, record

from evals.case import KnownDefect, ReplayScript
from evals.errors import ConfigError
from evals.observation import Usage
from evals.report.conformance import Cell, Column, came_and_went, cell_of, keep, kept
from evals.report.conformance_page import html_page, markdown, terminal_lines
from evals.results import Record, Status

NODE = "cases/regressions/todo.yaml::pending"
PLAYED = case(
    {"answer": {"contains": ["yes"]}},
    replay=ReplayScript(text="yes"),
    known_defects=(KnownDefect(profiles=("known",), reason="x", hurts="y"),),
)


def played(lane: str, content: str = "yes", *, profile: str = "default", **seen: Any) -> Record:
    """The answer to the text "yes", whose ids are `seen` in the plain lane."""
    plain = observation(content=content, **{"raw_text": "yes", **seen})
    if lane == "server":
        return record(PLAYED, plain, profile=profile)
    seen.pop("raw_text", None)
    return record(PLAYED, observation(lane, content=content, **seen), plain, profile=profile)


def test_a_text_is_right_where_every_lane_passes() -> None:
    assert cell_of([played("server"), played("stream")]) == Cell("right")


def test_what_a_grammar_changed_is_told_apart_right_or_not() -> None:
    right = "yes, it is"
    assert cell_of([played(lane, right, raw_text=right) for lane in ("server", "stream")]) == Cell(
        "changed"
    )
    lanes = [played("server", "no", raw_text="no"), played("stream")]
    assert cell_of(lanes) == Cell("changed", 'server: "no" (stop)')


def test_a_known_defect_is_wrong_all_the_same() -> None:
    lanes = [played(lane, "no", profile="known") for lane in ("server", "stream")]
    assert {record.status for record in lanes} == {Status.KNOWN}
    assert cell_of(lanes) == Cell("wrong", '"no" (stop)')


def test_an_error_in_every_lane_is_no_answer_and_in_one_it_is_wrong() -> None:
    error = "HTTP 500: Internal Server Error"
    broken = [played(lane, error=error, raw_text=None) for lane in ("server", "stream")]
    assert cell_of(broken) == Cell("no answer", error)
    assert cell_of([played("server"), broken[1]]) == Cell("wrong", f"stream: {error}")


def test_what_stands_around_an_answer_does_not_count() -> None:
    seen = replace(played("server").observation, usage=Usage(9, 2))
    drifted = record(PLAYED, seen, rendered_prompt_tokens=7)
    assert [verdict.check for verdict in drifted.failed] == ["prompt"]
    assert cell_of([drifted]) == Cell("right")


OLD = Column(
    "vllm", "0.9.0", "token_ids", {NODE: Cell("wrong", "nothing | (stop)"), "a::b": Cell("right")}
)
NEW = Column("vllm", "0.10.0", "token_ids", {NODE: Cell("right"), "a::b": Cell("right")})


def test_what_came_and_went_between_versions() -> None:
    assert came_and_went(OLD, NEW) == [(NODE, OLD.cells[NODE], NEW.cells[NODE])]
    page = markdown([OLD, NEW])
    assert "## vllm: from 0.9.0 to 0.10.0" in page
    assert "* todo::pending: was wrong: <code>nothing &#124; (stop)</code>; is right" in page
    assert "| todo::pending | wrong | right |" in page
    assert next(iter(terminal_lines([NEW]))).endswith("2 right, 0 changed, 0 wrong, 0 no answer")


def test_columns_are_kept_and_a_part_of_them_is_asked_again(tmp_path: Path) -> None:
    keep([NEW, OLD], tmp_path)
    assert kept(tmp_path) == [OLD, NEW]  # by number, not by letter
    keep([replace(OLD, cells={NODE: Cell("right")})], tmp_path)
    assert kept(tmp_path)[0].cells == {NODE: Cell("right"), "a::b": Cell("right")}
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"other\.json: no column of conformance"):
        kept(tmp_path)


def test_pages_show_hostile_text_as_text() -> None:
    bad = Column("a", "1", "none", {"x::y": Cell("wrong", '</code><script>\x1b[31m"')})
    for page in (markdown([bad]), html_page([bad])):
        assert "<script>" not in page
        assert "\x1b" not in page
