"""Pictures: marks stand where their values are, on axes that hold all of them."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.report.plots import Interval, rate_rows, rate_series, second_rows, standalone

SVG = "{http://www.w3.org/2000/svg}"


def marks(svg, tag, kind=""):
    found = ET.fromstring(svg).iter(f"{SVG}{tag}")
    return [element for element in found if kind in element.get("class", "")]


def numbers(element, *names):
    return [float(element.get(name)) for name in names]


def axis(svg):
    """The place of each labelled tick on the horizontal axis."""
    return {e.text: float(e.get("x")) for e in marks(svg, "text", "soft")}


def test_a_rate_its_interval_and_its_threshold_stand_on_the_axis():
    svg = rate_rows("t", [Interval("case", 0.5, 0.25, 0.75, 40, threshold=0.2)])
    ticks = axis(svg)
    start, whole = ticks["0.0"], ticks["1.0"] - ticks["0.0"]

    def share(x):
        return pytest.approx((x - start) / whole, abs=1e-3)

    [dot], [whisker], [limit] = (
        marks(svg, "circle"),
        marks(svg, "line", "whisker"),
        marks(svg, "line", "limit"),
    )
    assert share(float(dot.get("cx"))) == 0.5
    assert [share(x) for x in numbers(whisker, "x1", "x2")] == [0.25, 0.75]
    assert [share(x) for x in numbers(limit, "x1", "x2")] == [0.2, 0.2]
    assert "case: 0.500 [0.250, 0.750], n=40" in svg


def test_a_rate_that_was_not_asked_has_no_mark():
    svg = rate_rows("t", [Interval("case", None, 0, 1, 0)])
    assert marks(svg, "circle") == []
    assert "case" in svg


def test_a_series_goes_by_places_in_order_and_runs_that_differ_are_hollow():
    points = [
        Interval("3", 0.2, 0.1, 0.3, 10),
        Interval("4", None, 0, 1, 0),
        Interval("5", 0.8, 0.7, 0.9, 10, comparable=False),
    ]
    svg = rate_series("case by bits", [("case", points)])
    first, last = marks(svg, "circle")
    (x1, y1), (x2, y2) = numbers(first, "cx", "cy"), numbers(last, "cx", "cy")
    assert x1 == pytest.approx(axis(svg)["3"], abs=0.1)
    assert x2 == pytest.approx(axis(svg)["5"], abs=0.1)
    assert y1 > y2
    heights = {e.text: float(e.get("y")) - 4 for e in marks(svg, "text", "soft")}
    assert (heights["0.0"] - y1) / (heights["0.0"] - heights["1.0"]) == pytest.approx(0.2, abs=2e-3)
    assert ["hollow" in mark.get("class") for mark in (first, last)] == [False, True]


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=30))
def test_every_time_is_within_the_axis(times):
    svg = second_rows("t", [("server, call", times)])
    ticks = axis(svg).values()
    places = [float(mark.get("cx")) for mark in marks(svg, "circle")]
    assert len(places) == len(times)
    assert all(min(ticks) - 0.1 <= x <= max(ticks) + 0.1 for x in places)


def test_the_median_and_the_late_ones_are_told():
    svg = second_rows("t", [("server, call", [1.0] * 19 + [10.0])])
    assert "median 1.00 s, 95% within 1.45 s, n=20" in svg


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"])))
def test_any_name_is_text(name):
    svg = standalone(rate_series(name, [(name, [Interval(name, 0.5, 0.4, 0.6, 9)])]))
    root = ET.fromstring(svg)
    assert root.find(f"{SVG}title").text in (name, None)
    assert root.find(f"{SVG}style") is not None
    assert marks(svg, "script") == []
