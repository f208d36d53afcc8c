"""Tables of the experiments, and a run that cannot even begin."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from made_runs import TOOLS, answer_of, called, case_of, write_run

from evals.bench import formats, sweep
from evals.bench.suite import Run, run_suite
from evals.errors import HarnessError
from evals.observation import Observation
from evals.report.summary import ProfileServed
from evals.results import Record

FENCE = '```json\n{"name": "get_message", "arguments": {"id": 9007199254740993}}\n```'


def _run(folder, records, trained=None) -> Run:
    summary = write_run(folder, records)
    served = {"default": ProfileServed(trained_tools=trained)}
    fingerprint = replace(summary.fingerprint, profiles=served)
    return Run(folder, replace(summary, fingerprint=fingerprint), tuple(records))


def _answers(right, wrong, tools=TOOLS, lane="server") -> list[Record]:
    """Records of `right` right and `wrong` wrong answers, the same cases in every run."""
    seen = [called()] * right + [called(3, 3)] * wrong
    return [
        answer_of(
            case_of(f"{len(tools)}-case-{i}").model_copy(update={"tools": tools}),
            replace(observation, lane=lane),
        )
        for i, observation in enumerate(seen)
    ]


@pytest.fixture
def variants(tmp_path):
    """20 cases with one tool, which the training had, and 20 with another beside it."""
    rows = []
    right = {"fp16": (20, 20), "5-bit": (18, 20), "3-bit": (20, 2)}
    runs = [
        _run(
            tmp_path / name,
            [*_answers(one, 20 - one, TOOLS[:1]), *_answers(two, 20 - two)],
            trained=("get_message",),
        )
        for name, (one, two) in right.items()
    ]
    for name, parts in zip(right, sweep.compared(runs), strict=True):
        faults = ("<tool_call> cannot win",) if name == "3-bit" else ()
        rows.append(sweep.Variant(name, 84_000_000, 5.5, faults, parts))
    return rows


def test_the_sweeps_table_tells_tools_of_the_training_and_others_apart(variants):
    head, _, *lines = sweep.table(variants).split("\n\n")[0].splitlines()
    assert {line.count("|") for line in lines} == {head.count("|")}
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [row[0] for row in cells] == ["fp16", "", "5-bit", "", "3-bit", ""]
    assert {row[4] for row in cells[::2]} == {"tools of its training"}
    assert {row[4] for row in cells[1::2]} == {"tools it never saw"}
    assert [(row[-2], row[-1]) for row in cells] == [
        ("1.000 [0.839, 1.000]", ""),
        ("1.000 [0.839, 1.000]", ""),
        ("0.900 [0.699, 0.972]", "no significant change: 2 regressed, 0 fixed, p = 1"),
        ("1.000 [0.839, 1.000]", "no significant change: 0 regressed, 0 fixed, p = 1"),
        ("1.000 [0.839, 1.000]", "no significant change: 0 regressed, 0 fixed, p = 1"),
        ("0.100 [0.028, 0.301]", "**worse**: 18 regressed, 0 fixed, p = 3.1e-05"),
    ]
    assert cells[0][1:3] == ["84", "5.50"]
    assert "<tool_call> cannot win" in cells[4]


def test_the_sweeps_pictures_have_every_rate_of_every_variant(variants):
    pictures = sweep.pictures(variants)
    assert set(pictures) == {"sweep-trained.svg", "sweep-unseen.svg"}
    for name, point in (("trained", "5-bit: 0.900"), ("unseen", "3-bit: 0.100")):
        svg = pictures[f"sweep-{name}.svg"]
        ElementTree.fromstring(svg)
        for text in (point, "fp16: 1.000", "whole case"):
            assert text in svg


def test_a_model_of_unknown_training_is_one_part(tmp_path):
    (part,), _ = sweep.compared([_run(tmp_path / name, _answers(3, 1)) for name in "ab"])
    assert (part.tools, part.rates["case"].n) == ("all", 4)


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
