"""A case's history, told from the outcomes of earlier runs."""

from dataclasses import replace

import pytest
from made_runs import PRINT, RUN, figures_of, summary_with

from evals.report.nights import NIGHTS, History
from evals.results import Status

NODE = "a.yaml::x"
OF = {"p": "pass", "f": "fail", "e": "error", "k": "known"}


def night(number, letter, **print_of):
    """A run in which the case came out as `letter` says; `-`: it was not asked."""
    cases = {NODE: {"server": OF[letter]}} if letter in OF else {"a.yaml::y": {"server": "pass"}}
    summary = summary_with({"default": figures_of(cases)}, replace(PRINT, **print_of))
    return replace(summary, run=replace(RUN, id=f"n{number}"))


def history(letters, **print_of):
    past = [night(number, letter) for number, letter in enumerate(letters)]
    return History.of(night("now", "p", **print_of), past)


@pytest.mark.parametrize(
    ("letters", "now", "told"),
    [
        ("", "fail", ""),
        ("--", "fail", ""),
        ("ppp", "fail", "passed in the last 3 runs"),
        ("fp", "fail", "passed in the last run"),
        ("ppf", "fail", "failing since n2, 2 runs"),
        ("pfe", "fail", "failing since n1, 3 runs"),
        ("pf-f", "error", "failing since n1, 3 runs"),
        ("ff", "fail", "failing in all 3 runs"),
        ("pff", "pass", "failed in the last 2 runs"),
        ("kk", "pass", "a known defect in the last 2 runs"),
        ("kk", "fail", "a known defect in the last 2 runs"),
        ("pp", "pass", "passed in the last 2 runs"),
    ],
)
def test_a_history_is_told_in_a_few_words(letters, now, told):
    assert history(letters).told("default", NODE, "server", Status(now)) == told


def test_runs_that_asked_something_else_are_capitals_and_tell_nothing():
    other = history("pf", graders="other")
    assert other.marks("default", NODE, "server") == "PF"
    assert other.told("default", NODE, "server", Status.FAIL) == ""
    assert history("pf", suite="other").marks("default", NODE, "server") == "PF"


def test_a_case_is_the_same_while_its_own_content_is():
    past = [night(1, "p", suite="old", cases={NODE: "1"}), night(2, "f", cases={NODE: "2"})]
    found = History.of(night("now", "p", cases={NODE: "1"}), past)
    assert found.marks("default", NODE, "server") == "pF"


def test_other_profiles_and_lanes_and_old_runs_are_left_out():
    found = history("f" + "p" * NIGHTS)
    assert found.marks("default", NODE, "server") == "p" * NIGHTS
    assert found.marks("default", NODE, "stream") == "-" * NIGHTS
    assert found.marks("other", NODE, "server") == "-" * NIGHTS
