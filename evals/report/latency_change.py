"""The latency of two runs, side by side, and whether one is slower by more than chance."""

from collections.abc import Iterator, Mapping

from evals.report.latency import LaneLatency, Spread, brief_number

Latency = Mapping[str, LaneLatency]
_SHOWN = ("ttft", "ttfo", "tpot", "e2el")
_GATED = ("ttft", "ttfo", "e2el")
_MUCH = 1.5


def latency_lines(profile: str, before: Latency, after: Latency) -> Iterator[str]:
    """Median and p95 of each lane in both runs; nothing where one of them does not tell."""
    for lane, name, x, y in _both(before, after, _SHOWN):
        yield (
            f"latency {profile} {lane} {name}: p50 {x.p50.text} → {y.p50.text} s, "
            f"p95 {x.p95.text} → {y.p95.text} s (n={x.n}, {y.n})"
        )


def slower(profile: str, before: Latency, after: Latency, factor: float) -> list[str]:
    """Where p95 is more than `factor` times what it was, and that is not chance, as sentences.

    Not chance: both 95% intervals are known, and they lie apart.
    """
    return [
        f"{profile}: p95 of {name} in lane {lane} is {y.p95.text} s and was {x.p95.text} s: more "
        f"than {factor:g} times, and their 95% intervals lie apart"
        for lane, name, x, y in _both(before, after, _GATED)
        if y.p95.value > factor * x.p95.value
        and x.p95.high is not None
        and y.p95.low is not None
        and y.p95.low > x.p95.high
    ]


def much_slower(profile: str, before: Latency, after: Latency) -> Iterator[str]:
    """`default, lane server: answers take 3.8 times as long, p50 of e2el 0.606 → 2.31 s`.

    Of lanes whose median is more than 1.5 times what it was, and the 95% intervals lie apart.
    """
    for lane, _, x, y in _both(before, after, ("e2el",)):
        was, now = x.p50, y.p50
        apart = was.high is not None and now.low is not None and now.low > was.high
        if apart and now.value > _MUCH * was.value:
            yield (
                f"{profile}, lane {lane}: answers take {now.value / was.value:.1f} times as long, "
                f"p50 of e2el {brief_number(was.value)} → {brief_number(now.value)} s"
            )


def _both(
    before: Latency, after: Latency, names: tuple[str, ...]
) -> Iterator[tuple[str, str, Spread, Spread]]:
    for lane in after:
        if lane in before:
            x, y = before[lane].measures, after[lane].measures
            yield from ((lane, name, x[name], y[name]) for name in names if name in x and name in y)
