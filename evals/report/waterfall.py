"""Answers along the time of a run as SVG: when each was asked, and where its time went."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from evals.observation import PHASES, Observation, Timing
from evals.report.latency import brief_number

MOST = 40
"""Answers that are drawn: those that were asked first."""
COLOURS = {
    "client": "#6b7280",
    "retry": "#b42318",
    "queue": "#c9a227",
    "prompt": "#1d4ed8",
    "decode": "#059669",
    "response": "#0e7490",
    "parse": "#7e22ce",
    "tool": "#db2777",
}
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 460, 34, 440, 8, 34


@dataclass(frozen=True)
class Bar:
    """One answer: what it is called, when it was asked, in seconds, and its timing."""

    label: str
    start: float
    timing: Timing


def waterfall(title: str, bars: Sequence[Bar]) -> str:
    """A row for each answer, in the order in which they were asked."""
    shown = sorted(bars, key=lambda bar: bar.start)[:MOST]
    begin = shown[0].start
    span = max(bar.start + bar.timing.wall for bar in shown) - begin or 1.0
    bottom = _TOP + _ROW * len(shown)

    def x(seconds: float) -> float:
        return _LEFT + seconds / span * (_RIGHT - _LEFT)

    parts = [*_legend({name for bar in shown for name in bar.timing.parts})]
    for fifth in range(6):
        at = x(span * fifth / 5)
        parts.append(_line(at, bottom))
        parts.append(_text(at, bottom + 14, f"{brief_number(span * fifth / 5)} s", "middle"))
    for number, bar in enumerate(shown):
        y, at = _TOP + _ROW * number + 1, bar.start - begin
        parts.append(f"<g><title>{escape(_about(bar))}</title>")
        for name, seconds in bar.timing.parts.items():
            width = x(at + seconds) - x(at)
            parts.append(
                f'<rect x="{x(at):.2f}" y="{y}" width="{width:.2f}" height="{_ROW - 2}" '
                f'fill="{COLOURS[name]}"/>'
            )
            at += seconds
        parts.append("</g>")
    return (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 22}"'
        f' role="img"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def bars_of(answers: Iterable[tuple[str, Observation]]) -> list[Bar]:
    """The bars of those answers, each with a label, that tell when they were and how long."""
    return [
        Bar(label, seen.started, seen.timing)
        for label, seen in answers
        if seen.started is not None and seen.timing is not None
    ]


def _about(bar: Bar) -> str:
    parts = ", ".join(f"{name} {brief_number(s)}" for name, s in bar.timing.parts.items())
    return f"{bar.label}: {brief_number(bar.timing.wall)} s: {parts}"


def _legend(names: set[str]) -> Iterable[str]:
    at = float(_LEFT)
    for name in PHASES:
        if name in names:
            yield f'<rect x="{at:.1f}" y="6" width="9" height="9" fill="{COLOURS[name]}"/>'
            yield _text(at + 12, 14, name)
            at += 24 + 6.2 * len(name)


def _line(x: float, bottom: float) -> str:
    return f'<line class="grid" x1="{x:.1f}" y1="{_TOP - 4}" x2="{x:.1f}" y2="{bottom}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="soft" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
