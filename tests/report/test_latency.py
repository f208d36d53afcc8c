"""Latency of answers: what is shown is measured, with intervals that hold; the rest is left out."""

import math
import random
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import answer_of, called, case_of

from evals.observation import PHASES, Timing, Usage
from evals.report.latency import Bounded, brief_number, lane_latency, latency, quantile, spread
from evals.report.latency_change import latency_lines, slower
from evals.report.waterfall import MOST, bars_of, waterfall

STREAMED = Timing(
    wall=1.1,
    client=0.05,
    queue=0.2,
    prompt=0.3,
    decode=0.5,
    parse=0.05,
    first_token=0.5,
    first_output=0.6,
    decoded=10,
    gaps=(0.1, 0.1, 0.3),
)
SEEN = called(timing=STREAMED, seconds=1.0, usage=Usage(200, 11, 20), started=100.0)


def test_a_streams_timing_gives_the_measures_of_the_field():
    measured = latency([SEEN]).measures
    values = {name: spread.p50.value for name, spread in measured.items()}
    assert values == {
        "queue": 0.2,
        "ttft": 0.5,
        "ttfo": 0.6,
        "itl": 0.1,
        "tpot": 0.05,
        "e2el": 1.0,
        "client": 0.05,
        "parse": 0.05,
        "prompt_rate": 600.0,
        "decode_rate": 20.0,
    }
    assert measured["itl"].n == 3
    assert latency([SEEN]).cached == 0.1


def test_what_nothing_shows_is_left_out():
    assert set(latency([replace(SEEN, timing=None)]).measures) == {"e2el"}
    plain = Timing(wall=1.0, client=0.1, response=0.8, parse=0.1)
    assert set(latency([replace(SEEN, timing=plain)]).measures) == {"e2el", "client", "parse"}
    assert latency([replace(SEEN, usage=None)]).cached is None


def test_an_incomplete_answer_is_in_no_figure():
    records = [answer_of(case_of("a"), SEEN), answer_of(case_of("b"), called(error="cut off"))]
    assert lane_latency(records)["server"].answers == 1


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95])
@pytest.mark.parametrize("n", [5, 40, 90])
def test_a_quantiles_interval_holds_it_at_least_95_times_in_100(n, share):
    chance = random.Random(f"{n} {share}")
    runs, held = 2000, 0
    for _ in range(runs):
        found = quantile(sorted(chance.random() for _ in range(n)), share)
        held += (found.low or 0.0) <= share <= (found.high or 1.0)
    assert held / runs >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / runs)


def test_a_bound_that_so_few_values_cannot_give_is_none():
    few, enough = quantile([1.0] * 71, 0.95), quantile([1.0] * 72, 0.95)
    assert few.high is None
    assert enough.high == 1.0
    assert spread([2.0]).mean == Bounded(2.0, None, None)


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=200))
def test_quantiles_are_values_in_order_within_their_bounds(values):
    s = spread(values)
    ordered = [s.p50, s.p90, s.p95, s.p99]
    rounded = {round(value, 6) for value in values}
    assert [b.value for b in ordered] == sorted(b.value for b in ordered)
    for bounded in ordered:
        assert bounded.value in rounded
        assert bounded.low is None or bounded.low <= bounded.value
        assert bounded.high is None or bounded.high >= bounded.value


def test_slower_is_said_only_beyond_the_factor_and_beyond_chance():
    def lanes(seconds, n=200):
        return {"stream": latency([replace(SEEN, seconds=seconds)] * n)}

    assert slower("p", lanes(1.0), lanes(1.3), 1.2)[0].startswith("p: p95 of e2el in lane stream")
    assert slower("p", lanes(1.0), lanes(1.1), 1.2) == []
    assert slower("p", lanes(1.0, n=20), lanes(9.0, n=20), 1.2) == []  # no upper bound
    assert slower("p", {}, lanes(9.0), 1.2) == []
    lines = list(latency_lines("p", lanes(1.0), lanes(1.3)))
    assert any("stream e2el: p50 1.00 [1.00, 1.00] → 1.30" in line for line in lines)


def test_the_waterfalls_parts_are_as_wide_as_they_took():
    later = replace(SEEN, started=101.1)
    root = ET.fromstring(waterfall("t", bars_of([("a", later), ("b", SEEN)])))
    groups = [g for g in root if g.tag.endswith("}g")]
    assert [g[0].text[:2] for g in groups] == ["b:", "a:"]  # in the order of asking
    widths = [float(r.get("width")) for r in groups[0][1:]]
    total = 406 * 1.1 / 2.2
    known = [name for name in PHASES if getattr(STREAMED, name) is not None]
    assert widths == pytest.approx(
        [total * getattr(STREAMED, name) / 1.1 for name in known], abs=0.01
    )
    assert float(groups[1][1].get("x")) == pytest.approx(34 + 203, abs=0.01)


def test_a_waterfall_is_of_the_first_answers_and_of_those_that_tell():
    many = [(f"c{n}", replace(SEEN, started=float(n))) for n in range(2 * MOST)]
    assert waterfall("t", bars_of(many)).count("<g>") == MOST
    assert bars_of([("old", replace(SEEN, timing=None)), ("x", replace(SEEN, started=None))]) == []


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.000012345, "0.000012"), (0.0123, "0.0123"), (1234.5, "1234")]
)
def test_numbers_are_short_and_without_exponents(value, text):
    assert brief_number(value) == text
