"""Rates, intervals, gates and paired tests, against values worked out elsewhere."""

import builders
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.judging.scoring import (
    ProfileScore,
    Rate,
    check_gate,
    holm,
    mcnemar,
    pass_at_k,
    pass_hat_k,
    score,
    smallest_regression,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (190, 200, 0.9104, 0.9726),
    ],
)
def test_wilson_is_the_published_interval(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-4)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_contains_the_share_and_agrees_with_its_fractional_form(counts):
    successes, n = counts
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert wilson(successes + 1e-9, n) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(
    ("fixed", "broken", "p"),
    [(0, 0, 1.0), (0, 5, 0.0625), (0, 6, 0.03125), (3, 3, 1.0), (1, 9, 0.0215)],
)
def test_mcnemar_is_the_exact_binomial_test(fixed, broken, p):
    assert mcnemar(fixed, broken) == pytest.approx(p, abs=1e-4)
    assert mcnemar(broken, fixed) == pytest.approx(p, abs=1e-4)


def test_holm_adjusts_by_rank_and_never_falls():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_six_one_way_flips_are_the_least_that_can_be_told_from_chance():
    assert smallest_regression(200) == 6
    assert smallest_regression(5) is None
    assert smallest_regression(200, level=0.05 / 3) == 7


@given(st.integers(1, 12), st.data())
def test_pass_k_are_the_shares_among_all_choices_of_k(n, data):
    passed = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n))
    from itertools import combinations

    attempts = [i < passed for i in range(n)]
    chosen = list(combinations(attempts, k))
    assert pass_at_k(n, passed, k) == pytest.approx(sum(map(any, chosen)) / len(chosen))
    assert pass_hat_k(n, passed, k) == pytest.approx(sum(map(all, chosen)) / len(chosen))


def test_k_beyond_the_attempts_is_refused():
    with pytest.raises(ValueError, match="between 1 and"):
        pass_at_k(3, 1, 4)


def _figures(value=None, n=0, threshold=0.8, errors=0, scored=1, violations=None, violated=1):
    rate = Rate.of(value * n if n else 0, n, threshold)
    return ProfileScore(scored, errors, 0, {"case": rate}, violations or {}, {}, violated)


def test_the_gate_holds_on_the_lower_bound():
    assert check_gate("p", _figures(0.95, 200)).passed
    assert not check_gate("p", _figures(0.81, 200)).passed


def test_too_few_cases_are_their_own_answer():
    result = check_gate("p", _figures(1.0, 5))
    assert not result.passed
    assert "not enough cases to tell" in result.reasons[0]
    assert check_gate("p", _figures(1.0, 5), on="value").passed


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        (_figures(1.0, 200, errors=1), "incomplete response"),
        (_figures(1.0, 200, violations={"lost_call": 1}), "1 violation(s), at most 0"),
        (
            _figures(1.0, 200, violations={"lost_call": 2, "usage": 1}, violated=2),
            "3 violation(s) in 2 answer(s), at most 0 allowed: 2 lost_call, 1 usage",
        ),
        (_figures(1.0, 200, scored=0), "no case was scored"),
        (_figures(0.0, 0), "no case asks for it"),
        (_figures(0.5, 200), "below 0.800"),
    ],
)
def test_every_broken_condition_is_a_reason(figures, reason):
    result = check_gate("p", figures)
    assert not result.passed
    assert any(reason in line for line in result.reasons)


def test_lanes_and_repeats_of_a_case_are_one_case():
    def answered(name, lane, content, repeat):
        seen = builders.observation(lane, content=content)
        return builders.record(builders.case(id=name), seen, repeat=repeat)

    right = [answered("a", lane, "Paris.", n) for lane in ("server", "stream") for n in (0, 1)]
    wrong = [answered("b", "server", "", n) for n in (0, 1)]
    assert score([*right, *wrong]).violated == 0
    rate = score([*right, *wrong]).rates["case"]
    assert (rate.n, rate.value) == (2, 0.5)
    assert score([*right, *wrong]).scored == 6
