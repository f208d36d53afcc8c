"""Reading and writing summaries and baselines: one schema, and clear refusals."""

import json
from dataclasses import asdict, fields, is_dataclass, replace

import pytest
from made_runs import PRINT, RUN, answer_of, called, case_of, write_run

from evals.config import Config
from evals.errors import ConfigError
from evals.judging.scoring import Rate
from evals.parsers.constraint import GrammarCounts
from evals.reference.pages import pages
from evals.reference.tables import attribute_docs
from evals.report import summary as values
from evals.report.comparison import compare
from evals.report.summarize import summarize
from evals.report.summary import Asked, Baseline, Machine, ProfileServed, ShardPart, Summary
from evals.report.summary_file import (
    baseline,
    baseline_text,
    read_fingerprint,
    read_run,
    read_summary,
    write_fingerprint,
    write_summary,
)

VALUES = [
    value
    for value in vars(values).values()
    if is_dataclass(value) and value.__module__ == values.__name__
]
RECORDS = [answer_of(case_of(f"c{i}"), called(got=7 if i else 9007199254740993)) for i in (0, 1)]


def whole_summary():
    """A summary in which no field has its default."""
    run = replace(
        RUN,
        missing=("k",),
        ended="interrupted",
        tier="smoke",
        asked=Asked(
            profiles=("default",), lanes=("server",), repeat=2, temperature=0.7, max_tokens=60
        ),
        shard=ShardPart(part="1/4", suite="s"),
        baseline="/b.json",
        merged=("a (1/4)",),
    )
    print_of = replace(
        PRINT,
        versions={"mlx-lm": "1"},
        machine=Machine(system="Linux", arch="arm64", python="3.12", cores="4 and 8", memory_gib=8),
        profiles={"default": ProfileServed(model="m", grammar=True)},
    )
    again = [replace(record, repeat=1) for record in RECORDS]
    grammar = {"default": GrammarCounts(answers=2, steps=9, masked=1, problems={"held loosely": 1})}
    made = summarize([*RECORDS, *again], Config(), print_of, run, grammar)
    return replace(made, comparison=("a → b",))


def test_what_was_written_is_read_again(tmp_path):
    summary = whole_summary()
    assert summary.profiles["default"].repeats
    assert summary.profiles["default"].violations
    write_summary(summary, tmp_path)
    write_fingerprint(summary.fingerprint, tmp_path)
    assert read_summary(tmp_path) == read_run(tmp_path / "summary.json") == summary
    assert read_fingerprint(tmp_path) == summary.fingerprint


def test_the_keys_are_those_of_the_contract(tmp_path):
    content = json.loads(write_summary(whole_summary(), tmp_path).read_text())
    assert content["schema"] == 1
    asked = {"profiles", "lanes", "repeat", "temperature", "max_tokens"}
    assert set(content["run"]["asked"]) == asked
    profile = content["profiles"]["default"]
    assert profile["cases"]["cases/messages.yaml::c0"] == {"server": "pass"}
    assert set(profile["rates"]["case"]) == {"value", "n", "low", "high", "threshold"}
    assert profile["lanes"]["server"]["scored"] == 4
    assert profile["repeats"]["independent"] is False
    assert profile["grammar"]["problems"] == {"held loosely": 1}


def test_a_summary_of_an_earlier_version_lacks_what_came_later_and_is_read(tmp_path):
    summary = whole_summary()
    content = json.loads(write_summary(summary, tmp_path).read_text())
    for late in ("missing", "ended", "baseline", "shard", "merged", "asked"):
        del content["run"][late]
    del content["comparison"], content["profiles"]["default"]["grammar"]
    content["of a later version"] = {}
    (tmp_path / "summary.json").write_text(json.dumps(content))
    read = read_summary(tmp_path)
    assert (read.run.shard, read.run.missing, read.comparison) == (None, (), None)
    assert read.profiles["default"].rates == summary.profiles["default"].rates


def test_an_accepted_baseline_compares_like_its_run_and_is_no_run(tmp_path):
    summary = write_run(tmp_path / "run", RECORDS)
    path = tmp_path / "baseline.json"
    path.write_text(baseline_text(baseline(summary)))
    accepted = read_run(path)
    assert isinstance(accepted, Baseline)
    assert compare(accepted, summary) == compare(summary, summary)
    with pytest.raises(ConfigError, match="is a baseline, not the summary of a run"):
        read_summary(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no summary of a run"),
        ("[]", "not a summary or baseline of schema 1"),
        ("{}", "not a summary or baseline of schema 1"),
        (json.dumps({"schema": 2, "profiles": {}}), "is of schema 2, .* reads schema 1; run the"),
        (json.dumps({"schema": 1, "profiles": {}, "run": 7}), "not a baseline of schema 1: run"),
        (json.dumps({"schema": 1, "gate": {}}), "not a summary of schema 1: .*, and [0-9]+ more"),
    ],
    ids=["empty", "list", "no schema", "another schema", "run is no mapping", "keys are missing"],
)
def test_what_is_no_summary_is_refused_with_place_and_reason(tmp_path, text, said):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(ConfigError, match=rf"summary\.json: {said}") as refused:
        read_run(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("way", "value"),
    [
        ("run.whole", "yes"),
        ("run.seconds", None),
        ("gate.reasons", "all"),
        ("profiles.default.scored", 1.5),
        ("profiles.default.rates", {}),
        ("profiles.default.rates.case.n", "many"),
    ],
)
def test_a_wrong_value_is_named_by_its_keys(tmp_path, way, value):
    content = asdict(whole_summary())
    *steps, last = way.split(".")
    place = content
    for step in steps:
        place = place[step]
    place[last] = value
    (tmp_path / "summary.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=rf"not a summary of schema 1: {way}: "):
        read_summary(tmp_path)


@pytest.mark.parametrize("of", [*VALUES, Rate, GrammarCounts], ids=lambda of: of.__name__)
def test_every_field_says_what_it_means(of):
    assert of.__dataclass_params__.frozen
    assert set(attribute_docs(of)) >= {field.name for field in fields(of)}


def test_the_page_has_a_section_for_every_value():
    assert {Summary, Baseline} < set(VALUES)
    page = pages()["summary.md"]
    for value in (*VALUES, Rate, GrammarCounts):
        assert f"\n## {value.__name__}\n" in page
