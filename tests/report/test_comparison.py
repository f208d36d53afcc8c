"""Comparing runs: flips, chance, and what is not comparable."""

from dataclasses import replace

import pytest
from made_runs import PRINT, figures_of, summary_with

from evals.errors import ConfigError
from evals.report.comparison import compare, compare_profiles, comparison_lines
from evals.report.summary import Asked, ProfileServed


def figures(outcomes, flaky=()):
    return figures_of({f"c::{i}": {"server": o} for i, o in enumerate(outcomes)}, flaky)


def run(outcomes, suite="s", graders="g", flaky=(), run_id="r"):
    served = {"p": ProfileServed(weights=run_id)}
    print_of = replace(PRINT, suite=suite, graders=graders, profiles=served)
    made = summary_with({"p": figures(outcomes, flaky)}, print_of)
    return replace(made, run=replace(made.run, id=run_id))


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
    lanes = {f"c::{i}": {"server": "pass"} for i in range(8)}
    lanes["c::0"] = {"server": "pass", "stream": "fail"}
    after = replace(run([]), profiles={"p": figures_of(lanes)})
    assert compare(run(["pass"] * 8), after).profiles[0].newly_failing == ("c::0",)


def profiles_of(**outcomes):
    """A run of several profiles, the first of which has known defects."""
    return replace(run([]), profiles={name: figures(of) for name, of in outcomes.items()})


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
    told = profiles_of(a=["pass", "known"], b=["error", "pass"])
    replay = figures_of({"other::1": {"server": "pass"}})
    told = replace(told, profiles={**told.profiles, "replay": replay})
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


def known_cases(digests, outcomes, asked=None, **changes):
    """A run that tells the digest of each of its cases."""
    lanes = {name: {"server": outcome} for name, outcome in outcomes.items()}
    made = summary_with({"p": figures_of(lanes)}, replace(PRINT, cases=digests, **changes))
    return replace(made, run=replace(made.run, asked=asked or made.run.asked))


def test_a_renamed_an_added_and_a_removed_case_do_not_void_a_comparison():
    names = [f"c::{i}" for i in range(12)]
    before = known_cases(
        {**{n: n for n in names}, "c::old": "r", "c::gone": "g", "c::edit": "1"},
        {**dict.fromkeys(names, "pass"), "c::old": "pass", "c::gone": "pass", "c::edit": "pass"},
        suite="before",
    )
    after = known_cases(
        {**{n: n for n in names}, "d::new": "r", "c::more": "m", "c::edit": "2"},
        {**dict.fromkeys(names, "pass"), "d::new": "fail", "c::more": "fail", "c::edit": "fail"},
        suite="after",
    )
    result = compare(before, after)
    [profile] = result.profiles
    assert (profile.pairs, profile.newly_failing) == (13, ("d::new",))
    assert (profile.new, profile.removed) == (("c::more",), ("c::gone",))
    assert "renamed: c::old → d::new" in result.notes
    assert "changed, not compared: c::edit" in result.notes


def test_two_cases_that_changed_places_are_compared_by_what_they_say():
    before = known_cases({"c::a": "1", "c::b": "2"}, {"c::a": "pass", "c::b": "fail"})
    after = known_cases({"c::a": "2", "c::b": "1"}, {"c::a": "fail", "c::b": "pass"})
    [profile] = compare(before, after).profiles
    assert (profile.pairs, profile.newly_failing, profile.fixed) == (2, (), ())


def test_what_differs_is_named_which_option_and_which_grader():
    cases, passed = {"c::a": "1"}, {"c::a": "pass"}
    before = known_cases(cases, passed, Asked(max_tokens=256), grader_parts={"judging": "1"})
    after = known_cases(cases, passed, Asked(max_tokens=64), grader_parts={"judging": "1"})
    assert "option max_tokens: 256 → 64" in compare(before, after).notes
    other = known_cases(cases, passed, grader_parts={"judging": "2"}, graders="other")
    with pytest.raises(ConfigError, match=r"differ in graders \(judging\)"):
        compare(before, other)
    nothing = known_cases({"c::a": "2"}, passed, Asked(max_tokens=64))
    with pytest.raises(ConfigError, match=r"no case was scored in both.*max_tokens: 256 → 64"):
        compare(before, nothing)
