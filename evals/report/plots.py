"""Pictures as SVG text: rates with intervals, seconds, and rates along runs or bits.

Written by hand because they have to follow the reader's light or dark theme, carry no font and
weigh a few kilobytes, and because a plotting library would be the heaviest package of all here.
Every value of a picture is also in its text: a title, and a `<title>` on each mark.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median, quantiles

STYLE = """
.plot {
  --ink: #1f2328; --soft: #6b7280; --limit: #b42318;
  --c0: #1d4ed8; --c1: #b45309; --c2: #047857; --c3: #7e22ce;
  font: 12px system-ui, sans-serif;
}
@media (prefers-color-scheme: dark) {
  .plot {
    --ink: #e6e8eb; --soft: #9aa3ad; --limit: #f97066;
    --c0: #7aa2ff; --c1: #f0a848; --c2: #4cc38a; --c3: #c08cf5;
  }
}
.plot text { fill: var(--ink); } .plot .soft { fill: var(--soft); font-size: 11px; }
.plot .grid { stroke: var(--soft); stroke-opacity: .3; }
.plot .limit { stroke: var(--limit); stroke-width: 2; }
.plot .s0 { stroke: var(--c0); fill: var(--c0); } .plot .s1 { stroke: var(--c1); fill: var(--c1); }
.plot .s2 { stroke: var(--c2); fill: var(--c2); } .plot .s3 { stroke: var(--c3); fill: var(--c3); }
.plot .whisker { stroke-width: 2; } .plot .path { fill: none; stroke-width: 1.5; }
.plot .hollow { fill: none; stroke-width: 1.5; } .plot .faint { stroke: none; fill-opacity: .3; }
"""
_WIDTH = 460
_LABELS = 150
_RIGHT = 440
_ROW = 22
_MOST_DOTS = 1000


@dataclass(frozen=True)
class Interval:
    """A rate in a row or at a place: `value` None where nothing was asked; `n` counts cases."""

    label: str
    value: float | None
    low: float
    high: float
    n: int
    threshold: float | None = None
    comparable: bool = True
    """False draws it hollow: measured with another suite or other graders."""

    @property
    def text(self) -> str:
        """`label: 0.900 [0.857, 0.931], n=259`."""
        if self.value is None:
            return f"{self.label}: not asked"
        return f"{self.label}: {self.value:.3f} [{self.low:.3f}, {self.high:.3f}], n={self.n}"


def standalone(svg: str) -> str:
    """`svg` as a file of its own: with its style, for Allure and READMEs."""
    head, _, rest = svg.partition(">")
    return f"{head}><style>{STYLE}</style>{rest}\n"


def rate_rows(title: str, rows: Sequence[Interval]) -> str:
    """A row for each rate: a dot, its interval, and its threshold as a red mark."""

    def x(share: float) -> float:
        return _LABELS + share * (_RIGHT - _LABELS)

    height = _ROW * len(rows) + 28
    parts = _grid([(x(i / 5), f"{i / 5:.1f}") for i in range(6)], height)
    for number, row in enumerate(rows):
        y = _ROW * number + 15.0
        parts.append(_text(_LABELS - 8, y + 4, row.label, "end"))
        if row.value is not None:
            whisker = _line(x(row.low), y, x(row.high), y, "s0 whisker")
            parts.append(_titled(row.text, whisker + _circle(x(row.value), y, "s0")))
        if row.threshold is not None:
            mark = _line(x(row.threshold), y - 7, x(row.threshold), y + 7, "limit")
            parts.append(_titled(f"threshold {row.threshold:.2f}", mark))
    return _svg(title, height, parts)


def rate_series(title: str, series: Sequence[tuple[str, Sequence[Interval]]]) -> str:
    """Rates along places in order, such as runs or bits; at most four series.

    Places are named by the labels, in the order of their first appearance.
    """
    places = list(dict.fromkeys(point.label for _, points in series for point in points))
    left, top, bottom = 34, 20 if len(series) > 1 else 8, 190
    step = (_RIGHT - left) / max(1, len(places))

    def y(share: float) -> float:
        return bottom - share * (bottom - top)

    parts = [_line(left, y(i / 5), _RIGHT, y(i / 5), "grid") for i in range(6)]
    parts += [_text(left - 6, y(i / 5) + 4, f"{i / 5:.1f}", "end", "soft") for i in range(6)]
    rows = min(2, math.ceil(len(places) * 58 / (_RIGHT - left)))  # of labels, in turn
    every = math.ceil(len(places) * 58 / (_RIGHT - left) / rows)
    for number, place in enumerate(places):
        if (last := len(places) - 1 - number) % every == 0:
            middle, row = left + (number + 0.5) * step, last // every % rows
            parts.append(_text(middle, bottom + 16 + 14 * row, place, "middle", "soft"))
    at = float(left)
    for number, (name, points) in enumerate(series[:4]):
        shift = (number - (len(series) - 1) / 2) * min(7, step / 6)
        kind = f"s{number}"
        if len(series) > 1:
            parts += [_circle(at + 4, 8, kind), _text(at + 12, 12, name)]
            at += 36 + 6.6 * len(name)
        measured = [point for point in points if point.value is not None]
        xs = [left + (places.index(point.label) + 0.5) * step + shift for point in measured]
        line = " ".join(f"{x:.1f},{y(p.value or 0):.1f}" for x, p in zip(xs, measured, strict=True))
        parts.append(f'<polyline class="{kind} path" points="{line}"/>')
        for x, point in zip(xs, measured, strict=True):
            whisker = _line(x, y(point.low), x, y(point.high), f"{kind} whisker")
            mark = kind if point.comparable else f"{kind} hollow"
            about = f"{name}, {point.text}{'' if point.comparable else ' (other suite or graders)'}"
            parts.append(_titled(about, whisker + _circle(x, y(point.value or 0), mark)))
    return _svg(title, bottom + 12 + 14 * rows, parts)


def second_rows(title: str, rows: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Each time as a faint dot on a logarithmic axis; a bar at the median, a tick at the 95%.

    Of more than `_MOST_DOTS` times evenly chosen ones are drawn.
    """
    times = [max(t, 1e-3) for _, values in rows for t in values] or [1.0]
    low = 10 ** math.floor(math.log10(min(times)))
    high = 10 ** max(math.ceil(math.log10(max(times))), round(math.log10(low)) + 1)

    def x(seconds: float) -> float:
        share = math.log(max(seconds, low) / low) / math.log(high / low)
        return _LABELS + share * (_RIGHT - _LABELS)

    height = _ROW * len(rows) + 28
    decades = range(round(math.log10(low)), round(math.log10(high)) + 1)
    parts = _grid([(x(10.0**d), f"{10.0**d:g} s") for d in decades], height)
    for number, (label, values) in enumerate(rows):
        y = _ROW * number + 15.0
        parts.append(_text(_LABELS - 8, y + 4, label, "end"))
        shown = sorted(values)[:: math.ceil(len(values) / _MOST_DOTS) or 1]
        parts += [_circle(x(value), y, "s0 faint") for value in shown]
        if values:
            middle, late = median(values), _late(values)
            about = f"{label}: median {middle:.2f} s, 95% within {late:.2f} s, n={len(values)}"
            marks = _line(x(middle), y - 8, x(middle), y + 8, "s0 whisker")
            parts.append(
                _titled(about, marks + _line(x(late), y - 4, x(late), y + 4, "s1 whisker"))
            )
    return _svg(title, height, parts)


def _late(values: Sequence[float]) -> float:
    """The time within which 95% of the answers came."""
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def _svg(title: str, height: float, parts: Iterable[str]) -> str:
    return (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" '
        f'role="img"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def _grid(ticks: Iterable[tuple[float, str]], height: float) -> list[str]:
    return [
        _line(x, 2, x, height - 22, "grid") + _text(x, height - 8, label, "middle", "soft")
        for x, label in ticks
    ]


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _circle(x: float, y: float, kind: str) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place}{f' class={kind!r}' if kind else ''}>{escape(text)}</text>"


def _titled(title: str, marks: str) -> str:
    return f"<g><title>{escape(title)}</title>{marks}</g>"
