"""Comparing runs: flips, chance, and what is not comparable."""

import json

import pytest

from evals.errors import ConfigError
from evals.report.comparison import (
    baseline,
    compare,
    compare_profiles,
    comparison_lines,
    read_run,
)


def run(outcomes, suite="s", graders="g", flaky=(), run_id="r"):
    cases = {f"c::{i}": {"server": outcome} for i, outcome in enumerate(outcomes)}
    return {
        "schema": 1,
        "run": {"id": run_id},
        "fingerprint": {"suite": suite, "graders": graders, "profiles": {"p": {"weights": run_id}}},
        "profiles": {"p": {"rates": {}, "cases": cases, "repeats": {"flaky": list(flaky)}}},
    }


def test_a_run_is_no_regression_of_itself():
    result = compare(run(["pass", "fail"] * 20), run(["pass", "fail"] * 20))
    assert result.regressions == ()
    assert result.profiles[0].p_value == 1.0


@pytest.mark.parametrize(("broken", "significant"), [(5, False), (6, True)])
def test_six_cases_that_only_break_are_a_regression_and_five_are_chance(broken, significant):
    before, after = run(["pass"] * 50), run(["fail"] * broken + ["pass"] * (50 - broken))
    result = compare(before, after)
    assert bool(result.regressions) is significant
    assert len(result.profiles[0].newly_failing) == broken
    assert not compare(after, before).regressions


def test_errors_known_defects_and_flaky_cases_are_not_counted():
    before = run(["pass"] * 10)
    after = run(["error", "known", "fail"] + ["pass"] * 7, flaky=["c::2[server]"])
    profile = compare(before, after).profiles[0]
    assert profile.newly_failing == ()
    assert profile.unscored == ("c::0", "c::1")
    assert profile.flaky == ("c::2",)
    assert profile.pairs == 7


def test_one_failing_lane_fails_the_case():
    before, after = run(["pass"] * 8), run(["pass"] * 8)
    after["profiles"]["p"]["cases"]["c::0"] = {"server": "pass", "stream": "fail"}
    assert compare(before, after).profiles[0].newly_failing == ("c::0",)


def profiles_of(**outcomes):
    """A run of several profiles, the first of which has known defects."""
    sides = {name: run(of)["profiles"]["p"] for name, of in outcomes.items()}
    return {**run([]), "profiles": sides}


def test_profiles_of_a_run_are_compared_with_the_first_on_the_cases_of_both():
    known = ["known"] * 3 + ["fail"] * 10 + ["pass"] * 10
    better, same = ["pass"] * 23, ["fail"] * 13 + ["pass"] * 10
    first, (b, s) = compare_profiles(profiles_of(a=known, b=better, s=same))
    assert first == "a"
    assert (b.name, len(b.fixed), len(b.newly_failing), b.pairs) == ("b", 10, 0, 20)
    assert b.adjusted == pytest.approx(2 * b.p_value)  # Holm, over the two
    assert b.adjusted < 0.05
    assert (s.name, s.fixed, s.newly_failing, s.pairs) == ("s", (), (), 20)


def test_profiles_without_a_scored_case_of_the_first_are_left_out():
    replay = run([])["profiles"]["p"]
    replay["cases"] = {"other::1": {"server": "pass"}}
    told = profiles_of(a=["pass", "known"], b=["error", "pass"])
    told["profiles"]["replay"] = replay
    assert compare_profiles(told) == ("a", ())


@pytest.mark.parametrize("key", ["suite", "graders"])
def test_unlike_runs_are_refused_unless_asked_for(key):
    before, after = run(["pass"]), run(["pass"], **{key: "other"})
    with pytest.raises(ConfigError, match=key):
        compare(before, after)
    assert f"different {key}" in compare(before, after, unlike=True).notes


def test_new_and_removed_cases_and_changed_weights_are_named():
    before, after = run(["pass"] * 2, run_id="a"), run(["pass"] * 3, run_id="b")
    lines = list(comparison_lines(compare(before, after)))
    assert "  new: c::2" in lines
    assert "note: p: weights: a → b" in lines


def test_an_accepted_baseline_compares_like_its_run(tmp_path):
    after = run(["pass", "fail"])
    path = tmp_path / "baseline.json"
    path.write_text(baseline(after))
    assert compare(read_run(path), after).profiles[0].pairs == 2


@pytest.mark.parametrize("text", ["", "{}", json.dumps({"schema": 2, "profiles": {}})])
def test_what_is_no_summary_is_refused(tmp_path, text):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(ConfigError, match=r"summary\.json"):
        read_run(tmp_path)
