"""Scorecards: each profile of each run with what it is worth, and how to ask it again."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from made_runs import answer_of, called, case_of, write_run
from typer.testing import CliRunner

from evals.cli import app
from evals.report.scorecard import badge, cards, notes, page
from evals.report.summary import Machine, ProfileServed
from evals.report.summary_file import read_summary

SERVED = {"default": ProfileServed(model="m<b>", quantization="5-bit", engine="mlx_lm")}


@pytest.fixture
def runs(tmp_path):
    right = [answer_of(case_of(f"c{i}"), called()) for i in range(3)]
    wrong = [*right[:2], answer_of(case_of("c2"), called(1, wrote=1))]
    machine = Machine(system="Darwin", device="gpu: Apple M1")
    write_run(tmp_path / "one", right, profiles=("default",), machine=machine)
    write_run(tmp_path / "Two Ü", wrong, profiles=("default",), versions={"mlx-lm": "0.32.2"})
    return tmp_path / "one", tmp_path / "Two Ü"


def test_the_command_writes_page_json_and_badges(runs, tmp_path):
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["scorecard", *map(str, runs), "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert {path.name for path in out.iterdir()} == {
        "scorecard.html",
        "scorecard.json",
        "badge-one-default.json",
        "badge-two--default.json",
    }
    value = json.loads((out / "scorecard.json").read_text())
    one, two = value["cards"]
    assert one["rates"]["case"]["value"] == 1.0
    assert (two["rates"]["case"]["n"], two["versions"]) == (3, {"mlx-lm": "0.32.2"})
    assert one["machine"] == {"system": "Darwin", "device": "gpu: Apple M1"}
    assert one["repeat_it"] == "evals run --profiles default"
    assert value["notes"] == []
    shown = json.loads((out / "badge-one-default.json").read_text())
    assert shown["message"] == "1.000 [0.439, 1.000] n=3"


def test_runs_of_other_suites_stand_side_by_side_with_a_note(runs):
    one, two = map(read_summary, runs)
    other = replace(two, fingerprint=replace(two.fingerprint, suite="another", profiles=SERVED))
    found = cards([one, other])
    assert notes(found) == ["The runs differ in suite: their figures do not mean the same."]
    text = page(found)
    HTMLParser().feed(text)
    assert "do not mean the same" in text
    assert "m&lt;b&gt;, 5-bit" in text
    assert "<b>" not in text


def test_a_badge_is_green_for_a_gate_that_passed_alone(runs):
    summary = read_summary(runs[0])
    (card,) = cards([summary])
    assert badge(card)["color"] == "brightgreen"
    assert badge(replace(card, gate="FAILED"))["color"] == "red"
    assert badge(replace(card, gate="not judged (a part)"))["color"] == "lightgrey"
    empty = replace(card, rates={**card.rates, "case": replace(card.rates["case"], value=None)})
    assert badge(empty)["message"] == "no case scored"


def test_what_was_asked_is_in_the_command_that_repeats_it(runs):
    summary = read_summary(runs[0])
    asked = replace(summary.run.asked, lanes=("server", "stream"), repeat=3, temperature=0.7)
    run = replace(summary.run, asked=asked, tier="smoke")
    (card,) = cards([replace(summary, run=run)])
    assert card.repeat_it == (
        "evals run --profiles default --lanes server,stream --repeat 3 --temperature 0.7 "
        "--tier smoke"
    )


def test_a_folder_without_a_run_is_named(tmp_path):
    done = CliRunner().invoke(app, ["scorecard", str(tmp_path)])
    assert done.exit_code == 1
    assert "no summary of a run" in done.output
