"""Tables of the experiments, and a run that cannot even begin."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from made_runs import answer_of, called, case_of, write_run

from evals.bench import formats, sweep
from evals.bench.suite import Run, run_suite
from evals.errors import HarnessError
from evals.observation import Observation
from evals.report.comparison import compare
from evals.results import Record

FENCE = '```json\n{"name": "get_message", "arguments": {"id": 9007199254740993}}\n```'


def _run(folder, records) -> Run:
    return Run(folder, write_run(folder, records), tuple(records))


def _answers(right, wrong, lane="server") -> list[Record]:
    """Records of `right` right and `wrong` wrong answers, the same cases in every run."""
    seen = [called()] * right + [called(3, 3)] * wrong
    return [
        answer_of(case_of(f"case-{i}"), replace(observation, lane=lane))
        for i, observation in enumerate(seen)
    ]


@pytest.fixture
def variants(tmp_path):
    runs = {
        "fp16": _run(tmp_path / "a", _answers(20, 0)),
        "5-bit": _run(tmp_path / "b", _answers(18, 2)),
        "3-bit": _run(tmp_path / "c", _answers(2, 18)),
    }
    rows = []
    for (name, run), p in zip(runs.items(), (None, 0.5, 1e-5), strict=True):
        change = compare(runs["fp16"].summary, run.summary).profiles[0] if p else None
        faults = ("<tool_call> cannot win",) if name == "3-bit" else ()
        rows.append(sweep.Variant(name, 84_000_000, 5.5, run.rates(), faults, change, p))
    return rows


def test_the_sweeps_table_says_what_is_significantly_worse(variants):
    head, _, first, second, third, *_ = sweep.table(variants).splitlines()
    assert head.count("|") == first.count("|") == third.count("|")
    assert "| 84 | 5.50 |" in first
    assert "1.000 [0.839, 1.000]" in first
    assert "no significant change: 2 regressed, 0 fixed, p = 0.5" in second
    assert "**worse**: 18 regressed, 0 fixed, p = 1e-05" in third
    assert "<tool_call> cannot win" in third
    assert [v.is_worse for v in variants] == [False, False, True]


def test_the_sweeps_picture_has_every_rate_of_every_variant(variants):
    svg = sweep.picture(variants)
    ElementTree.fromstring(svg)
    for text in ("3-bit: 0.100", "5-bit: 0.900", "fp16: 1.000", "whole case"):
        assert text in svg


def test_the_formats_table_tells_a_format_the_server_does_not_read(tmp_path):
    case = case_of("show").model_copy(update={"path": "cases/discrimination/five_questions.yaml"})
    words = Observation(
        "server", 200, content=FENCE, finish_reason="stop", raw_text=FENCE, token_ids=(1, 2)
    )
    text = formats.table(
        {
            "before": _run(
                tmp_path / "a",
                [
                    answer_of(case, words),
                    answer_of(case, replace(words, lane="direct")),
                    answer_of(case, replace(words, lane="agent"), words),
                ],
            ),
            "after": _run(
                tmp_path / "b",
                [answer_of(case, called(lane=lane)) for lane in ("server", "direct", "agent")],
            ),
        }
    )
    lines = [line for line in text.splitlines()[2:] if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    by_place = {(row[0], row[1]): row[2:] for row in rows}
    assert by_place["before", "direct"][0] == "1/1"
    assert by_place["before", "server"][0] == "0/1"
    assert "format_mismatch" in by_place["before", "server"][-1]
    assert by_place["after", "server"][0] == by_place["after", "agent"][0] == "1/1"
    assert by_place["after", "server"][-1] == "none"


def test_a_run_that_cannot_begin_says_where_its_output_is(tmp_path):
    with pytest.raises(HarnessError, match=r"exit code .*output\.txt"):
        run_suite(tmp_path / "no-model", tmp_path / "run", ["--port", "much"], lambda _: None)
    assert "much" in (tmp_path / "run" / "output.txt").read_text()
