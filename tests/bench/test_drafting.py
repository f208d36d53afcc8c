"""Speculative decoding in figures, without any server."""

import pytest

from evals.bench.drafting import (
    Acceptance,
    Asked,
    Pass,
    Setting,
    acceptance,
    first_difference,
    verdict,
)
from evals.bench.speculative_report import rows, table

T, F = True, False


@pytest.mark.parametrize(
    ("from_draft", "size", "most", "expected"),
    [
        ([], 3, 10, Acceptance()),
        ([F, F, F], 2, 10, Acceptance(steps=3, proposed=6, accepted=0, tokens=3)),
        ([T, T, F, T, T, F], 2, 10, Acceptance(steps=2, proposed=4, accepted=4, tokens=6)),
        ([T, F, F, T, T], 2, 10, Acceptance(steps=3, proposed=6, accepted=3, tokens=5)),
        ([F, T, T, T, F, T], 4, 6, Acceptance(steps=3, proposed=9, accepted=4, tokens=6)),
    ],
)
def test_steps_are_read_from_whose_each_token_is(
    from_draft: list[bool], size: int, most: int, expected: Acceptance
) -> None:
    assert acceptance(from_draft, size, most) == expected


def test_acceptances_of_answers_add_up() -> None:
    both = Acceptance(2, 4, 4, 6) + Acceptance(4, 8, 0, 4)
    assert (both.rate, both.length) == (4 / 12, 10 / 6)
    assert (Acceptance().rate, Acceptance().length) == (None, None)


@pytest.mark.parametrize(
    ("plain", "other", "at"),
    [([1, 2], [1, 2], None), ([1, 2], [1, 3], 1), ([1], [1, 3], 1), ([], [1], 0), ([], [], None)],
)
def test_answers_part_at_the_first_token_that_differs(
    plain: list[int], other: list[int], at: int | None
) -> None:
    assert first_difference(plain, other) == at


@pytest.mark.parametrize(
    ("ratios", "said"),
    [
        ([1.2, 1.3, 1.25], "faster in all 3"),
        ([0.8, 0.7, 0.75], "slower in all 3"),
        ([1.2, 0.9, 1.1], "does not replicate in 3"),
        ([1.8, 1.1, 1.2], "does not replicate in 3"),
        ([0.87, 0.45], "does not replicate in 2"),
        ([1.2], "measured once: no repeat"),
    ],
)
def test_what_does_not_replicate_is_called_so(ratios: list[float], said: str) -> None:
    assert verdict(ratios) == said


def _pass(
    setting: Setting, repeat: int, seconds: float, *ids: int, hung: str | None = None
) -> Pass:
    answers = (Asked("cases/t.yaml::a", seconds, ids),)
    return Pass(setting, repeat, seconds, seconds, answers, hung)


def test_ratios_are_of_the_same_repeat_and_flips_are_named() -> None:
    off, batch, three = Setting(), Setting(in_flight=4), Setting(3)
    passes = [
        *(_pass(off, repeat, 10.0 + repeat, 1, 2, 3) for repeat in range(3)),
        *(_pass(batch, repeat, 5.0, 1, 2, 3) for repeat in range(3)),
        _pass(three, 0, 8.0, 1, 2, 3),
        _pass(three, 1, 8.0, 1, 9, 3),
        _pass(three, 2, 1.0, hung="cases/t.yaml::a: no answer in 1 s"),
    ]
    first, batched, drafted = rows(passes)
    assert first.single == (1.0, 1.0, 1.0)
    assert batched.single == (2.0, 2.2, 2.4)
    assert drafted.single == (1.25, 1.375)  # the one that hung has no ratio
    assert drafted.batched == (0.625, 0.625)
    (flip, lost) = drafted.flips
    assert (flip.repeat, flip.at, flip.plain, flip.other) == (1, 1, 2, 9)
    assert (lost.repeat, lost.at, lost.plain, lost.other) == (2, 0, 1, None)
    text = table([first, batched, drafted], ["m", "d"])
    assert (
        "| 3 draft tokens | 3 | 1.25 1.38 | faster in all 2 | 0.62 0.62 | slower in all 2 |" in text
    )
    assert "* hung: 3 draft tokens: cases/t.yaml::a: no answer in 1 s" in text
    assert "repeat 2: cases/t.yaml::a: token 1 is 9, without a draft 2" in text
